//! The commit of an upload: the steps by which its file gets its name, in their order.

use std::fs::File as SystemFile;
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, UNIX_EPOCH};

use coracle_core::{FileInfo, Put, Replace, StoreError, UploadTicket, WriteError};

use super::super::file::File;
use super::deferrals::Outstanding;
use super::place::{Place, write_error};
use super::shared::SharedState;
use super::uploads::{Target, Unfinished};
use crate::local::{Access, DirectoryHandle, FileHandle, Identity, Opened, SystemDirectory};

/// The file of an unfinished upload that a connection has, and its right to it.
#[derive(Clone, Debug)]
pub(super) struct Partial {
    pub shared: Arc<SharedState>,
    pub place: Arc<Place>,
    pub target: Target,
    pub unfinished: Arc<Unfinished>,
    pub ticket: UploadTicket,
    /// Of its file.
    pub identity: Identity,
    /// How many bytes were there when the connection began.
    pub have: u64,
    /// As [`Commits::share`](super::commits::Commits::share) says.
    pub share: Option<u64>,
}

/// A commit under way, which goes on without its connection.
#[derive(Debug)]
pub(super) struct Commit {
    partial: Partial,
    /// `None` where it was closed, since many may wait.
    file: Option<Arc<SystemFile>>,
    pub size: u64,
    modified: Option<u64>,
    replace: Precondition,
    /// The contents are on the disk.
    pub is_synced: bool,
    outcome: Outcome,
}

/// Who learns how a commit has ended.
#[derive(Debug)]
enum Outcome {
    Connection(Sender<Result<FileInfo, WriteError>>),
    /// The syncs that ask.
    Sync(Outstanding),
    /// It was told.
    Told,
}

/// [`Replace`], owned.
#[derive(Debug)]
enum Precondition {
    Nothing,
    Anything,
    Version(String),
}

impl Commit {
    /// The commit of `partial`, which is `file`, whose outcome is sent by `outcome`.
    pub fn new(
        partial: Partial,
        file: Arc<SystemFile>,
        put: &Put<'_>,
        outcome: Sender<Result<FileInfo, WriteError>>,
    ) -> Self {
        Self {
            partial,
            file: Some(file),
            size: put.size,
            modified: put.modified,
            replace: match put.replace {
                Replace::Nothing => Precondition::Nothing,
                Replace::Anything => Precondition::Anything,
                Replace::Version(version) => Precondition::Version(version.to_owned()),
            },
            is_synced: false,
            outcome: Outcome::Connection(outcome),
        }
    }

    /// The same commit, with this number, for a sync. Its file is closed.
    pub fn defer(&mut self, number: Outstanding) {
        (self.file, self.outcome) = (None, Outcome::Sync(number));
    }

    /// Uses `directory` in place of the own handle of that directory.
    pub fn share_directory(&mut self, directory: &Arc<SystemDirectory>) {
        let place = &self.partial.place;
        self.partial.place = Arc::new(place.with_directory(directory));
    }

    /// Where the file gets its name.
    pub fn place(&self) -> &Arc<Place> {
        &self.partial.place
    }

    /// What the upload has to show to share a sync.
    pub fn share(&self) -> Option<u64> {
        self.partial.share
    }

    /// Ends the commit.
    pub fn finish(mut self, outcome: Result<Option<FileInfo>, WriteError>) {
        if outcome.is_ok() {
            self.partial.shared.uploads.forget(&self.partial.target, &self.partial.unfinished);
        }
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Result<Option<FileInfo>, WriteError>) {
        self.partial.unfinished.turn().release(self.partial.ticket);
        match mem::replace(&mut self.outcome, Outcome::Told) {
            // The connection may have ended meanwhile; the file has its name nevertheless.
            Outcome::Connection(sender) => {
                drop(sender.send(outcome.and_then(|info| info.ok_or(StoreError::Io.into()))));
            }
            Outcome::Sync(number) => number.finish(outcome.is_ok()),
            Outcome::Told => {}
        }
    }

    /// Completes what has to be on the disk before the file gets its name.
    pub fn prepare(&self) -> Result<(), WriteError> {
        if self.partial.have > 0 {
            // It may have been longer.
            FileHandle::set_len(&*self.file()?, self.size).map_err(|error| write_error(&error))?;
        }
        if let Some(time) = self.modified.and_then(|secs| UNIX_EPOCH.checked_add(Duration::from_secs(secs))) {
            // Not every file system can hold every time.
            let _ = self.file()?.set_modified(time);
        }
        Ok(())
    }

    /// The file of the upload; opened by its name where it was closed.
    fn file(&self) -> Result<Arc<SystemFile>, WriteError> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let opened = self.partial.place.directory.open(&self.partial.unfinished.name, Access::ReadWrite);
        match opened.map_err(|error| write_error(&error))? {
            Opened::File(file) => Ok(Arc::new(file)),
            _ => Err(StoreError::Io.into()),
        }
    }

    /// Makes the contents durable.
    pub fn sync(&self) -> Result<(), WriteError> {
        self.file()?.sync_all().map_err(|error| {
            // What is read back from now on may not be what is on the disk: it must not be continued.
            let _ = self.partial.place.remove(&self.partial.unfinished.name);
            write_error(&error)
        })
    }

    /// Gives the file its name, if it still may have it. The name is durable once the directory is synced. Returns what the file
    /// is now, where a connection waits for it.
    pub fn rename(&self) -> Result<Option<FileInfo>, WriteError> {
        let (directory, leaf, partial) =
            (&self.partial.place.directory, &self.partial.place.leaf, &self.partial.unfinished.name);
        let _lock = self.partial.shared.lock_names();
        let is_ours = directory.status(partial).map_err(|error| write_error(&error))?.map(|status| status.identity)
            == Some(self.partial.identity);
        if !is_ours {
            return Err(StoreError::Io.into());
        }
        let current = self.partial.place.current()?;
        let info = current.as_ref().map(File::info).transpose()?;
        self.replace.as_replace().check(info.as_ref().map(|info| &info.version))?;
        let replaced_len = info.map_or(0, |info| info.size);
        let is_there = current.is_some();
        // Not every system replaces a file that is open.
        drop(current);
        let renamed = if is_there {
            self.partial.place.check_writable()?;
            // There may be neither modes nor owners here.
            let _ = directory.copy_access(leaf, &*self.file()?, true);
            directory.rename(partial, directory, leaf)
        } else {
            self.rename_to_free_name()
        };
        renamed.map_err(|error| name_error(&error))?;
        self.partial.shared.change_used(replaced_len, self.size);
        // A rename changes the version.
        let file = self.file.as_ref().map(|file| file.try_clone().map_err(|_| StoreError::Io)).transpose()?;
        Ok(file.map(|file| self.partial.place.as_named(file)?.info()).transpose()?)
    }

    /// Other programs may take the name at any moment.
    fn rename_to_free_name(&self) -> io::Result<()> {
        let (directory, leaf, partial) =
            (&self.partial.place.directory, &self.partial.place.leaf, &self.partial.unfinished.name);
        match directory.rename_no_replace(partial, directory, leaf) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => directory.rename(partial, directory, leaf),
            renamed => renamed,
        }
    }
}

/// The reason for a client whose file could not be given its name.
fn name_error(error: &io::Error) -> WriteError {
    match error.kind() {
        // The directory is open and has the file: it is the name that the file system cannot hold.
        io::ErrorKind::NotFound | io::ErrorKind::InvalidInput => StoreError::BadName.into(),
        _ => write_error(error),
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        // Of one that has not finished.
        self.tell(Err(StoreError::Io.into()));
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
