//! The connection of a client, and one request on it.

use std::convert::Infallible;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use coracle::channel::{ChannelError, ChannelTransport, HandshakeFailure};
use coracle::client::ClientChannel;
use coracle::transport::{TcpTransport, TransportError};
use coracle_core::blocking::{ClientError, Connection, Transport};
use coracle_core::exec::Sink;
use coracle_core::{ClientSession, Failure, FileName, GetRequest};
use embedded_io::{ErrorType, Read, Write};
use socket2::Socket;

use super::plan::{Plan, RequestKind};
use crate::sys;

/// The size of the receive buffer, in bytes.
const RECEIVE_LEN: usize = 64 * 1024;
/// How long a handshake may take where connecting has no limit.
const LONGEST_HANDSHAKE: Duration = Duration::from_secs(60);

/// An established connection.
pub enum ClientConnection {
    Protocol(Box<Protocol>),
    Text(TcpStream),
}

type Protocol = Connection<Vec<u8>, Vec<u8>, CountingTransport, fn() -> coracle_core::Instant>;

/// Bytes that a request has brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteCounts {
    /// All that were received, headers included.
    pub received: u64,
    /// The body of a file.
    pub body: u64,
}

impl ClientConnection {
    /// Connects to the first of the plan's addresses that answers.
    ///
    /// # Errors
    ///
    /// The kind of failure, in a few words.
    pub fn connect(plan: &Plan) -> Result<Self, String> {
        let mut last = "no address".to_owned();
        for address in &plan.addresses {
            match Self::connect_to(address, plan) {
                Ok(connection) => return Ok(connection),
                Err(why) => last = format!("connecting: {why}"),
            }
        }
        Err(last)
    }

    fn connect_to(address: &SocketAddr, plan: &Plan) -> Result<Self, String> {
        let stream = tcp(address, plan)?;
        if matches!(plan.request, RequestKind::Text(_)) {
            let limited =
                stream.set_read_timeout(plan.stall_timeout).and_then(|()| stream.set_write_timeout(plan.stall_timeout));
            return limited.map(|()| Self::Text(stream)).map_err(|error| error.kind().to_string());
        }
        let stall_ms =
            plan.stall_timeout.map_or(0, |limit| u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).max(1));
        let session = ClientSession::new(vec![0; ClientSession::<Vec<u8>>::MIN_BUF_LEN]).with_stall_ms(stall_ms);
        let inner = match Wire::over(stream, plan) {
            // With the other pre-shared key.
            Err(failure)
                if failure.is_unanswered() && plan.channel.as_ref().is_some_and(ClientChannel::has_other_psk) =>
            {
                Wire::over(tcp(address, plan)?, plan)
            }
            made => made,
        };
        let inner = inner.map_err(|failure| failure.to_string())?;
        let transport = CountingTransport { inner, received: 0 };
        Ok(Self::Protocol(Box::new(Connection::new(session, transport, vec![0; RECEIVE_LEN], now))))
    }

    /// Makes one request. After an error the connection cannot be used any more.
    ///
    /// # Errors
    ///
    /// The kind of failure, in a few words, beside the bytes that were received before it.
    pub fn request(&mut self, kind: &RequestKind) -> (Result<(), String>, ByteCounts) {
        match (self, kind) {
            (Self::Text(stream), RequestKind::Text(text)) => match exchange_text(stream, text) {
                Ok(received) => (Ok(()), ByteCounts { received, body: 0 }),
                Err(kind) => (Err(kind), ByteCounts::default()),
            },
            (Self::Protocol(connection), kind) => {
                let before = connection.transport_mut().received;
                let mut discard = Discard(0);
                let outcome = match kind {
                    RequestKind::Get(name, digest) => match FileName::new(name) {
                        Ok(name) => connection.get(&GetRequest::new(name).with_digest(*digest), &mut discard).map(drop),
                        Err(error) => return (Err(error.to_string()), ByteCounts::default()),
                    },
                    RequestKind::List => connection.list(None, |_| Ok::<(), Infallible>(())).map(drop),
                    RequestKind::Hello | RequestKind::Text(_) => connection.hello(|_| ()),
                };
                let outcome = outcome.map_err(|error| describe(&error, connection));
                let received = connection.transport_mut().received - before;
                (outcome, ByteCounts { received, body: discard.0 })
            }
            (Self::Text(_), _) => (Err("no text".to_owned()), ByteCounts::default()),
        }
    }
}

/// Sends `text` and waits for the first bytes in reply. Returns their number.
fn exchange_text(stream: &mut TcpStream, text: &str) -> Result<u64, String> {
    let kind = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock => "no reply in time".to_owned(),
        kind => kind.to_string(),
    };
    let mut reply = [0; 4096];
    // The rest of a reply to the previous text may have arrived meanwhile.
    while let Ok(1..) = sys::receive_now(stream, &mut reply) {}
    stream.write_all(text.as_bytes()).map_err(kind)?;
    let len = loop {
        match stream.read(&mut reply) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => break outcome.map_err(kind)?,
        }
    };
    let reply = &reply[..len];
    if reply.is_empty() {
        return Err("closed without a reply".to_owned());
    }
    match error_code(reply) {
        Some(code) => Err(code),
        None => Ok(u64::try_from(len).unwrap_or(u64::MAX)),
    }
}

