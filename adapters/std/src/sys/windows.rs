//! Files and directories that are served, as Windows has them.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirEntry, OpenOptions, OpenOptionsExt, ReadDir};
use coracle_core::StoreError;
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_REPARSE_POINT, FILE_FLAG_BACKUP_SEMANTICS,
};

use super::types::{FileKind, FileStamp, Metadata};
use super::windows_calls::{Information, file_system_name, information};

/// Another program has opened the file, and does not share it.
const ERROR_SHARING_VIOLATION: i32 = 32;
/// Another program has locked a part of the file.
const ERROR_LOCK_VIOLATION: i32 = 33;
/// 100 ns units in a second, and seconds from 1601 to 1970.
const UNITS: i64 = 10_000_000;
const EPOCH: i64 = 11_644_473_600;

/// What a directory is read by.
pub(crate) type OpenDirectory = File;

/// A directory beneath which paths are resolved, and out of which none leads, by cap-std's walk.
#[derive(Debug)]
pub(crate) struct ConfinedDirectory {
    root: Dir,
}

impl ConfinedDirectory {
    /// Opens the directory `path`.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { root: Dir::open_ambient_dir(path, ambient_authority())? })
    }

    /// Opens what `path` leads to for reading, file or directory.
    pub(crate) fn open_any(&self, path: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(FILE_FLAG_BACKUP_SEMANTICS);
        Ok(self.root.open_with(path, &options)?.into_std())
    }

    /// Opens the directory that `path` leads to, if it is one.
    pub(crate) fn open_directory(&self, path: &str) -> io::Result<OpenDirectory> {
        self.open_any(path)
    }

    /// Whether no component of `path` that exists is a link. What is looked up later may be another one: a user who can make links
    /// in the directory can win that race.
    #[cfg(feature = "channel")]
    pub(crate) fn is_linkless(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        for end in ends {
            match self.root.symlink_metadata(path.get(..end).unwrap_or(path)) {
                Ok(metadata) if metadata.is_symlink() => return false,
                Ok(_) => {}
                Err(error) => return matches!(store_error(&error), StoreError::NotFound | StoreError::BadName),
            }
        }
        true
    }

    /// Another handle of the directory.
    pub(crate) fn try_clone_dir(&self) -> io::Result<Dir> {
        self.root.try_clone()
    }

    /// What `path` leads to, links followed.
    pub(crate) fn metadata(&self, path: &str) -> io::Result<Metadata> {
        Ok(metadata_of(&self.root.metadata(path)?))
    }
}

fn metadata_of(metadata: &cap_std::fs::Metadata) -> Metadata {
    let since = metadata.modified().ok().and_then(|time| time.into_std().duration_since(UNIX_EPOCH).ok());
    Metadata { kind: kind_of(metadata.file_type()), size: metadata.len(), modified: since.map(|since| since.as_secs()) }
}

fn kind_of(kind: cap_std::fs::FileType) -> FileKind {
    match kind {
        kind if kind.is_symlink() => FileKind::Symlink,
        kind if kind.is_file() => FileKind::Regular,
        kind if kind.is_dir() => FileKind::Directory,
        _ => FileKind::Other,
    }
}

/// Opens `path` for reading, file or directory. Symbolic links are followed.
pub(crate) fn open_any(path: &Path) -> io::Result<File> {
    use std::os::windows::fs::OpenOptionsExt as _;

    std::fs::OpenOptions::new().read(true).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(path)
}

/// Reads a directory, in the order of the file system.
#[derive(Debug)]
pub(crate) struct DirectoryReader {
    entries: ReadDir,
}

/// An entry of a directory.
pub(crate) struct DirectoryEntry {
    entry: DirEntry,
    name: OsString,
}

impl DirectoryReader {
    pub(crate) fn new(directory: OpenDirectory) -> io::Result<Self> {
        Ok(Self { entries: Dir::from_std_file(directory).entries()? })
    }

    /// The next entry.
    pub(crate) fn next(&mut self) -> Option<io::Result<DirectoryEntry>> {
        self.entries.next().map(|entry| entry.map(|entry| DirectoryEntry { name: entry.file_name(), entry }))
    }

    /// What the entry was when it was read; a link is not followed.
    pub(crate) fn metadata(&self, entry: &DirectoryEntry) -> io::Result<Metadata> {
        Ok(metadata_of(&entry.entry.metadata()?))
    }
}

impl DirectoryEntry {
    pub(crate) fn name(&self) -> &OsStr {
        &self.name
    }

    /// `None` where the file system does not say.
    pub(crate) fn kind(&self) -> Option<FileKind> {
        self.entry.file_type().ok().map(kind_of)
    }
}

/// Stamp and kind of an open file.
pub(crate) fn stamp(file: &File) -> io::Result<(FileStamp, FileKind)> {
    let information = information(file)?;
    Ok((stamp_of(&information), file_kind(&information)))
}

pub(super) fn stamp_of(information: &Information) -> FileStamp {
    FileStamp {
        device: u64::from(information.volume),
        inode: information.index,
        size: information.size,
        modified: unix_time(information.modified),
        changed: unix_time(information.changed),
    }
}

pub(super) fn file_kind(information: &Information) -> FileKind {
    match information.attributes {
        attributes if attributes & FILE_ATTRIBUTE_REPARSE_POINT != 0 => FileKind::Symlink,
        attributes if attributes & FILE_ATTRIBUTE_DIRECTORY != 0 => FileKind::Directory,
        _ => FileKind::Regular,
    }
}

/// Seconds since 1970 and nanoseconds.
fn unix_time(time: i64) -> (i64, i64) {
    (time.div_euclid(UNITS) - EPOCH, time.rem_euclid(UNITS) * 100)
}

/// Whether a file keeps its number for as long as it exists. On FAT it is made of the place of its entry.
pub(crate) fn has_lasting_inodes(file: &File) -> bool {
    file_system_name(file).is_none_or(|name| !name.to_ascii_uppercase().contains("FAT"))
}

/// The reason for a client.
pub(crate) fn store_error(error: &io::Error) -> StoreError {
    if is_shared_badly(error) {
        return StoreError::Busy;
    }
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => StoreError::NotFound,
        io::ErrorKind::InvalidFilename => StoreError::BadName,
        io::ErrorKind::PermissionDenied => StoreError::Denied,
        io::ErrorKind::IsADirectory => StoreError::NotFile,
        _ => StoreError::Io,
    }
}

/// Whether an error means that another program has the file open, and shares it less than is needed.
pub(super) fn is_shared_badly(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(ERROR_SHARING_VIOLATION | ERROR_LOCK_VIOLATION))
}
