//! An upload that a connection sends, and its file.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use coracle_core::{Committed, Digest, FileInfo, Instant, Put, StoreError, WriteError};

use super::batches::Expected;
use super::commit::{Commit, Partial};
use super::committer::LARGE;
use super::hashing::Hashing;
use super::place::write_error;
use super::writer::Writer;
use crate::local::{DirectoryHandle, FileHandle};
use crate::sys::begin_to_write_out;

/// How long a call of `commit` waits for the disk: the client can be told in between that the server lives.
const COMMIT_WAIT: Duration = Duration::from_millis(500);

/// How much of a large file the disk is told of at a time, in bytes.
const WRITE_OUT_LEN: u64 = 8 << 20;

/// An upload that a connection sends to a [`WritableDirectoryStore`](super::WritableDirectoryStore). It is kept when it is
/// dropped.
#[derive(Debug)]
pub struct Upload {
    writer: Arc<Writer>,
    partial: Partial,
    file: Arc<File>,
    /// A small file is soon complete; then it shares a sync with others.
    expected: Option<Expected<Commit>>,
    /// Of a large file that begins here.
    hashing: Option<Hashing>,
    /// Up to where the disk was told to begin.
    written_out: u64,
    commit: Option<Receiver<Result<FileInfo, WriteError>>>,
    /// The commit goes on without this.
    is_deferred: bool,
}

impl Upload {
    /// The upload whose file is `file`.
    pub(super) fn new(writer: Arc<Writer>, partial: Partial, file: Arc<File>, put: &Put<'_>) -> Self {
        let is_large = put.size > LARGE;
        let expected = (!is_large).then(|| writer.commits.batches.expect());
        let is_hashed = is_large && partial.have == 0;
        // Where there can be no thread, the caller hashes.
        let hashing = is_hashed.then(|| Hashing::begin(&file, put.size, put.digest.kind()).ok()).flatten();
        Self { writer, partial, file, expected, hashing, written_out: 0, commit: None, is_deferred: false }
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8], now: Instant) -> Result<usize, WriteError> {
        self.partial.unfinished.turn().enter(self.partial.ticket)?;
        let written = FileHandle::write_at(&*self.file, bytes, offset);
        self.partial.unfinished.turn().leave(self.partial.ticket, true, now);
        match written {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) if matches!(write_error(&error), WriteError::NoSpace { .. }) => {
                Err(WriteError::NoSpace { free: self.partial.place.directory.free_space().unwrap_or(None) })
            }
            written => {
                let len = written.map_err(|error| write_error(&error))?;
                let end = offset + len as u64;
                if let Some(hashing) = &self.hashing {
                    hashing.wrote(end);
                }
                self.write_out(end);
                Ok(len)
            }
        }
    }

    /// Lets the disk begin with a large file before all of it is here, so that the commit waits for the end of it alone.
    fn write_out(&mut self, end: u64) {
        let begin = self.written_out;
        if end.saturating_sub(begin) >= WRITE_OUT_LEN {
            begin_to_write_out(&self.file, begin, end - begin);
            self.written_out = end;
        }
    }

    /// Whether a thread of this upload hashes it.
    pub(super) const fn is_hashed(&self) -> bool {
        self.hashing.is_some()
    }

    pub(super) fn digest(&mut self) -> Result<Digest, StoreError> {
        self.hashing.take().and_then(|hashing| hashing.finish().ok()).ok_or(StoreError::Io)
    }

    pub(super) fn read_back(&self, offset: u64, buf: &mut [u8], now: Instant) -> Result<usize, WriteError> {
        self.partial.unfinished.turn().enter(self.partial.ticket)?;
        let read = loop {
            match FileHandle::read_at(&*self.file, buf, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.partial.unfinished.turn().leave(self.partial.ticket, false, now);
        read.map_err(|_| StoreError::Io.into())
    }

    /// Lets another thread commit, since nothing bounds the time that a disk takes; now, or later where `put` allows it.
    pub(super) fn commit(&mut self, put: &Put<'_>) -> Result<Committed, WriteError> {
        let receiver = match &self.commit {
            Some(receiver) => receiver,
            None => {
                self.partial.unfinished.turn().commit(self.partial.ticket)?;
                let (sender, receiver) = mpsc::channel();
                let commit = Commit::new(self.partial.clone(), Arc::clone(&self.file), put, sender);
                commit.prepare()?;
                let deferral = if put.deferred {
                    self.writer.commit_later(commit)
                } else {
                    self.writer.commit(commit);
                    None
                };
                self.expected = None;
                if let Some(deferral) = deferral {
                    self.is_deferred = true;
                    return Ok(Committed::Deferred(deferral));
                }
                self.commit.insert(receiver)
            }
        };
        match receiver.recv_timeout(COMMIT_WAIT) {
            Ok(outcome) => {
                self.commit = None;
                outcome.map(Committed::Done)
            }
            Err(RecvTimeoutError::Timeout) => Ok(Committed::Pending),
            Err(RecvTimeoutError::Disconnected) => Err(StoreError::Io.into()),
        }
    }

    pub(super) fn discard(self) {
        if self.commit.is_none()
            && !self.is_deferred
            && self.partial.unfinished.turn().enter(self.partial.ticket).is_ok()
        {
            // What cannot be removed is removed by a sweep.
            let _ = self.partial.place.remove(&self.partial.unfinished.name);
            self.partial.shared.uploads.forget(&self.partial.target, &self.partial.unfinished);
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // A commit under way ends by itself, and releases the upload then.
        if self.commit.is_none() && !self.is_deferred {
            self.partial.unfinished.turn().release(self.partial.ticket);
        }
    }
}
