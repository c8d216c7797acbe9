//! A connection: its session, and what it has open in the store.
//!
//! `#[inline(never)]` is used, here and in what this calls, where tests/footprint/c shows that inlined copies cost a board more
//! flash than the calls.

#[cfg(feature = "channel")]
mod sealed;

#[cfg(feature = "write")]
use coracle_core::ServerEvent;
use coracle_core::exec::StoreExchange;
use coracle_core::{Action as CoreAction, Close, CloseHow, CloseReason, Code, Instant, ServerSession};
#[cfg(feature = "rights")]
use coracle_core::{Permit, Rights};
#[cfg(feature = "manage")]
use coracle_core::{Reply, Request};

#[cfg(feature = "channel")]
use crate::channel::Channel;
#[cfg(any(feature = "manage", feature = "rights"))]
use crate::client_types::Client;
use crate::ffi::callbacks::Callbacks;
use crate::server::Server;
use crate::types::{Action, ActionKind, UNKNOWN};

/// Length of a session's buffer, and of the longest request, in bytes.
#[cfg(not(feature = "write"))]
const BUF_LEN: usize = 512;
#[cfg(all(feature = "write", not(feature = "manage")))]
const BUF_LEN: usize = 640;
#[cfg(feature = "manage")]
const BUF_LEN: usize = 768;
/// Maximum number of steps in the store in one call, so that one connection does not delay the others.
const STEPS: usize = 16;
/// Number of bytes read at a time for a digest of bytes that are not sent.
const HASH_LEN: usize = if cfg!(feature = "std") { 8192 } else { 256 };

#[cfg(not(feature = "write"))]
type Exchange = StoreExchange<Callbacks>;
#[cfg(feature = "write")]
type Exchange = StoreExchange<Callbacks, coracle_core::exec::ReadWrite>;

