//! Writing to the stores of the documents, with their documented faults.

use coracle_core::exec::{ReadWrite, StoreExchange};
use coracle_core::{
    ActionWords, Begun, Code, Committed, Delete, Digest, DigestKind, FileInfo, FileName, Hasher, Instant, Put,
    PutAttempt, Rename, Reply, Request, RequestKind, ServerConfig, ServerSession, Space, Store, StoreError,
    UploadClaim, UploadTicket, UploadTurn, Version, WritableStore, WriteError,
};

#[cfg(feature = "sync")]
use coracle_core::{Deferral, Synced};

use super::document::StoreLine;
use super::store::{Open, ScriptedStore, child};

/// How long a call that commits slowly takes.
const STEP_MS: u64 = 1_000;

/// `config`, with the requests among `features` that write.
pub fn offering<'a>(config: ServerConfig<'a>, features: &[String]) -> ServerConfig<'a> {
    features.iter().fold(config, |config, word| match word.as_str() {
        "put" => config.with_offered(RequestKind::Put),
        "delete" => config.with_offered(RequestKind::Delete),
        "rename" => config.with_offered(RequestKind::Rename),
        "makeDir" => config.with_offered(RequestKind::MakeDir),
        #[cfg(feature = "sync")]
        "sync" => config.with_offered(RequestKind::Sync),
        "space" => config.with_offered(RequestKind::Space),
        "do" => config.with_actions(ActionWords::new("confirm restart calibrate").expect("good words")),
        _ => config,
    })
}

/// Does one of the owner's actions.
pub fn perform(action: &str) -> Result<(), StoreError> {
    if action == "calibrate" { Err(StoreError::Io) } else { Ok(()) }
}

/// The exchange of an owner, where it writes.
#[derive(Default)]
pub struct Writing {
    pub exchange: Exchange,
    /// The exchange under way is one that writes.
    pub is_active: bool,
    exchanges: u32,
}

pub struct Exchange(StoreExchange<ScriptedStore, ReadWrite>);

impl Default for Exchange {
    fn default() -> Self {
        Self(StoreExchange::writable())
    }
}

