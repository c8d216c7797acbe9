//! The server's side over a blocking transport.

use embedded_io::Error as _;

use super::send_buffer::SendBuffer;

use super::{Clock, NoTimeout, Transport};
use crate::server::{Action, Close, Exchange, Finished, Reply, Request, ServerSession};
use crate::store::{FileInfo, Store, StoreError};
use crate::types::digest::{Digest, Hasher};
use crate::types::file_name::FileName;

/// A transport that a server can send files over.
///
/// The default passes every byte through the driver's buffer; a transport that can do better (`sendfile(2)`) overrides
/// [`SendFile::send_file`].
pub trait SendFile<S: Store>: Transport {
    /// Sends up to `len` bytes of `file` from `offset` on without the driver's help, and returns how many; `Ok(0)` means
    /// that the file ends at or before `offset`. `more` as in [`Transport::write_part`]. Where a digest is wanted, the
    /// driver reads the same bytes of the file too, while the transport is busy with them. So a file that can change
    /// without its version telling is not to be sent so. `None`: this file cannot be sent so; the driver reads it.
    fn send_file(
        &mut self,
        store: &mut S,
        file: &mut S::File,
        offset: u64,
        len: usize,
        more: bool,
    ) -> Option<Result<usize, SendFileError<Self::Error>>> {
        let (_, _, _, _, _) = (store, file, offset, len, more);
        None
    }
}

impl<S: Store, T: embedded_io::Read + embedded_io::Write> SendFile<S> for NoTimeout<T> {}

/// Which side of [`SendFile::send_file`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendFileError<E> {
    /// The connection, or its time-out.
    Transport(E),
    /// The file.
    File,
}

/// Sees what a server's session does, for logs, counters and tests, and can ask it to stop.
pub trait Observer {
    /// A request was read and goes to the store.
    fn request(&mut self, _request: &Request<'_>) {}

    /// The file that was asked for is open.
    fn opened(&mut self, _info: &FileInfo) {}

    /// `body_len` more bytes of a body are on their way.
    fn body(&mut self, _body_len: usize) {}

    /// Bytes have arrived that are no request, and an answer follows where the text policy has one.
    #[cfg(feature = "classic")]
    fn text(&mut self, _text: &[u8]) {}

    /// An exchange has ended; one that could not be read as a request, too.
    fn exchange(&mut self, _exchange: &Exchange) {}

    /// Asked before each step: whether the session has to end in good order.
    fn should_stop(&mut self) -> bool {
        false
    }
}

impl Observer for () {}

/// The driver's buffers. Longer ones mean fewer calls of the transport.
#[derive(Debug)]
pub struct Buffers<'a> {
    /// For arriving bytes; at least 1.
    pub receive: &'a mut [u8],
    /// For departing bytes and for hashing; at least 1.
    pub send: &'a mut [u8],
}

