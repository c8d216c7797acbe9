//! A store in memory that several connections write to.

use std::collections::BTreeMap;

use coracle_core::exec::{ReadWrite, StoreExchange};
use coracle_core::{
    Action, Begun, Committed, Delete, Digest, FileInfo, FileName, Hasher, Instant, Listed, Put, PutAttempt,
    ServerEvent, ServerSession, Store, StoreError, UploadClaim, UploadTicket, UploadTurn, Version, WritableStore,
    WriteError,
};

/// Files, and uploads that nobody sees.
#[derive(Default)]
pub struct Memory {
    pub files: BTreeMap<String, (Vec<u8>, Version)>,
    pub partials: BTreeMap<String, Partial>,
    /// Whether the whole is hashed when it is stored.
    pub reads_back: bool,
    /// Whether it claims to hash what is written, which it does not.
    pub claims_to_hash: bool,
    /// The most that one call writes; 0: all.
    pub write_max: usize,
    /// How many files were stored.
    pub stores: u64,
}

pub struct Partial {
    size: u64,
    digest: Digest,
    pub bytes: Vec<u8>,
    turn: UploadTurn,
}

/// A connection's upload.
pub struct Upload {
    name: String,
    ticket: UploadTicket,
}

impl Memory {
    /// The contents of the file `name`.
    pub fn contents(&self, name: FileName<'_>) -> Option<&[u8]> {
        self.files.get(name.as_str()).map(|(bytes, _)| &bytes[..])
    }

    /// Another writer's file.
    pub fn set(&mut self, name: FileName<'_>, bytes: &[u8]) -> FileInfo {
        self.stores += 1;
        let version = Version::new(&format!("v{}", self.stores)).expect("good");
        self.files.insert(name.as_str().into(), (bytes.to_vec(), version.clone()));
        FileInfo::new(bytes.len() as u64, version)
    }

    fn partial(&mut self, upload: &Upload) -> Result<&mut Partial, WriteError> {
        self.partials.get_mut(&upload.name).ok_or(WriteError::InUse)
    }
}

impl Store for Memory {
    type File = (Vec<u8>, Version);
    type Listing = ();

    fn open(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError> {
        self.files.get(name.as_str()).cloned().ok_or(StoreError::NotFound)
    }

    fn info(&mut self, (bytes, version): &Self::File) -> Result<FileInfo, StoreError> {
        Ok(FileInfo::new(bytes.len() as u64, version.clone()))
    }

    fn read(&mut self, (bytes, _): &mut Self::File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn list(&mut self, _: Option<FileName<'_>>) -> Result<(), StoreError> {
        Ok(())
    }

    fn next<'a>(&mut self, (): &'a mut ()) -> Result<Listed<'a>, StoreError> {
        Ok(Listed::End)
    }
}

impl WritableStore for Memory {
    type Upload = Upload;

    fn begin(
        &mut self,
        put: &Put<'_>,
        attempt: PutAttempt,
        now: Instant,
    ) -> Result<Begun<Upload, Self::File>, WriteError> {
        let name = put.name.as_str();
        let there = self.files.get(name);
        if let Some(file) = there.filter(|(bytes, _)| attempt.may_compare && bytes.len() as u64 == put.size) {
            return Ok(Begun::Compare(file.clone()));
        }
        let is_same = |partial: &Partial| partial.size == put.size && partial.digest == put.digest;
        if self.partials.get(name).is_some_and(|partial| !is_same(partial) && !partial.turn.is_free()) {
            return Err(WriteError::InUse);
        }
        put.replace.check(there.map(|(_, version)| version))?;
        if !self.partials.get(name).is_some_and(is_same) {
            let partial = Partial { size: put.size, digest: put.digest, bytes: Vec::new(), turn: UploadTurn::new() };
            self.partials.insert(name.into(), partial);
        }
        let partial = self.partials.get_mut(name).expect("it was inserted");
        match partial.turn.claim(attempt, now) {
            UploadClaim::Wait => Ok(Begun::Wait),
            UploadClaim::InUse => Err(WriteError::InUse),
            UploadClaim::Granted(ticket) => {
                Ok(Begun::Upload { upload: Upload { name: name.into(), ticket }, have: partial.bytes.len() as u64 })
            }
        }
    }

