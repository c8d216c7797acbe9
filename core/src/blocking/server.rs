//! Driver of a server session over a blocking transport.

use embedded_io::Error as _;

use super::observer::SessionObserver;
use super::send_buffer::SendBuffer;
#[cfg(feature = "wait")]
use super::served::Served;
use super::transport::{Clock, NoTimeout, Transport};
#[cfg(not(feature = "wait"))]
use crate::Close;
#[cfg(feature = "manage")]
use crate::Request;
#[cfg(feature = "write")]
use crate::ServerEvent;
use crate::exec::{Access, StoreExchange};
use crate::{Action, Reply, ServerSession, Store};

/// A transport that may send files itself.
///
/// By default every byte passes through the driver's buffer; a transport with `sendfile(2)` overrides
/// [`SendFile::send_file`].
pub trait SendFile<S: Store>: Transport {
    /// Sends up to `len` bytes of `file` from `offset` on, and returns how many; `Ok(0)` means that the file ends at or before
    /// `offset`. `None`: this file cannot be sent so, and the driver reads it. `more` as in [`Transport::write_part`].
    ///
    /// Where a digest was requested, the driver reads the same bytes of the file again to hash them, so a file that can change
    /// without its version changing must return `None`.
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

/// How long an answer may wait in the buffer for the next one, in milliseconds: long enough for some dozen small files, and too
/// short to be noticed.
const MAX_DELAY_MS: u64 = 10;

/// Which side of [`SendFile::send_file`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendFileError<E> {
    /// The connection, or its time-out.
    Transport(E),
    /// The file.
    File,
}

/// The buffers of [`serve`](super::serve()). Longer ones mean fewer calls of the transport.
#[derive(Debug)]
pub struct Buffers<'a> {
    /// For received bytes; at least 1 byte long.
    pub receive: &'a mut [u8],
    /// For bytes to send and to hash; at least 1 byte long.
    pub send: &'a mut [u8],
}

/// How a driver returns.
#[cfg(not(feature = "wait"))]
type Returned = Close;
#[cfg(feature = "wait")]
type Returned = Served;

/// Serves a connection of which the bytes `arrived` of the receive buffer were received and not taken. `may_rest`: returns between
/// two requests where the transport would wait for the next one.
#[expect(clippy::too_many_arguments, reason = "those of `serve`, and what differs between its callers")]
pub(super) fn drive<B, T, S, A, C, O>(
    session: &mut ServerSession<'_, B>,
    transport: &mut T,
    store: &mut S,
    buffers: Buffers<'_>,
    arrived: core::ops::Range<usize>,
    clock: &mut C,
    observer: &mut O,
    exchange: StoreExchange<S, A>,
    #[cfg(feature = "wait")] may_rest: bool,
) -> Returned
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    T: SendFile<S>,
    S: Store,
    A: Access<S>,
    C: Clock,
    O: SessionObserver,
{
    let (now, exchanges) = (clock.now(), session.exchanges());
    let out = SendBuffer { session, transport, clock, now, send: buffers.send, pending: 0, pending_since: now };
    let mut driver = Driver {
        out,
        store,
        observer,
        receive: buffers.receive,
        arrived,
        exchange,
        exchanges,
        is_stopping: false,
        #[cfg(feature = "wait")]
        may_rest,
        #[cfg(feature = "wait")]
        is_in_exchange: false,
    };
    loop {
        if let Some(returned) = driver.step() {
            return returned;
        }
    }
}

struct Driver<'d, 'c, B, T, S: Store, A: Access<S>, C, O> {
    out: SendBuffer<'d, 'c, B, T, C>,
    store: &'d mut S,
    observer: &'d mut O,
    receive: &'d mut [u8],
    /// The part of `receive` that the session has not taken.
    arrived: core::ops::Range<usize>,
    exchange: StoreExchange<S, A>,
    exchanges: u32,
    is_stopping: bool,
    #[cfg(feature = "wait")]
    may_rest: bool,
    /// Whether `exchange` holds what a request has opened.
    #[cfg(feature = "wait")]
    is_in_exchange: bool,
}

