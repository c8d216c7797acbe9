//! A client that has connected, until it is known whether it speaks encrypted.

use coracle_channel::{HandshakeError, ServerHandshake};
use coracle_core::{Close, CloseHow, CloseReason, Instant, ServerConfig};
use smoltcp::socket::tcp;

use super::answered::{Answered, FirstId};
use super::keys::HandshakeFailure;
use crate::observer::DisconnectReason;

/// A client without a session.
pub(crate) struct Arrival {
    connected: Instant,
    pub(super) stage: Stage,
}

/// How far its handshake is.
#[derive(Clone, Copy)]
pub(super) enum Stage {
    /// No byte has arrived.
    Silent,
    /// A part of message 1 has.
    Begun(Instant),
    /// All of it has, first at this time.
    Whole(Instant),
    /// The handshake computes.
    Computing,
    /// It waits for message 3.
    Answered(Instant),
}

/// What a client that is not in a handshake needs.
pub(super) enum Look {
    /// To be looked at again at this time.
    Wait(Option<Instant>),
    /// A handshake, which could have begun at this time.
    Handshake(Instant, FirstId),
    /// A session in plain.
    Plain,
    /// To be disconnected.
    Over(CloseHow, DisconnectReason),
}

impl Arrival {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { connected: now, stage: Stage::Silent }
    }

    /// Since when it has kept others waiting without a word.
    pub(crate) fn silent_since(&self) -> Option<Instant> {
        match self.stage {
            Stage::Silent | Stage::Begun(_) => Some(self.connected),
            Stage::Answered(at) => Some(at),
            Stage::Whole(_) | Stage::Computing => None,
        }
    }

    /// Whether message 2 is under way or has left: nothing is said in plain any more.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(self.stage, Stage::Answered(_))
    }

    /// Looks at the first bytes, and takes none.
    pub(super) fn look(
        &mut self,
        socket: &mut tcp::Socket<'_>,
        config: &ServerConfig<'_>,
        answered: &mut Answered,
        now: Instant,
    ) -> Look {
        if !socket.is_open() {
            return over(CloseHow::Abort, CloseReason::Transport);
        }
        let (has_ended, is_closing) = (!socket.may_recv(), socket.state() == tcp::State::CloseWait);
        let bytes = socket.peek(ServerHandshake::FIRST_LEN).unwrap_or_default();
        if bytes.is_empty() {
            if has_ended {
                return over(CloseHow::Finish, CloseReason::Done);
            }
            return match self.expiry(self.connected, config.idle_ms()) {
                Some(at) if at <= now => over(CloseHow::Finish, CloseReason::Idle),
                at => Look::Wait(at),
            };
        }
        match (ServerHandshake::has_first(bytes), self.stage) {
            (Ok(true), stage) => {
                let first = FirstId::new(bytes);
                if answered.is_repeated(first) {
                    // At once, since its sender would keep the socket for as long as it could.
                    return Look::Over(CloseHow::Abort, DisconnectReason::Handshake(HandshakeFailure::Repeated));
                }
                let since = if let Stage::Whole(since) = stage { since } else { now };
                self.stage = Stage::Whole(since);
                Look::Handshake(since, first)
            }
            (Ok(false), _) if is_closing => failed(HandshakeFailure::Failed(HandshakeError::Closed)),
            (Ok(false), stage) => {
                let since = if let Stage::Begun(since) = stage { since } else { now };
                self.stage = Stage::Begun(since);
                match self.expiry(since, config.request_ms()) {
                    Some(at) if at <= now => failed(HandshakeFailure::TimedOut),
                    at => Look::Wait(at),
                }
            }
            (Err(HandshakeError::NotEncrypted), _) => Look::Plain,
            (Err(error), _) => failed(HandshakeFailure::Failed(error)),
        }
    }

    fn expiry(&self, since: Instant, after_ms: u32) -> Option<Instant> {
        (after_ms > 0).then(|| since.after(after_ms.into()))
    }
}

fn over(how: CloseHow, why: CloseReason) -> Look {
    Look::Over(how, DisconnectReason::Closed(Close::new(how, why)))
}

fn failed(why: HandshakeFailure) -> Look {
    Look::Over(CloseHow::Finish, DisconnectReason::Handshake(why))
}
