//! An upload that a connection sends, and its file.

use std::fs::File as SystemFile;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use coracle_core::{Committed, FileInfo, Instant, Put, StoreError, UploadTicket, WriteError};

use super::commit::Commit;
use super::place::{Place, write_error};
use super::uploads::{Target, Unfinished};
use super::writer::Writer;
use crate::local::{DirectoryHandle, FileHandle};

/// How long a call of `commit` waits for the disk: the client can be told in between that the server lives.
const COMMIT_WAIT: Duration = Duration::from_millis(500);

/// An upload that a connection sends to a [`WritableDirectoryStore`](super::WritableDirectoryStore). It is kept when it is
/// dropped.
#[derive(Debug)]
pub struct Upload {
    pub(super) writer: Arc<Writer>,
    pub(super) place: Arc<Place>,
    pub(super) target: Target,
    pub(super) unfinished: Arc<Unfinished>,
    pub(super) ticket: UploadTicket,
    pub(super) file: Arc<SystemFile>,
    /// As [`Commits::share`](super::commits::Commits::share) says.
    pub(super) share: Option<u64>,
    commit: Option<Receiver<Result<FileInfo, WriteError>>>,
}

impl Upload {
    /// The upload whose `file` has its first `have` bytes.
    pub(super) fn new(
        writer: Arc<Writer>,
        place: Place,
        target: Target,
        unfinished: Arc<Unfinished>,
        ticket: UploadTicket,
        (file, have): (SystemFile, u64),
    ) -> Self {
        let share = writer.commits.share(place.identity, have);
        Self { writer, place: Arc::new(place), target, unfinished, ticket, file: Arc::new(file), share, commit: None }
    }

    pub(super) fn write(&self, offset: u64, bytes: &[u8], now: Instant) -> Result<usize, WriteError> {
        self.unfinished.turn().enter(self.ticket)?;
        let written = FileHandle::write_at(&*self.file, bytes, offset);
        self.unfinished.turn().leave(self.ticket, true, now);
        match written {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) if matches!(write_error(&error), WriteError::NoSpace { .. }) => {
                Err(WriteError::NoSpace { free: self.place.directory.free_space().unwrap_or(None) })
            }
            written => written.map_err(|error| write_error(&error)),
        }
    }

    pub(super) fn read_back(&self, offset: u64, buf: &mut [u8], now: Instant) -> Result<usize, WriteError> {
        self.unfinished.turn().enter(self.ticket)?;
        let read = loop {
            match FileHandle::read_at(&*self.file, buf, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.unfinished.turn().leave(self.ticket, false, now);
        read.map_err(|_| StoreError::Io.into())
    }

    /// Lets another thread commit, since nothing bounds the time that a disk takes.
    pub(super) fn commit(&mut self, put: &Put<'_>) -> Result<Committed, WriteError> {
        let receiver = match &self.commit {
            Some(receiver) => receiver,
            None => {
                self.unfinished.turn().commit(self.ticket)?;
                let (sender, receiver) = mpsc::channel();
                self.writer.commit(Commit::new(self, put, sender));
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
        if self.commit.is_none() && self.unfinished.turn().enter(self.ticket).is_ok() {
            // What cannot be removed is removed by a sweep.
            let _ = self.place.remove(&self.unfinished.name);
            self.writer.uploads.forget(&self.target, &self.unfinished);
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // A commit under way ends by itself, and releases the upload then.
        if self.commit.is_none() {
            self.unfinished.turn().release(self.ticket);
        }
    }
}
