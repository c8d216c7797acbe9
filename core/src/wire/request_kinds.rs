//! The kinds of requests, and sets of them.

use crate::wire::text_table::TextTable;

/// Which exchange a request begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RequestKind {
    /// The server's name, limits and features.
    Hello,
    /// The entries of a directory.
    List,
    /// A file's header.
    Stat,
    /// A file's header and bytes.
    Get,
    /// Sends a file to the server.
    #[cfg(feature = "write")]
    Put,
    /// Deletes a file, an unfinished upload, or an empty directory.
    #[cfg(feature = "write")]
    Delete,
    /// Gives a file another name.
    #[cfg(feature = "manage")]
    Rename,
    /// Makes a directory.
    #[cfg(feature = "manage")]
    MakeDir,
    /// How much room there is.
    #[cfg(feature = "manage")]
    Space,
    /// One of the owner's actions.
    #[cfg(feature = "manage")]
    Do,
    /// Makes durable what was put with less.
    #[cfg(feature = "sync")]
    Sync,
    /// Classic: selects a file.
    #[cfg(feature = "classic")]
    Select,
    /// Classic: the selected file's bytes.
    #[cfg(feature = "classic")]
    Confirm,
}

impl RequestKind {
    /// Those with a word on the wire.
    pub(crate) const ALL: &'static [Self] = &[
        Self::Hello,
        Self::List,
        Self::Stat,
        Self::Get,
        #[cfg(feature = "write")]
        Self::Put,
        #[cfg(feature = "write")]
        Self::Delete,
        #[cfg(feature = "manage")]
        Self::Rename,
        #[cfg(feature = "manage")]
        Self::MakeDir,
        #[cfg(feature = "manage")]
        Self::Space,
        #[cfg(feature = "manage")]
        Self::Do,
        #[cfg(feature = "sync")]
        Self::Sync,
    ];

    /// Whether the request may name the version of its file.
    pub(super) const fn has_version(self) -> bool {
        match self {
            Self::Get => true,
            #[cfg(feature = "write")]
            Self::Put | Self::Delete => true,
            #[cfg(feature = "manage")]
            Self::Rename => true,
            _ => false,
        }
    }

    /// The word of the request's `type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            #[cfg(feature = "classic")]
            Self::Select => "select",
            #[cfg(feature = "classic")]
            Self::Confirm => "confirm",
            _ => WORDS.get(self as u8),
        }
    }
}

/// The words on the wire in the order of [`RequestKind`].
const WORDS: TextTable = TextTable::new(if cfg!(feature = "sync") {
    "hello\nlist\nstat\nget\nput\ndelete\nrename\nmakeDir\nspace\ndo\nsync"
} else if cfg!(feature = "manage") {
    "hello\nlist\nstat\nget\nput\ndelete\nrename\nmakeDir\nspace\ndo"
} else if cfg!(feature = "write") {
    "hello\nlist\nstat\nget\nput\ndelete"
} else {
    "hello\nlist\nstat\nget"
});

/// A set of requests.
#[cfg(any(feature = "write", feature = "rights"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestKinds(u16);

#[cfg(any(feature = "write", feature = "rights"))]
impl RequestKinds {
    /// Those that only read: `hello`, `list`, `stat`, `get`.
    pub const READING: Self =
        Self::NONE.with(RequestKind::Hello).with(RequestKind::List).with(RequestKind::Stat).with(RequestKind::Get);
    pub(crate) const NONE: Self = Self(0);
    #[cfg(feature = "rights")]
    pub(crate) const ALL: Self = Self(u16::MAX);

    /// These, and `kind`.
    #[must_use]
    pub const fn with(self, kind: RequestKind) -> Self {
        Self(self.0 | 1 << kind as u16)
    }

    /// Whether `kind` is among them.
    #[must_use]
    pub const fn has(self, kind: RequestKind) -> bool {
        self.has_number(kind as u8)
    }

    /// Whether the kind that is declared as number `number` is among them.
    pub(crate) const fn has_number(self, number: u8) -> bool {
        self.0.unbounded_shr(number as u32) & 1 != 0
    }
}