/// What lies in the memory that C gives to a connection.
pub(crate) struct Session {
    session: ServerSession<'static, [u8; BUF_LEN]>,
    exchange: Exchange,
    server: &'static Server,
    #[cfg(feature = "channel")]
    channel: Option<&'static mut Channel>,
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
        Self {
            session,
            exchange,
            server,
            #[cfg(feature = "channel")]
            channel: None,
            exchanges: 0,
        }
    }

    /// Does what there is to do in the store, and returns what is left to the owner.
    pub(crate) fn poll(&mut self, now: Instant) -> Action {
        #[cfg(feature = "channel")]
        if let Some(action) = self.arrive(now) {
            return action;
        }
        for _ in 0..STEPS {
            let step = self.step(now);
            self.note_exchange();
            match step {
                Step::Done => {}
                Step::Long => break,
                Step::Nothing => return self.action(now),
            }
        }
        Action::new(ActionKind::Again)
    }

    /// Does one thing in the store.
    fn step(&mut self, now: Instant) -> Step {
        match self.session.action() {
            #[cfg(feature = "rights")]
            CoreAction::Permit(_) => self.permit(now),
            CoreAction::Reply(_) => self.reply(now),
            CoreAction::Entry => {
                let entry = self.exchange.entry(&mut self.server.callbacks());
                self.session.entry(entry, now);
            }
            CoreAction::Hash { offset, len } => {
                self.hash(offset, len, now);
                return Step::Long;
            }
            CoreAction::Finish { from, to } => match self.exchange.finish(&mut self.server.callbacks(), from, to) {
                Ok(finished) => self.session.finished(finished, now),
                Err(_) => self.session.file_fault(now),
            },
            #[cfg(feature = "write")]
            CoreAction::Commit(put) => {
                let reply = self.exchange.commit(&mut self.server.callbacks(), &put, now);
                self.session.reply(reply, now);
                return Step::Long;
            }
            #[cfg(feature = "channel")]
            CoreAction::Receive => return self.take_plaintext(now),
            #[cfg(all(feature = "channel", feature = "write"))]
            CoreAction::Wait => return self.take_end(now),
            _ => return Step::Nothing,
        }
        Step::Done
    }

    // Out of line, as `hash`: their frames are not to be beneath the other steps.
    #[inline(never)]
    fn reply(&mut self, now: Instant) {
        let CoreAction::Reply(request) = self.session.action() else { return };
        #[cfg(not(feature = "write"))]
        let reply = self.exchange.open(&mut self.server.callbacks(), &request);
        #[cfg(feature = "manage")]
        if let Request::Do { action } = request {
            let reply = match crate::store::check(self.server.callbacks().perform(&self.client(), action)) {
                Ok(()) => Reply::Done,
                Err(error) => Reply::Refuse(error.code()),
            };
            return self.session.reply(reply, now);
        }
        #[cfg(feature = "write")]
        let reply = self.exchange.answer(&mut self.server.callbacks(), &request, now);
        self.session.reply(reply, now);
    }

    /// Decides by its rights whether the client may do what it asks for.
    #[cfg(feature = "rights")]
    #[inline(never)]
    fn permit(&mut self, now: Instant) {
        let CoreAction::Permit(demand) = self.session.action() else { return };
        let client = self.client();
        #[cfg(feature = "channel")]
        let key = self.client_key();
        let permit = match self.server.callbacks().rights(&client) {
            // Words that are no rights are none.
            Some(words) => {
                let rights = words.to_str().ok().and_then(|words| Rights::new(words).ok());
                rights.map_or(Permit::Denied, |rights| rights.permit(&demand))
            }
            #[cfg(feature = "channel")]
            None if !client.key.is_null() => Permit::Unknown { key: key.as_str() },
            None => Permit::Denied,
        };
        self.exchange.permit(&permit);
        self.session.permit(permit, now);
    }

    #[cfg(any(feature = "manage", feature = "rights"))]
    fn client(&self) -> Client {
        let session = core::ptr::from_ref(self).cast();
        #[cfg(feature = "channel")]
        if let Some((key, psk)) = self.channel.as_ref().and_then(|channel| channel.client()) {
            return Client { session, key: key.as_bytes().as_ptr(), psk };
        }
        Client { session, key: core::ptr::null(), psk: 0 }
    }

    #[inline(never)]
    fn hash(&mut self, offset: u64, len: usize, now: Instant) {
        let mut buf = [0; HASH_LEN];
        let place = buf.get_mut(..len.min(HASH_LEN)).unwrap_or_default();
        #[cfg(not(feature = "write"))]
        match self.exchange.read(&mut self.server.callbacks(), offset, place, true) {
            Ok(read) => self.session.hashed(read, now),
            Err(_) => self.session.file_fault(now),
        }
        #[cfg(feature = "write")]
        match self.exchange.hash(&mut self.server.callbacks(), offset, place, now) {
            Ok(read) => self.session.hashed(read, now),
            Err(error) if self.exchange.is_upload() => self.session.store_failed(error, now),
            Err(_) => self.session.file_fault(now),
        }
    }

    /// What the owner has to do.
    fn action(&mut self, now: Instant) -> Action {
        #[cfg(feature = "channel")]
        if let Some(action) = self.sealed_action(now) {
            return action;
        }
        let _ = now; // without `channel`
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
        #[cfg(feature = "channel")]
        if let Some(taken) = self.receive_sealed(bytes, now) {
            return taken;
        }
        self.take(bytes, now)
    }

    /// Takes what a client has sent, and returns how many bytes of it.
    fn take(&mut self, bytes: &[u8], now: Instant) -> usize {
        self.session.set_time(self.server.callbacks().unix_time());
        let (taken, event) = self.session.receive(bytes, now);
        #[cfg(feature = "write")]
        if let Some(ServerEvent::Body { offset, bytes }) = event {
            return match self.exchange.write(&mut self.server.callbacks(), offset, bytes, now) {
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
        #[cfg(feature = "channel")]
        if let Some(sealed) = self.read_sealed(buf, now) {
            return sealed;
        }
        let CoreAction::SendFile { offset, len, hash, .. } = self.session.action() else { return 0 };
        let len = len.min(buf.len());
        if len == 0 {
            return 0;
        }
        match self.exchange.read(&mut self.server.callbacks(), offset, buf.get_mut(..len).unwrap_or_default(), hash) {
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

    /// The client sends no more.
    pub(crate) fn receive_eof(&mut self, now: Instant) {
        #[cfg(feature = "channel")]
        if self.receive_sealed_eof() {
            return;
        }
        self.session.receive_eof(now);
    }

    /// The next `len` bytes were sent.
    pub(crate) fn sent(&mut self, len: usize, now: Instant) {
        #[cfg(feature = "channel")]
        if let Some(channel) = self.arriving() {
            return channel.sent(len, now);
        }
        self.session.sent(len, now);
    }

    /// Handles the timer that has expired.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        #[cfg(feature = "channel")]
        if let Some(channel) = self.arriving() {
            return channel.handle_timeout(now);
        }
        self.session.handle_timeout(now);
    }

    /// Ends the session gracefully.
    pub(crate) fn stop(&mut self, now: Instant) {
        #[cfg(feature = "channel")]
        if let Some(channel) = self.arriving() {
            return channel.stop();
        }
        self.session.stop(now);
    }

    /// The session, for what needs nothing of store and channel.
    pub(crate) fn machine(&mut self) -> &mut ServerSession<'static, [u8; BUF_LEN]> {
        &mut self.session
    }

    /// Ends the session and what it has open.
    pub(crate) fn end(&mut self) {
        #[cfg(feature = "channel")]
        if let Some(channel) = self.channel.take() {
            channel.end();
        }
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
        self.exchange.end(&mut self.server.callbacks());
        #[cfg(not(feature = "write"))]
        self.exchange.close();
    }
}