impl std::ops::Deref for Exchange {
    type Target = StoreExchange<ScriptedStore, ReadWrite>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl std::ops::DerefMut for Exchange {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Writing {
    /// Whether an exchange has ended since this was last asked.
    pub fn is_ended(&mut self, session: &ServerSession<'_, Vec<u8>>) -> bool {
        std::mem::replace(&mut self.exchanges, session.exchanges()) != session.exchanges()
    }

    /// The reply to a request that writes.
    pub fn answer(&mut self, store: &mut ScriptedStore, request: &Request<'_>, now: Instant) -> Option<Reply<'_>> {
        self.is_active = !matches!(request.kind(), RequestKind::List | RequestKind::Stat | RequestKind::Get);
        #[cfg(feature = "sync")]
        if matches!(request, Request::Sync { .. }) {
            return Some(self.exchange.answer(store, request, now));
        }
        match request {
            Request::Do { action } => Some(match perform(action) {
                Ok(()) => Reply::Done,
                Err(error) => Reply::Refuse(error.code()),
            }),
            _ if self.is_active && matches!(request.kind(), RequestKind::Put | RequestKind::Delete)
                || matches!(request.kind(), RequestKind::Rename | RequestKind::MakeDir | RequestKind::Space) =>
            {
                Some(self.exchange.answer(store, request, now))
            }
            _ => {
                self.is_active = false;
                None
            }
        }
    }
}

/// An unfinished upload.
pub struct Partial {
    name: String,
    size: u64,
    digest: Digest,
    bytes: Vec<u8>,
    turn: UploadTurn,
    /// The other connection, where it is part of the script.
    other: Option<UploadTicket>,
    script: StoreLine,
    /// When its commit began.
    committing_since: Option<u64>,
}

/// The uploads that earlier connections have left.
pub fn left(lines: &[StoreLine]) -> Vec<Partial> {
    let left = lines.iter().filter_map(|line| {
        let of = line.of.as_deref()?;
        let kind = line.digest.as_deref().and_then(DigestKind::from_word).unwrap_or(DigestKind::Sha256);
        let mut hasher = Hasher::new(kind)?;
        hasher.update(of.as_bytes());
        let mut partial = Partial::new(line.upload.clone()?, of.len() as u64, hasher.finish(), line.clone());
        partial.bytes = line.contents();
        if let Some(holder) = &line.holder {
            let start = Instant::from_millis(0);
            let UploadClaim::Granted(ticket) = partial.turn.claim(PutAttempt::new(start, true), start) else {
                return None;
            };
            if holder == "committing" {
                partial.turn.commit(ticket).expect("its turn");
            }
            partial.other = Some(ticket);
        }
        Some(partial)
    });
    left.collect()
}

impl Partial {
    fn new(name: String, size: u64, digest: Digest, script: StoreLine) -> Self {
        let (bytes, turn) = (Vec::new(), UploadTurn::new());
        Self { name, size, digest, bytes, turn, other: None, script, committing_since: None }
    }

    fn is_of(&self, put: &Put<'_>) -> bool {
        self.size == put.size && self.digest == put.digest
    }
}

/// A connection's upload.
pub struct Upload {
    name: String,
    ticket: UploadTicket,
    reads_back: bool,
}

/// The error of the word `word`.
fn error(word: &str) -> WriteError {
    match Code::from_word(word) {
        Some(Code::Denied) => StoreError::Denied.into(),
        Some(Code::Exists) => WriteError::Exists,
        Some(Code::Changed) => WriteError::Changed,
        Some(Code::NoSpace) => WriteError::NoSpace { free: Some(0) },
        Some(Code::InUse) => WriteError::InUse,
        _ => StoreError::Io.into(),
    }
}

impl ScriptedStore {
    fn now(&self) -> u64 {
        self.clock_ms.get()
    }

    fn pass(&self, millis: u64) {
        self.clock_ms.set(self.now() + millis);
    }

    fn line(&self, name: &str) -> Option<&StoreLine> {
        self.lines.iter().find(|line| line.file_name.as_deref() == Some(name))
    }

    fn version(&self, name: &str) -> Option<Version> {
        self.line(name).and_then(|line| Version::new(&line.version).ok())
    }

    fn upload(&mut self, name: &str) -> Result<&mut Partial, WriteError> {
        self.uploads.iter_mut().find(|partial| partial.name == name).ok_or(WriteError::InUse)
    }

    /// Checks that the directory of `name` is there.
    fn check_parent(&self, name: &str) -> Result<(), WriteError> {
        match name.rsplit_once('/') {
            Some((parent, _)) if !self.is_directory(parent) => Err(StoreError::NotFound.into()),
            _ => Ok(()),
        }
    }

    /// Checks that no connection sends to `name`.
    fn check_unused(&self, name: &str) -> Result<(), WriteError> {
        let is_used = self.uploads.iter().any(|partial| partial.name == name && !partial.turn.is_free());
        if is_used { Err(WriteError::InUse) } else { Ok(()) }
    }

    /// Checks that the file `name` is there, in this version if any.
    fn check_file(&self, name: &str, version: Option<&str>) -> Result<(), WriteError> {
        match (self.version(name), version) {
            (None, _) if self.is_directory(name) => Err(StoreError::NotFile.into()),
            (None, _) => Err(StoreError::NotFound.into()),
            (Some(there), Some(expected)) if there.as_str() != expected => Err(WriteError::Changed),
            (Some(_), _) => self.check_unused(name),
        }
    }

    /// Gives the upload `name` its name.
    fn store(&mut self, name: &str, modified: Option<u64>) -> FileInfo {
        let place = self.uploads.iter().position(|partial| partial.name == name).expect("it is there");
        let partial = self.uploads.remove(place);
        self.lines.retain(|line| line.file_name.as_deref() != Some(name));
        self.puts += 1;
        let version = format!("w{}", self.puts);
        let size = partial.size;
        let text = Some(String::from_utf8(partial.bytes).expect("the documents put text"));
        let file_name = Some(name.to_owned());
        self.lines.push(StoreLine { file_name, version: version.clone(), text, modified, ..StoreLine::default() });
        FileInfo::new(size, Version::new(&version).expect("good")).with_modified(modified)
    }

    /// What the other connection does with the upload to `name`.
    fn play_other(&mut self, name: &str) {
        let now = self.now();
        let Some(partial) = self.uploads.iter_mut().find(|partial| partial.name == name) else { return };
        let Some(ticket) = partial.other else { return };
        match partial.script.holder.as_deref() {
            Some("sending") if partial.turn.enter(ticket).is_ok() => {
                partial.turn.leave(ticket, true, Instant::from_millis(now));
            }
            Some("committing") if now >= partial.script.commit_ms => drop(self.store(name, None)),
            _ => {}
        }
    }
}

impl WritableStore for ScriptedStore {
    type Upload = Upload;

    fn begin(&mut self, put: &Put<'_>, attempt: PutAttempt, now: Instant) -> Result<Begun<Upload, Open>, WriteError> {
        let name = put.name.as_str();
        self.play_other(name);
        if let Some(word) = self.line(name).and_then(|line| line.unwritable.as_deref()) {
            return Err(error(word));
        }
        if !put.parents {
            self.check_parent(name)?;
        }
        if self.is_directory(name) {
            return Err(StoreError::NotFile.into());
        }
        let size = self.line(name).map(|line| line.contents().len() as u64);
        if attempt.may_compare && size == Some(put.size) {
            return Ok(Begun::Compare(self.open(put.name)?));
        }
        let is_same = self.uploads.iter().any(|partial| partial.name == name && partial.is_of(put));
        if !is_same {
            self.check_unused(name)?;
        }
        put.replace.check(self.version(name).as_ref())?;
        let room = self.space()?;
        if let Some(max) = room.max_file.filter(|max| *max < put.size) {
            return Err(WriteError::TooLarge { max });
        }
        if let Some(free) = room.free.filter(|free| *free < put.size) {
            return Err(WriteError::NoSpace { free: Some(free) });
        }
        if !is_same {
            self.uploads.retain(|partial| partial.name != name);
            let script = self.lines.iter().find(|line| line.upload.as_deref() == Some(name)).cloned();
            let script = StoreLine { holder: None, ..script.unwrap_or_default() };
            self.uploads.push(Partial::new(name.to_owned(), put.size, put.digest, script));
        }
        let partial = self.upload(name)?;
        match partial.turn.claim(attempt, now) {
            UploadClaim::Wait => Ok(Begun::Wait),
            UploadClaim::InUse => Err(WriteError::InUse),
            UploadClaim::Granted(ticket) => {
                partial.other = None;
                let reads_back = partial.script.reads_back;
                let have = partial.bytes.len() as u64;
                Ok(Begun::Upload { upload: Upload { name: name.to_owned(), ticket, reads_back }, have })
            }
        }
    }

    fn write(&mut self, upload: &mut Upload, offset: u64, bytes: &[u8], _: Instant) -> Result<usize, WriteError> {
        let partial = self.upload(&upload.name)?;
        partial.turn.enter(upload.ticket)?;
        assert_eq!(offset, partial.bytes.len() as u64, "bytes come in order");
        assert!(!bytes.is_empty() && offset + bytes.len() as u64 <= partial.size, "bytes of the file alone");
        let byte_ms = partial.script.byte_ms;
        let mut len = if byte_ms > 0 { 1 } else { bytes.len() };
        if let Some(from) = partial.script.fails_from {
            if offset >= from {
                return Err(error(partial.script.fails_with.as_deref().unwrap_or("")));
            }
            len = len.min((from - offset) as usize);
        }
        partial.bytes.extend_from_slice(&bytes[..len]);
        self.pass(byte_ms);
        let now = Instant::from_millis(self.now());
        self.upload(&upload.name)?.turn.leave(upload.ticket, true, now);
        Ok(len)
    }

    fn verifies_by_reading(&self, upload: &Upload) -> bool {
        upload.reads_back
    }

    fn read_back(&mut self, upload: &mut Upload, offset: u64, buf: &mut [u8], _: Instant) -> Result<usize, WriteError> {
        let partial = self.upload(&upload.name)?;
        partial.turn.enter(upload.ticket)?;
        let byte_ms = partial.script.byte_ms;
        let rest = &partial.bytes[offset as usize..];
        let len = rest.len().min(if byte_ms > 0 { 1 } else { buf.len() });
        buf[..len].copy_from_slice(&rest[..len]);
        self.pass(byte_ms);
        let now = Instant::from_millis(self.now());
        self.upload(&upload.name)?.turn.leave(upload.ticket, false, now);
        Ok(len)
    }

    fn commit(&mut self, upload: &mut Upload, put: &Put<'_>, _: Instant) -> Result<Committed, WriteError> {
        let now = self.now();
        let partial = self.upload(&upload.name)?;
        partial.turn.commit(upload.ticket)?;
        assert_eq!(partial.bytes.len() as u64, put.size, "only what is complete is committed");
        #[cfg(feature = "sync")]
        if put.deferred {
            self.deferred.push((upload.name.clone(), put.modified));
            return Ok(Committed::Deferred(Deferral::new(self.deferred.len() as u64, self.failures)));
        }
        if let Some(word) = &partial.script.commit_fails {
            return Err(error(word));
        }
        let since = *partial.committing_since.get_or_insert(now);
        if now < since + partial.script.commit_ms {
            self.pass(STEP_MS);
            return Ok(Committed::Pending);
        }
        put.replace.check(self.version(&upload.name).as_ref())?;
        Ok(Committed::Done(self.store(&upload.name, put.modified)))
    }

    fn keep(&mut self, upload: Upload) {
        #[cfg(feature = "sync")]
        if self.deferred.iter().any(|(name, _)| *name == upload.name) {
            return;
        }
        if let Ok(partial) = self.upload(&upload.name) {
            partial.turn.release(upload.ticket);
        }
    }

    fn discard(&mut self, upload: Upload) {
        self.uploads.retain(|partial| partial.name != upload.name);
    }

    fn delete(&mut self, delete: &Delete<'_>) -> Result<(), WriteError> {
        let name = delete.name().as_str();
        match delete {
            Delete::File { version, .. } => {
                if !self.uploads.iter().any(|partial| partial.name == name) || self.line(name).is_some() {
                    self.check_file(name, *version)?;
                }
                self.check_unused(name)?;
            }
            Delete::Partial { .. } => {
                self.check_unused(name)?;
                let count = self.uploads.len();
                self.uploads.retain(|partial| partial.name != name);
                return if self.uploads.len() < count { Ok(()) } else { Err(StoreError::NotFound.into()) };
            }
            Delete::Directory { path } => {
                self.list(Some(*path))?;
                let is_within = |line: &StoreLine| {
                    let inside = line.file_name.as_deref().or(line.directory.as_deref());
                    inside.is_some_and(|inside| child(inside, name).is_some())
                };
                if self.lines.iter().any(is_within) {
                    return Err(WriteError::NotEmpty);
                }
                self.lines.retain(|line| line.directory.as_deref() != Some(name));
                return Ok(());
            }
            _ => return Err(WriteError::Unsupported),
        }
        self.uploads.retain(|partial| partial.name != name);
        self.keep_parent(name);
        self.lines.retain(|line| line.file_name.as_deref() != Some(name));
        Ok(())
    }

    fn rename(&mut self, rename: &Rename<'_>) -> Result<(), WriteError> {
        let (name, to) = (rename.name.as_str(), rename.to.as_str());
        self.check_file(name, rename.version)?;
        self.check_parent(to)?;
        self.check_unused(to)?;
        if self.line(to).is_some() || self.is_directory(to) {
            return Err(WriteError::Exists);
        }
        self.keep_parent(name);
        let line = self.lines.iter_mut().find(|line| line.file_name.as_deref() == Some(name));
        line.ok_or(StoreError::NotFound)?.file_name = Some(to.to_owned());
        Ok(())
    }

    fn make_dir(&mut self, path: FileName<'_>) -> Result<(), WriteError> {
        let name = path.as_str();
        self.check_parent(name)?;
        if self.line(name).is_some() {
            return Err(WriteError::Exists);
        }
        if !self.is_directory(name) {
            self.lines.push(StoreLine { directory: Some(name.to_owned()), ..StoreLine::default() });
        }
        Ok(())
    }

    #[cfg(feature = "sync")]
    fn sync(&mut self, deferral: Deferral) -> Result<Synced, WriteError> {
        while let Some((name, modified)) = self.deferred.first().cloned() {
            let now = self.now();
            let partial = self.upload(&name)?;
            if partial.script.commit_fails.is_some() {
                partial.turn = UploadTurn::new();
                self.failures += 1;
            } else {
                let since = *partial.committing_since.get_or_insert(now);
                if now < since + partial.script.commit_ms {
                    self.pass(STEP_MS);
                    return Ok(Synced::Pending);
                }
                self.store(&name, modified);
            }
            self.deferred.remove(0);
        }
        if self.failures == deferral.failures { Ok(Synced::Done) } else { Err(StoreError::Io.into()) }
    }

    fn space(&mut self) -> Result<Space, WriteError> {
        let line = self.lines.iter().find(|line| line.total.is_some()).cloned().unwrap_or_default();
        Ok(Space::new().with_total(line.total).with_free(line.free).with_max_file(line.max_file))
    }
}

impl ScriptedStore {
    /// Keeps the directory of a file that leaves it.
    fn keep_parent(&mut self, name: &str) {
        if let Some((parent, _)) = name.rsplit_once('/')
            && !self.lines.iter().any(|line| line.directory.as_deref() == Some(parent))
        {
            self.lines.push(StoreLine { directory: Some(parent.to_owned()), ..StoreLine::default() });
        }
    }
}