/// Serves one connection until its session ends. The caller then treats the socket as the returned [`Close`] says.
///
/// Header, small body and trailer leave in one write; what the session was told to be sent is written before the driver
/// waits for anything.
///
/// ```
/// use coracle_core::blocking::{NoTimeout, Buffers, serve};
/// use coracle_core::{Instant, ServerConfig, ServerSession, StaticFile, StaticStore};
///
/// # struct Wire { input: &'static [u8], output: Vec<u8> }
/// # impl embedded_io::ErrorType for Wire { type Error = embedded_io::ErrorKind; }
/// # impl embedded_io::Read for Wire {
/// #     fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> { self.input.read(buf).map_err(|never| match never {}) }
/// # }
/// # impl embedded_io::Write for Wire {
/// #     fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> { self.output.extend_from_slice(buf); Ok(buf.len()) }
/// #     fn flush(&mut self) -> Result<(), Self::Error> { Ok(()) }
/// # }
/// # let wire = Wire { input: br#"{"type":"get","fileName":"motd","digest":"none"}"#, output: Vec::new() };
/// static FILES: [StaticFile<'static>; 1] = [StaticFile::new("motd", "build-17", b"Mind the step.\n")];
///
/// let config = ServerConfig::new();
/// let mut millis = 0; // a board asks its timer
/// let mut clock = || { millis += 1; Instant::from_millis(millis) };
/// let mut session = ServerSession::new(&config, [0; 512], Instant::from_millis(0));
/// let mut transport = NoTimeout(wire); // any embedded-io Read + Write
/// let (mut receive, mut send) = ([0; 256], [0; 1024]);
/// let scratch = Buffers { receive: &mut receive, send: &mut send };
/// let mut store = StaticStore::new(&FILES);
/// serve(&mut session, &mut transport, &mut store, scratch, &mut clock, &mut ());
/// # let text = String::from_utf8(transport.0.output).unwrap();
/// # assert!(text.starts_with(r#"{"type":"file","fileName":"motd","fileSize":15"#) && text.ends_with("Mind the step.\n{\"type\":\"end\"}\n"));
/// ```
pub fn serve<B, T, S, C, O>(
    session: &mut ServerSession<'_, B>,
    transport: &mut T,
    store: &mut S,
    scratch: Buffers<'_>,
    clock: &mut C,
    observer: &mut O,
) -> Close
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    T: SendFile<S>,
    S: Store,
    C: Clock,
    O: Observer,
{
    let now = clock.now();
    let out = SendBuffer { session, transport, clock, now, send: scratch.send, pending: 0 };
    let mut driver = Driver {
        out,
        store,
        observer,
        receive: scratch.receive,
        arrived: 0..0,
        open: None,
        listing: None,
        hasher: None,
        hashed: 0,
        hashed_beside: false,
        exchanges: 0,
        is_stopping: false,
    };
    loop {
        if let Some(close) = driver.step() {
            return close;
        }
    }
}

struct Driver<'d, 'c, B, T, S: Store, C, O> {
    out: SendBuffer<'d, 'c, B, T, C>,
    store: &'d mut S,
    observer: &'d mut O,
    receive: &'d mut [u8],
    /// What of `receive` the session has not taken.
    arrived: core::ops::Range<usize>,
    open: Option<(S::File, FileInfo)>,
    listing: Option<S::Listing>,
    hasher: Option<Hasher>,
    /// How many bytes the hasher was fed.
    hashed: u64,
    /// They were read beside those that were sent, and are the same only if the file has not changed.
    hashed_beside: bool,
    exchanges: u32,
    is_stopping: bool,
}

