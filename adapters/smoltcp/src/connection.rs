//! One live connection: the session with the file that it is sending.

use coracle_core::{
    Action, Close, CloseHow, Digest, Finished, Hasher, Instant, Listed, Reply, Request, ServerSession, Store,
    StoreError, Version,
};
use smoltcp::socket::tcp;

use crate::observer::Observer;
use crate::wide;

/// What one poll may do for a connection before the others have their turn, in actions.
const ACTIONS_A_POLL: usize = 16;
/// Read at once for a digest of bytes that are not sent.
const HASH_LEN: usize = 256;

pub(crate) struct Connection<'c, S: Store> {
    session: ServerSession<'c, [u8; 512]>,
    connected: Instant,
    open: Open<S>,
    hasher: Option<Hasher>,
    /// How many bytes the hasher was fed.
    hashed: u64,
    exchanges: u32,
    has_asked: bool,
}

/// What the exchange at hand needs of the store.
enum Open<S: Store> {
    Nothing,
    File { file: S::File, size: u64, version: Version },
    Listing(S::Listing),
}

/// How far a poll came.
pub(crate) enum Outcome {
    /// Nothing to do until bytes move, or until then.
    Waiting(Option<Instant>),
    /// There is more to do at once.
    Busy,
    Over(Close),
}

/// What became of one action.
enum Step {
    Done,
    Blocked,
    Over(Close),
}

impl<'c, S: Store> Connection<'c, S> {
    pub(crate) fn new(session: ServerSession<'c, [u8; 512]>, now: Instant) -> Self {
        Self { session, connected: now, open: Open::Nothing, hasher: None, hashed: 0, exchanges: 0, has_asked: false }
    }

    /// When the client connected, if it has asked nothing since.
    pub(crate) fn silent_since(&self) -> Option<Instant> {
        (!self.has_asked).then_some(self.connected)
    }

    pub(crate) fn stop(&mut self, now: Instant) {
        self.session.stop(now);
    }

    /// Does what the session wants, as far as the socket lets it.
    pub(crate) fn poll(
        &mut self,
        place: usize,
        socket: &mut tcp::Socket<'_>,
        store: &mut S,
        observer: &mut impl Observer,
        now: Instant,
    ) -> Outcome {
        if !socket.is_open() {
            // Reset by the peer, or our address is no longer ours.
            self.session.send_failed();
        }
        let actions = ACTIONS_A_POLL;
        for _ in 0..actions {
            let step = self.step(place, socket, store, observer, now);
            self.note_exchange(place, observer);
            match step {
                Step::Done => {}
                Step::Over(close) => return Outcome::Over(close),
                Step::Blocked => match self.session.deadline() {
                    Some((when, _)) if when <= now => self.session.handle_timeout(now),
                    deadline => return Outcome::Waiting(deadline.map(|(when, _)| when)),
                },
            }
        }
        Outcome::Busy
    }

    fn step(
        &mut self,
        place: usize,
        socket: &mut tcp::Socket<'_>,
        store: &mut S,
        observer: &mut impl Observer,
        now: Instant,
    ) -> Step {
        let action = self.session.action();
        self.has_asked |= !matches!(action, Action::Receive | Action::Close(_));
        match action {
            Action::Receive => return self.receive(socket, now),
            Action::Reply(_) => self.reply(place, store, observer, now),
            Action::Entry => self.entry(store, now),
            Action::SendBytes { bytes, .. } => match socket.send_slice(bytes) {
                Ok(0) => return Step::Blocked,
                Ok(len) => self.session.sent(len, now),
                Err(tcp::SendError::InvalidState) => self.session.send_failed(),
            },
            Action::SendFile { offset, len, hash, .. } => {
                if socket.may_send() && !socket.can_send() {
                    return Step::Blocked;
                }
                match self.send_file(socket, store, offset, len, hash) {
                    Ok(Some(sent)) => {
                        self.session.sent(sent, now);
                        observer.body(place, sent);
                    }
                    Ok(None) => self.session.file_fault(now),
                    Err(tcp::SendError::InvalidState) => self.session.send_failed(),
                }
            }
            Action::Hash { offset, len } => self.hash(store, offset, len, now),
            Action::Finish { from, to } => self.finish(store, from, to, now),
            Action::Close(close) => return Step::Over(close),
            // An action that this version does not know: the core is newer than this crate.
            _ => return Step::Over(Close { how: CloseHow::Abort, why: coracle_core::CloseReason::Broken }),
        }
        Step::Done
    }

    fn note_exchange(&mut self, place: usize, observer: &mut impl Observer) {
        let exchanges = self.session.exchanges();
        if exchanges != self.exchanges {
            self.exchanges = exchanges;
            self.open = Open::Nothing;
            self.hasher = None;
            observer.exchange(place, &self.session.last_exchange());
        }
    }

