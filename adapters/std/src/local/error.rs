//! What can go wrong on this machine's own side of a download.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::escaped::{Escaped, escape_path};

/// Trouble with local files. Nothing that stood under a real name was changed, unless the variant says otherwise.
#[derive(Debug)]
#[non_exhaustive]
pub enum LocalError {
    /// The target is there already.
    Exists(PathBuf),
    /// A symbolic link stands where a file would be written; it is not followed.
    Symlink(PathBuf),
    /// Something stands at that name that is no regular file.
    NotFile(PathBuf),
    /// A file that is no unfinished download of this target stands at the temporary name.
    Foreign(PathBuf),
    /// Another client is fetching the same target.
    Locked(PathBuf),
    /// The temporary file was replaced or removed while it was written.
    Replaced(PathBuf),
    /// The temporary file is not proven to be the whole file, so it keeps its name.
    Unproven(PathBuf),
    /// The file system has no room for the file.
    NoSpace {
        /// The directory that was to hold the file.
        path: PathBuf,
        /// Bytes that are still to be written.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// A name that is served cannot be a file's name on this machine.
    Name {
        /// The name as it is served.
        name: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// The file is in place under its real name, but may not survive a power cut.
    NotDurable {
        /// The target.
        path: PathBuf,
        /// Why the directory could not be synced.
        error: io::Error,
    },
    /// The operating system refused.
    Io {
        /// What was being done, as in `cannot DOING PATH`.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Its answer.
        error: io::Error,
    },
}

impl LocalError {
    /// Wraps the operating system's answer; for `map_err`.
    pub(crate) fn io<E: Into<io::Error>>(doing: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        move |error| Self::Io { doing, path: path.to_owned(), error: error.into() }
    }
}

impl fmt::Display for LocalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(path) => write!(f, "{} exists already: --force would replace it", escape_path(path)),
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