impl<B, T, S, C, O> Driver<'_, '_, B, T, S, C, O>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    T: SendFile<S>,
    S: Store,
    C: Clock,
    O: Observer,
{
    /// Does the one thing that the session wants.
    fn step(&mut self) -> Option<Close> {
        if !self.is_stopping && self.observer.should_stop() {
            self.is_stopping = true;
            self.out.look_at_clock();
            self.out.session.stop(self.out.now);
        }
        match self.out.session.action() {
            Action::Receive => self.receive(),
            Action::Reply(request) => {
                self.observer.request(&request);
                self.hasher = request.digest().and_then(Hasher::new);
                self.hashed = 0;
                self.hashed_beside = false;
                let found = match request {
                    Request::List { path } => list(self.store, path, &mut self.listing),
                    _ => open(self.store, &request, self.observer, &mut self.open),
                };
                self.reply(found);
            }
            Action::Entry => self.entry(),
            Action::SendBytes { bytes, more } => {
                let (len, is_all) = append(self.out.send, &mut self.out.pending, bytes);
                self.out.send_bytes(len, is_all, more);
            }
            Action::SendFile { offset, len, more, hash } => self.send_file(offset, len, more, hash),
            Action::Hash { offset, len } => self.hash(offset, len),
            Action::Finish { from, to } => self.finish(from, to),
            #[cfg(feature = "classic")]
            Action::Text(text) => {
                self.observer.text(text);
                self.out.look_at_clock();
                self.out.session.text_seen(self.out.now);
            }
            Action::Close(close) => {
                self.note_exchange();
                debug_assert_eq!(self.out.pending, 0, "what was written has left, or never will");
                return Some(close);
            }
        }
        self.note_exchange();
        None
    }

    fn note_exchange(&mut self) {
        let exchanges = self.out.session.exchanges();
        if exchanges != self.exchanges {
            self.exchanges = exchanges;
            self.open = None;
            self.listing = None;
            self.hasher = None;
            self.observer.exchange(&self.out.session.last_exchange());
        }
    }

    fn receive(&mut self) {
        if !self.arrive() {
            return;
        }
        let bytes = self.receive.get(self.arrived.clone()).unwrap_or_default();
        self.arrived.start += self.out.session.receive(bytes, self.out.now);
    }

    /// Waits until something has arrived, if all that did was taken; false where nothing has.
    #[inline(always)]
    fn arrive(&mut self) -> bool {
        if !self.arrived.is_empty() {
            return true;
        }
        self.out.flush(false);
        self.out.limit_wait();
        let read = self.out.transport.read(self.receive);
        self.out.look_at_clock();
        let now = self.out.now;
        match read {
            // A stopping server wakes its waiting threads by ending their input.
            Ok(0) if self.observer.should_stop() => {
                self.is_stopping = true;
                self.out.session.stop(now);
            }
            Ok(0) => self.out.session.receive_eof(now),
            Ok(len) => {
                self.arrived = 0..len.min(self.receive.len());
                return true;
            }
            Err(error) => self.out.fail(error.kind()),
        }
        false
    }

    fn reply(&mut self, found: Result<Option<Digest>, StoreError>) {
        self.out.look_at_clock();
        let reply = match (found, &self.open) {
            (Err(error), _) => Reply::Refuse(error.code()),
            (Ok(known), Some((_, info))) => Reply::File { info, known },
            (Ok(_), None) => Reply::Listing,
        };
        self.out.session.reply(reply, self.out.now);
    }

    fn entry(&mut self) {
        let entry = match &mut self.listing {
            Some(listing) => self.store.next(listing),
            None => Err(StoreError::Io),
        };
        self.out.look_at_clock();
        self.out.session.entry(entry, self.out.now);
    }

    fn send_file(&mut self, offset: u64, len: usize, more: bool, hash: bool) {
        let Some((file, _)) = &mut self.open else { return self.body_fault() };
        if len > self.out.room() {
            if !self.out.flush(true) {
                return;
            }
            self.out.limit_wait();
            let sent = self.out.transport.send_file(self.store, file, offset, len, more);
            self.out.look_at_clock();
            match sent {
                Some(Ok(0)) => return self.body_fault(),
                Some(Ok(sent)) => {
                    let sent = sent.min(len);
                    if hash {
                        let is_hashed = self.hash_beside(offset, sent);
                        self.out.look_at_clock();
                        if !is_hashed {
                            return self.out.file_fault();
                        }
                    }
                    self.out.sent(sent);
                    return self.observer.body(sent);
                }
                Some(Err(SendFileError::Transport(error))) => return self.out.fail(error.kind()),
                Some(Err(SendFileError::File)) => return self.body_fault(),
                None => {}
            }
        }
        let Some(free) = self.out.free(len) else { return };
        match self.store.read(file, offset, free) {
            Ok(0) | Err(_) => {
                self.out.look_at_clock();
                self.body_fault();
            }
            Ok(read) => {
                let read = read.min(free.len());
                if let (true, Some(hasher), Some(bytes)) = (hash, &mut self.hasher, free.get(..read)) {
                    hasher.update(bytes);
                    self.hashed = self.hashed.saturating_add(wide(read));
                }
                self.out.pending += read;
                self.out.look_at_clock();
                self.observer.body(read);
                // The trailer follows, so nothing has to leave yet.
                if more || self.out.flush(false) {
                    self.out.sent(read);
                }
            }
        }
    }

    /// Hashes bytes that were sent without the driver; false where they cannot be read.
    fn hash_beside(&mut self, offset: u64, len: usize) -> bool {
        self.hashed_beside = true;
        let (Some((file, _)), Some(hasher)) = (&mut self.open, &mut self.hasher) else { return false };
        let mut hashed = 0;
        while hashed < len {
            let Some(free) = self.out.free(len - hashed) else { return false };
            match self.store.read(file, offset.saturating_add(wide(hashed)), free) {
                Ok(0) | Err(_) => return false,
                Ok(read) => {
                    let read = read.min(free.len());
                    hasher.update(free.get(..read).unwrap_or_default());
                    hashed += read;
                }
            }
        }
        self.hashed = self.hashed.saturating_add(wide(hashed));
        true
    }

    /// The body cannot be finished; what there was of it still leaves.
    fn body_fault(&mut self) {
        if self.out.flush(false) {
            self.out.file_fault();
        }
    }

    /// What is hashed comes before the header, and every answer before it has left whole: nothing is pending.
    fn hash(&mut self, offset: u64, len: usize) {
        let (Some((file, _)), Some(hasher), Some(free)) = (&mut self.open, &mut self.hasher, self.out.free(len)) else {
            return self.out.file_fault();
        };
        let read = self.store.read(file, offset, free).map_or(0, |read| read.min(free.len()));
        hasher.update(free.get(..read).unwrap_or_default());
        self.hashed = self.hashed.saturating_add(wide(read));
        self.out.look_at_clock();
        match read {
            0 => self.out.file_fault(),
            _ => self.out.session.hashed(read, self.out.now),
        }
    }

    fn finish(&mut self, from: u64, to: u64) {
        let Some((file, info)) = &self.open else { return self.out.file_fault() };
        let now_info = self.store.info(file);
        self.out.look_at_clock();
        let Ok(now_info) = now_info else { return self.out.file_fault() };
        let same_version = now_info.version == info.version;
        // Where the session knew the digest, it had nothing hashed.
        let is_hashed = self.hashed == to.saturating_sub(from);
        let is_of_sent = same_version || !self.hashed_beside;
        let digest: Option<Digest> = self.hasher.take().filter(|_| is_hashed && is_of_sent).map(Hasher::finish);
        if let (true, 0, Some(digest)) = (same_version && to == info.size, from, &digest) {
            self.store.remember_digest(file, info, digest);
        }
        self.out.session.finished(Finished { digest, same_version }, self.out.now);
    }
}