    fn write(&mut self, upload: &mut Upload, offset: u64, bytes: &[u8], now: Instant) -> Result<usize, WriteError> {
        let write_max = self.write_max;
        let partial = self.partial(upload)?;
        partial.turn.enter(upload.ticket)?;
        assert_eq!(offset, partial.bytes.len() as u64, "in order");
        let len = if write_max == 0 { bytes.len() } else { bytes.len().min(write_max) };
        partial.bytes.extend_from_slice(&bytes[..len]);
        assert!(!bytes.is_empty() && partial.bytes.len() as u64 <= partial.size, "not more than the file");
        partial.turn.leave(upload.ticket, true, now);
        Ok(len)
    }

    fn verifies_by_reading(&self, _: &Upload) -> bool {
        self.reads_back
    }

    fn hashes_itself(&self, _: &Upload) -> bool {
        self.claims_to_hash
    }

    fn read_back(
        &mut self,
        upload: &mut Upload,
        offset: u64,
        buf: &mut [u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        let partial = self.partial(upload)?;
        partial.turn.enter(upload.ticket)?;
        let rest = partial.bytes.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        partial.turn.leave(upload.ticket, false, now);
        Ok(len)
    }

    fn commit(&mut self, upload: &mut Upload, put: &Put<'_>, _: Instant) -> Result<Committed, WriteError> {
        let partial = self.partial(upload)?;
        partial.turn.commit(upload.ticket)?;
        put.replace.check(self.files.get(&upload.name).map(|(_, version)| version))?;
        let partial = self.partials.remove(&upload.name).ok_or(StoreError::Io)?;
        let mut hasher = Hasher::new(put.digest.kind()).ok_or(StoreError::Io)?;
        hasher.update(&partial.bytes);
        assert!(hasher.finish() == put.digest && partial.bytes.len() as u64 == put.size, "only what is verified");
        Ok(Committed::Done(self.set(put.name, &partial.bytes)))
    }

    fn keep(&mut self, upload: Upload) {
        if let Ok(partial) = self.partial(&upload) {
            partial.turn.release(upload.ticket);
        }
    }

    fn discard(&mut self, upload: Upload) {
        self.partials.remove(&upload.name);
    }

    fn delete(&mut self, delete: &Delete<'_>) -> Result<(), WriteError> {
        match self.files.remove(delete.name().as_str()) {
            Some(_) => Ok(()),
            None => Err(StoreError::NotFound.into()),
        }
    }
}

/// A connection's exchange with a [`Memory`].
pub type Exchange = StoreExchange<Memory, ReadWrite>;

/// Gives received bytes to the session, and those of a body to the store. Returns how many were taken, and whether there was a body.
pub fn receive<B: AsRef<[u8]> + AsMut<[u8]>>(
    session: &mut ServerSession<'_, B>,
    exchange: &mut Exchange,
    store: &mut Memory,
    bytes: &[u8],
    now: Instant,
) -> (usize, bool) {
    let (taken, event) = session.receive(bytes, now);
    let Some(ServerEvent::Body { offset, bytes }) = event else { return (taken, false) };
    match exchange.write(store, offset, bytes, now) {
        Ok(len) => {
            session.stored(len, now);
            (taken + len, true)
        }
        Err(error) => {
            session.store_failed(error, now);
            (taken, true)
        }
    }
}

/// Does what the session wants of its store, if that is what it wants: hashes at most `most` bytes. Whether it was.
pub fn perform<B: AsRef<[u8]> + AsMut<[u8]>>(
    session: &mut ServerSession<'_, B>,
    exchange: &mut Exchange,
    store: &mut Memory,
    most: usize,
    now: Instant,
) -> bool {
    match session.action() {
        Action::Reply(request) => {
            let reply = exchange.answer(store, &request, now);
            session.reply(reply, now);
        }
        Action::Hash { offset, len } => {
            let mut buf = vec![0; len.min(most)];
            match exchange.hash(store, offset, &mut buf, now) {
                Ok(len) => session.hashed(len, now),
                Err(error) => session.store_failed(error, now),
            }
        }
        Action::Finish { from, to } => {
            let finished = exchange.finish(store, from, to).expect("what is open");
            session.finished(finished, now);
        }
        Action::Commit(put) => {
            let reply = exchange.commit(store, &put, now);
            session.reply(reply, now);
        }
        _ => return false,
    }
    true
}
