//! Why the handshake of an encrypted connection failed.

use std::fmt;

use crate::channel::{HandshakeCause, HandshakeError, HandshakeFailure};
use crate::transport::TransportError;

/// Why a handshake failed, on the side of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeFault {
    /// The message that was awaited, or made: 1, 2 or 3.
    message: u8,
    cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Handshake(HandshakeError),
    TimedOut,
    Lost,
    Entropy,
}

impl HandshakeFault {
    pub(super) const fn new(failure: &HandshakeFailure<TransportError>) -> Self {
        let cause = match failure.cause {
            HandshakeCause::Handshake(error) => Cause::Handshake(error),
            HandshakeCause::TimedOut => Cause::TimedOut,
            HandshakeCause::Entropy(_) => Cause::Entropy,
            HandshakeCause::Transport(_) | HandshakeCause::OtherServer(_) => Cause::Lost,
        };
        Self { message: failure.message, cause }
    }

    /// The message of the client that was wrong or did not come, or the server's that could not be sent: 1, 2 or 3.
    #[must_use]
    pub const fn message(&self) -> u8 {
        self.message
    }

    /// Whether it counts against the client's address: another pre-shared key, or a handshake that was left without message 3.
    pub(super) fn is_suspicious(&self) -> bool {
        self.message > 1 && self.cause != Cause::Entropy
            || self.cause == Cause::Handshake(HandshakeError::Authentication)
    }

    /// One word for metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self.cause {
            Cause::Entropy => "fault",
            Cause::Handshake(HandshakeError::Authentication) if self.message == 1 => "otherPsk",
            Cause::Handshake(HandshakeError::Authentication) => "altered",
            Cause::Handshake(HandshakeError::Closed) | Cause::TimedOut | Cause::Lost if self.message > 1 => "left",
            Cause::Handshake(HandshakeError::Closed) | Cause::Lost => "lost",
            Cause::TimedOut => "timeout",
            Cause::Handshake(_) => "malformed",
        }
    }
}

impl fmt::Display for HandshakeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {}: ", self.message)?;
        match self.cause {
            Cause::Handshake(error) => error.fmt(f),
            Cause::TimedOut => f.write_str("it did not come in time"),
            Cause::Lost => f.write_str("the connection failed"),
            Cause::Entropy => f.write_str("this system gives no random bytes"),
        }
    }
}