/// Begins a listing.
fn list<S: Store>(
    store: &mut S,
    path: Option<FileName<'_>>,
    listing: &mut Option<S::Listing>,
) -> Result<Option<Digest>, StoreError> {
    *listing = Some(store.list(path)?);
    Ok(None)
}

/// Opens the file that a request names; the digest that was asked for, where the store remembers it.
fn open<S: Store>(
    store: &mut S,
    request: &Request<'_>,
    observer: &mut impl Observer,
    open: &mut Option<(S::File, FileInfo)>,
) -> Result<Option<Digest>, StoreError> {
    let file = store.open(request.name().ok_or(StoreError::BadName)?)?;
    let info = store.info(&file)?;
    let known = request.digest().and_then(|kind| store.known_digest(&file, kind));
    observer.opened(&info);
    *open = Some((file, info));
    Ok(known)
}

/// Puts as many of `bytes` as there is room for behind what is pending in `send`; how many, and whether that is all.
fn append(send: &mut [u8], pending: &mut usize, bytes: &[u8]) -> (usize, bool) {
    let free = send.get_mut(*pending..).unwrap_or_default();
    let len = bytes.len().min(free.len());
    *pending = pending.saturating_add(len); // at most the buffer's length
    if let (Some(place), Some(bytes)) = (free.get_mut(..len), bytes.get(..len)) {
        place.copy_from_slice(bytes);
    }
    (len, len == bytes.len())
}

/// Lengths of slices fit 64 bits on every target that there is.
fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
