//! The server's side of one connection.

mod action;
#[cfg(any(feature = "manage", feature = "rights"))]
mod actions;
#[cfg(feature = "classic")]
mod classic;
mod config;
#[cfg(feature = "rights")]
mod demand;
mod heartbeat;
mod line_ending;
#[cfg(feature = "rights")]
mod permit;
mod response;
#[cfg(feature = "rights")]
mod rights;
#[cfg(feature = "classic")]
mod selection;
mod session;
mod state;
#[cfg(not(feature = "classic"))]
mod text;
mod timers;
mod transfer;
#[cfg(feature = "write")]
mod upload;
#[cfg(feature = "write")]
mod upload_state;
#[cfg(feature = "wait")]
mod watch;
#[cfg(feature = "wait")]
mod watch_state;
mod white_space;

pub use action::{Action, Close, CloseHow, CloseReason, Exchange, Finished, Reply, Request, ServerEvent};
#[cfg(any(feature = "manage", feature = "rights"))]
pub use actions::{ActionWords, ActionWordsError};
#[cfg(feature = "classic")]
pub use config::TextPolicy;
pub use config::{ServerConfig, ServerName, ServerNameError};
#[cfg(feature = "rights")]
pub use demand::{Demand, Grant, Permit};
#[cfg(feature = "rights")]
pub use rights::{Rights, RightsError};

use session::Session;
#[cfg(feature = "wait")]
use state::State;

#[cfg(feature = "write")]
use crate::store::WriteError;
use crate::store::{Listed, StoreError};
use crate::types::time::{Instant, Timer};
use crate::wire::code::Code;

/// The server's side of one connection, as a state machine without a socket, a file or a clock.
///
/// Ask [`ServerSession::action`] what to do, do it, report how far it came, ask again. `B` is the buffer in which a
/// request is collected and replies are written, at least [`ServerSession::MIN_BUF_LEN`] bytes; its length is the
/// longest request (`maxRequest`); with `put` or `rename` it has to be longer. `[u8; 512]` makes a session without a pointer.
///
/// A report that does not match the action is a mistake of the owner: the session closes with [`CloseReason::Misuse`].
/// After the session has closed, reports change nothing. Counts are limited to what was offered.
#[derive(Debug)]
pub struct ServerSession<'c, B> {
    session: Session<'c>,
    buf: B,
}

impl<'c, B: AsRef<[u8]> + AsMut<[u8]>> ServerSession<'c, B> {
    /// The shortest buffer, and the shortest `maxRequest`, in bytes, of a server that only reads.
    pub const MIN_BUF_LEN: usize = 512;

    /// A session for a connection that was just accepted. With a `buf` that is too short the session ends at once
    /// ([`CloseReason::BufTooShort`]).
    pub fn new(config: &'c ServerConfig<'c>, buf: B, now: Instant) -> Self {
        let mut session = Session::new(config, buf.as_ref().len(), now);
        #[cfg(not(feature = "write"))]
        let least = Self::MIN_BUF_LEN;
        #[cfg(feature = "write")]
        let least = config.min_buf_len();
        if buf.as_ref().len() < least {
            session.close(CloseHow::Abort, CloseReason::BufTooShort);
        }
        Self { session, buf }
    }

    /// A session that sends the error `code` (such as [`Code::Busy`]) and then closes.
    pub fn refusing(code: Code, config: &'c ServerConfig<'c>, buf: B, now: Instant) -> Self {
        let mut this = Self::new(config, buf, now);
        this.session.refuse_connection(code, this.buf.as_mut());
        this
    }

