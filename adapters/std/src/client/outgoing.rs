//! A file that is sent: its digest, and its contents as a body.

use std::fs::File;

use coracle_core::exec::Source;
use coracle_core::{Digest, DigestKind, Hasher};

use super::error::Error;
use super::progress::Progress;
use super::reading::{read_at, read_whole};
use crate::local::{FileHandle, FileStatus};

/// How many times a file is hashed again that changes meanwhile.
const MAX_CHANGES: u32 = 3;

/// A file that was hashed.
pub(super) struct Outgoing {
    contents: Contents,
    pub status: FileStatus,
    pub digest: Digest,
}

enum Contents {
    /// Read once more when it is sent.
    File(File),
    /// Kept in memory, whatever becomes of the file.
    Memory(Vec<u8>),
}

impl Outgoing {
    /// Hashes `file`, and keeps its contents where they have at most `keep_max` bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Read`]; [`Error::SourceChanged`] where it changes each time.
    pub fn hash(file: File, kind: DigestKind, buf: &mut [u8], keep_max: u64) -> Result<Self, Error> {
        for _ in 0..MAX_CHANGES {
            let before = status(&file)?;
            let mut kept = (before.size <= keep_max).then(Vec::new);
            let mut hasher = Hasher::new(kind).expect("this crate turns on every digest of the core");
            let len = read_whole(&file, before.size, buf, |bytes| {
                hasher.update(bytes);
                if let Some(kept) = &mut kept {
                    kept.extend_from_slice(bytes);
                }
            });
            if len.map_err(Error::Read)? == before.size && status(&file)? == before {
                let contents = kept.map_or(Contents::File(file), Contents::Memory);
                return Ok(Self { contents, status: before, digest: hasher.finish() });
            }
        }
        Err(Error::SourceChanged)
    }

    /// Whether the contents are those that were hashed, as far as the file's status tells.
    pub fn is_unchanged(&self) -> bool {
        match &self.contents {
            Contents::File(file) => status(file).is_ok_and(|status| status == self.status),
            Contents::Memory(_) => true,
        }
    }
}

/// A file as the source of a body.
pub(super) struct Body<'a> {
    file: &'a Outgoing,
    pub progress: &'a mut dyn Progress,
    /// Where the first body began.
    pub first: Option<u64>,
    /// Where the last piece that was read ends.
    pub position: u64,
}

impl<'a> Body<'a> {
    pub fn new(file: &'a Outgoing, progress: &'a mut dyn Progress) -> Self {
        Self { file, progress, first: None, position: 0 }
    }
}

impl Source for Body<'_> {
    type Error = Error;

    fn begin(&mut self, offset: u64) -> Result<(), Error> {
        self.first.get_or_insert(offset);
        self.position = offset;
        self.progress.started(self.file.status.size, offset);
        Ok(())
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        self.progress.advanced(offset);
        let len = match &self.file.contents {
            Contents::File(file) => read_at(file, buf, offset).map_err(Error::Read)?,
            Contents::Memory(bytes) => {
                let rest = usize::try_from(offset).ok().and_then(|begin| bytes.get(begin..)).unwrap_or_default();
                let len = rest.len().min(buf.len());
                buf[..len].copy_from_slice(&rest[..len]);
                len
            }
        };
        self.position = offset + len as u64;
        // Looked at before the last byte leaves, so that no other contents are stored.
        let is_last = len == 0 || self.position >= self.file.status.size;
        if is_last && !self.file.is_unchanged() { Err(Error::SourceChanged) } else { Ok(len) }
    }
}

fn status(file: &File) -> Result<FileStatus, Error> {
    FileHandle::status(file).map_err(Error::Read)
}
