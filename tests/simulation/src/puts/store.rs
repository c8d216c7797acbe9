//! A server's store, which clients write to, on a simulated disk.
//!
//! The directory store of `coracle` commits in threads and opens files by calls of its own that no simulated disk stands behind.
//! This one keeps the contract of [`WritableStore`] by the same operations in the same order, and leaves out what a disk without
//! users has not: links, modes, quotas. What is its own is the order of syncs and renames and the check of the precondition; who
//! sends, what is trusted and when a client is told are the core's.

use std::cell::Cell;
use std::ffi::OsStr;
use std::io;
use std::rc::Rc;

use coracle::local::{Access, DirectoryHandle, FileHandle, FileSystemHandle, Opened};
use coracle_core::{
    Begun, Committed, Deferral, Delete, FileInfo, FileName, Instant, Listed, Put, PutAttempt, Replace, Store,
    StoreError, Synced, UploadClaim, UploadTurn, WritableStore, WriteError,
};

use super::job::{Job, digest, version};
use super::upload::{Upload, partial_name, target_of};
use crate::disk::{Disk, DiskDirectory};
use crate::random::Random;

pub type DiskFile = <DiskDirectory as DirectoryHandle>::File;

/// The store of one process of the server.
#[derive(Debug)]
pub struct DiskStore {
    root: DiskDirectory,
    uploads: Vec<Rc<Unfinished>>,
    pub random: Random,
    /// Whether all of an upload is read back before it is committed.
    reads_back: bool,
    /// Uploads that are committed later, with their numbers.
    deferred: Vec<(u64, Upload)>,
    /// The number of the last one, and how many have failed.
    last: u64,
    failures: u64,
    is_asked: bool,
}

/// An upload that is not complete. Connections that lost it keep it, so that it is told from a later one of the same contents.
#[derive(Debug)]
pub struct Unfinished {
    pub path: String,
    /// Name of its file, which tells its contents.
    pub name: String,
    turn: Cell<UploadTurn>,
}

/// An open file.
#[derive(Debug)]
pub struct OpenFile {
    file: DiskFile,
    info: FileInfo,
}

/// A name in an open directory.
#[derive(Debug)]
pub struct Place {
    pub directory: DiskDirectory,
    pub leaf: String,
}

impl DiskStore {
    /// Begins to serve what is on `disk`, as a process that was just started.
    pub fn open(disk: &Disk, reads_back: bool, random: Random) -> io::Result<Self> {
        let root = disk.root();
        // What an earlier process has left without a sync can be seen, and would be taken for durable.
        if let Some(system) = root.file_system()? {
            system.sync()?;
        }
        let (uploads, deferred) = (Vec::new(), Vec::new());
        let mut store = Self { root, uploads, random, reads_back, deferred, last: 0, failures: 0, is_asked: false };
        store.find_uploads("")?;
        Ok(store)
    }

    /// Notes the unfinished uploads in the directory `below` and in those beneath it.
    fn find_uploads(&mut self, below: &str) -> io::Result<()> {
        let directory = self.root.open_directory(below)?;
        for name in directory.names()? {
            let name = name.to_str().expect("all names are text");
            let path = |leaf: &str| if below.is_empty() { leaf.to_owned() } else { format!("{below}/{leaf}") };
            if let Some(leaf) = target_of(name) {
                self.uploads.push(Unfinished::new(&path(leaf), name));
            } else if matches!(directory.open(OsStr::new(name), Access::Read)?, Opened::Other) {
                self.find_uploads(&path(name))?;
            }
        }
        Ok(())
    }

    /// Forgets the upload, whose file is gone.
    pub fn forget(&mut self, gone: &Rc<Unfinished>) {
        self.uploads.retain(|upload| !Rc::ptr_eq(upload, gone));
    }

    /// The next upload whose commit has to go on; `None` where none has to.
    pub fn next_deferred(&mut self) -> Option<u64> {
        if self.deferred.is_empty() || !self.is_asked && !self.random.chance(20) {
            return None;
        }
        let index = self.random.below(self.deferred.len());
        Some(self.deferred[index].0)
    }

    /// Does a step of the commit of the upload with this number, of `job`. Returns whether it is over.
    pub fn commit_deferred(&mut self, number: u64, job: &Job) -> bool {
        let index = self.deferred.iter().position(|(other, _)| *other == number).expect("it is deferred");
        let (_, mut upload) = self.deferred.swap_remove(index);
        let outcome = upload.commit(self, &job.put().with_deferred(false));
        match outcome {
            Ok(Committed::Pending) => self.deferred.push((number, upload)),
            Ok(_) => {}
            Err(_) => {
                self.failures += 1;
                upload.keep(self);
            }
        }
        self.is_asked &= !self.deferred.is_empty();
        self.deferred.iter().all(|(other, _)| *other != number)
    }

    fn place(&self, name: FileName<'_>) -> io::Result<Place> {
        let (parent, leaf) = name.as_str().rsplit_once('/').unwrap_or(("", name.as_str()));
        Ok(Place { directory: self.root.open_directory(parent)?, leaf: leaf.to_owned() })
    }

