//! The transport of a served connection: its socket, or the encrypted channel over that.

use coracle_core::Store;
use coracle_core::blocking::{SendFile, SendFileError, Transport};
#[cfg(feature = "channel")]
use embedded_io::Error as _;
use embedded_io::{ErrorKind, ErrorType, Read, Write};
use socket2::Socket;

#[cfg(feature = "channel")]
use super::entry::{ConnectionEntry, ForcedClose};
#[cfg(feature = "channel")]
use crate::channel::{ChannelError, ChannelTransport, RecordError};
use crate::transport::{KernelFile, TcpTransport};

/// How long the end of a channel may take to leave.
#[cfg(feature = "channel")]
const END_MS: u64 = 2_000;

/// What a session is served over.
pub(super) enum ServerTransport<'b> {
    Plain(TcpTransport<&'b Socket>),
    #[cfg(feature = "channel")]
    Sealed(Box<SealedTransport<'b>>),
}

/// A channel, and the connection that it belongs to.
#[cfg(feature = "channel")]
pub(super) struct SealedTransport<'b> {
    pub channel: ChannelTransport<TcpTransport<&'b Socket>>,
    pub entry: &'b ConnectionEntry,
    /// What was wrong with what arrived.
    pub fault: Option<RecordError>,
}

/// Error of a [`ServerTransport`]: its kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerTransportError(ErrorKind);

impl<'b> ServerTransport<'b> {
    pub(super) const fn tcp(&self) -> &TcpTransport<&'b Socket> {
        match self {
            Self::Plain(transport) => transport,
            #[cfg(feature = "channel")]
            Self::Sealed(sealed) => sealed.channel.inner(),
        }
    }

    /// Tells the peer that nothing is missing, where there is a channel.
    pub(super) fn end(&mut self) {
        #[cfg(feature = "channel")]
        if let Self::Sealed(sealed) = self {
            let is_limited = sealed.channel.limit_wait(Some(END_MS)).is_ok();
            // Who takes no more bytes sees that something is missing.
            let _ = is_limited && sealed.channel.finish().is_ok();
        }
    }

    /// Whether the connection was cut off, or changed, on its way.
    #[cfg(feature = "channel")]
    pub(super) const fn fault(&self) -> Option<RecordError> {
        match self {
            Self::Plain(_) => None,
            Self::Sealed(sealed) => sealed.fault,
        }
    }
}

#[cfg(feature = "channel")]
impl SealedTransport<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ServerTransportError> {
        self.channel.read(buf).or_else(|error| {
            // A server that is stopping shuts down the input to wake its threads.
            let is_stopping = self.entry.forced_close() == Some(ForcedClose::Stopping);
            match error {
                ChannelError::Record(RecordError::Truncated) if is_stopping => Ok(0),
                ChannelError::Record(fault) => {
                    self.fault = Some(fault);
                    Err(ServerTransportError(error.kind()))
                }
                _ => Err(ServerTransportError(error.kind())),
            }
        })
    }
}

impl std::fmt::Display for ServerTransportError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ServerTransportError {}

impl embedded_io::Error for ServerTransportError {
    fn kind(&self) -> ErrorKind {
        self.0
    }
}

fn failed(error: impl embedded_io::Error) -> ServerTransportError {
    ServerTransportError(error.kind())
}

impl ErrorType for ServerTransport<'_> {
    type Error = ServerTransportError;
}

impl Read for ServerTransport<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ServerTransportError> {
        match self {
            Self::Plain(transport) => transport.read(buf).map_err(failed),
            #[cfg(feature = "channel")]
            Self::Sealed(sealed) => sealed.read(buf),
        }
    }
}

impl Write for ServerTransport<'_> {
    fn write(&mut self, buf: &[u8]) -> Result<usize, ServerTransportError> {
        self.write_part(buf, false)
    }

    fn flush(&mut self) -> Result<(), ServerTransportError> {
        match self {
            Self::Plain(transport) => transport.flush().map_err(failed),
            #[cfg(feature = "channel")]
            Self::Sealed(sealed) => sealed.channel.flush().map_err(failed),
        }
    }
}

impl Transport for ServerTransport<'_> {
    fn limit_wait(&mut self, limit_ms: Option<u64>) -> Result<(), ServerTransportError> {
        match self {
            Self::Plain(transport) => transport.limit_wait(limit_ms).map_err(failed),
            #[cfg(feature = "channel")]
            Self::Sealed(sealed) => sealed.channel.limit_wait(limit_ms).map_err(failed),
        }
    }

    fn write_part(&mut self, bytes: &[u8], more: bool) -> Result<usize, ServerTransportError> {
        match self {
            Self::Plain(transport) => transport.write_part(bytes, more).map_err(failed),
            #[cfg(feature = "channel")]
            Self::Sealed(sealed) => sealed.channel.write_part(bytes, more).map_err(failed),
        }
    }
}

impl<S: Store> SendFile<S> for ServerTransport<'_>
where
    S::File: KernelFile,
{
    fn send_file(
        &mut self,
        store: &mut S,
        file: &mut S::File,
        offset: u64,
        len: usize,
        more: bool,
    ) -> Option<Result<usize, SendFileError<ServerTransportError>>> {
        match self {
            Self::Plain(transport) => {
                let sent = transport.send_file(store, file, offset, len, more)?;
                Some(sent.map_err(|error| match error {
                    SendFileError::Transport(error) => SendFileError::Transport(failed(error)),
                    SendFileError::File => SendFileError::File,
                }))
            }
            // No byte leaves without being sealed.
            #[cfg(feature = "channel")]
            Self::Sealed(_) => None,
        }
    }
}
