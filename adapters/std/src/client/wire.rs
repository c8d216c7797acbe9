//! What a client's bytes travel in: a socket, or an encrypted channel around it.

use std::io;
#[cfg(feature = "channel")]
use std::time::Duration;

use coracle_core::blocking::Transport;
use embedded_io::{ErrorType, Read, Write};
use socket2::Socket;

#[cfg(feature = "channel")]
use crate::channel::{ChannelError, ChannelTransport, RecordError};
use crate::sys;
use crate::transport::{TcpTransport, TransportError};

/// A connected socket, or an encrypted channel around one.
#[derive(Debug)]
pub enum Wire {
    Plain(TcpTransport<Socket>),
    #[cfg(feature = "channel")]
    Encrypted(Box<Encrypted>),
}

/// An encrypted channel, whose end is told to the server when it is dropped.
#[cfg(feature = "channel")]
#[derive(Debug)]
pub struct Encrypted {
    channel: ChannelTransport<TcpTransport<Socket>>,
    limit_ms: Option<u64>,
    /// Why what was received is not the server's.
    error: Option<RecordError>,
}

impl Wire {
    #[cfg(feature = "channel")]
    pub fn encrypted(channel: ChannelTransport<TcpTransport<Socket>>) -> Self {
        Self::Encrypted(Box::new(Encrypted { channel, limit_ms: None, error: None }))
    }

    fn tcp(&self) -> &TcpTransport<Socket> {
        match self {
            Self::Plain(tcp) => tcp,
            #[cfg(feature = "channel")]
            Self::Encrypted(encrypted) => encrypted.channel.inner(),
        }
    }

    pub fn socket(&self) -> &Socket {
        self.tcp().socket()
    }

    /// Sends as much as there is room for, without waiting. Returns how many of `bytes` need not be given again.
    pub fn send_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => sys::send_now(tcp.socket(), bytes),
            #[cfg(feature = "channel")]
            Self::Encrypted(encrypted) => encrypted.channel.write_now(bytes),
        }
    }

    /// Whether something that need not be given again has not left. Giving nothing sends it.
    pub fn has_unsent(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(feature = "channel")]
            Self::Encrypted(encrypted) => encrypted.channel.has_unsent(),
        }
    }

    /// Whether there is something to read that the socket does not show.
    pub fn has_received(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(feature = "channel")]
            Self::Encrypted(encrypted) => encrypted.channel.has_received(),
        }
    }

    /// Why the connection broke, where that is known.
    pub fn error(&self) -> Option<io::Error> {
        #[cfg(feature = "channel")]
        if let Self::Encrypted(encrypted) = self
            && let Some(error) = encrypted.error
        {
            return Some(io::Error::other(error));
        }
        let last = self.tcp().last_error()?;
        Some(last.raw_os_error().map_or_else(|| last.kind().into(), io::Error::from_raw_os_error))
    }

    /// Whether the server has sent nothing since a handshake, and may not have accepted its last message.
    pub fn is_unanswered(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(feature = "channel")]
            Self::Encrypted(encrypted) => {
                encrypted.channel.records() == 0 && matches!(encrypted.error, None | Some(RecordError::Truncated))
            }
        }
    }
}

#[cfg(feature = "channel")]
impl Encrypted {
    fn fail(&mut self, error: ChannelError<TransportError>) -> TransportError {
        match error {
            ChannelError::Transport(error) => error,
            ChannelError::Record(error) => {
                self.error = Some(error);
                TransportError::new(io::ErrorKind::Other)
            }
            ChannelError::TimedOut => TransportError::new(io::ErrorKind::WouldBlock),
            ChannelError::Ended | ChannelError::WriteZero => TransportError::new(io::ErrorKind::BrokenPipe),
        }
    }

    /// Reads, and sends meanwhile what could not leave before: the server may be waiting for its answer to be read.
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, TransportError> {
        while self.channel.has_unsent() {
            if let Some(len) = self.channel.read_ready(buf).map_err(|error| self.fail(error))? {
                return Ok(len);
            }
            match sys::poll_ready(self.channel.inner().socket(), self.limit_ms.map(Duration::from_millis)) {
                Ok(ready) if ready.can_write => match self.channel.flush_now() {
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                        return Err(TransportError::new(error.kind()));
                    }
                    _ => {}
                },
                Ok(ready) if !ready.can_read => return Err(TransportError::new(io::ErrorKind::WouldBlock)),
                Ok(_) => {}
                Err(error) => return Err(TransportError::new(error.kind())),
            }
        }
        self.channel.read(buf).map_err(|error| self.fail(error))
    }
}

#[cfg(feature = "channel")]
impl Drop for Encrypted {
    fn drop(&mut self) {
        // A server that does not hear it takes the connection for one that was cut, which is what its log says then.
        drop(self.channel.finish_now());
    }
}

impl ErrorType for Wire {
    type Error = TransportError;
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, TransportError> {
        match self {
            Self::Plain(tcp) => tcp.read(buf),
            #[cfg(feature = "channel")]
            Self::Encrypted(encrypted) => encrypted.read(buf),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
        self.write_part(bytes, false)
    }

    fn flush(&mut self) -> Result<(), TransportError> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            #[cfg(feature = "channel")]
            Self::Encrypted(encrypted) => encrypted.channel.flush().map_err(|error| encrypted.fail(error)),
        }
    }
}

impl Transport for Wire {
    fn limit_wait(&mut self, limit_ms: Option<u64>) -> Result<(), TransportError> {
        match self {
            Self::Plain(tcp) => tcp.limit_wait(limit_ms),
            #[cfg(feature = "channel")]
            Self::Encrypted(encrypted) => {
                encrypted.limit_ms = limit_ms;
                encrypted.channel.limit_wait(limit_ms).map_err(|error| encrypted.fail(error))
            }
        }
    }

    fn read_ready(&mut self, buf: &mut [u8]) -> Result<Option<usize>, TransportError> {
        match self {
            Self::Plain(tcp) => tcp.read_ready(buf),
            #[cfg(feature = "channel")]
            Self::Encrypted(encrypted) => encrypted.channel.read_ready(buf).map_err(|error| encrypted.fail(error)),
        }
    }

    fn write_part(&mut self, bytes: &[u8], more: bool) -> Result<usize, TransportError> {
        match self {
            Self::Plain(tcp) => tcp.write_part(bytes, more),
            #[cfg(feature = "channel")]
            Self::Encrypted(encrypted) => {
                encrypted.channel.write_part(bytes, more).map_err(|error| encrypted.fail(error))
            }
        }
    }
}
