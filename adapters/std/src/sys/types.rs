//! What the modules of all operating systems say things with.

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub kind: FileKind,
    /// Length in bytes.
    pub size: u64,
    /// Seconds since 1970-01-01 00:00 UTC; `None` before.
    pub modified: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Regular,
    Directory,
    Symlink,
    Other,
}

/// What differs after every change of a file, as far as the file system shows changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStamp {
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    /// Seconds since 1970 and nanoseconds.
    pub modified: (i64, i64),
    /// The same for the inode, which no program can set.
    pub changed: (i64, i64),
}

/// Whether a socket can be read and written without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    /// Also at the end of input and after an error.
    pub can_read: bool,
    pub can_write: bool,
}

/// What an `accept` that failed means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptError {
    /// No client came within the listener's time-out.
    TimedOut,
    /// The client is gone, or a firewall refused it: try again at once.
    ClientGone,
    /// Something is used up: try again after a pause.
    Exhausted,
}
