//! The server's side of one connection.

mod action;
mod config;
mod session;

pub use action::{Action, Close, CloseHow, CloseReason, Deadline, Exchange, Finished, Reply, Request};
#[cfg(feature = "classic")]
pub use config::TextPolicy;
pub use config::{ServerConfig, ServerName, ServerNameError};

use session::Session;

use crate::error::Code;
use crate::store::{Listed, StoreError};
use crate::time::Instant;

/// The server's side of one connection, as a state machine without a socket, a file or a clock.
///
/// Ask [`ServerSession::action`] what to do, do it, report how far it came, ask again. `B` is the buffer in which a
/// request is collected and replies are written, at least [`ServerSession::MIN_BUF_LEN`] bytes; its length is the
/// longest request (`maxRequest`). `[u8; 512]` makes a session without a pointer.
///
/// A report that does not fit the action is a mistake of the owner's: it changes nothing in a release build and panics
/// in a debug build. Counts are cut to what was offered.
#[derive(Debug)]
pub struct ServerSession<'c, B> {
    session: Session<'c>,
    buf: B,
}

impl<'c, B: AsRef<[u8]> + AsMut<[u8]>> ServerSession<'c, B> {
    /// The shortest buffer, and the shortest `maxRequest`, in bytes.
    pub const MIN_BUF_LEN: usize = 512;

    /// A session for a connection that was just accepted. With a `buf` that is too short the session ends at once
    /// ([`CloseReason::BufTooShort`]).
    pub fn new(config: &'c ServerConfig<'c>, buf: B, now: Instant) -> Self {
        let mut session = Session::new(config, now);
        if buf.as_ref().len() < Self::MIN_BUF_LEN {
            session.close(CloseHow::Abort, CloseReason::BufTooShort);
        }
        Self { session, buf }
    }

    /// A session that tells the error `code` ([`Code::Busy`], say), and then closes.
    pub fn refusing(code: Code, config: &'c ServerConfig<'c>, buf: B, now: Instant) -> Self {
        let mut this = Self::new(config, buf, now);
        this.session.refuse_connection(code, this.buf.as_mut());
        this
    }

    /// What the owner has to do next. Asked again without a report, the answer is the same.
    pub fn action(&self) -> Action<'_> {
        self.session.action(self.buf.as_ref())
    }

    /// Takes bytes that arrived, and returns how many. The rest is to be offered again: at the latest when
    /// [`Action::Receive`] comes up again. While an answer is under way nothing is taken.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) -> usize {
        self.session.receive(self.buf.as_mut(), bytes, now)
    }

    /// The peer sends no more, and all that it sent was taken. What was asked is still answered in full.
    pub fn receive_eof(&mut self, now: Instant) {
        self.session.receive_eof(self.buf.as_mut(), now);
    }

    /// Answers [`Action::Reply`].
    pub fn reply(&mut self, reply: Reply<'_>, now: Instant) {
        self.session.reply(self.buf.as_mut(), reply, now);
    }

    /// Answers [`Action::Entry`].
    pub fn entry(&mut self, entry: Result<Listed<'_>, StoreError>, now: Instant) {
        self.session.entry(self.buf.as_mut(), entry, now);
    }

    /// The owner answers for the next `len` bytes of [`Action::SendBytes`] or [`Action::SendFile`]: the transport has
    /// them, or the owner's own bounded buffer.
    pub fn sent(&mut self, len: usize, now: Instant) {
        self.session.sent(self.buf.as_mut(), len, now);
    }

    /// The transport accepted bytes that were reported by `sent` before: the stall deadline begins anew.
    pub fn progress(&mut self, now: Instant) {
        self.session.progress(now);
    }

    /// The transport does not take bytes any more.
    pub fn send_failed(&mut self) {
        self.session.close(CloseHow::Abort, CloseReason::Transport);
    }

    /// The next `len` bytes of [`Action::Hash`] are hashed.
    pub fn hashed(&mut self, len: usize, now: Instant) {
        self.session.hashed(self.buf.as_mut(), len, now);
    }

    /// [`Action::Finish`] takes its time: lets a sign of life out when one is due.
    pub fn working(&mut self, now: Instant) {
        self.session.working(now);
    }

    /// Answers [`Action::Finish`].
    pub fn finished(&mut self, finished: Finished, now: Instant) {
        self.session.finished(self.buf.as_mut(), finished, now);
    }

    /// Answers [`Action::Text`].
    #[cfg(feature = "classic")]
    pub fn text_seen(&mut self, now: Instant) {
        self.session.text_seen(self.buf.as_mut(), now);
    }

    /// The file cannot be read, or ends before what was announced.
    pub fn file_fault(&mut self, now: Instant) {
        self.session.file_fault(self.buf.as_mut(), now);
    }

    /// The moment at which [`ServerSession::handle_timeout`] has to be called if nothing else happens before.
    pub fn deadline(&self) -> Option<(Instant, Deadline)> {
        self.session.deadline()
    }

    /// Does what the deadline asks for, if it has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.session.handle_timeout(self.buf.as_mut(), now);
    }

    /// Ends the session in good order: an exchange under way is finished, then `shuttingDown` is told.
    pub fn stop(&mut self, now: Instant) {
        self.session.stop(self.buf.as_mut(), now);
    }

    /// How many exchanges have ended.
    pub fn exchanges(&self) -> u32 {
        self.session.exchanges()
    }

    /// The exchange that ended last, or the one under way before the first has ended.
    pub fn last_exchange(&self) -> Exchange {
        self.session.last_exchange()
    }
}

/// A board counts on this.
#[cfg(target_pointer_width = "32")]
const _: () = {
    let classic = if cfg!(feature = "classic") { 336 } else { 0 };
    assert!(size_of::<ServerSession<'static, [u8; 512]>>() <= 1024 + classic);
};
