//! An upload that a connection sends: its file, and the commit that gives it its name.

use std::ffi::OsStr;
use std::io;
use std::rc::Rc;

use coracle::local::{DirectoryHandle, FileHandle};
use coracle_core::{Committed, FileInfo, Instant, Put, StoreError, UploadTicket, WriteError};

use super::job::version;
use super::store::{DiskFile, DiskStore, Place, Unfinished, read_all, write_error};

const PREFIX: &str = ".coracle-";
const SUFFIX: &str = ".upload";

/// An upload that a connection sends.
#[derive(Debug)]
pub struct Upload {
    unfinished: Rc<Unfinished>,
    place: Place,
    file: DiskFile,
    ticket: UploadTicket,
    stage: Stage,
    /// Of a commit that is made later.
    number: Option<u64>,
}

/// How far its commit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// The contents are durable.
    Synced,
    /// The file has its name.
    Named,
}

/// Name of the file of an upload.
pub fn partial_name(leaf: &str, put: &Put<'_>) -> String {
    format!("{PREFIX}{leaf}-{}-{}{SUFFIX}", put.size, put.digest.to_hex().as_str())
}

/// Name of the file that an upload becomes whose own name is `name`; `None` where that is no upload's.
pub fn target_of(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split_once('-').map(|(leaf, _)| leaf)
}

impl Upload {
    pub const fn new(unfinished: Rc<Unfinished>, place: Place, file: DiskFile, ticket: UploadTicket) -> Self {
        Self { unfinished, place, file, ticket, stage: Stage::Open, number: None }
    }

    pub fn is_committing(&self) -> bool {
        self.stage != Stage::Open
    }

    /// Leaves the commit for later.
    pub fn defer(&mut self, number: u64) -> Result<(), WriteError> {
        self.unfinished.turn(|turn| turn.commit(self.ticket))?;
        self.number = Some(number);
        Ok(())
    }

    pub const fn number(&self) -> Option<u64> {
        self.number
    }

    /// The same one, whose commit is made now.
    pub fn undeferred(self) -> Self {
        Self { number: None, ..self }
    }

    pub fn write(&self, offset: u64, bytes: &[u8], now: Instant) -> Result<usize, WriteError> {
        self.during(true, now, || self.file.write_at(bytes, offset))
    }

    pub fn read_back(&self, offset: u64, buf: &mut [u8], now: Instant) -> Result<usize, WriteError> {
        self.during(false, now, || {
            loop {
                match self.file.read_at(buf, offset) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => return read,
                }
            }
        })
    }

    /// Works on the file, if it is this connection's still.
    fn during(
        &self,
        has_bytes: bool,
        now: Instant,
        work: impl FnOnce() -> io::Result<usize>,
    ) -> Result<usize, WriteError> {
        self.unfinished.turn(|turn| turn.enter(self.ticket))?;
        let done = work();
        self.unfinished.turn(|turn| turn.leave(self.ticket, has_bytes, now));
        match done {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            done => done.map_err(|error| write_error(&error)),
        }
    }

    /// Does the next steps of the commit; others may do something between two of them.
    pub fn commit(&mut self, store: &mut DiskStore, put: &Put<'_>) -> Result<Committed, WriteError> {
        self.unfinished.turn(|turn| turn.commit(self.ticket))?;
        loop {
            match self.stage {
                Stage::Open => {
                    self.sync(store, put.size)?;
                    self.stage = Stage::Synced;
                }
                Stage::Synced => {
                    self.rename(put)?;
                    self.stage = Stage::Named;
                }
                Stage::Named => {
                    store.sync_parents(&self.unfinished.path).map_err(|error| write_error(&error))?;
                    store.forget(&self.unfinished);
                    return self.info().map(Committed::Done).map_err(|error| write_error(&error));
                }
            }
            if store.random.chance(400) {
                return Ok(Committed::Pending);
            }
        }
    }

    /// Makes the contents durable.
    fn sync(&self, store: &mut DiskStore, size: u64) -> Result<(), WriteError> {
        self.file.set_len(size).map_err(|error| write_error(&error))?;
        self.file.sync().map_err(|error| {
            // What is read back from now on may not be what is on the disk: nobody may continue it.
            if self.place.remove(&self.unfinished.name).is_ok() {
                store.forget(&self.unfinished);
            }
            write_error(&error)
        })
    }

    /// Gives the file its name, if it still may have it.
    fn rename(&self, put: &Put<'_>) -> Result<(), WriteError> {
        let Place { directory, leaf } = &self.place;
        let (partial, leaf) = (OsStr::new(&self.unfinished.name), OsStr::new(leaf));
        let partial_status = directory.status(partial).map_err(|error| write_error(&error))?;
        let is_ours =
            partial_status.is_some_and(|status| self.file.status().is_ok_and(|own| own.identity == status.identity));
        if !is_ours {
            return Err(StoreError::Io.into());
        }
        self.place.check(put.replace)?;
        directory.rename(partial, directory, leaf).map_err(|error| write_error(&error))
    }

    /// What is stored.
    fn info(&self) -> io::Result<FileInfo> {
        let contents = read_all(&self.file)?;
        Ok(FileInfo::new(contents.len() as u64, version(&contents)))
    }

    /// Leaves it to the next connection.
    pub fn keep(self, store: &mut DiskStore) {
        if self.stage == Stage::Named {
            store.forget(&self.unfinished);
        } else {
            self.unfinished.turn(|turn| turn.release(self.ticket));
        }
    }

    /// Removes it, if it is this connection's still.
    pub fn discard(self, store: &mut DiskStore) {
        let is_ours = self.unfinished.turn(|turn| turn.enter(self.ticket)).is_ok();
        if is_ours && self.place.remove(&self.unfinished.name).is_ok() {
            store.forget(&self.unfinished);
        } else {
            self.keep(store);
        }
    }
}
