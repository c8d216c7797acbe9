//! A server, and one of its connections: the session and what it has open in the store.
//!
//! `#[inline(never)]` is used, here and in what this calls, where tests/footprint/c shows that inlined copies cost a board more
//! flash than the calls.

use core::num::NonZeroU32;

use coracle_core::exec::StoreExchange;
use coracle_core::{
    Action as CoreAction, Close, CloseHow, CloseReason, Code, Instant, ServerConfig, ServerName, ServerSession,
};
#[cfg(feature = "write")]
use coracle_core::{RequestKind, ServerEvent};

use crate::ffi::callbacks::Callbacks;
use crate::types::{Action, ActionKind, Config, UNKNOWN};

/// Length of a session's buffer, and of the longest request, in bytes.
#[cfg(not(feature = "write"))]
const BUF_LEN: usize = 512;
#[cfg(feature = "write")]
const BUF_LEN: usize = 640;
/// Maximum number of steps in the store in one call, so that one connection does not delay the others.
const STEPS: usize = 16;
/// Number of bytes read at a time for a digest of bytes that are not sent.
const HASH_LEN: usize = if cfg!(feature = "std") { 8192 } else { 256 };

#[cfg(not(feature = "write"))]
type Exchange = StoreExchange<Callbacks>;
#[cfg(feature = "write")]
type Exchange = StoreExchange<Callbacks, coracle_core::exec::ReadWrite>;

/// Settings and store, shared by the sessions.
pub(crate) struct Server {
    pub(crate) config: ServerConfig<'static>,
    pub(crate) callbacks: Callbacks,
}

/// What lies in the memory that C gives to a connection.
pub(crate) struct Session {
    session: ServerSession<'static, [u8; BUF_LEN]>,
    exchange: Exchange,
    callbacks: Callbacks,
    /// How many exchanges were noticed to have ended.
    exchanges: u32,
}

/// Result of one step in the store.
enum Step {
    Done,
    /// It has taken a while: the time is to be asked for again, and others are to have their turn.
    Long,
    /// There is none: the rest is the owner's.
    Nothing,
}

impl Server {
    pub(crate) fn new(config: &Config, name: ServerName<'static>, callbacks: Callbacks) -> Self {
        let at_least_1 = |bytes| NonZeroU32::new(bytes).unwrap_or(NonZeroU32::MIN);
        let settings = ServerConfig::new()
            .with_name(name)
            .with_chunk_size(at_least_1(config.chunk_size))
            .with_send_max(at_least_1(config.send_max))
            .with_idle_ms(config.idle_ms)
            .with_request_ms(config.request_ms)
            .with_stall_ms(config.stall_ms)
            .with_min_rate(config.min_rate)
            .with_busy_retry_ms(config.busy_retry_ms)
            .with_stop_retry_ms(config.stop_retry_ms);
        #[cfg(feature = "wait")]
        let settings = settings.with_wait_max_ms(config.wait_max_ms);
        Self { config: settings, callbacks }
    }

    #[cfg(feature = "write")]
    pub(crate) fn set_writer(&mut self, callbacks: Callbacks, can_delete: bool) {
        self.callbacks = callbacks;
        self.config = self.config.with_offered(RequestKind::Put);
        if can_delete {
            self.config = self.config.with_offered(RequestKind::Delete);
        }
    }
}

impl Session {
    // Inlined, as `refusing`, so that it is built where it is to lie.
    #[inline(always)]
    pub(crate) fn new(server: &'static Server, now: Instant) -> Self {
        Self::of(ServerSession::new(&server.config, [0; BUF_LEN], now), server)
    }

    /// Tells the client that the server is busy, or stopping.
    #[inline(always)]
    pub(crate) fn refusing(server: &'static Server, code: Code, now: Instant) -> Self {
        Self::of(ServerSession::refusing(code, &server.config, [0; BUF_LEN], now), server)
    }

    #[inline(always)]
    fn of(session: ServerSession<'static, [u8; BUF_LEN]>, server: &'static Server) -> Self {
        #[cfg(not(feature = "write"))]
        let exchange = Exchange::new();
        #[cfg(feature = "write")]
        let exchange = Exchange::writable();
        Self { session, exchange, callbacks: server.callbacks, exchanges: 0 }
    }

    /// Does what there is to do in the store, and returns what is left to the owner.
    pub(crate) fn poll(&mut self, now: Instant) -> Action {
        for _ in 0..STEPS {
            let step = self.step(now);
            self.note_exchange();
            match step {
                Step::Done => {}
                Step::Long => break,
                Step::Nothing => return self.action(),
            }
        }
        Action::new(ActionKind::Again)
    }

