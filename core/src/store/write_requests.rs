//! What clients ask of a store that can be written to.

use super::WriteError;
use crate::types::digest::Digest;
use crate::types::file_name::FileName;
use crate::types::time::Instant;
use crate::types::version::Version;

/// A file that a client sends: what it will be, and what it may replace.
///
/// Name, size and digest are the identity of an upload: after a broken connection the same three continue it.
///
/// ```
/// use coracle_core::{Digest, FileName, Put, Replace};
///
/// let put = Put::new(FileName::from_static("cfg.json"), 10, Digest::Crc32(0xa684_c7c6)).with_replace(Replace::Anything);
/// assert_eq!(put.size, 10);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Put<'a> {
    /// The name that the file gets.
    pub name: FileName<'a>,
    /// Its length in bytes. Any number: nothing may be allocated by it before it was compared with what there is.
    pub size: u64,
    /// The digest of all its bytes.
    pub digest: Digest,
    /// What it may replace.
    pub replace: Replace<'a>,
    /// Whether missing directories are made.
    pub parents: bool,
    /// When its contents last changed, in seconds since 1970-01-01 00:00 UTC, to be set on the stored file; `None`: as the
    /// store sees fit.
    pub modified: Option<u64>,
    /// Whether it may get its name, and be durable, later: at the next [`WritableStore::sync`](super::WritableStore::sync) of
    /// the same connection at the latest. A store that cannot do that makes it durable at once.
    #[cfg(feature = "sync")]
    pub deferred: bool,
}

impl<'a> Put<'a> {
    /// The new file `name` of `size` bytes with this digest: nothing is replaced, no directory is made.
    #[must_use]
    pub const fn new(name: FileName<'a>, size: u64, digest: Digest) -> Self {
        Self {
            name,
            size,
            digest,
            replace: Replace::Nothing,
            parents: false,
            modified: None,
            #[cfg(feature = "sync")]
            deferred: false,
        }
    }

    /// Sets [`Put::replace`].
    #[must_use]
    pub fn with_replace(self, replace: Replace<'a>) -> Self {
        Self { replace, ..self }
    }

    /// Sets [`Put::parents`].
    #[must_use]
    pub fn with_parents(self, parents: bool) -> Self {
        Self { parents, ..self }
    }

    /// Sets [`Put::modified`].
    #[must_use]
    pub fn with_modified(self, modified: Option<u64>) -> Self {
        Self { modified, ..self }
    }

    /// Sets [`Put::deferred`].
    #[cfg(feature = "sync")]
    #[must_use]
    pub fn with_deferred(self, deferred: bool) -> Self {
        Self { deferred, ..self }
    }
}

/// What a file that is put may replace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Replace<'a> {
    /// Nothing: the name must be free.
    #[default]
    Nothing,
    /// Whatever has the name, if anything.
    Anything,
    /// Only a file in this version, as a client wrote it. Empty where what it wrote is longer than any version.
    Version(&'a str),
}

impl Replace<'_> {
    /// Checks the version of the file that has the name now; `None` where no file has it.
    ///
    /// # Errors
    ///
    /// [`WriteError::Exists`] or [`WriteError::Changed`], where that file, or its absence, may not be replaced.
    pub fn check(self, current: Option<&Version>) -> Result<(), WriteError> {
        match (self, current) {
            (Self::Anything, _) | (Self::Nothing, None) => Ok(()),
            (Self::Nothing, Some(_)) => Err(WriteError::Exists),
            (Self::Version(expected), Some(current)) if current.as_str() == expected => Ok(()),
            (Self::Version(_), _) => Err(WriteError::Changed),
        }
    }
}

/// How often a [`Put`] was asked before, and how an equal file that is there already may be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutAttempt {
    /// When this connection first asked. Later than the last byte of another connection with the same upload: that one was
    /// silent meanwhile.
    pub asked: Instant,
    /// Whether the exchange may end without a byte because the file is there: [`Begun::Stored`](super::Begun::Stored) or
    /// [`Begun::Compare`](super::Begun::Compare). False for CRC-32, which can be forged, for a client that may not read the file,
    /// and after [`Begun::Compare`](super::Begun::Compare).
    pub may_compare: bool,
}

impl PutAttempt {
    /// The first attempt, at `asked`.
    #[must_use]
    pub const fn new(asked: Instant, may_compare: bool) -> Self {
        Self { asked, may_compare }
    }
}

/// What to delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delete<'a> {
    /// A file, and an unfinished upload to its name that no client is sending.
    File {
        /// Which file.
        name: FileName<'a>,
        /// The version that it must have, as in [`Replace::Version`]; `None`: any.
        version: Option<&'a str>,
    },
    /// The unfinished upload to a name, alone.
    Partial {
        /// The name of the file that is not complete.
        name: FileName<'a>,
    },
    /// An empty directory.
    Directory {
        /// Which directory; never the root.
        path: FileName<'a>,
    },
}

impl<'a> Delete<'a> {
    /// What it names.
    #[must_use]
    #[inline(never)]
    pub const fn name(&self) -> FileName<'a> {
        match self {
            Self::File { name, .. } | Self::Partial { name } | Self::Directory { path: name } => *name,
        }
    }
}

/// A file's new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rename<'a> {
    /// Which file.
    pub name: FileName<'a>,
    /// Its new name, which must be free.
    pub to: FileName<'a>,
    /// The version that it must have, as in [`Replace::Version`]; `None`: any.
    pub version: Option<&'a str>,
}

impl<'a> Rename<'a> {
    /// Renames the file `name`, in any version, to `to`.
    #[must_use]
    pub const fn new(name: FileName<'a>, to: FileName<'a>) -> Self {
        Self { name, to, version: None }
    }

    /// Sets [`Rename::version`].
    #[must_use]
    pub const fn with_version(self, version: Option<&'a str>) -> Self {
        Self { version, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::{Delete, FileName, Replace, Version, WriteError};

    #[test]
    fn a_precondition_is_compared_with_what_has_the_name() {
        let (v1, v2) = (Version::new("v1").expect("good"), Version::new("v2").expect("good"));
        for (replace, current, expected) in [
            (Replace::Nothing, None, Ok(())),
            (Replace::Nothing, Some(&v1), Err(WriteError::Exists)),
            (Replace::Anything, None, Ok(())),
            (Replace::Anything, Some(&v1), Ok(())),
            (Replace::Version("v1"), Some(&v1), Ok(())),
            (Replace::Version("v1"), Some(&v2), Err(WriteError::Changed)),
            (Replace::Version("v1"), None, Err(WriteError::Changed)),
            (Replace::Version(""), Some(&v1), Err(WriteError::Changed)),
        ] {
            assert_eq!(replace.check(current), expected, "{replace:?} {current:?}");
        }
    }

    #[test]
    fn a_delete_names_one_thing() {
        let name = FileName::from_static("a");
        for delete in [Delete::File { name, version: None }, Delete::Partial { name }, Delete::Directory { path: name }]
        {
            assert_eq!(delete.name(), name);
        }
    }
}
