//! What a record consists of.

/// Magic, number, size, kind of the digest, tries, two zeros, the digest, and a CRC-32 of all that.
pub(crate) const HEADER_LEN: u32 = 52;
/// Number of places for the header: one for an upload, more than one of the others is used only after power cuts.
pub(crate) const HEADER_PLACES: u32 = 5;
/// Length of a mark, before it is padded to a unit of the flash.
pub(crate) const MARK_LEN: u32 = 4;
/// Most tries that an image can have.
pub(crate) const MAX_TRIES: u8 = 8;

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MarkKind {
    Try,
    Confirm,
    Revert,
    /// The `index`th one: the image is written up to `(index + 1) * progress_step`.
    Progress,
}

impl MarkKind {
    /// Number of places for marks of all kinds but the last.
    pub(crate) const FIXED: u32 = Self::Progress.first();

    /// Number of marks before the first one of this kind.
    pub(crate) const fn first(self) -> u32 {
        match self {
            Self::Try => 0,
            Self::Confirm => Self::Try.first() + Self::Try.places(),
            Self::Revert => Self::Confirm.first() + Self::Confirm.places(),
            Self::Progress => Self::Revert.first() + Self::Revert.places(),
        }
    }

    /// Number of places, more than one of which is needed only after power cuts. An image can be confirmed in each of its
    /// starts.
    pub(crate) const fn places(self) -> u32 {
        match self {
            Self::Revert => 4,
            Self::Try => 8,
            Self::Confirm => 10,
            Self::Progress => 0,
        }
    }

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Try => b'T',
            Self::Confirm => b'F',
            Self::Revert => b'R',
            Self::Progress => b'P',
        }
    }
}
