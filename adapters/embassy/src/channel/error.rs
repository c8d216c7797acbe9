//! What goes wrong with a channel.

use core::fmt;

use coracle_channel::{HandshakeError, PublicKey, RecordError};
use embedded_io_async::ErrorKind;

/// Error of a [`ChannelTransport`](super::ChannelTransport). The connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelError<E> {
    /// The transport failed.
    Transport(E),
    /// What arrived was changed on its way, or is not all that the peer has sent.
    Record(RecordError),
    /// What is sent has ended.
    Ended,
}

/// Why a handshake came to nothing. The connection is to be closed without a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum HandshakeFailure {
    /// The peer does not follow the protocol, or has another pre-shared key.
    Failed(#[cfg_attr(feature = "defmt", defmt(Display2Format))] HandshakeError),
    /// The peer did not go on in time.
    TimedOut,
    /// The transport failed.
    Transport,
    /// There is no static key, or no entropy.
    NoKeys,
}

/// Why a client has no channel. The connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// The handshake failed. With [`HandshakeError::NotEncrypted`] the server has answered in plain: it has no place, or no keys.
    Handshake(HandshakeFailure),
    /// The server has this key, and is not the one that is meant.
    OtherServer(PublicKey),
}

impl<E: embedded_io_async::Error> embedded_io_async::Error for ChannelError<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Transport(error) => error.kind(),
            Self::Record(_) => ErrorKind::InvalidData,
            Self::Ended => ErrorKind::BrokenPipe,
        }
    }
}

impl<E: fmt::Display> fmt::Display for ChannelError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::Record(error) => error.fmt(f),
            Self::Ended => f.write_str("what is sent has ended"),
        }
    }
}

impl fmt::Display for HandshakeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::TimedOut => f.write_str("the handshake took too long"),
            Self::Transport => f.write_str("the connection broke in the handshake"),
            Self::NoKeys => f.write_str("there is no key, or no entropy"),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(failure) => failure.fmt(f),
            Self::OtherServer(key) => write!(f, "this is {key}, another server"),
        }
    }
}

impl<E: fmt::Display + fmt::Debug> core::error::Error for ChannelError<E> {}
impl core::error::Error for HandshakeFailure {}
impl core::error::Error for ConnectError {}

impl From<HandshakeFailure> for ConnectError {
    fn from(failure: HandshakeFailure) -> Self {
        Self::Handshake(failure)
    }
}

impl From<HandshakeError> for HandshakeFailure {
    fn from(error: HandshakeError) -> Self {
        Self::Failed(error)
    }
}
