//! Shared by the tests of the server: a session with a store, driven by hand.
#![allow(dead_code, reason = "each test program uses a part of it")]

use coracle_core::{
    Action, Close, Finished, Hasher, Instant, Reply, Request, ServerConfig, ServerSession, StaticStore, Store,
};

pub type Buf = Box<[u8]>;

/// A session, its store and its virtual clock. Everything that it sends is appended to `output`.
pub struct Rig<'c, S: Store> {
    pub session: ServerSession<'c, Buf>,
    pub store: S,
    pub now_ms: u64,
    pub output: Vec<u8>,
    /// The bytes shown as text.
    pub text: Vec<u8>,
    /// Maximum number of bytes in one report.
    pub piece: usize,
    /// How long a `Hash` or `Finish` takes.
    pub hash_ms: u64,
    file: Option<(S::File, coracle_core::FileInfo)>,
    listing: Option<S::Listing>,
    hasher: Option<Hasher>,
    hashed: u64,
}

impl<'c> Rig<'c, StaticStore<'static>> {
    pub fn with_files(config: &'c ServerConfig<'c>, files: &'static [coracle_core::StaticFile<'static>]) -> Self {
        Rig::new(config, StaticStore::new(files))
    }
}

impl<'c, S: Store> Rig<'c, S> {
    pub fn new(config: &'c ServerConfig<'c>, store: S) -> Self {
        Self::with_buf(config, store, 512)
    }

    pub fn with_buf(config: &'c ServerConfig<'c>, store: S, buf_len: usize) -> Self {
        let session = ServerSession::new(config, vec![0; buf_len].into_boxed_slice(), Instant::from_millis(0));
        Rig {
            session,
            store,
            now_ms: 0,
            output: Vec::new(),
            text: Vec::new(),
            piece: usize::MAX,
            hash_ms: 0,
            file: None,
            listing: None,
            hasher: None,
            hashed: 0,
        }
    }

    pub fn now(&self) -> Instant {
        Instant::from_millis(self.now_ms)
    }

    /// Lets time pass, up to each deadline in turn.
    pub fn wait(&mut self, millis: u64) {
        let until = self.now_ms + millis;
        for _ in 0..20_000 {
            let deadline = self.session.deadline().map(|(when, _)| when);
            let Some(when) = deadline.filter(|when| when.as_millis() <= until) else { break };
            self.now_ms = self.now_ms.max(when.as_millis());
            self.session.handle_timeout(self.now());
            self.work();
        }
        self.now_ms = until;
        self.session.handle_timeout(self.now());
        self.work();
    }

    /// Passes `bytes` to the session in pieces of `piece` bytes and performs its actions.
    pub fn send(&mut self, bytes: &[u8], piece: usize) {
        self.work();
        for chunk in bytes.chunks(piece.max(1)) {
            let mut rest = chunk;
            let mut in_vain = 0;
            while !rest.is_empty() && self.close().is_none() {
                let (taken, _) = self.session.receive(rest, self.now());
                in_vain = if taken > 0 { 0 } else { in_vain + 1 };
                let is_stuck = in_vain > 0 && self.session.action() == Action::Receive;
                assert!(!is_stuck && in_vain < 10, "nothing is taken of {}", rest.escape_ascii());
                rest = &rest[taken..];
                self.work();
            }
        }
    }

    pub fn send_eof(&mut self) {
        self.session.receive_eof(self.now());
        self.work();
    }

    pub fn close(&self) -> Option<Close> {
        match self.session.action() {
            Action::Close(close) => Some(close),
            _ => None,
        }
    }

    /// What was sent since the last call, as text.
    pub fn take_text(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.output)).expect("UTF-8")
    }

    /// Performs actions until the session wants to receive or to close.
    pub fn work(&mut self) {
        for _ in 0..20_000 {
            if !self.step() {
                return;
            }
        }
        panic!("no end in sight: {:?}", self.session.action());
    }

    /// Sends pending lines, and nothing else.
    pub fn send_lines(&mut self) {
        for _ in 0..20_000 {
            if !matches!(self.session.action(), Action::SendBytes { .. }) {
                return;
            }
            assert!(self.step());
        }
        panic!("no end in sight");
    }

    /// Performs one action; false where there is nothing to do.
    pub fn step(&mut self) -> bool {
        let now = self.now();
        match self.session.action() {
            Action::Receive | Action::Close(_) => return false,
            Action::Reply(request) => {
                self.hasher = request.digest().and_then(Hasher::new);
                self.hashed = 0;
                let mut known = None;
                self.file = None;
                let refused = match request {
                    Request::List { path } => self.store.list(path).map(|begun| self.listing = Some(begun)).err(),
                    _ => match self.store.open(request.name().expect("a name")) {
                        Ok(file) => match self.store.info(&file) {
                            Ok(info) => {
                                known = request.digest().and_then(|kind| self.store.known_digest(&file, kind));
                                self.file = Some((file, info));
                                None
                            }
                            Err(error) => Some(error),
                        },
                        Err(error) => Some(error),
                    },
                };
                match (refused, &self.file) {
                    (Some(error), _) => self.session.reply(Reply::Refuse(error.code()), now),
                    (None, Some((_, info))) => self.session.reply(Reply::File { info, known }, now),
                    (None, None) => self.session.reply(Reply::Listing, now),
                }
            }
            Action::Entry => {
                let listing = self.listing.as_mut().expect("a listing");
                self.session.entry(self.store.next(listing), now);
            }
            Action::SendBytes { bytes, .. } => {
                assert!(!bytes.is_empty());
                let len = bytes.len().min(self.piece);
                self.output.extend_from_slice(&bytes[..len]);
                self.session.sent(len, now);
            }
            Action::SendFile { offset, len, hash, .. } => {
                let mut bytes = vec![0; len.min(self.piece)];
                let (file, _) = self.file.as_mut().expect("a file");
                match self.store.read(file, offset, &mut bytes) {
                    Ok(0) | Err(_) => self.session.file_fault(now),
                    Ok(len) => {
                        if hash {
                            self.hasher.as_mut().expect("a hasher").update(&bytes[..len]);
                            self.hashed += len as u64;
                        }
                        self.output.extend_from_slice(&bytes[..len]);
                        self.session.sent(len, now);
                    }
                }
            }
            Action::Hash { offset, len } => {
                let mut bytes = vec![0; len.min(self.piece)];
                let (file, _) = self.file.as_mut().expect("a file");
                self.now_ms += self.hash_ms;
                let now = Instant::from_millis(self.now_ms);
                match self.store.read(file, offset, &mut bytes) {
                    Ok(0) | Err(_) => self.session.file_fault(now),
                    Ok(len) => {
                        self.hasher.as_mut().expect("a hasher").update(&bytes[..len]);
                        self.hashed += len as u64;
                        self.session.hashed(len, now);
                    }
                }
            }
            Action::Finish { from, to } => {
                let (file, info) = self.file.as_ref().expect("a file");
                match self.store.info(file) {
                    Ok(now_info) => {
                        let same_version = now_info.version == info.version;
                        let hasher = self.hasher.clone().filter(|_| self.hashed == to - from);
                        self.session.finished(Finished::new(hasher.map(Hasher::finish), same_version), now);
                    }
                    Err(_) => self.session.file_fault(now),
                }
            }
            #[cfg(feature = "classic")]
            Action::Text(text) => {
                assert!(!text.is_empty());
                self.text.extend_from_slice(text);
                self.session.text_seen(now);
            }
            _ => unreachable!("an action that this test does not know"),
        }
        true
    }
}
