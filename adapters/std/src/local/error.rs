//! Errors of storing a download.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::escaped::{Escaped, escape_path};

/// An error of storing a download. Files under their final names are unchanged, unless the variant says otherwise.
#[derive(Debug)]
#[non_exhaustive]
pub enum LocalError {
    /// The target exists.
    Exists(PathBuf),
    /// The target was fetched, and is not as it was fetched any more.
    ChangedHere(PathBuf),
    /// There is a symbolic link where a file would be written; it is not followed.
    Symlink(PathBuf),
    /// There is something other than a regular file at that name.
    NotFile(PathBuf),
    /// The file at the temporary name is no unfinished download of this target.
    Foreign(PathBuf),
    /// Another process is downloading to the same target.
    Locked(PathBuf),
    /// The temporary file was replaced or removed while it was written.
    Replaced(PathBuf),
    /// The temporary file is not proven to be the whole file, so it does not get the final name.
    Unproven(PathBuf),
    /// The file system has too little free space.
    NoSpace {
        /// Directory of the target.
        path: PathBuf,
        /// Bytes still to be written.
        needed: u64,
        /// Free bytes.
        free: u64,
    },
    /// The served name cannot be a file's name on this machine.
    Name {
        /// Name as it is served.
        name: String,
        /// Rule that it breaks.
        why: &'static str,
    },
    /// The file has its final name, but may not survive a power cut.
    NotDurable {
        /// Path of the target.
        path: PathBuf,
        /// Why the directory could not be synced.
        error: io::Error,
    },
    /// Error of the operating system.
    Io {
        /// Operation, as in `cannot DOING PATH`.
        doing: &'static str,
        /// Path that it was applied to.
        path: PathBuf,
        /// Cause.
        error: io::Error,
    },
}

impl LocalError {
    /// The local path that it is about, where it is about one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Exists(path)
            | Self::ChangedHere(path)
            | Self::Symlink(path)
            | Self::NotFile(path)
            | Self::Foreign(path)
            | Self::Locked(path)
            | Self::Replaced(path)
            | Self::Unproven(path)
            | Self::NoSpace { path, .. }
            | Self::NotDurable { path, .. }
            | Self::Io { path, .. } => Some(path),
            Self::Name { .. } => None,
        }
    }

    /// Whether a file of a batch could not be renamed to its target without a copy. To fetch it again helps, since that file
    /// is then written beside its target.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Io { error, .. } if error.kind() == io::ErrorKind::CrossesDevices)
    }

    /// Wraps an error of the operating system; for `map_err`.
    pub(super) fn io(doing: &'static str, path: impl FnOnce() -> PathBuf) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { doing, path: path(), error }
    }
}

impl fmt::Display for LocalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(path) => write!(f, "{} exists already: --force would replace it", escape_path(path)),
            Self::ChangedHere(path) => {
                write!(f, "{} was changed here since it was fetched; --force replaces it", escape_path(path))
            }
            Self::Symlink(path) => {
                write!(f, "{} is a symbolic link, which is neither followed nor replaced", escape_path(path))
            }
            Self::NotFile(path) => write!(f, "{} is no regular file", escape_path(path)),
            Self::Foreign(path) => write!(
                f,
                "{} is in the way: it is not an unfinished download of this file; move it away",
                escape_path(path)
            ),
            Self::Locked(path) => write!(f, "another coracle is writing {}", escape_path(path)),
            Self::Replaced(path) => write!(f, "{} was replaced or removed while it was written", escape_path(path)),
            Self::Unproven(path) => write!(f, "{} is not proven to be whole", escape_path(path)),
            Self::NoSpace { path, needed, free } => {
                write!(f, "no room in {}: {needed} bytes are needed, {free} are free", escape_path(path))
            }
            Self::Name { name, why } => write!(f, "{} cannot be saved under its name: {why}", Escaped(name)),
            Self::NotDurable { path, error } => {
                write!(f, "{} is complete, but may not survive a power cut: {error}", escape_path(path))
            }
            Self::Io { doing, path, error } => write!(f, "cannot {doing} {}: {error}", escape_path(path)),
        }
    }
}

impl std::error::Error for LocalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } | Self::NotDurable { error, .. } => Some(error),
            _ => None,
        }
    }
}