impl<B, T, S, A, C, O> Driver<'_, '_, B, T, S, A, C, O>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    T: SendFile<S>,
    S: Store,
    A: Access<S>,
    C: Clock,
    O: SessionObserver,
{
    /// Performs the session's current action.
    fn step(&mut self) -> Option<Returned> {
        if !self.is_stopping && self.observer.should_stop() {
            self.is_stopping = true;
            self.out.look_at_clock();
            self.out.session.stop(self.out.now);
        }
        #[allow(unreachable_patterns, reason = "outside of this crate there may be more actions")]
        match self.out.session.action() {
            Action::Receive => {
                #[cfg(feature = "wait")]
                if self.may_rest && !self.is_in_exchange && self.arrived.is_empty() {
                    if !self.out.flush(false) {
                        return None;
                    }
                    if self.out.transport.would_wait() {
                        return Some(Served::Receiving);
                    }
                }
                self.receive();
            }
            #[cfg(feature = "rights")]
            Action::Permit(demand) => {
                let permit = self.observer.permit(&demand);
                self.exchange.permit(&permit);
                self.out.session.permit(permit, self.out.now);
            }
            Action::Reply(request) => {
                #[cfg(feature = "wait")]
                {
                    self.is_in_exchange = true;
                }
                self.observer.request(&request);
                #[cfg(not(feature = "write"))]
                let reply = self.exchange.open(self.store, &request);
                #[cfg(feature = "write")]
                let reply = match request {
                    #[cfg(feature = "manage")]
                    Request::Do { action } => match self.observer.perform(action) {
                        Ok(()) => Reply::Done,
                        Err(error) => Reply::Refuse(error.code()),
                    },
                    _ => self.exchange.answer(self.store, &request, self.out.now),
                };
                match &reply {
                    Reply::File { info, .. } => self.observer.opened(info),
                    #[cfg(feature = "write")]
                    Reply::Stored { info } => self.observer.stored(info),
                    _ => {}
                }
                self.out.now = self.out.clock.now();
                self.out.session.reply(reply, self.out.now);
            }
            Action::Entry => self.entry(),
            Action::SendBytes { bytes, more } => {
                if self.out.pending == 0 {
                    self.out.pending_since = self.out.now;
                }
                let (len, is_all) = append(self.out.send, &mut self.out.pending, bytes);
                let may_wait = more || self.another_follows();
                self.out.send_bytes(len, is_all, may_wait);
            }
            Action::SendFile { offset, len, more, hash } => self.send_file(offset, len, more, hash),
            Action::Hash { offset, len } => self.hash(offset, len),
            Action::Finish { from, to } => self.finish(from, to),
            #[cfg(feature = "write")]
            Action::Commit(put) => {
                let reply = self.exchange.commit(self.store, &put, self.out.now);
                if let Reply::Stored { info } = &reply {
                    self.observer.stored(info);
                }
                self.out.now = self.out.clock.now();
                self.out.session.reply(reply, self.out.now);
            }
            #[cfg(feature = "write")]
            Action::Wait => self.receive(),
            #[cfg(feature = "wait")]
            Action::Watch { .. } => return self.watch(),
            #[cfg(feature = "classic")]
            Action::Text(text) => {
                self.observer.text(text);
                self.out.look_at_clock();
                self.out.session.text_seen(self.out.now);
            }
            Action::Close(_) if self.out.pending > 0 => {
                self.out.flush(false);
            }
            Action::Close(close) => {
                self.note_exchange();
                // Also an exchange that has not ended: its upload is for the next connection.
                self.end_exchange();
                debug_assert_eq!(self.out.pending, 0, "pending bytes were written, or the connection is reset");
                #[cfg(feature = "wait")]
                let close = Served::Closed(close);
                return Some(close);
            }
            _ => self.out.session.send_failed(),
        }
        self.note_exchange();
        None
    }

    /// Returns to the owner, who waits for the file to change; not before all bytes are written.
    #[cfg(feature = "wait")]
    fn watch(&mut self) -> Option<Returned> {
        if !self.out.flush(false) {
            return None;
        }
        let info = self.exchange.info().cloned();
        Some(Served::Watching { info, unread: self.arrived.clone() })
    }

    /// Whether this answer may wait for that to the next request, which was received with it, so that both leave in one write.
    fn another_follows(&self) -> bool {
        let rest = self.receive.get(self.arrived.clone()).unwrap_or_default();
        self.out.now.since(self.out.pending_since) < MAX_DELAY_MS && !rest.trim_ascii_start().is_empty()
    }

    fn note_exchange(&mut self) {
        let exchanges = self.out.session.exchanges();
        if exchanges != self.exchanges {
            self.exchanges = exchanges;
            #[cfg(feature = "wait")]
            {
                self.is_in_exchange = false;
            }
            self.end_exchange();
            self.observer.exchange(&self.out.session.last_exchange());
        }
    }

    fn end_exchange(&mut self) {
        #[cfg(feature = "write")]
        self.exchange.end(self.store);
        #[cfg(not(feature = "write"))]
        self.exchange.close();
    }

    fn receive(&mut self) {
        if !self.arrive() {
            return;
        }
        let bytes = self.receive.get(self.arrived.clone()).unwrap_or_default();
        self.out.session.set_time(self.store.unix_time());
        let (taken, event) = self.out.session.receive(bytes, self.out.now);
        self.arrived.start += taken;
        #[cfg(feature = "write")]
        if let Some(ServerEvent::Body { offset, bytes }) = event {
            let written = self.exchange.write(self.store, offset, bytes, self.out.now);
            self.out.look_at_clock();
            match written {
                Err(error) => self.out.session.store_failed(error, self.out.now),
                Ok(len) => {
                    self.out.session.stored(len, self.out.now);
                    self.arrived.start += len;
                    self.observer.body(len);
                }
            }
        }
        #[cfg(not(feature = "write"))]
        let _ = event;
    }

    /// Waits for bytes, unless some are left; false where none were received.
    #[inline(always)]
    fn arrive(&mut self) -> bool {
        if !self.arrived.is_empty() {
            return true;
        }
        if !self.out.flush(false) {
            return false;
        }
        self.out.limit_wait();
        let read = self.out.transport.read(self.receive);
        self.out.look_at_clock();
        let now = self.out.now;
        match read {
            // A server that is stopping shuts down the input to wake its threads.
            Ok(0) if !self.is_stopping && self.observer.should_stop() => {
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

    fn entry(&mut self) {
        let entry = self.exchange.entry(self.store);
        self.out.now = self.out.clock.now();
        self.out.session.entry(entry, self.out.now);
    }

    fn send_file(&mut self, offset: u64, len: usize, more: bool, hash: bool) {
        if len > self.out.room() {
            if !self.out.flush(true) {
                return;
            }
            self.out.limit_wait();
            let Some(file) = self.exchange.file_mut() else { return self.body_fault() };
            let sent = self.out.transport.send_file(self.store, file, offset, len, more);
            self.out.look_at_clock();
            match sent {
                Some(Ok(0)) => return self.body_fault(),
                Some(Ok(sent)) => return self.sent_by_transport(offset, sent.min(len), hash),
                Some(Err(SendFileError::Transport(error))) => return self.out.fail(error.kind()),
                Some(Err(SendFileError::File)) => return self.body_fault(),
                None => {}
            }
        }
        if self.out.pending == 0 {
            self.out.pending_since = self.out.now;
        }
        let Some(free) = self.out.free(len) else { return };
        let read = self.exchange.read(self.store, offset, free, hash);
        self.out.look_at_clock();
        match read {
            Err(_) => self.body_fault(),
            Ok(read) => {
                self.out.pending += read;
                self.observer.body(read);
                // Where the trailer follows, nothing has to be written yet.
                if more || self.another_follows() || self.out.flush(false) {
                    self.out.sent(read);
                }
            }
        }
    }

    /// Handles `len` bytes of the file that the transport has sent itself.
    fn sent_by_transport(&mut self, offset: u64, len: usize, hash: bool) {
        if hash {
            let hashed = self.exchange.hash_range(self.store, offset, len, self.out.send);
            self.out.look_at_clock();
            if hashed.is_err() {
                return self.out.file_fault();
            }
        }
        self.out.sent(len);
        self.observer.body(len);
    }

    /// Ends a body that cannot be finished, after writing what there is of it.
    fn body_fault(&mut self) {
        if self.out.flush(false) {
            self.out.file_fault();
        }
    }

    /// Hashes bytes before the header is sent.
    fn hash(&mut self, offset: u64, len: usize) {
        // The whole buffer is to be free, and a long file is no reason for an earlier answer to wait.
        if !self.out.flush(false) {
            return;
        }
        #[cfg(feature = "write")]
        let now = self.out.now;
        let Some(free) = self.out.free(len) else { return self.out.file_fault() };
        #[cfg(not(feature = "write"))]
        let read = self.exchange.read(self.store, offset, free, true);
        #[cfg(feature = "write")]
        let read = self.exchange.hash(self.store, offset, free, now);
        self.out.look_at_clock();
        match read {
            Ok(len) => self.out.session.hashed(len, self.out.now),
            #[cfg(feature = "write")]
            Err(error) if self.exchange.is_upload() => self.out.session.store_failed(error, self.out.now),
            Err(_) => self.finish(offset, offset),
        }
    }

    fn finish(&mut self, from: u64, to: u64) {
        let finished = self.exchange.finish(self.store, from, to);
        self.out.look_at_clock();
        match finished {
            Ok(finished) => self.out.session.finished(finished, self.out.now),
            Err(_) => self.out.file_fault(),
        }
    }
}

/// Copies as many of `bytes` as fit into `send` after the pending ones. Returns how many, and whether these are all.
fn append(send: &mut [u8], pending: &mut usize, bytes: &[u8]) -> (usize, bool) {
    let free = send.get_mut(*pending..).unwrap_or_default();
    let len = bytes.len().min(free.len());
    *pending = pending.saturating_add(len); // at most the buffer's length
    if let (Some(place), Some(bytes)) = (free.get_mut(..len), bytes.get(..len)) {
        place.copy_from_slice(bytes);
    }
    (len, len == bytes.len())
}
