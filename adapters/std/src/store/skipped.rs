//! Entries of a directory that a listing leaves out.

use std::fmt;
use std::path::Path;

use coracle_core::NameError;

use crate::local::escape_path;

/// An entry of a served directory that no request can fetch. Displayed as its path and the reason, without control
/// characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SkippedEntry<'a> {
    /// Its path beneath the served directory.
    pub path: &'a Path,
    /// Why no request can fetch it.
    pub reason: SkipReason,
}

/// Why no request can fetch an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// Its name is not UTF-8.
    NotUtf8,
    /// Its path breaks a rule of names.
    Name(NameError),
    /// It is no regular file and no directory, but a device, a socket or a FIFO.
    Special,
    /// It is a link that leads nowhere, in a circle, or out of the served directory.
    Link,
    /// Its directory may be read and not searched.
    Denied,
}

impl SkipReason {
    /// Whether the name alone is the reason.
    pub(super) const fn is_name(self) -> bool {
        matches!(self, Self::NotUtf8 | Self::Name(_))
    }
}

impl fmt::Display for SkippedEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", escape_path(self.path), self.reason)
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("its name is not UTF-8"),
            Self::Name(error) => error.fmt(f),
            Self::Special => f.write_str("it is neither a file nor a directory"),
            Self::Link => f.write_str("it is a link that leads nowhere or outside"),
            Self::Denied => f.write_str("permission denied"),
        }
    }
}

/// What is called for each [`SkippedEntry`].
pub(super) struct SkipObserver(pub Box<dyn Fn(&SkippedEntry<'_>) + Send + Sync>);

impl fmt::Debug for SkipObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SkipObserver")
    }
}