    fn create_parents(&self, name: FileName<'_>) -> io::Result<()> {
        for (end, _) in name.as_str().match_indices('/') {
            match self.root.create_directory(&name.as_str()[..end]) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes the entries of the directories on the way to `path` durable, whoever made them.
    pub fn sync_parents(&self, path: &str) -> io::Result<()> {
        let ends = [0].into_iter().chain(path.match_indices('/').map(|(end, _)| end));
        ends.map(|end| &path[..end]).try_for_each(|directory| self.root.open_directory(directory)?.sync())
    }

    /// Whether a connection sends an upload to `path`.
    fn is_in_use(&self, path: &str) -> bool {
        self.uploads.iter().any(|upload| upload.path == path && !upload.turn.get().is_free())
    }

    /// Removes the unfinished uploads to `path`, which nobody sends, but for the one whose file is `kept`; whether there was one.
    fn remove_uploads(&mut self, path: &str, place: &Place, kept: Option<&str>) -> io::Result<bool> {
        let is_other = |upload: &Rc<Unfinished>| upload.path == path && Some(&*upload.name) != kept;
        let mut found = false;
        while let Some(index) = self.uploads.iter().position(is_other) {
            place.remove(&self.uploads[index].name)?;
            self.uploads.remove(index);
            found = true;
        }
        Ok(found)
    }

    /// Begins or continues an upload that its precondition allows.
    fn begin_upload(
        &mut self,
        place: Place,
        put: &Put<'_>,
        attempt: PutAttempt,
        now: Instant,
    ) -> Result<Begun<Upload, OpenFile>, WriteError> {
        let (path, name) = (put.name.as_str(), partial_name(&place.leaf, put));
        self.remove_uploads(path, &place, Some(&name)).map_err(|error| write_error(&error))?;
        let upload = match self.uploads.iter().find(|upload| upload.path == path) {
            Some(upload) => upload.clone(),
            None => {
                self.uploads.push(Unfinished::new(path, &name));
                self.uploads.last().expect("it was pushed").clone()
            }
        };
        let UploadClaim::Granted(ticket) = upload.turn(|turn| turn.claim(attempt, now)) else { return Ok(Begun::Wait) };
        match open_partial(&place, &name).and_then(|file| Ok((file.status()?.size, file))) {
            Ok((len, file)) => {
                let upload = Upload::new(upload, place, file, ticket);
                Ok(Begun::Upload { upload, have: len.min(put.size) })
            }
            Err(error) => {
                upload.turn(|turn| turn.release(ticket));
                Err(write_error(&error))
            }
        }
    }
}

impl Unfinished {
    fn new(path: &str, name: &str) -> Rc<Self> {
        Rc::new(Self { path: path.to_owned(), name: name.to_owned(), turn: UploadTurn::new().into() })
    }

    /// Does something with the turn.
    pub fn turn<T>(&self, act: impl FnOnce(&mut UploadTurn) -> T) -> T {
        let mut turn = self.turn.get();
        let done = act(&mut turn);
        self.turn.set(turn);
        done
    }
}

impl Place {
    /// The file that has the name.
    pub fn current(&self) -> io::Result<Option<OpenFile>> {
        match self.directory.open(OsStr::new(&self.leaf), Access::Read)? {
            Opened::File(file) => {
                let contents = read_all(&file)?;
                Ok(Some(OpenFile { info: FileInfo::new(contents.len() as u64, version(&contents)), file }))
            }
            _ => Ok(None),
        }
    }

    /// Checks `replace` against what has the name now.
    pub fn check(&self, replace: Replace<'_>) -> Result<(), WriteError> {
        let current = self.current().map_err(|error| write_error(&error))?;
        replace.check(current.as_ref().map(|current| &current.info.version))
    }

    /// Removes the file `name`, if there is one.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match self.directory.remove(OsStr::new(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

fn open_partial(place: &Place, name: &str) -> io::Result<DiskFile> {
    let opened = match place.directory.open(OsStr::new(name), Access::ReadWrite)? {
        Opened::Missing => place.directory.open(OsStr::new(name), Access::CreateNew)?,
        opened => opened,
    };
    match opened {
        Opened::File(file) => Ok(file),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

/// All contents of `file`.
pub fn read_all(file: &DiskFile) -> io::Result<Vec<u8>> {
    let mut contents = vec![0; usize::try_from(file.status()?.size).expect("64 bits")];
    let mut len = 0;
    while len < contents.len() {
        match file.read_at(&mut contents[len..], len as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(contents)
}

/// The reason for a client.
pub fn write_error(error: &io::Error) -> WriteError {
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::NotFound, _) => StoreError::NotFound.into(),
        (io::ErrorKind::AlreadyExists, _) => WriteError::Exists,
        (_, Some(28)) => WriteError::NoSpace { free: None },
        _ => StoreError::Io.into(),
    }
}

impl Store for DiskStore {
    type File = OpenFile;
    type Listing = ();

    fn open(&mut self, name: FileName<'_>) -> Result<OpenFile, StoreError> {
        match self.place(name).and_then(|place| place.current()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::Io),
            found => found.unwrap_or(None).ok_or(StoreError::NotFound),
        }
    }

    fn info(&mut self, file: &OpenFile) -> Result<FileInfo, StoreError> {
        Ok(file.info.clone())
    }

    fn read(&mut self, file: &mut OpenFile, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        loop {
            match file.file.read_at(buf, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(|_| StoreError::Io),
            }
        }
    }

    fn list(&mut self, _: Option<FileName<'_>>) -> Result<(), StoreError> {
        Ok(())
    }

    fn next<'a>(&mut self, (): &'a mut ()) -> Result<Listed<'a>, StoreError> {
        Ok(Listed::End)
    }
}

impl WritableStore for DiskStore {
    type Upload = Upload;

    fn begin(
        &mut self,
        put: &Put<'_>,
        attempt: PutAttempt,
        now: Instant,
    ) -> Result<Begun<Upload, OpenFile>, WriteError> {
        let io = |error: io::Error| write_error(&error);
        let path = put.name.as_str();
        let place = match self.place(put.name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && put.parents => None,
            place => Some(place.map_err(io)?),
        };
        let current = place.as_ref().map_or(Ok(None), Place::current).map_err(io)?;
        if let (Some(current), true) = (&current, attempt.may_compare)
            && current.info.size == put.size
        {
            let contents = read_all(&current.file).map_err(io)?;
            // Told that it is there, the client counts on it: somebody may have put it there without a sync.
            current.file.sync().map_err(io)?;
            self.sync_parents(path).map_err(io)?;
            if self.random.chance(500) && digest(&contents, put.digest.kind()) == put.digest {
                return Ok(Begun::Stored(current.info.clone()));
            }
            return Ok(Begun::Compare(place.as_ref().expect("it has a file").current().map_err(io)?.expect("a file")));
        }
        let leaf = path.rsplit_once('/').map_or(path, |(_, leaf)| leaf);
        let name = partial_name(leaf, put);
        for upload in self.uploads.iter().filter(|upload| upload.path == path) {
            // A look alone: nothing is claimed before the precondition was checked.
            let mut turn = upload.turn.get();
            match if upload.name == name { turn.claim(attempt, now) } else { UploadClaim::InUse } {
                UploadClaim::Granted(_) => {}
                _ if turn.is_free() => {}
                UploadClaim::Wait => return Ok(Begun::Wait),
                UploadClaim::InUse => return Err(WriteError::InUse),
            }
        }
        put.replace.check(current.as_ref().map(|current| &current.info.version))?;
        let place = match place {
            Some(place) => place,
            None => {
                self.create_parents(put.name).map_err(io)?;
                self.place(put.name).map_err(io)?
            }
        };
        self.begin_upload(place, put, attempt, now)
    }

    fn write(&mut self, upload: &mut Upload, offset: u64, bytes: &[u8], now: Instant) -> Result<usize, WriteError> {
        upload.write(offset, bytes, now)
    }

    fn verifies_by_reading(&self, _: &Upload) -> bool {
        self.reads_back
    }

    fn read_back(
        &mut self,
        upload: &mut Upload,
        offset: u64,
        buf: &mut [u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        upload.read_back(offset, buf, now)
    }

    fn commit(&mut self, upload: &mut Upload, put: &Put<'_>, _: Instant) -> Result<Committed, WriteError> {
        if put.deferred && !upload.is_committing() && self.random.chance(800) {
            self.last += 1;
            upload.defer(self.last)?;
            return Ok(Committed::Deferred(Deferral::new(self.last, self.failures)));
        }
        upload.commit(self, put)
    }

    fn keep(&mut self, upload: Upload) {
        match upload.number() {
            Some(number) => self.deferred.push((number, upload.undeferred())),
            None => upload.keep(self),
        }
    }

    fn sync(&mut self, deferral: Deferral) -> Result<Synced, WriteError> {
        if self.deferred.iter().any(|(number, _)| *number <= deferral.number) {
            self.is_asked = true;
            return Ok(Synced::Pending);
        }
        if self.failures == deferral.failures { Ok(Synced::Done) } else { Err(StoreError::Io.into()) }
    }

    fn discard(&mut self, upload: Upload) {
        upload.discard(self);
    }

    fn delete(&mut self, delete: &Delete<'_>) -> Result<(), WriteError> {
        let io = |error: io::Error| write_error(&error);
        let Delete::File { name, version } = delete else { return Err(WriteError::Unsupported) };
        let (path, place) = (name.as_str(), self.place(*name).map_err(io)?);
        if self.is_in_use(path) {
            return Err(WriteError::InUse);
        }
        match place.current().map_err(io)? {
            Some(current) => {
                version.map_or(Ok(()), |version| Replace::Version(version).check(Some(&current.info.version)))?;
                place.remove(&place.leaf).map_err(io)?;
                self.remove_uploads(path, &place, None).map_err(io)?;
            }
            None if version.is_none() && self.remove_uploads(path, &place, None).map_err(io)? => {}
            None => return Err(StoreError::NotFound.into()),
        }
        place.directory.sync().map_err(io)
    }
}