    fn receive(&mut self, socket: &mut tcp::Socket<'_>, now: Instant) -> Step {
        if socket.can_recv() {
            let session = &mut self.session;
            let taken = socket.recv(|bytes| {
                let taken = session.receive(bytes, now);
                (taken, taken)
            });
            match taken {
                Ok(0) => Step::Blocked,
                Ok(_) => Step::Done,
                Err(_) => {
                    self.session.send_failed();
                    Step::Done
                }
            }
        } else if socket.may_recv() {
            Step::Blocked
        } else {
            self.session.receive_eof(now);
            Step::Done
        }
    }

    // Out of line, as `hash` and `finish`: a large frame that the other actions, some of which go deep, should not stand on.
    #[inline(never)]
    fn reply(&mut self, place: usize, store: &mut S, observer: &mut impl Observer, now: Instant) {
        let Action::Reply(request) = self.session.action() else { return };
        observer.request(place, &request);
        let digest = request.digest();
        let opened = match request {
            Request::List { path } => store.list(path).map(|listing| (Open::Listing(listing), None)),
            Request::Stat { name, .. } | Request::Get { name, .. } => store.open(name).and_then(|file| {
                let info = store.info(&file)?;
                let open = Open::File { file, size: info.size, version: info.version.clone() };
                Ok((open, Some(info)))
            }),
            _ => Err(StoreError::Denied),
        };
        self.hasher = digest.and_then(Hasher::new);
        self.hashed = 0;
        match opened {
            Err(error) => self.session.reply(Reply::Refuse(error.code()), now),
            Ok((open, info)) => {
                self.open = open;
                match (&info, &self.open) {
                    (Some(info), Open::File { file, .. }) => {
                        observer.opened(place, info);
                        let known = digest.and_then(|kind| store.known_digest(file, kind));
                        self.session.reply(Reply::File { info, known }, now);
                    }
                    _ => self.session.reply(Reply::Listing, now),
                }
            }
        }
    }

    fn entry(&mut self, store: &mut S, now: Instant) {
        let entry: Result<Listed<'_>, StoreError> = match &mut self.open {
            Open::Listing(listing) => store.next(listing),
            _ => Err(StoreError::Io),
        };
        self.session.entry(entry, now);
    }

    /// Lets the store write into the socket's buffer; `None` where the file fails.
    fn send_file(
        &mut self,
        socket: &mut tcp::Socket<'_>,
        store: &mut S,
        offset: u64,
        len: usize,
        hash: bool,
    ) -> Result<Option<usize>, tcp::SendError> {
        let Open::File { file, .. } = &mut self.open else { return Ok(None) };
        let hasher = self.hasher.as_mut().filter(|_| hash);
        let sent = socket.send(|ring| {
            let len = len.min(ring.len());
            let place = ring.get_mut(..len).unwrap_or_default();
            match store.read(file, offset, place) {
                Ok(read) if read > 0 => {
                    let read = read.min(len);
                    if let (Some(hasher), Some(bytes)) = (hasher, place.get(..read)) {
                        hasher.update(bytes);
                    }
                    (read, Some(read))
                }
                Ok(_) | Err(_) => (0, None),
            }
        })?;
        if let (true, Some(sent)) = (hash, sent) {
            self.hashed = self.hashed.saturating_add(wide(sent));
        }
        Ok(sent)
    }

    #[inline(never)]
    fn hash(&mut self, store: &mut S, offset: u64, len: usize, now: Instant) {
        let (Open::File { file, .. }, Some(hasher)) = (&mut self.open, &mut self.hasher) else {
            return self.session.file_fault(now);
        };
        let mut buf = [0; HASH_LEN];
        let place = buf.get_mut(..len.min(HASH_LEN)).unwrap_or_default();
        match store.read(file, offset, place) {
            Ok(read) if read > 0 => {
                let bytes = place.get(..read).unwrap_or(place);
                hasher.update(bytes);
                self.hashed = self.hashed.saturating_add(wide(bytes.len()));
                self.session.hashed(bytes.len(), now);
            }
            Ok(_) | Err(_) => self.session.file_fault(now),
        }
    }

    #[inline(never)]
    fn finish(&mut self, store: &mut S, from: u64, to: u64, now: Instant) {
        let Open::File { file, size, version } = &self.open else { return self.session.file_fault(now) };
        let Ok(info) = store.info(file) else { return self.session.file_fault(now) };
        let same_version = info.version == *version;
        // Where the session knew the digest, it had nothing hashed.
        let is_hashed = self.hashed == to.saturating_sub(from);
        let digest: Option<Digest> = self.hasher.take().filter(|_| is_hashed).map(Hasher::finish);
        if let (true, Some(digest)) = (same_version && from == 0 && to == *size && info.size == *size, &digest) {
            store.remember_digest(file, &info, digest);
        }
        self.session.finished(Finished { digest, same_version }, now);
    }
}
