//! An open file of a directory store.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use coracle_core::{Digest, DigestKind, FileInfo, StoreError, Version};

use super::append_only::Generations;
use super::contents::Asked;
use super::version::VersionBy;
use super::versions::{Identity, Versions};
use crate::local::FileHandle;
use crate::sys::{FileKind, FileStamp, stamp};
use crate::transport::KernelFile;

/// An open regular file of a [`DirectoryStore`](super::DirectoryStore). It stays readable, with the contents it has,
/// when its name is removed or given to another file.
#[derive(Debug)]
pub struct File {
    file: std::fs::File,
    opened: FileStamp,
    version: Version,
    /// Of its contents when it was opened, where it is known.
    sha256: Option<Digest>,
    settled: bool,
    version_by: VersionBy,
    has_lasting_inode: bool,
    /// The state that was last returned by [`File::info`]; `None` before the first call, which follows the opening at
    /// once and needs no second `fstat`.
    last: Cell<Option<FileStamp>>,
    /// What its versions come from where it is only appended to.
    generations: Option<Arc<Generations>>,
}

impl File {
    /// `file`, if it is a regular one, which was opened as `name`; `generations` are what its versions come from where it is only
    /// appended to, and `versions` where it is not.
    pub(super) fn new(
        file: std::fs::File,
        name: &str,
        versions: &Versions,
        generations: Option<Arc<Generations>>,
    ) -> Result<Self, StoreError> {
        let (mut opened, kind) = stamp(&file).map_err(|_| StoreError::Io)?;
        if kind != FileKind::Regular {
            return Err(StoreError::NotFile);
        }
        let has_lasting_inode = versions.has_lasting_inode(&file, opened.device);
        let mut settled = opened.is_settled(SystemTime::now());
        let Identity { version, sha256 } = match &generations {
            None => {
                let is_settled = settled;
                versions.identify(&Asked { name, file: &file, stamp: opened, is_settled, has_lasting_inode })?
            }
            Some(generations) => {
                let version;
                (opened, version) = generations.look(&file, has_lasting_inode)?;
                settled = opened.is_settled(SystemTime::now());
                Identity { version, sha256: None }
            }
        };
        let (version_by, last) = (versions.by(), Cell::new(None));
        Ok(Self { file, opened, version, sha256, settled, version_by, has_lasting_inode, last, generations })
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
                let changed = || stamp.version(self.version_by, self.has_lasting_inode);
                (stamp, if is_same { self.version.clone() } else { changed() })
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
            match FileHandle::read_at(&self.file, buf, offset) {
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

    /// The digest of all of it in the state that was last returned by [`File::info`], where it is known. Not of a file that may
    /// have changed since without a trace.
    pub(super) fn known_digest(&self, kind: DigestKind) -> Option<Digest> {
        let is_same = self.settled && self.last_stamp() == self.opened;
        self.sha256.filter(|digest| is_same && digest.kind() == kind)
    }

    /// Whether the file is in the state `info` still, and every change since the opening would have shown. Only then may a
    /// digest that was computed meanwhile be given out later for the same state.
    pub(super) fn shows_changes_since(&self, info: &FileInfo) -> bool {
        let is_same = self.last_stamp() == self.opened && info.size == self.opened.size;
        self.settled && is_same && info.version == self.version
    }
}

impl KernelFile for File {
    fn kernel_file(&self) -> Option<&std::fs::File> {
        self.is_settled().then(|| self.as_std())
    }

    fn followed_file(&self) -> Option<&std::fs::File> {
        Some(self.as_std())
    }
}
