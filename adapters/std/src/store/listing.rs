//! A directory's entries, one at a time.

use std::io;
use std::path::Path;

use coracle_core::{Entry, EntryKind, FileName, Listed, StoreError};

use super::skipped::{SkipObserver, SkipReason, SkippedEntry};
use crate::local::name_restriction;
use crate::sys::{ConfinedDirectory, DirectoryEntry, DirectoryReader, FileKind, Metadata, OpenDirectory};

/// A place in a listing of a [`DirectoryStore`](super::DirectoryStore), in the order of the file system.
///
/// It holds a descriptor and at most 48 KiB of entries that were read ahead, however large the directory is.
#[derive(Debug)]
pub struct Listing {
    reader: DirectoryReader,
    /// The directory's path and a `/` (nothing for the root), then the last component of the current entry.
    path: String,
    directory_len: usize,
    hidden: bool,
}

/// What became of one entry.
enum Step {
    /// Something to ask for, whose name stands in `path`, if that is a name.
    Entry(EntryKind),
    Skipped(SkipReason),
    Hidden,
    /// The directory itself and its parent, what is not complete, and what was removed in the meantime.
    LeftOut,
}

impl Listing {
    /// The entries of `directory`, which was opened as `path`.
    pub(super) fn new(directory: OpenDirectory, path: Option<FileName<'_>>, hidden: bool) -> Result<Self, StoreError> {
        let reader = DirectoryReader::new(directory).map_err(|_| StoreError::Io)?;
        let mut joined = String::with_capacity(FileName::MAX_LEN);
        if let Some(path) = path {
            joined.push_str(path.as_str());
            joined.push('/');
        }
        Ok(Self { reader, directory_len: joined.len(), path: joined, hidden })
    }

    /// The next step; `observer` is called for an entry that is skipped.
    pub(super) fn next(
        &mut self,
        root: &ConfinedDirectory,
        observer: Option<&SkipObserver>,
    ) -> Result<Listed<'_>, StoreError> {
        let kind = loop {
            let Some(entry) = self.reader.next() else { return Ok(Listed::End) };
            let entry = entry.map_err(|_| StoreError::Io)?;
            let reason = match self.step(&entry, root)? {
                Step::Entry(kind) => match FileName::new(&self.path) {
                    Ok(_) => break kind,
                    Err(error) => SkipReason::Name(error),
                },
                Step::Skipped(reason) => reason,
                Step::Hidden => return Ok(Listed::Hidden),
                Step::LeftOut => continue,
            };
            if let Some(SkipObserver(observer)) = observer {
                let directory = self.path.get(..self.directory_len).unwrap_or_default();
                let path = Path::new(directory).join(entry.name());
                observer(&SkippedEntry { path: &path, reason });
            }
            return Ok(if reason.is_name() { Listed::Unnameable } else { Listed::Skipped });
        };
        let name = FileName::new(&self.path).map_err(|_| StoreError::Io)?;
        Ok(Listed::Entry(Entry::new(name, kind)))
    }

    fn step(&mut self, entry: &DirectoryEntry, root: &ConfinedDirectory) -> Result<Step, StoreError> {
        let bytes = entry.name().as_encoded_bytes();
        if matches!(bytes, b"." | b"..") {
            return Ok(Step::LeftOut);
        }
        let text = entry.name().to_str();
        // Files that are not complete have no name yet.
        if text.is_some_and(|text| name_restriction(text).is_some()) {
            return Ok(Step::LeftOut);
        }
        if bytes.starts_with(b".") && !self.hidden {
            return Ok(Step::Hidden);
        }
        let Some(text) = text else { return Ok(self.step_without_name(entry)) };
        self.path.truncate(self.directory_len);
        self.path.push_str(text);
        match entry.kind() {
            Some(FileKind::Directory) => Ok(Step::Entry(EntryKind::Directory { link: false })),
            Some(FileKind::Symlink) => Ok(self.step_link(entry, root)),
            Some(FileKind::Regular) | None => self.step_file(entry, root),
            Some(FileKind::Other) => Ok(Step::Skipped(SkipReason::Special)),
        }
    }

    fn step_file(&self, entry: &DirectoryEntry, root: &ConfinedDirectory) -> Result<Step, StoreError> {
        let metadata = match self.reader.metadata(entry) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Step::LeftOut),
            // A directory that may be read and not searched.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Ok(Step::Skipped(SkipReason::Denied));
            }
            Err(_) => return Err(StoreError::Io),
        };
        Ok(match metadata.kind {
            FileKind::Symlink => self.step_link(entry, root),
            _ => step_metadata(metadata, false),
        })
    }

    /// What an entry is whose name is not UTF-8. Where a link leads cannot be asked then: it may be a file.
    fn step_without_name(&self, entry: &DirectoryEntry) -> Step {
        let kind = entry.kind().or_else(|| self.reader.metadata(entry).ok().map(|metadata| metadata.kind));
        Step::Skipped(if kind == Some(FileKind::Other) { SkipReason::Special } else { SkipReason::NotUtf8 })
    }

    /// Where a link leads is found from the root, as opening it will.
    fn step_link(&self, entry: &DirectoryEntry, root: &ConfinedDirectory) -> Step {
        if let Ok(metadata) = root.metadata(&self.path) {
            return step_metadata(metadata, true);
        }
        let is_gone = self.reader.metadata(entry).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if is_gone { Step::LeftOut } else { Step::Skipped(SkipReason::Link) }
    }
}

fn step_metadata(Metadata { kind, size, modified }: Metadata, link: bool) -> Step {
    match kind {
        FileKind::Regular => Step::Entry(EntryKind::File { size, modified }),
        FileKind::Directory => Step::Entry(EntryKind::Directory { link }),
        FileKind::Symlink | FileKind::Other => Step::Skipped(SkipReason::Special),
    }
}
