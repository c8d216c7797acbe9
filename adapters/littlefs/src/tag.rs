//! Tags: the heads of what a metadata block's log consists of.

/// Kind, number of the entry, and length of what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag(pub u32);

pub(crate) const REGULAR: u32 = 0x001;
pub(crate) const DIRECTORY: u32 = 0x002;
pub(crate) const SUPERBLOCK: u32 = 0x0ff;
pub(crate) const DIRECTORY_PAIR: u32 = 0x200;
pub(crate) const INLINE: u32 = 0x201;
pub(crate) const CHAIN: u32 = 0x202;
pub(crate) const CREATE: u32 = 0x401;
pub(crate) const MOVE_STATE: u32 = 0x7ff;

/// Kinds by their upper bits.
pub(crate) const NAMES: u32 = 0x000;
pub(crate) const STRUCTS: u32 = 0x200;
pub(crate) const SPLICES: u32 = 0x400;
pub(crate) const CHECKSUMS: u32 = 0x500;
pub(crate) const TAILS: u32 = 0x600;

impl Tag {
    /// Whether it was written.
    pub const fn is_valid(self) -> bool {
        self.0 >> 31 == 0
    }

    /// All bits of its kind.
    pub const fn kind(self) -> u32 {
        self.0 >> 20 & 0x7ff
    }

    /// The upper bits of its kind.
    pub const fn group(self) -> u32 {
        self.kind() & 0x700
    }

    /// Whether it ends a commit.
    pub const fn is_checksum(self) -> bool {
        self.kind() & 0x780 == CHECKSUMS
    }

    /// The lowest bit of its kind.
    pub const fn flag(self) -> u32 {
        self.0 >> 20 & 1
    }

    pub const fn id(self) -> u32 {
        self.0 >> 10 & 0x3ff
    }

    /// Length of what follows, in bytes.
    pub const fn len(self) -> u32 {
        if self.is_removal() { 0 } else { self.0 & 0x3ff }
    }

    /// Whether it says that there is no such thing any more.
    pub const fn is_removal(self) -> bool {
        self.0 & 0x3ff == 0x3ff
    }

    /// Its own length and that of what follows, in bytes.
    pub const fn whole_len(self) -> u32 {
        4 + self.len()
    }
}
