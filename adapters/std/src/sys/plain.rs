//! Files and directories that are served, as the standard library shows them on any system.
//!
//! It opens nothing relative to an open directory, so a path is checked for links before it is opened: a user who can change links
//! below a directory that is served can win that race. This is for systems that have no links, or no other users.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry, File, ReadDir};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coracle_core::StoreError;

use super::types::{FileKind, FileStamp, Metadata};

/// What a directory is read by.
pub(crate) type OpenDirectory = PathBuf;

/// A directory beneath which paths are resolved.
#[derive(Debug)]
pub(crate) struct ConfinedDirectory {
    /// Complete, and without links.
    root: PathBuf,
}

impl ConfinedDirectory {
    /// Opens the directory `path`.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { root: root(path)? })
    }

    /// Opens what `path` leads to for reading, file or directory.
    pub(crate) fn open_any(&self, path: &str) -> io::Result<File> {
        open_any(&confined(&self.root, path)?)
    }

    /// Finds the directory that `path` leads to, if it is one.
    pub(crate) fn open_directory(&self, path: &str) -> io::Result<OpenDirectory> {
        confined(&self.root, path)
    }

    /// Whether no component of `path` that exists is a link.
    #[cfg(feature = "channel")]
    pub(crate) fn is_linkless(&self, path: &str) -> bool {
        matches!(first_link(&self.root, path), Ok(None))
    }

    /// Another handle of the directory.
    pub(crate) fn try_clone_dir(&self) -> io::Result<PathBuf> {
        Ok(self.root.clone())
    }

    /// What `path` leads to, links followed.
    pub(crate) fn metadata(&self, path: &str) -> io::Result<Metadata> {
        Ok(metadata_of(&fs::metadata(confined(&self.root, path)?)?))
    }
}

/// The complete path of a directory.
pub(super) fn root(path: &Path) -> io::Result<PathBuf> {
    // Not every system has that function.
    let root = fs::canonicalize(path).or_else(|_| std::path::absolute(path))?;
    if fs::metadata(&root)?.is_dir() { Ok(root) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

/// Where `path` is found, which names no directory above: below `root`, over whatever links.
pub(super) fn confined(root: &Path, path: &str) -> io::Result<PathBuf> {
    let below = below(root, path);
    if first_link(root, path)?.is_none() {
        return Ok(below);
    }
    let target = fs::canonicalize(&below)?;
    if target.starts_with(root) { Ok(target) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// The first component of `path` that is a link.
fn first_link(root: &Path, path: &str) -> io::Result<Option<PathBuf>> {
    let mut reached = root.to_owned();
    for component in path.split('/').filter(|component| *component != ".") {
        reached.push(component);
        match fs::symlink_metadata(&reached) {
            Ok(metadata) if metadata.is_symlink() => return Ok(Some(reached)),
            Ok(_) => {}
            Err(error) if matches!(store_error(&error), StoreError::NotFound | StoreError::BadName) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn below(directory: &Path, path: &str) -> PathBuf {
    let components = path.split('/').filter(|component| *component != ".");
    components.fold(directory.to_owned(), |joined, component| joined.join(component))
}

fn metadata_of(metadata: &fs::Metadata) -> Metadata {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Metadata { kind: kind_of(metadata.file_type()), size: metadata.len(), modified: since.map(|since| since.as_secs()) }
}

pub(super) fn kind_of(kind: fs::FileType) -> FileKind {
    match kind {
        kind if kind.is_symlink() => FileKind::Symlink,
        kind if kind.is_file() => FileKind::Regular,
        kind if kind.is_dir() => FileKind::Directory,
        _ => FileKind::Other,
    }
}

/// Opens `path` for reading, file or directory. Symbolic links are followed.
pub(crate) fn open_any(path: &Path) -> io::Result<File> {
    // To open the other kinds can wait for somebody.
    match kind_of(fs::metadata(path)?.file_type()) {
        FileKind::Regular | FileKind::Directory => File::open(path),
        _ => Err(io::ErrorKind::IsADirectory.into()),
    }
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
        Ok(Self { entries: fs::read_dir(directory)? })
    }

    /// The next entry.
    pub(crate) fn next(&mut self) -> Option<io::Result<DirectoryEntry>> {
        self.entries.next().map(|entry| entry.map(|entry| DirectoryEntry { name: entry.file_name(), entry }))
    }

    /// What the entry is now; a link is not followed.
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
    let metadata = file.metadata()?;
    Ok((stamp_of(&metadata), kind_of(metadata.file_type())))
}

/// Length and time are all that there is of a file: all have the same number, and no time but that which programs set.
pub(super) fn stamp_of(metadata: &fs::Metadata) -> FileStamp {
    let modified = metadata.modified().map_or((0, 0), unix_time);
    FileStamp { device: 0, inode: 0, size: metadata.len(), modified, changed: modified }
}

/// Seconds since 1970 and nanoseconds.
fn unix_time(time: SystemTime) -> (i64, i64) {
    let secs = |since: Duration| i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => (secs(since), i64::from(since.subsec_nanos())),
        Err(before) => {
            let before = before.duration();
            let nanos = i64::from(before.subsec_nanos());
            if nanos == 0 { (-secs(before), 0) } else { (-secs(before) - 1, 1_000_000_000 - nanos) }
        }
    }
}

/// Whether a file keeps its number for as long as it exists: it is not known here.
pub(crate) const fn has_lasting_inodes(_: &File) -> bool {
    false
}

/// The reason for a client.
pub(crate) fn store_error(error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => StoreError::NotFound,
        io::ErrorKind::InvalidFilename => StoreError::BadName,
        io::ErrorKind::PermissionDenied => StoreError::Denied,
        io::ErrorKind::IsADirectory => StoreError::NotFile,
        _ => StoreError::Io,
    }
}
