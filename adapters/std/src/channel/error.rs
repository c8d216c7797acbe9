//! Why a channel was not made, or ended.

use std::fmt;
use std::io;

use coracle_channel::{HandshakeError, PublicKey, RecordError};
use embedded_io::ErrorKind;

use crate::local::Escaped;

/// Error of a [`ChannelTransport`](super::ChannelTransport) around a transport whose errors are `E`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelError<E> {
    /// The enclosed transport failed.
    Transport(E),
    /// What was received is not what the peer sent.
    Record(RecordError),
    /// This direction has ended: nothing more can be sent.
    Ended,
    /// The enclosed transport takes nothing more.
    WriteZero,
    /// The time for it was over, though bytes came.
    TimedOut,
}

impl<E: fmt::Display> fmt::Display for ChannelError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::Record(error) => error.fmt(f),
            Self::Ended => f.write_str("the channel has ended"),
            Self::WriteZero => f.write_str("the connection takes no more bytes"),
            Self::TimedOut => f.write_str("the time for it was over"),
        }
    }
}

impl<E: fmt::Display + fmt::Debug> std::error::Error for ChannelError<E> {}

impl<E: embedded_io::Error> embedded_io::Error for ChannelError<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Transport(error) => error.kind(),
            Self::Record(RecordError::Truncated) => ErrorKind::ConnectionAborted,
            Self::Record(_) => ErrorKind::InvalidData,
            Self::Ended => ErrorKind::BrokenPipe,
            Self::WriteZero => ErrorKind::WriteZero,
            Self::TimedOut => ErrorKind::TimedOut,
        }
    }
}

/// A handshake that came to nothing. The connection is to be closed without a byte.
#[derive(Debug)]
#[non_exhaustive]
pub struct HandshakeFailure<E> {
    /// The message that was awaited, or made: 1, 2 or 3.
    pub message: u8,
    /// What went wrong.
    pub cause: HandshakeCause<E>,
    /// What a client received in place of message 2: the plain line of a server that is busy or shutting down, perhaps. It is
    /// not authenticated.
    pub received: Vec<u8>,
}

/// What went wrong in a handshake.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandshakeCause<E> {
    /// The peer does not follow the protocol, or has another pre-shared key.
    Handshake(HandshakeError),
    /// The time for it was over.
    TimedOut,
    /// The transport failed.
    Transport(E),
    /// The server is not the one that is meant: this is its key.
    OtherServer(PublicKey),
    /// The operating system gave no random bytes.
    Entropy(io::Error),
}

impl<E: embedded_io::Error> HandshakeFailure<E> {
    /// Whether the server reset the connection in place of message 2: it has no place, or turns this address away for a while.
    pub fn is_reset(&self) -> bool {
        match &self.cause {
            HandshakeCause::Transport(error) => {
                self.message == 2 && matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
            }
            _ => false,
        }
    }
}

impl<E> HandshakeFailure<E> {
    /// Whether the server closed the connection in place of message 2: it has another pre-shared key, perhaps.
    pub const fn is_unanswered(&self) -> bool {
        self.message == 2 && matches!(self.cause, HandshakeCause::Handshake(HandshakeError::Closed))
    }
}

impl<E: embedded_io::Error> fmt::Display for HandshakeFailure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            HandshakeCause::Transport(_) if self.is_reset() => f.write_str(
                "message 1 of the handshake was answered by a reset: a server without a place, one that turns this address away for \
                 a while, or another program",
            ),
            _ if self.is_unanswered() => f.write_str(
                "message 1 of the handshake was not answered: another pre-shared key, a server without encryption, or another \
                 program",
            ),
            HandshakeCause::TimedOut if self.message == 2 => f.write_str(
                "message 1 of the handshake was not answered in time: a server that is busy or gone, or another program",
            ),
            HandshakeCause::Handshake(HandshakeError::Authentication) if self.message == 2 => f.write_str(
                "message 2 of the handshake is not the server's, or was changed on the way: somebody may be in between",
            ),
            HandshakeCause::Handshake(HandshakeError::NotEncrypted) if !self.received.is_empty() => write!(
                f,
                "message 1 of the handshake was answered in plain, by a server without encryption or another program, and \
                 nobody has authenticated it: {}",
                Escaped(String::from_utf8_lossy(&self.received).trim_end())
            ),
            HandshakeCause::Handshake(error) => write!(f, "message {} of the handshake: {error}", self.message),
            HandshakeCause::TimedOut => write!(f, "message {} of the handshake did not come in time", self.message),
            HandshakeCause::Transport(error) => write!(f, "message {} of the handshake did not come: {error}", self.message),
            HandshakeCause::OtherServer(key) => write!(f, "another server answers: its key is {key}"),
            HandshakeCause::Entropy(error) => write!(f, "the system gives no random bytes: {error}"),
        }
    }
}

impl<E: embedded_io::Error> std::error::Error for HandshakeFailure<E> {}
