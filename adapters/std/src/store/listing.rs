//! A directory's entries, one at a time.

use std::ffi::CStr;
use std::fs::File;

use cap_std::fs::{Dir, MetadataExt};
use coracle_core::{Entry, EntryKind, FileName, Listed, StoreError};
use rustix::fs::{AtFlags, FileType, statat};
use rustix::io::Errno;

/// A place in a listing of a [`DirectoryStore`](super::DirectoryStore), in the order of the file system.
///
/// It holds a descriptor and at most 48 KiB of entries that were read ahead, however large the directory is.
#[derive(Debug)]
pub struct Listing {
    entries: rustix::fs::Dir,
    /// The directory's path and a `/` (nothing for the root), then the last component of the entry at hand.
    path: String,
    directory_len: usize,
    hidden: bool,
}

/// What became of one entry.
enum Step {
    /// Something to ask for, whose name stands in `path`, if that is a name.
    Entry(EntryKind),
    Skipped,
    /// Hidden, or gone in the meantime.
    LeftOut,
}

impl Listing {
    /// The entries of `directory`, which was opened as `path`.
    pub(super) fn new(directory: File, path: Option<FileName<'_>>, hidden: bool) -> Result<Self, StoreError> {
        let entries = rustix::fs::Dir::new(directory).map_err(|_| StoreError::Io)?;
        let mut joined = String::with_capacity(FileName::MAX_LEN);
        if let Some(path) = path {
            joined.push_str(path.as_str());
            joined.push('/');
        }
        Ok(Self { entries, directory_len: joined.len(), path: joined, hidden })
    }

    pub(super) fn next(&mut self, root: &Dir) -> Result<Listed<'_>, StoreError> {
        let kind = loop {
            let Some(entry) = self.entries.read() else { return Ok(Listed::End) };
            let entry = entry.map_err(|_| StoreError::Io)?;
            match self.step(entry.file_name(), entry.file_type(), root)? {
                Step::Entry(kind) => break kind,
                Step::Skipped => return Ok(Listed::Skipped),
                Step::LeftOut => {}
            }
        };
        Ok(FileName::new(&self.path).map_or(Listed::Skipped, |name| Listed::Entry(Entry { name, kind })))
    }

    fn step(&mut self, leaf: &CStr, file_type: FileType, root: &Dir) -> Result<Step, StoreError> {
        let bytes = leaf.to_bytes();
        if matches!(bytes, b"." | b"..") || (bytes.starts_with(b".") && !self.hidden) {
            return Ok(Step::LeftOut);
        }
        let Ok(text) = leaf.to_str() else { return Ok(Step::Skipped) };
        self.path.truncate(self.directory_len);
        self.path.push_str(text);

        match file_type {
            FileType::Directory => Ok(Step::Entry(EntryKind::Directory { link: false })),
            FileType::Symlink => self.step_link(leaf, root),
            // Some file systems do not tell the type.
            FileType::RegularFile | FileType::Unknown => self.step_file(leaf, root),
            _ => Ok(Step::Skipped),
        }
    }

    /// Asks the directory's own descriptor, so that neither the length of the path nor a directory that was moved in the
    /// meantime matters.
    fn step_file(&self, leaf: &CStr, root: &Dir) -> Result<Step, StoreError> {
        let stat = match statat(self.entries.fd().map_err(|_| StoreError::Io)?, leaf, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(Step::LeftOut),
            // A directory that may be read and not searched.
            Err(Errno::ACCESS | Errno::PERM) => return Ok(Step::Skipped),
            Err(_) => return Err(StoreError::Io),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(Step::Entry(EntryKind::File {
                size: u64::try_from(stat.st_size).unwrap_or(0),
                modified: u64::try_from(stat.st_mtime).ok(),
            })),
            FileType::Directory => Ok(Step::Entry(EntryKind::Directory { link: false })),
            FileType::Symlink => self.step_link(leaf, root),
            _ => Ok(Step::Skipped),
        }
    }

    /// Where a link leads is found from the root, as opening it will.
    fn step_link(&self, leaf: &CStr, root: &Dir) -> Result<Step, StoreError> {
        let Ok(metadata) = root.metadata(&self.path) else {
            let descriptor = self.entries.fd().map_err(|_| StoreError::Io)?;
            let gone = matches!(statat(descriptor, leaf, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT));
            return Ok(if gone { Step::LeftOut } else { Step::Skipped });
        };
        if metadata.is_dir() {
            return Ok(Step::Entry(EntryKind::Directory { link: true }));
        }
        if !metadata.is_file() {
            return Ok(Step::Skipped);
        }
        Ok(Step::Entry(EntryKind::File { size: metadata.len(), modified: u64::try_from(metadata.mtime()).ok() }))
    }
}