    /// What the owner has to do next. Stays the same until something is reported.
    pub fn action(&self) -> Action<'_> {
        self.session.action(self.buf.as_ref())
    }

    /// Sets the time that `hello` tells, in seconds since 1970-01-01 00:00 UTC, until it is set again; `None`, the default,
    /// where it is not known. An owner with a clock sets it before each [`ServerSession::receive`].
    pub fn set_time(&mut self, unix_time: Option<u64>) {
        self.session.set_time(unix_time);
    }

    /// Takes received bytes. Returns how many were taken, and the event that they complete, if any. The rest has to be
    /// offered again, at the latest when [`Action::Receive`] is returned again. Takes nothing while a response is under way.
    pub fn receive<'e>(&'e mut self, bytes: &'e [u8], now: Instant) -> (usize, Option<ServerEvent<'e>>) {
        let (session, buf) = self.at(now);
        #[cfg(feature = "write")]
        if let Some((offset, len)) = session.receive_body(bytes.len()) {
            return (0, bytes.get(..len).map(|bytes| ServerEvent::Body { offset, bytes }));
        }
        let (taken, is_request) = session.receive(buf, bytes);
        (taken, if is_request { self.session.request_event(self.buf.as_ref()) } else { None })
    }

    /// The peer will send no more, and all that it sent was taken. A response under way is still sent in full.
    pub fn receive_eof(&mut self, now: Instant) {
        let (session, buf) = self.at(now);
        session.receive_eof(buf);
    }

    /// Answers [`Action::Reply`].
    #[cfg_attr(feature = "write", inline(never))]
    pub fn reply(&mut self, reply: Reply<'_>, now: Instant) {
        let (session, buf) = self.at(now);
        session.reply(buf, reply);
    }

    /// Answers [`Action::Permit`].
    #[cfg(feature = "rights")]
    pub fn permit(&mut self, permit: Permit<'_>, now: Instant) {
        let (session, buf) = self.at(now);
        session.permit(buf, permit);
    }

    /// Answers [`Action::Entry`].
    pub fn entry(&mut self, entry: Result<Listed<'_>, StoreError>, now: Instant) {
        let (session, buf) = self.at(now);
        session.entry(buf, entry);
    }

    /// The next `len` bytes of [`Action::SendBytes`] or [`Action::SendFile`] were taken by the transport, or by a bounded
    /// buffer of the owner.
    #[cfg_attr(feature = "write", inline(never))]
    pub fn sent(&mut self, len: usize, now: Instant) {
        let (session, buf) = self.at(now);
        session.sent(buf, len);
    }

    /// The transport accepted bytes that `sent` had reported before: restarts the stall timer.
    pub fn progress(&mut self, now: Instant) {
        self.at(now).0.progress();
    }

    /// The transport accepts no more bytes.
    pub fn send_failed(&mut self) {
        self.session.close(CloseHow::Abort, CloseReason::Transport);
    }

    /// The next `len` bytes of [`Action::Hash`] were hashed.
    pub fn hashed(&mut self, len: usize, now: Instant) {
        let (session, buf) = self.at(now);
        session.hashed(buf, len);
    }

    /// The store has taken the next `len` bytes of [`ServerEvent::Body`], which are taken from the input with that; 0 where it
    /// took none yet.
    #[cfg(feature = "write")]
    pub fn stored(&mut self, len: usize, now: Instant) {
        let (session, buf) = self.at(now);
        session.stored(buf, len);
    }

    /// The store does not take bytes of [`ServerEvent::Body`], or cannot read back for [`Action::Hash`] what it took.
    #[cfg(feature = "write")]
    pub fn store_failed(&mut self, error: WriteError, now: Instant) {
        let (session, buf) = self.at(now);
        session.store_failed(buf, error);
    }

    /// [`Action::Finish`] is still under way: sends a heartbeat when due.
    pub fn working(&mut self, now: Instant) {
        let (session, buf) = self.at(now);
        session.working(buf);
    }

    /// Answers [`Action::Finish`], or [`Action::Hash`] where the file cannot be read: if it has changed, that is why.
    pub fn finished(&mut self, finished: Finished, now: Instant) {
        let (session, buf) = self.at(now);
        session.finished(buf, finished);
    }

    /// Answers [`Action::Text`].
    #[cfg(feature = "classic")]
    pub fn text_seen(&mut self, now: Instant) {
        let (session, buf) = self.at(now);
        session.text_seen(buf);
    }

    /// The file cannot be read, or ends before the announced length.
    pub fn file_fault(&mut self, now: Instant) {
        let (session, buf) = self.at(now);
        session.file_fault(buf);
    }

    /// When [`ServerSession::handle_timeout`] has to be called if nothing else happens before, and the timer that expires
    /// then; `None` while no timer is running.
    pub fn deadline(&self) -> Option<(Instant, Timer)> {
        self.session.deadline()
    }

    /// Handles the timer that has expired by `now`, if any.
    pub fn handle_timeout(&mut self, now: Instant) {
        let (session, buf) = self.at(now);
        session.handle_timeout(buf);
    }

    /// Ends the session gracefully: finishes the exchange under way, then sends `shuttingDown`.
    pub fn stop(&mut self, now: Instant) {
        let (session, buf) = self.at(now);
        session.stop(buf);
    }

    /// Answers [`Action::Watch`]: the file may have changed, or its name may belong to another one. Changes nothing where the
    /// session no longer waits.
    #[cfg(feature = "wait")]
    pub fn look_again(&mut self, now: Instant) {
        self.at(now).0.look_again();
    }

    /// Answers a request that waits for its file to change as the file is, as if the time was up; one that waits for its store,
    /// with `busy`.
    #[cfg(feature = "wait")]
    pub fn end_wait(&mut self, now: Instant) {
        let (session, buf) = self.at(now);
        session.answer_at_once(buf);
    }

    /// Whether the request under way waits for its store, which was not ready ([`Reply::Pending`]), and not for its file to change.
    #[cfg(feature = "wait")]
    pub fn awaits_store(&self) -> bool {
        self.session.state == State::AwaitStore
    }

    /// Ends the session gracefully in favour of another client: finishes the exchange under way, which waits no longer for its file
    /// to change, then sends `busy`.
    #[cfg(feature = "wait")]
    pub fn give_way(&mut self, now: Instant) {
        let (session, buf) = self.at(now);
        session.give_way(buf);
    }

    /// How many exchanges have ended.
    pub fn exchanges(&self) -> u32 {
        self.session.exchanges()
    }

    /// The exchange that ended last, or the one under way before the first has ended.
    pub fn last_exchange(&self) -> Exchange {
        self.session.last_exchange()
    }

    /// The session, told of `now`, and its buffer.
    fn at(&mut self, now: Instant) -> (&mut Session<'c>, &mut [u8]) {
        self.session.see(now);
        (&mut self.session, self.buf.as_mut())
    }
}

/// Boards reserve memory by this limit; with pointers of 64 bits a session is at most a quarter larger.
const _: () = {
    let classic = if cfg!(feature = "classic") { 344 } else { 0 };
    let write = if cfg!(feature = "write") { 96 } else { 0 };
    let wait = if cfg!(feature = "wait") { 32 } else { 0 };
    let absolute = if cfg!(feature = "absolute") { 32 } else { 0 };
    assert!(size_of::<ServerSession<'static, [u8; 512]>>() <= 1024 + classic + write + wait + absolute);
};
