//! An open file of a directory store.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::SystemTime;

use coracle_core::{FileInfo, StoreError, Version};

use super::append_only::Generations;
use crate::sys::{FileKind, FileStamp, has_lasting_inodes, stamp};
use crate::transport::KernelFile;

/// An open regular file of a [`DirectoryStore`](super::DirectoryStore). It stays readable, with the contents it has,
/// when its name is removed or given to another file.
#[derive(Debug)]
pub struct File {
    file: std::fs::File,
    opened: FileStamp,
    version: Version,
    settled: bool,
    has_lasting_inode: bool,
    /// The state that was last returned by [`File::info`]; `None` before the first call, which follows the opening at
    /// once and needs no second `fstat`.
    last: Cell<Option<FileStamp>>,
    /// What its versions come from where it is only appended to.
    generations: Option<Arc<Generations>>,
}

/// Whether the files of a file system keep their inode numbers: asked once for all of them.
#[derive(Debug)]
pub(super) struct InodeNumbers {
    device: u64,
    are_lasting: bool,
}

impl InodeNumbers {
    /// Those of the file system of `directory`.
    pub(super) fn of(directory: &std::fs::File) -> io::Result<Self> {
        Ok(Self { device: stamp(directory)?.0.device, are_lasting: has_lasting_inodes(directory.as_fd()) })
    }
}

impl File {
    /// `file`, if it is a regular one. `inodes` are those of a file system where it may lie.
    pub(super) fn new(file: std::fs::File, inodes: Option<&InodeNumbers>) -> Result<Self, StoreError> {
        let (opened, kind) = stamp(&file).map_err(|_| StoreError::Io)?;
        if kind != FileKind::Regular {
            return Err(StoreError::NotFile);
        }
        let settled = opened.is_settled(SystemTime::now());
        let known = inodes.filter(|inodes| inodes.device == opened.device).map(|inodes| inodes.are_lasting);
        let has_lasting_inode = known.unwrap_or_else(|| has_lasting_inodes(file.as_fd()));
        let version = opened.version(has_lasting_inode);
        Ok(Self { file, opened, version, settled, has_lasting_inode, last: Cell::new(None), generations: None })
    }

    /// The same file, whose versions come from `generations`, where it is only appended to.
    pub(super) fn with_generations(self, generations: Option<Arc<Generations>>) -> Result<Self, StoreError> {
        let Some(generations) = generations else { return Ok(self) };
        let (opened, version) = generations.look(&self.file, self.has_lasting_inode)?;
        let settled = opened.is_settled(SystemTime::now());
        Ok(Self { opened, version, settled, generations: Some(generations), ..self })
    }

    /// The same file in the same state.
    pub(super) fn try_clone(&self) -> Result<Self, StoreError> {
        let file = self.file.try_clone().map_err(|_| StoreError::Io)?;
        let (version, generations) = (self.version.clone(), self.generations.clone());
        Ok(Self { file, version, last: Cell::new(self.last.get()), generations, ..*self })
    }

    /// Whether the file was last changed more than 2 s before it was opened.
    ///
    /// Otherwise its times are too coarse to tell whether it changes while it is read: send it by read, hash and write,
    /// so that the digest covers the very bytes that were sent. A file with a time in the future (a clock was set
    /// back) counts as just changed.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.settled
    }

    /// The operating system's file, for `sendfile` and its like; its position means nothing.
    #[must_use]
    pub const fn as_std(&self) -> &std::fs::File {
        &self.file
    }

    /// The first answer is the state when the file was opened.
    pub(super) fn info(&self) -> Result<FileInfo, StoreError> {
        let (stamp, version) = match (self.last.get(), &self.generations) {
            (None, _) => (self.opened, self.version.clone()),
            (Some(_), Some(generations)) => generations.look(&self.file, self.has_lasting_inode)?,
            (Some(_), None) => {
                let stamp = stamp(&self.file).map_err(|_| StoreError::Io)?.0;
                let is_same = stamp == self.opened;
                (stamp, if is_same { self.version.clone() } else { stamp.version(self.has_lasting_inode) })
            }
        };
        self.last.set(Some(stamp));
        Ok(FileInfo::new(stamp.size, version).with_modified(stamp.modified()))
    }

    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        // The kernel's offsets are signed, and it refuses a read that would reach past the last one. No file does.
        let room = i64::MAX.cast_unsigned().saturating_sub(offset);
        let len = usize::try_from(room).map_or(buf.len(), |room| room.min(buf.len()));
        let buf = buf.get_mut(..len).unwrap_or_default();
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            match self.file.read_at(buf, offset) {
                Ok(len) => return Ok(len),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(StoreError::Io),
            }
        }
    }

    /// The state that was last returned by [`File::info`].
    pub(super) fn last_stamp(&self) -> FileStamp {
        self.last.get().unwrap_or(self.opened)
    }

    /// Whether the file is in the state `info` still, and every change since the opening would have shown. Only then may a
    /// digest that was computed meanwhile be given out later for the same state.
    pub(super) fn shows_changes_since(&self, info: &FileInfo) -> bool {
        let is_same = self.last_stamp() == self.opened && info.size == self.opened.size;
        self.settled && is_same && info.version == self.version
    }
}

impl KernelFile for File {
    fn kernel_file(&self) -> Option<BorrowedFd<'_>> {
        self.is_settled().then(|| self.as_std().as_fd())
    }

    fn followed_file(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_std().as_fd())
    }
}