/// The code of an error line of the protocol, if `reply` is one.
fn error_code(reply: &[u8]) -> Option<String> {
    let line = reply.strip_suffix(b"\n").filter(|line| line.starts_with(br#"{"type":"error","#))?;
    let line: serde_json::Value = serde_json::from_slice(line).ok()?;
    // The server may send anything as a code, and this one is printed.
    let code = line["code"].as_str().filter(|code| code.len() <= 32 && code.chars().all(char::is_alphanumeric));
    Some(code.unwrap_or("refused").to_owned())
}

fn describe(error: &ClientError<ChannelError<TransportError>>, connection: &mut Protocol) -> String {
    match error {
        ClientError::Refused(code) | ClientError::Failed(Failure::Refused(code)) => {
            code.map_or_else(|| "refused".to_owned(), |code| code.as_str().to_owned())
        }
        ClientError::Failed(Failure::Ended(code)) => code.as_str().to_owned(),
        ClientError::Start(error) => error.to_string(),
        ClientError::Failed(failure) => match connection.transport_mut().inner.tcp().last_error() {
            Some(error) => error.kind().to_string(),
            None => failure.to_string(),
        },
        ClientError::Transport(error) => match connection.transport_mut().inner.tcp().last_error() {
            Some(error) => error.kind().to_string(),
            None => error.to_string(),
        },
        _ => "the request failed".to_owned(),
    }
}

/// Milliseconds since the first call.
fn now() -> coracle_core::Instant {
    static ZERO: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let passed: Duration = ZERO.get_or_init(Instant::now).elapsed();
    coracle_core::Instant::from_millis(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX))
}

/// Counts and discards a body.
struct Discard(u64);

impl Sink for Discard {
    type Error = Infallible;

    fn write(&mut self, _offset: u64, bytes: &[u8]) -> Result<(), Infallible> {
        self.0 += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(())
    }
}

fn tcp(address: &SocketAddr, plan: &Plan) -> Result<TcpStream, String> {
    let connected = match plan.connect_timeout {
        Some(limit) => TcpStream::connect_timeout(address, limit),
        None => TcpStream::connect(address),
    };
    let connected = connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
    connected.map_err(|error| error.kind().to_string())
}

/// A socket, or the encrypted channel around one.
enum Wire {
    Plain(TcpTransport<Socket>),
    Encrypted(Box<ChannelTransport<TcpTransport<Socket>>>),
}

impl Wire {
    fn over(stream: TcpStream, plan: &Plan) -> Result<Self, HandshakeFailure<TransportError>> {
        let tcp = TcpTransport::new(Socket::from(stream));
        let Some(channel) = &plan.channel else { return Ok(Self::Plain(tcp)) };
        let deadline = Instant::now() + plan.connect_timeout.unwrap_or(LONGEST_HANDSHAKE);
        channel.connect(tcp, deadline).map(|channel| Self::Encrypted(Box::new(channel)))
    }

    fn tcp(&self) -> &TcpTransport<Socket> {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Encrypted(channel) => channel.inner(),
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Self::Encrypted(channel) = self {
            // The server may be gone.
            drop(channel.finish_now());
        }
    }
}

/// A connection that counts the bytes that it receives.
pub struct CountingTransport {
    inner: Wire,
    received: u64,
}

impl ErrorType for CountingTransport {
    type Error = ChannelError<TransportError>;
}

impl Read for CountingTransport {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        let len = match &mut self.inner {
            Wire::Plain(tcp) => tcp.read(buf).map_err(ChannelError::Transport)?,
            Wire::Encrypted(channel) => channel.read(buf)?,
        };
        self.received += u64::try_from(len).unwrap_or(u64::MAX);
        Ok(len)
    }
}

impl Write for CountingTransport {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        self.write_part(buf, false)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        match &mut self.inner {
            Wire::Plain(tcp) => tcp.flush().map_err(ChannelError::Transport),
            Wire::Encrypted(channel) => channel.flush(),
        }
    }
}

impl Transport for CountingTransport {
    fn limit_wait(&mut self, limit_ms: Option<u64>) -> Result<(), Self::Error> {
        match &mut self.inner {
            Wire::Plain(tcp) => tcp.limit_wait(limit_ms).map_err(ChannelError::Transport),
            Wire::Encrypted(channel) => channel.limit_wait(limit_ms),
        }
    }

    fn write_part(&mut self, bytes: &[u8], more: bool) -> Result<usize, Self::Error> {
        match &mut self.inner {
            Wire::Plain(tcp) => tcp.write_part(bytes, more).map_err(ChannelError::Transport),
            Wire::Encrypted(channel) => channel.write_part(bytes, more),
        }
    }
}
