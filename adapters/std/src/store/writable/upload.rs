//! An upload that a connection sends: its file, and the commit that gives it its name.

use std::fs::File as SystemFile;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use coracle_core::{Committed, FileInfo, Instant, Put, Replace, StoreError, UploadTicket, WriteError};

use super::super::file::File;
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
    writer: Arc<Writer>,
    place: Arc<Place>,
    target: Target,
    unfinished: Arc<Unfinished>,
    ticket: UploadTicket,
    file: Arc<SystemFile>,
    commit: Option<Receiver<Result<FileInfo, WriteError>>>,
}

impl Upload {
    pub(super) fn new(
        writer: Arc<Writer>,
        place: Place,
        target: Target,
        unfinished: Arc<Unfinished>,
        ticket: UploadTicket,
        file: SystemFile,
    ) -> Self {
        Self { writer, place: Arc::new(place), target, unfinished, ticket, file: Arc::new(file), commit: None }
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

    /// Lets a thread of its own commit, since nothing bounds the time that a disk takes.
    pub(super) fn commit(&mut self, put: &Put<'_>) -> Result<Committed, WriteError> {
        let receiver = match &self.commit {
            Some(receiver) => receiver,
            None => {
                self.unfinished.turn().commit(self.ticket)?;
                let commit = Commit::new(self, put);
                let (sender, receiver) = mpsc::channel();
                let run = move || {
                    let outcome = commit.run();
                    // The connection may have ended meanwhile; the file has its name nevertheless.
                    let _ = sender.send(outcome);
                };
                thread::Builder::new().name("commit".to_owned()).spawn(run).map_err(|_| StoreError::Io)?;
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

/// A commit under way, which goes on without its connection.
struct Commit {
    writer: Arc<Writer>,
    place: Arc<Place>,
    target: Target,
    unfinished: Arc<Unfinished>,
    ticket: UploadTicket,
    file: Arc<SystemFile>,
    size: u64,
    modified: Option<u64>,
    replace: Precondition,
}

/// [`Replace`], owned.
enum Precondition {
    Nothing,
    Anything,
    Version(String),
}

impl Commit {
    fn new(upload: &Upload, put: &Put<'_>) -> Self {
        Self {
            writer: Arc::clone(&upload.writer),
            place: Arc::clone(&upload.place),
            target: upload.target.clone(),
            unfinished: Arc::clone(&upload.unfinished),
            ticket: upload.ticket,
            file: Arc::clone(&upload.file),
            size: put.size,
            modified: put.modified,
            replace: match put.replace {
                Replace::Nothing => Precondition::Nothing,
                Replace::Anything => Precondition::Anything,
                Replace::Version(version) => Precondition::Version(version.to_owned()),
            },
        }
    }

    fn run(self) -> Result<FileInfo, WriteError> {
        let outcome = self.sync().and_then(|()| self.rename());
        if outcome.is_ok() {
            self.writer.uploads.forget(&self.target, &self.unfinished);
        }
        self.unfinished.turn().release(self.ticket);
        outcome
    }

    /// Makes the contents durable.
    fn sync(&self) -> Result<(), WriteError> {
        // A resumed upload may have been longer.
        FileHandle::set_len(&*self.file, self.size).map_err(|error| write_error(&error))?;
        if let Some(time) = self.modified.and_then(|secs| UNIX_EPOCH.checked_add(Duration::from_secs(secs))) {
            // Not every file system can hold every time.
            let _ = self.file.set_modified(time);
        }
        self.file.sync_all().map_err(|error| {
            // What is read back from now on may not be what is on the disk: nobody may continue it.
            let _ = self.place.remove(&self.unfinished.name);
            write_error(&error)
        })
    }

    /// Gives the file its name, if it still may have it, and makes that durable.
    fn rename(&self) -> Result<FileInfo, WriteError> {
        let (directory, leaf, partial) = (&self.place.directory, &self.place.leaf, &self.unfinished.name);
        let file = self.file.try_clone().map_err(|_| StoreError::Io)?;
        let replaced_len;
        let info = {
            let _lock = self.writer.names.lock().unwrap_or_else(PoisonError::into_inner);
            let is_ours = directory.status(partial).map_err(|error| write_error(&error))?.map(|status| status.identity)
                == Some(FileHandle::status(&file).map_err(|_| StoreError::Io)?.identity);
            if !is_ours {
                return Err(StoreError::Io.into());
            }
            let current = self.place.current()?;
            let info = current.as_ref().map(File::info).transpose()?;
            self.replace.as_replace().check(info.as_ref().map(|info| &info.version))?;
            replaced_len = info.map_or(0, |info| info.size);
            let renamed = if current.is_some() {
                self.place.check_writable()?;
                // There may be neither modes nor owners here.
                let _ = directory.copy_access(leaf, &file, true);
                directory.rename(partial, directory, leaf)
            } else {
                self.rename_to_free_name()
            };
            renamed.map_err(|error| write_error(&error))?;
            // A rename changes the version.
            File::new(file, None)?.info()?
        };
        self.writer.change_used(replaced_len, self.size);
        self.place.sync()?;
        Ok(info)
    }

    /// Other programs may take the name at any moment.
    fn rename_to_free_name(&self) -> io::Result<()> {
        let (directory, leaf, partial) = (&self.place.directory, &self.place.leaf, &self.unfinished.name);
        match directory.rename_no_replace(partial, directory, leaf) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => directory.rename(partial, directory, leaf),
            renamed => renamed,
        }
    }
}

impl Precondition {
    fn as_replace(&self) -> Replace<'_> {
        match self {
            Self::Nothing => Replace::Nothing,
            Self::Anything => Replace::Anything,
            Self::Version(version) => Replace::Version(version),
        }
    }
}
