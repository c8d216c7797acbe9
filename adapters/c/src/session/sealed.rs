//! A session whose client comes encrypted.

use coracle_core::{Action as CoreAction, CloseHow, Code, Instant, ServerSession};

use super::{BUF_LEN, Session, Step};
use crate::channel::{Channel, Progress, Records};
use crate::server::Server;
use crate::text::{CKey, key_text};
use crate::types::{Action, ActionKind, CloseReason, UNKNOWN};

/// What lies between the session and the owner of its connection, where that is encrypted.
impl Session {
    pub(crate) const fn server(&self) -> &'static Server {
        self.server
    }

    /// The client comes encrypted, or is told that it has to.
    pub(crate) fn encrypt(&mut self, channel: &'static mut Channel) {
        self.channel = Some(channel);
    }

    /// Goes on with the handshake; `None` once the session has its turn.
    pub(super) fn arrive(&mut self, now: Instant) -> Option<Action> {
        match self.channel.as_mut()?.advance(self.server) {
            Progress::Owner(action) => return Some(action),
            Progress::Session => {}
            Progress::Begin { is_encrypted, is_stopping } => {
                let is_refused = !is_encrypted && !is_stopping && !self.server.callbacks().serves_plain();
                self.begin(is_refused.then_some(Code::Encrypted), now);
                if is_stopping {
                    self.session.stop(now);
                }
            }
        }
        None
    }

    /// Begins the session anew, so that its times do.
    #[inline(never)]
    fn begin(&mut self, refused: Option<Code>, now: Instant) {
        let config = &self.server.config;
        self.session = match refused {
            None => ServerSession::new(config, [0; BUF_LEN], now),
            Some(code) => ServerSession::refusing(code, config, [0; BUF_LEN], now),
        };
    }

    /// The channel, where there is no session yet.
    pub(super) fn arriving(&mut self) -> Option<&mut Channel> {
        self.channel.as_deref_mut().filter(|channel| channel.is_arriving())
    }

    fn records(&mut self) -> Option<&mut Records> {
        self.channel.as_mut()?.records()
    }

    /// Takes bytes of a client that is not in the clear; `None` of one that is.
    pub(super) fn receive_sealed(&mut self, bytes: &[u8], now: Instant) -> Option<usize> {
        let channel = self.channel.as_mut()?;
        if channel.is_arriving() {
            return Some(channel.receive_first(bytes, self.server, now));
        }
        let records = channel.records()?;
        let taken = records.receive(bytes);
        if records.has_failed() {
            self.session.send_failed();
        }
        Some(taken)
    }

    /// Whether the session is told later, or never, that the client sends no more.
    pub(super) fn receive_sealed_eof(&mut self) -> bool {
        if let Some(channel) = self.arriving() {
            channel.receive_first_eof();
            return true;
        }
        let Some(records) = self.records() else { return false };
        records.receive_eof();
        if records.has_failed() {
            self.session.send_failed();
        }
        true
    }

    /// Passes plaintext to the session.
    pub(super) fn take_plaintext(&mut self, now: Instant) -> Step {
        let Some(channel) = self.channel.take() else { return Step::Nothing };
        let step = match channel.records() {
            Some(records) if !records.plaintext().is_empty() => {
                let taken = self.take(records.plaintext(), now);
                records.consume(taken);
                // Without one the store is at work.
                if taken == 0 { Step::Long } else { Step::Done }
            }
            _ => Step::Nothing,
        };
        self.channel = Some(channel);
        if matches!(step, Step::Nothing) { self.take_end(now) } else { step }
    }

    /// Tells the session that the client has sent all, once it has.
    pub(super) fn take_end(&mut self, now: Instant) -> Step {
        if !self.records().is_some_and(|records| records.has_ended()) {
            return Step::Nothing;
        }
        self.session.receive_eof(now);
        Step::Done
    }

    /// What the owner does for a session whose bytes are sealed: reads them.
    pub(super) fn sealed_action(&mut self, now: Instant) -> Option<Action> {
        let deadline_ms = self.session.deadline().map_or(UNKNOWN, |(when, _)| when.as_millis());
        let Self { session, channel, .. } = self;
        let records = channel.as_mut()?.records()?;
        let (len, more, deadline_ms) = match session.action() {
            CoreAction::SendBytes { bytes, more } => (bytes.len(), more, deadline_ms),
            CoreAction::SendFile { len, more, .. } => (len, more, deadline_ms),
            CoreAction::Close(close) if close.how != CloseHow::Abort => (0, false, records.ending(now)?.as_millis()),
            CoreAction::Close(close) if records.has_failed() => {
                self.end_exchange();
                return Some(Action { why: CloseReason::Record, ..Action::close(close) });
            }
            _ => return None,
        };
        Some(Action { more, len: Records::sealed_len(len), deadline_ms, ..Action::new(ActionKind::SendFile) })
    }

    /// Reads what is to be sent into one record, and returns how long that is; `None` where nothing is sealed.
    pub(super) fn read_sealed(&mut self, buf: &mut [u8], now: Instant) -> Option<usize> {
        let Self { session, exchange, server, channel, .. } = self;
        let records = channel.as_mut()?.records()?;
        let room = records.room(buf.len());
        let len = match session.action() {
            CoreAction::Close(close) if close.how != CloseHow::Abort => return Some(records.finish(buf)),
            _ if room == 0 => 0,
            CoreAction::SendBytes { bytes, .. } => {
                let len = room.min(bytes.len());
                Records::place(buf, len).copy_from_slice(bytes.get(..len).unwrap_or_default());
                len
            }
            CoreAction::SendFile { offset, len, hash, .. } => {
                let place = Records::place(buf, room.min(len));
                match exchange.read(&mut server.callbacks(), offset, place, hash) {
                    Ok(read) => read,
                    Err(_) => {
                        session.file_fault(now);
                        0
                    }
                }
            }
            _ => 0,
        };
        if len == 0 {
            return Some(0);
        }
        session.sent(len, now);
        Some(records.seal(buf, len))
    }

    /// The client's key as text; empty where it has none.
    pub(super) fn client_key(&self) -> CKey {
        let client = self.channel.as_ref().and_then(|channel| channel.client());
        client.map_or(CKey::EMPTY, |(key, _)| key_text(key))
    }
}
