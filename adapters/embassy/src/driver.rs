//! Performs the actions of a server's session.
//!
//! `#[inline(never)]` is used, here and in what this calls, where tests/footprint shows that inlined copies cost a board more flash
//! than the calls.

use core::future::Future;
use core::ops::Range;

#[cfg(feature = "manage")]
use coracle_core::Request;
#[cfg(feature = "write")]
use coracle_core::ServerEvent;
use coracle_core::{Action, Close, Instant, Reply, ServerSession, StoreError};
use embassy_futures::select::{Either, Either3, select, select3};
use embassy_futures::{poll_once, yield_now};
use embedded_io_async::{Error as _, ErrorKind};

use crate::access::Access;
use crate::clock::Clock;
#[cfg(feature = "write")]
use crate::exchange::Open;
use crate::exchange::{Answer, Exchange};
use crate::observer::{Observer, stopped};
use crate::store::AsyncStore;
use crate::transport::Transport;

/// Maximum number of actions without a pause for the other tasks.
const ACTIONS_A_TURN: u8 = 16;
/// How often a file that a client waits for is looked at, in milliseconds, where changes are not reported.
#[cfg(feature = "wait")]
const LOOK_MS: u64 = 1_000;

/// A session under way. `A` says whether its requests may write.
pub(crate) struct Driver<'d, 'c, B, T, S: AsyncStore, A: Access<S>, C, O> {
    session: &'d mut ServerSession<'c, B>,
    transport: &'d mut T,
    store: &'d mut S,
    clock: &'d C,
    observer: &'d mut O,
    receive: &'d mut [u8],
    /// The part of `receive` that the session has not taken.
    arrived: Range<usize>,
    send: &'d mut [u8],
    /// Number of bytes at the front of `send` that are not written.
    pending: usize,
    /// Bytes were written since the transport was flushed.
    is_unflushed: bool,
    /// The time after the last wait. Other work takes no measurable time.
    now: Instant,
    exchange: Exchange<S, A::Upload, A::Put>,
    exchanges: u32,
    is_stopping: bool,
    /// Bytes to hash could not be read: instead the exchange is finished, since the file may have changed.
    is_unreadable: bool,
}

