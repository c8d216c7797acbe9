//! A directory that is read and deleted from. No symbolic link or junction beneath it is followed; one that is put there between
//! the look and the deletion is, since Windows deletes by paths.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// What a name in a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    File,
    Directory,
    /// A directory on which another file system is mounted. Those are links here, and so `Other`.
    #[allow(dead_code, reason = "other systems have them")]
    Mount,
    Other,
}

/// A directory, by its complete path in the form that has no limit of length and no devices.
#[derive(Debug)]
pub struct OpenDirectory(PathBuf);

impl OpenDirectory {
    /// Opens `path`, and follows symbolic links in it; `None` where there is no such directory.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let path = match fs::canonicalize(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            path => path?,
        };
        if fs::metadata(&path)?.is_dir() { Ok(Some(Self(path))) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }

    /// Opens the directory `path`, no component of which may be a symbolic link.
    pub fn open_below(&self, path: &Path) -> io::Result<Self> {
        let mut directory = self.0.clone();
        for component in path.components() {
            let Component::Normal(name) = component else { return Err(io::ErrorKind::InvalidInput.into()) };
            directory.push(name);
            if !fs::symlink_metadata(&directory)?.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
        }
        Ok(Self(directory))
    }

    /// The entries, in the order of the file system.
    pub fn entries(&self) -> io::Result<impl Iterator<Item = io::Result<(OsString, EntryKind)>>> {
        Ok(fs::read_dir(&self.0)?.map(|entry| {
            let entry = entry?;
            let kind = match entry.file_type()? {
                kind if kind.is_dir() => EntryKind::Directory,
                kind if kind.is_file() => EntryKind::File,
                _ => EntryKind::Other,
            };
            Ok((entry.file_name(), kind))
        }))
    }

    /// Removes an entry, which is an empty directory where that is said.
    pub fn remove(&self, name: &OsStr, is_directory: bool) -> io::Result<()> {
        let path = self.0.join(name);
        if is_directory {
            return fs::remove_dir(path);
        }
        // A link to a directory is removed as a directory is.
        let is_link = fs::symlink_metadata(&path)?.is_symlink();
        match fs::remove_file(&path) {
            Err(error) if is_link && error.kind() == io::ErrorKind::PermissionDenied => fs::remove_dir(path),
            removed => removed,
        }
    }
}