    /// Does one thing in the store.
    fn step(&mut self, now: Instant) -> Step {
        match self.session.action() {
            CoreAction::Reply(_) => self.reply(now),
            CoreAction::Entry => {
                let entry = self.exchange.entry(&mut self.callbacks);
                self.session.entry(entry, now);
            }
            CoreAction::Hash { offset, len } => {
                self.hash(offset, len, now);
                return Step::Long;
            }
            CoreAction::Finish { from, to } => match self.exchange.finish(&mut self.callbacks, from, to) {
                Ok(finished) => self.session.finished(finished, now),
                Err(_) => self.session.file_fault(now),
            },
            #[cfg(feature = "write")]
            CoreAction::Commit(put) => {
                let reply = self.exchange.commit(&mut self.callbacks, &put, now);
                self.session.reply(reply, now);
                return Step::Long;
            }
            _ => return Step::Nothing,
        }
        Step::Done
    }

    // Out of line, as `hash`: their frames are not to be beneath the other steps.
    #[inline(never)]
    fn reply(&mut self, now: Instant) {
        let CoreAction::Reply(request) = self.session.action() else { return };
        #[cfg(not(feature = "write"))]
        let reply = self.exchange.open(&mut self.callbacks, &request);
        #[cfg(feature = "write")]
        let reply = self.exchange.answer(&mut self.callbacks, &request, now);
        self.session.reply(reply, now);
    }

    #[inline(never)]
    fn hash(&mut self, offset: u64, len: usize, now: Instant) {
        let mut buf = [0; HASH_LEN];
        let place = buf.get_mut(..len.min(HASH_LEN)).unwrap_or_default();
        #[cfg(not(feature = "write"))]
        match self.exchange.read(&mut self.callbacks, offset, place, true) {
            Ok(read) => self.session.hashed(read, now),
            Err(_) => self.session.file_fault(now),
        }
        #[cfg(feature = "write")]
        match self.exchange.hash(&mut self.callbacks, offset, place, now) {
            Ok(read) => self.session.hashed(read, now),
            Err(error) if self.exchange.is_upload() => self.session.store_failed(error, now),
            Err(_) => self.session.file_fault(now),
        }
    }

    /// What the owner has to do.
    fn action(&mut self) -> Action {
        let deadline_ms = self.session.deadline().map_or(UNKNOWN, |(when, _)| when.as_millis());
        let action = match self.session.action() {
            CoreAction::Receive => Action::new(ActionKind::Receive),
            #[cfg(feature = "write")]
            CoreAction::Wait => Action::new(ActionKind::Receive),
            CoreAction::SendBytes { bytes, more } => {
                Action { more, len: bytes.len(), bytes: bytes.as_ptr(), ..Action::new(ActionKind::SendBytes) }
            }
            CoreAction::SendFile { len, more, .. } => Action { more, len, ..Action::new(ActionKind::SendFile) },
            #[cfg(feature = "wait")]
            CoreAction::Watch { name } => {
                let name = name.as_str();
                let action = Action { len: name.len(), bytes: name.as_ptr(), ..Action::new(ActionKind::Watch) };
                // A file that is not read needs no handle.
                self.exchange.close();
                action
            }
            CoreAction::Close(close) => {
                self.end_exchange();
                Action::close(close)
            }
            // An action of a newer core that this version does not know.
            _ => Action::close(Close::new(CloseHow::Abort, CloseReason::Misuse)),
        };
        Action { deadline_ms, ..action }
    }

    /// Takes received bytes, and returns how many.
    pub(crate) fn receive(&mut self, bytes: &[u8], now: Instant) -> usize {
        self.session.set_time(self.callbacks.unix_time());
        let (taken, event) = self.session.receive(bytes, now);
        #[cfg(feature = "write")]
        if let Some(ServerEvent::Body { offset, bytes }) = event {
            return match self.exchange.write(&mut self.callbacks, offset, bytes, now) {
                Ok(len) => {
                    self.session.stored(len, now);
                    taken.saturating_add(len)
                }
                Err(error) => {
                    self.session.store_failed(error, now);
                    taken
                }
            };
        }
        let _ = event; // without `write`, or with it a request
        taken
    }

    /// Reads bytes of the file that are to be sent, and returns how many.
    pub(crate) fn read(&mut self, buf: &mut [u8], now: Instant) -> usize {
        let CoreAction::SendFile { offset, len, hash, .. } = self.session.action() else { return 0 };
        let len = len.min(buf.len());
        if len == 0 {
            return 0;
        }
        match self.exchange.read(&mut self.callbacks, offset, buf.get_mut(..len).unwrap_or_default(), hash) {
            Ok(read) => {
                self.session.sent(read, now);
                read
            }
            Err(_) => {
                self.session.file_fault(now);
                0
            }
        }
    }

    /// The session, for what needs nothing of the store.
    pub(crate) fn machine(&mut self) -> &mut ServerSession<'static, [u8; BUF_LEN]> {
        &mut self.session
    }

    /// Ends the session and what it has open.
    pub(crate) fn end(&mut self) {
        self.session.send_failed();
        self.end_exchange();
    }

    fn note_exchange(&mut self) {
        let exchanges = self.session.exchanges();
        if exchanges != self.exchanges {
            self.exchanges = exchanges;
            self.end_exchange();
        }
    }

    #[inline(never)]
    fn end_exchange(&mut self) {
        #[cfg(feature = "write")]
        self.exchange.end(&mut self.callbacks);
        #[cfg(not(feature = "write"))]
        self.exchange.close();
    }
}