impl<'d, 'c, B, T, S, A, C, O> Driver<'d, 'c, B, T, S, A, C, O>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    T: Transport,
    S: AsyncStore,
    A: Access<S>,
    C: Clock,
    O: Observer,
{
    pub(crate) fn new(
        session: &'d mut ServerSession<'c, B>,
        transport: &'d mut T,
        store: &'d mut S,
        (receive, send): (&'d mut [u8], &'d mut [u8]),
        clock: &'d C,
        observer: &'d mut O,
    ) -> Self {
        let (now, exchanges) = (clock.now(), session.exchanges());
        Self {
            session,
            transport,
            store,
            clock,
            observer,
            receive,
            arrived: 0..0,
            send,
            pending: 0,
            is_unflushed: false,
            now,
            exchange: Exchange::new(),
            exchanges,
            is_stopping: false,
            is_unreadable: false,
        }
    }

    /// Serves until the session ends.
    // The functions below ask the session for its action again, rather than being told: what they are told their futures keep.
    pub(crate) fn run(mut self) -> impl Future<Output = Close> {
        async move {
            let mut actions = 0;
            loop {
                if let Action::Close(close) = self.session.action() {
                    // Also an exchange that has not ended: its upload is for the next connection.
                    A::end(&mut self.exchange, self.store).await;
                    return close;
                }
                self.step().await;
                self.note_exchange().await;
                actions = (actions + 1) % ACTIONS_A_TURN;
                if actions == 0 {
                    yield_now().await;
                }
            }
        }
    }

    /// Performs the session's current action.
    fn step(&mut self) -> impl Future<Output = ()> {
        async move {
            match self.session.action() {
                Action::Receive => self.receive().await,
                #[cfg(feature = "rights")]
                Action::Permit(demand) => {
                    let permit = self.observer.permit(&demand);
                    self.exchange.permit(&permit);
                    self.session.permit(permit, self.now);
                }
                Action::Reply(_) => self.reply().await,
                Action::Entry => {
                    let entry = self.exchange.entry(self.store).await;
                    self.now = self.clock.now();
                    self.session.entry(entry, self.now);
                }
                Action::SendBytes { .. } => self.send_bytes().await,
                Action::SendFile { .. } => self.send_file().await,
                Action::Hash { .. } if !self.is_unreadable => self.hash().await,
                Action::Hash { .. } | Action::Finish { .. } => self.finish().await,
                #[cfg(feature = "write")]
                Action::Commit(put) => {
                    let answer = A::commit(&mut self.exchange, self.store, &put, self.now).await;
                    self.answered(answer);
                }
                #[cfg(feature = "write")]
                Action::Wait => self.receive().await,
                #[cfg(feature = "wait")]
                Action::Watch { .. } => self.watch().await,
                // One that this version does not know.
                _ => self.session.send_failed(),
            }
        }
    }

    fn reply(&mut self) -> impl Future<Output = ()> {
        async move {
            // The request, which is large, is not kept while the store is awaited.
            let answer = {
                let Action::Reply(request) = self.session.action() else { return };
                self.observer.request(&request);
                #[cfg(feature = "manage")]
                if let Request::Do { action } = request {
                    let reply = match self.observer.perform(action) {
                        Ok(()) => Reply::Done,
                        Err(error) => Reply::Refuse(error.code()),
                    };
                    return self.session.reply(reply, self.now);
                }
                A::answer(&mut self.exchange, self.store, request, self.now)
            };
            let answer = answer.await;
            self.answered(answer);
        }
    }

    #[inline(never)]
    fn answered(&mut self, answer: Answer) {
        let reply = self.exchange.reply(answer);
        match &reply {
            Reply::File { info, .. } => self.observer.opened(info),
            #[cfg(feature = "write")]
            Reply::Stored { info } => self.observer.stored(info),
            _ => {}
        }
        self.now = self.clock.now();
        self.session.reply(reply, self.now);
    }

    async fn note_exchange(&mut self) {
        let exchanges = self.session.exchanges();
        if exchanges != self.exchanges {
            self.exchanges = exchanges;
            A::end(&mut self.exchange, self.store).await;
            self.observer.exchange(&self.session.last_exchange());
        }
    }

    fn receive(&mut self) -> impl Future<Output = ()> {
        async move {
            if self.arrived.is_empty() {
                if !self.write_out().await || !self.flush().await || !self.arrive().await {
                    return;
                }
            } else if !self.is_stopping && poll_once(self.observer.stopped()).is_ready() {
                return self.stop();
            }
            let bytes = self.receive.get(self.arrived.clone()).unwrap_or_default();
            self.session.set_time(self.store.unix_time());
            let (taken, event) = self.session.receive(bytes, self.now);
            self.arrived.start = self.arrived.start.saturating_add(taken);
            #[cfg(feature = "write")]
            if let Some(ServerEvent::Body { offset, bytes }) = event {
                let written = A::write(&mut self.exchange, self.store, offset, bytes, self.now).await;
                self.now = self.clock.now();
                match written {
                    Err(error) => self.session.store_failed(error, self.now),
                    Ok(len) => {
                        self.session.stored(len, self.now);
                        self.arrived.start = self.arrived.start.saturating_add(len);
                        self.observer.body(len);
                    }
                }
                // It may have taken as long as a sector takes to be erased.
                self.pause().await;
            }
            #[cfg(not(feature = "write"))]
            let _ = event;
        }
    }

    /// Waits for bytes; false where something else has happened before.
    fn arrive(&mut self) -> impl Future<Output = bool> {
        async move {
            let until = self.until();
            let stopped = stopped(self.observer, self.is_stopping);
            let outcome = select3(stopped, self.transport.read(self.receive), self.clock.sleep_until(until)).await;
            self.now = self.clock.now();
            match outcome {
                Either3::First(()) => self.stop(),
                Either3::Second(Ok(0)) => self.session.receive_eof(self.now),
                Either3::Second(Ok(len)) => {
                    self.arrived = 0..len.min(self.receive.len());
                    return true;
                }
                Either3::Second(Err(error)) => self.fail(error.kind()),
                Either3::Third(()) => self.expired(),
            }
            false
        }
    }

    /// The session's deadline; as late as can be where it has none.
    #[inline(never)]
    fn until(&self) -> Instant {
        self.session.deadline().map_or(Instant::from_millis(u64::MAX), |(when, _)| when)
    }

    #[inline(never)]
    fn is_closed(&self) -> bool {
        matches!(self.session.action(), Action::Close(_))
    }

    #[inline(never)]
    fn expired(&mut self) {
        self.session.handle_timeout(self.now);
    }

    #[inline(never)]
    fn file_fault(&mut self) {
        self.session.file_fault(self.now);
    }

    #[inline(never)]
    fn sent(&mut self, len: usize) {
        self.session.sent(len, self.now);
    }

    #[inline(never)]
    fn stop(&mut self) {
        self.is_stopping = true;
        self.now = self.clock.now();
        self.session.stop(self.now);
    }

    /// Handles a failed call of the transport.
    #[inline(never)]
    fn fail(&mut self, kind: ErrorKind) {
        if kind != ErrorKind::Interrupted {
            self.session.send_failed();
        }
    }

    async fn send_bytes(&mut self) {
        let Action::SendBytes { bytes, more } = self.session.action() else { return };
        if T::IS_BUFFERED {
            let until = self.until();
            let outcome = select(self.transport.write(bytes), self.clock.sleep_until(until)).await;
            self.now = self.clock.now();
            return self.wrote(outcome);
        }
        let free = self.send.get_mut(self.pending..).unwrap_or_default();
        let len = bytes.len().min(free.len());
        if let (Some(place), Some(bytes)) = (free.get_mut(..len), bytes.get(..len)) {
            place.copy_from_slice(bytes);
        }
        let may_wait = more && len == bytes.len();
        self.buffered(len, may_wait).await;
    }

    /// Handles the result of a write of what the session offers.
    #[inline(never)]
    fn wrote(&mut self, outcome: Either<Result<usize, T::Error>, ()>) {
        match outcome {
            Either::First(Ok(0)) => self.session.send_failed(),
            Either::First(Ok(len)) => {
                self.is_unflushed = true;
                self.sent(len);
            }
            Either::First(Err(error)) => self.fail(error.kind()),
            Either::Second(()) => self.expired(),
        }
    }

    /// Reports `len` bytes that were copied to the send buffer behind the pending ones as sent, after writing all where they must
    /// not wait.
    fn buffered(&mut self, len: usize, may_wait: bool) -> impl Future<Output = ()> {
        async move {
            self.pending = self.pending.saturating_add(len);
            // Written before it is reported as sent, so that the session is still in the same state if writing fails.
            if may_wait && self.pending < self.send.len() || self.write_out().await {
                self.sent(len);
            }
        }
    }

    /// Writes the pending bytes; false if the session has ended meanwhile.
    async fn write_out(&mut self) -> bool {
        let mut written = 0;
        while written < self.pending {
            let until = self.until();
            let bytes = self.send.get(written..self.pending).unwrap_or_default();
            let outcome = select(self.transport.write(bytes), self.clock.sleep_until(until)).await;
            self.now = self.clock.now();
            self.is_unflushed = true;
            match outcome {
                Either::First(Ok(len @ 1..)) => {
                    written = written.saturating_add(len);
                    self.session.progress(self.now);
                }
                Either::First(Ok(0)) => self.session.send_failed(),
                Either::First(Err(error)) => self.fail(error.kind()),
                Either::Second(()) => self.expired(),
            }
            if self.is_closed() {
                break;
            }
        }
        let is_written = written >= self.pending;
        self.pending = 0;
        is_written
    }

    /// Flushes the transport, before the session waits; false if the session has ended meanwhile.
    async fn flush(&mut self) -> bool {
        while self.is_unflushed && T::NEEDS_FLUSH {
            let until = self.until();
            let outcome = select(self.transport.flush(), self.clock.sleep_until(until)).await;
            self.now = self.clock.now();
            match outcome {
                Either::First(Ok(())) => self.is_unflushed = false,
                Either::First(Err(error)) => self.fail(error.kind()),
                Either::Second(()) => self.expired(),
            }
            if self.is_closed() {
                return false;
            }
        }
        true
    }

    fn send_file(&mut self) -> impl Future<Output = ()> {
        async move {
            if T::IS_BUFFERED && self.send_directly().await {
                return;
            }
            let Action::SendFile { offset, len, more, hash } = self.session.action() else { return };
            let free = self.send.get_mut(self.pending..).unwrap_or_default();
            let room = len.min(free.len());
            let room = free.get_mut(..room).unwrap_or_default();
            let read = self.exchange.read::<StoreError>(self.store, offset, room, hash).await;
            self.now = self.clock.now();
            match read {
                Err(_) => self.body_fault().await,
                Ok(read) => {
                    self.observer.body(read);
                    self.buffered(read, more && !T::IS_BUFFERED).await;
                }
            }
        }
    }

    /// Reads the file into the transport's buffer; false where the store has to be awaited.
    fn send_directly(&mut self) -> impl Future<Output = bool> {
        async move {
            let Action::SendFile { offset, len, hash, .. } = self.session.action() else { return true };
            let until = self.until();
            let (exchange, store) = (&mut self.exchange, &mut *self.store);
            let mut fill = move |room: &mut [u8]| {
                let len = len.min(room.len());
                let read = exchange.read_now(store, offset, room.get_mut(..len).unwrap_or_default(), hash);
                (read.and_then(Result::ok).unwrap_or(0), read)
            };
            // By reference, since each function that it passes through keeps a copy.
            let sent = self.transport.write_with(&mut fill);
            let outcome = select(sent, self.clock.sleep_until(until)).await;
            self.now = self.clock.now();
            match outcome {
                Either::Second(()) => self.wrote(Either::Second(())),
                Either::First(Err(error)) => self.wrote(Either::First(Err(error))),
                Either::First(Ok(Some(Ok(read)))) => {
                    self.observer.body(read);
                    self.wrote(Either::First(Ok(read)));
                }
                Either::First(Ok(Some(Err(_)))) => self.file_fault(),
                Either::First(Ok(None)) => return false,
            }
            true
        }
    }

    /// Ends an exchange whose file failed, after writing what there is of its response.
    async fn body_fault(&mut self) {
        if self.write_out().await {
            self.file_fault();
        }
    }

    fn finish(&mut self) -> impl Future<Output = ()> {
        async move {
            self.is_unreadable = false;
            let (from, to) = match self.session.action() {
                Action::Finish { from, to } => (from, to),
                Action::Hash { offset, .. } => (offset, offset),
                _ => return,
            };
            let finished = self.exchange.finish(self.store, from, to).await;
            self.now = self.clock.now();
            match finished {
                Ok(finished) => self.session.finished(finished, self.now),
                Err(_) => self.body_fault().await,
            }
        }
    }

    /// Hashes bytes before the header is sent.
    async fn hash(&mut self) {
        if !self.write_out().await || !self.flush().await {
            return;
        }
        let Action::Hash { offset, len } = self.session.action() else { return };
        let room = len.min(self.send.len());
        let room = self.send.get_mut(..room).unwrap_or_default();
        #[cfg(not(feature = "write"))]
        let read = self.exchange.read::<StoreError>(self.store, offset, room, true).await;
        #[cfg(feature = "write")]
        let read = A::hash(&mut self.exchange, self.store, offset, room, self.now).await;
        self.now = self.clock.now();
        match read {
            Ok(len) => self.session.hashed(len, self.now),
            #[cfg(feature = "write")]
            Err(error) if matches!(self.exchange.open, Open::Upload { .. }) => {
                self.session.store_failed(error, self.now)
            }
            Err(_) => self.is_unreadable = true,
        }
        self.pause().await;
    }

    /// Lets other tasks run.
    async fn pause(&mut self) {
        yield_now().await;
        self.now = self.clock.now();
    }

    /// Waits until the file of a request may have changed.
    #[cfg(feature = "wait")]
    async fn watch(&mut self) {
        if !self.write_out().await || !self.flush().await {
            return;
        }
        let Action::Watch { name } = self.session.action() else { return };
        // A file that is not read needs no handle.
        self.exchange.close();
        let (deadline, look) = (self.until(), self.now.after(LOOK_MS));
        let (stopped, changed) = (stopped(self.observer, self.is_stopping), self.observer.changed(name));
        let outcome = select3(stopped, changed, self.clock.sleep_until(deadline.min(look))).await;
        self.now = self.clock.now();
        match outcome {
            Either3::First(()) => self.stop(),
            Either3::Third(()) if self.until() <= self.now => self.expired(),
            Either3::Second(()) | Either3::Third(()) => self.session.look_again(self.now),
        }
    }
}
