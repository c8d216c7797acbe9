//! The transport of a served connection: its socket, or the encrypted channel over that.

use std::borrow::Borrow;
use std::io;
use std::sync::Arc;

use coracle_core::Store;
use coracle_core::blocking::{SendFile, SendFileError, Transport};
#[cfg(feature = "channel")]
use embedded_io::Error as _;
use embedded_io::{ErrorKind, ErrorType, Read, Write};
use socket2::Socket;

use super::entry::ConnectionEntry;
#[cfg(feature = "channel")]
use super::entry::ForcedClose;
#[cfg(feature = "channel")]
use crate::channel::{ChannelError, ChannelTransport, RecordError};
use crate::sys;
use crate::transport::{KernelFile, TcpTransport};

/// How long the end of a channel may take to leave.
#[cfg(feature = "channel")]
const END_MS: u64 = 2_000;

/// The socket of a connection, with what the registry knows of it.
#[derive(Clone, Debug)]
pub(super) struct ClientSocket(pub Arc<ConnectionEntry>);

/// What a session is served over.
pub(super) struct ServerTransport {
    over: Over,
    /// Whether the driver returns where it would wait for the client.
    pub may_rest: bool,
}

enum Over {
    Plain(TcpTransport<ClientSocket>),
    #[cfg(feature = "channel")]
    Sealed(Box<SealedTransport>),
}

/// A channel, and the connection that it belongs to.
#[cfg(feature = "channel")]
struct SealedTransport {
    channel: ChannelTransport<TcpTransport<ClientSocket>>,
    entry: Arc<ConnectionEntry>,
    /// What was wrong with what arrived.
    fault: Option<RecordError>,
}

/// Error of a [`ServerTransport`]: its kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerTransportError(ErrorKind);

impl Borrow<Socket> for ClientSocket {
    fn borrow(&self) -> &Socket {
        &self.0.socket
    }
}

impl ServerTransport {
    pub(super) const fn plain(transport: TcpTransport<ClientSocket>) -> Self {
        Self { over: Over::Plain(transport), may_rest: false }
    }

    #[cfg(feature = "channel")]
    pub(super) fn sealed(channel: ChannelTransport<TcpTransport<ClientSocket>>, entry: Arc<ConnectionEntry>) -> Self {
        Self { over: Over::Sealed(Box::new(SealedTransport { channel, entry, fault: None })), may_rest: false }
    }

    pub(super) const fn tcp(&self) -> &TcpTransport<ClientSocket> {
        match &self.over {
            Over::Plain(transport) => transport,
            #[cfg(feature = "channel")]
            Over::Sealed(sealed) => sealed.channel.inner(),
        }
    }

    /// Tells the peer that nothing is missing, where there is a channel.
    pub(super) fn end(&mut self) {
        #[cfg(feature = "channel")]
        if let Over::Sealed(sealed) = &mut self.over {
            let is_limited = sealed.channel.limit_wait(Some(END_MS)).is_ok();
            // Who takes no more bytes sees that something is missing.
            let _ = is_limited && sealed.channel.finish().is_ok();
        }
    }

    /// Sends as many bytes as there is room for, without waiting.
    pub(super) fn send_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.over {
            Over::Plain(transport) => sys::send_now(transport.socket(), bytes),
            #[cfg(feature = "channel")]
            Over::Sealed(sealed) => sealed.channel.write_now(bytes),
        }
    }

    /// Gives memory back that is not needed until more is sent or arrives.
    pub(super) fn rest(&mut self) {
        #[cfg(feature = "channel")]
        if let Over::Sealed(sealed) = &mut self.over {
            sealed.channel.release_buffers();
        }
    }

    /// Whether the connection was cut off, or changed, on its way.
    #[cfg(feature = "channel")]
    pub(super) const fn fault(&self) -> Option<RecordError> {
        match &self.over {
            Over::Plain(_) => None,
            Over::Sealed(sealed) => sealed.fault,
        }
    }
}

#[cfg(feature = "channel")]
impl SealedTransport {
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

impl ErrorType for ServerTransport {
    type Error = ServerTransportError;
}

impl Read for ServerTransport {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ServerTransportError> {
        match &mut self.over {
            Over::Plain(transport) => transport.read(buf).map_err(failed),
            #[cfg(feature = "channel")]
            Over::Sealed(sealed) => sealed.read(buf),
        }
    }
}

impl Write for ServerTransport {
    fn write(&mut self, buf: &[u8]) -> Result<usize, ServerTransportError> {
        self.write_part(buf, false)
    }

    fn flush(&mut self) -> Result<(), ServerTransportError> {
        match &mut self.over {
            Over::Plain(transport) => transport.flush().map_err(failed),
            #[cfg(feature = "channel")]
            Over::Sealed(sealed) => sealed.channel.flush().map_err(failed),
        }
    }
}

impl Transport for ServerTransport {
    fn limit_wait(&mut self, limit_ms: Option<u64>) -> Result<(), ServerTransportError> {
        match &mut self.over {
            Over::Plain(transport) => transport.limit_wait(limit_ms).map_err(failed),
            #[cfg(feature = "channel")]
            Over::Sealed(sealed) => sealed.channel.limit_wait(limit_ms).map_err(failed),
        }
    }

    fn would_wait(&mut self) -> bool {
        if !self.may_rest {
            return false;
        }
        #[cfg(feature = "channel")]
        if let Over::Sealed(sealed) = &self.over
            && (sealed.channel.has_received() || sealed.channel.has_peer_ended() || sealed.channel.has_unsent())
        {
            return false;
        }
        sys::peek_now(self.tcp().socket(), &mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    fn write_part(&mut self, bytes: &[u8], more: bool) -> Result<usize, ServerTransportError> {
        match &mut self.over {
            Over::Plain(transport) => transport.write_part(bytes, more).map_err(failed),
            #[cfg(feature = "channel")]
            Over::Sealed(sealed) => sealed.channel.write_part(bytes, more).map_err(failed),
        }
    }
}

impl<S: Store> SendFile<S> for ServerTransport
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
        match &mut self.over {
            Over::Plain(transport) => {
                let sent = transport.send_file(store, file, offset, len, more)?;
                Some(sent.map_err(|error| match error {
                    SendFileError::Transport(error) => SendFileError::Transport(failed(error)),
                    SendFileError::File => SendFileError::File,
                }))
            }
            // No byte leaves without being sealed.
            #[cfg(feature = "channel")]
            Over::Sealed(_) => None,
        }
    }
}
