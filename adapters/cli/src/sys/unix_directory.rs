//! A directory that is read and deleted from, held open. No symbolic link beneath it is followed, so that nothing outside of it
//! is looked at or deleted, whatever other programs do meanwhile.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, Dev, Dir, FileType, Mode, OFlags, fstat, openat, statat, unlinkat};
use rustix::io::Errno;

/// What a name in a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    File,
    Directory,
    /// A directory on which another file system is mounted.
    Mount,
    Other,
}

/// An open directory.
#[derive(Debug)]
pub struct OpenDirectory {
    directory: OwnedFd,
    /// Of the one that was opened first.
    device: Dev,
}

impl OpenDirectory {
    /// Opens `path`, and follows symbolic links in it; `None` where there is no such directory.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = match openat(CWD, path, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            directory => directory?,
        };
        let device = fstat(&directory)?.st_dev;
        Ok(Some(Self { directory, device }))
    }

    /// Opens the directory `path`, no component of which may be a symbolic link.
    pub fn open_below(&self, path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut directory = openat(&self.directory, ".", flags, Mode::empty())?;
        for component in path.components() {
            let Component::Normal(name) = component else { return Err(io::ErrorKind::InvalidInput.into()) };
            let name: OsString = name.to_owned();
            directory = openat(&directory, &name, flags, Mode::empty())?;
        }
        Ok(Self { directory, device: self.device })
    }

    /// The entries, in the order of the file system. One that is removed meanwhile may be left out.
    pub fn entries(&self) -> io::Result<impl Iterator<Item = io::Result<(OsString, EntryKind)>>> {
        let entries = Dir::read_from(&self.directory)?.filter_map(|entry| {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error.into())),
            };
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                return None;
            }
            match self.kind(name, entry.file_type()) {
                Err(Errno::NOENT) => None,
                Err(error) => Some(Err(error.into())),
                Ok(kind) => Some(Ok((name.to_owned(), kind))),
            }
        });
        Ok(entries)
    }

    /// Removes an entry, which is an empty directory where that is said.
    pub fn remove(&self, name: &OsStr, is_directory: bool) -> io::Result<()> {
        let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        Ok(unlinkat(&self.directory, name, flags)?)
    }

    fn kind(&self, name: &OsStr, told: FileType) -> Result<EntryKind, Errno> {
        if !matches!(told, FileType::Directory | FileType::Unknown) {
            return Ok(if told == FileType::RegularFile { EntryKind::File } else { EntryKind::Other });
        }
        let stat = statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if stat.st_dev == self.device => EntryKind::Directory,
            FileType::Directory => EntryKind::Mount,
            FileType::RegularFile => EntryKind::File,
            _ => EntryKind::Other,
        })
    }
}
