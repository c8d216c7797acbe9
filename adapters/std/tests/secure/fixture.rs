//! A running server with keys, and clients of it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use coracle::channel::{
    Authorized, ChannelTransport, HandshakeFailure, KeyPair, Psk, SecretKey, ServerChannel, connect,
};
use coracle::server::{Limits, Log, LogFormat, LogLevel, Server, ServerHandle};
use coracle::store::{DirectoryStore, WritableDirectoryStore, WriteOptions};
use coracle::transport::{TcpTransport, TransportError};
use embedded_io::{Read as _, Write as _};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

/// Far longer than anything takes.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// A key that is the same in each run; another one for each `number`.
pub fn key(number: u8) -> KeyPair {
    KeyPair::new(SecretKey::from_bytes([number; 32]).expect("not blank"))
}

pub fn psk(number: u8) -> Psk {
    Psk::from_bytes([number; 32]).expect("not blank")
}

/// The server's own key, and its pre-shared one.
pub const SERVER: u8 = 0x51;
pub const PSK: u8 = 0x61;
/// The clients that the tests know by these names.
pub const READER: u8 = 0x71;
pub const WRITER: u8 = 0x72;
pub const STRANGER: u8 = 0x73;
/// Where a proxy is, whose connections begin with a header.
pub const PROXY: &str = "127.0.0.9";

/// The list of clients: one that reads, one that may do everything beneath `in/`, and perhaps `more` lines.
pub fn list(more: &str) -> String {
    let [reader, writer] = [READER, WRITER].map(|number| *key(number).public());
    format!("{reader} read # The reader\n{writer} read=in/ write=in/ delete=in/ # Ada, who writes\n{more}")
}

/// Lines that come one by one.
#[derive(Clone, Default)]
pub struct Lines(Arc<(Mutex<String>, Condvar)>);

impl Lines {
    pub fn wait_for(&self, text: &str) -> String {
        let is_missing = |lines: &mut String| !lines.contains(text);
        let waited = self.0.1.wait_timeout_while(self.0.0.lock().expect("no panic"), TIMEOUT, is_missing);
        let (lines, timeout) = waited.expect("no panic");
        assert!(!timeout.timed_out(), "{text:?} is not in\n{lines}");
        lines.clone()
    }

    pub fn text(&self) -> String {
        self.0.0.lock().expect("no panic").clone()
    }
}

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.0.lock().expect("no panic").push_str(&String::from_utf8_lossy(bytes));
        self.0.1.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A server in this process, of a directory with `motd` and `in/old.txt`.
pub struct Running {
    pub address: SocketAddr,
    pub handle: ServerHandle,
    pub channel: Arc<ServerChannel>,
    pub directory: TempDir,
    pub log: Lines,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// With the usual keys and the usual list.
    pub fn new() -> Self {
        Self::with(usual(), |_| {})
    }

    pub fn with(channel: ServerChannel, change: impl FnOnce(&mut Limits)) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(directory.path().join("in")).expect("created");
        std::fs::write(directory.path().join("motd"), "Mind the step.\n").expect("written");
        std::fs::write(directory.path().join("in/old.txt"), "0123456789").expect("written");
        let mut limits = Limits::default();
        change(&mut limits);
        let channel = Arc::new(channel);
        let (log, (sender, told)) = (Lines::default(), mpsc::channel());
        let (sink, path, keys) = (log.clone(), directory.path().to_owned(), Arc::clone(&channel));
        let thread = thread::spawn(move || {
            let store = DirectoryStore::open(path).expect("a directory");
            let store = WritableDirectoryStore::new(store, WriteOptions::new()).expect("a store");
            let log = Log::new(sink, LogFormat::Text, LogLevel::Verbose).expect("a log");
            let server = Server::writable(&store).with_address("127.0.0.1:0".parse().expect("an address"));
            let server = server.with_proxy_protocol([PROXY.parse().expect("an address")]);
            let server = server.with_limits(limits).with_channel(keys).with_observer(log).bind().expect("bound");
            sender.send((server.addresses()[0], server.handle())).expect("awaited");
            server.run().expect("no error");
        });
        let (address, handle) = told.recv_timeout(TIMEOUT).expect("bound");
        Self { address, handle, channel, directory, log, thread: Some(thread) }
    }

    /// A connection without encryption.
    pub fn plain(&self) -> Plain {
        Plain::new(self.address)
    }

    /// The client with the key `number`.
    pub fn client(&self, number: u8) -> Sealed {
        self.try_client(number, Some(PSK)).expect("the handshake is made")
    }

    pub fn try_client(&self, number: u8, known: Option<u8>) -> Result<Sealed, HandshakeFailure<TransportError>> {
        sealed(self.address, number, known)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop_now();
        if let Some(thread) = self.thread.take()
            && !thread::panicking()
        {
            thread.join().expect("no panic");
        }
    }
}

pub fn usual() -> ServerChannel {
    let clients = Authorized::parse(&list("")).expect("a list");
    ServerChannel::new(key(SERVER)).with_psks(vec![psk(PSK)]).expect("one").with_clients(clients)
}

/// Makes the handshake with the server at `address`.
pub fn sealed(address: SocketAddr, number: u8, known: Option<u8>) -> Result<Sealed, HandshakeFailure<TransportError>> {
    sealed_over(tcp(address), number, known)
}

/// The same over `stream`.
pub fn sealed_over(
    stream: TcpStream,
    number: u8,
    known: Option<u8>,
) -> Result<Sealed, HandshakeFailure<TransportError>> {
    let transport = TcpTransport::new(Socket::from(stream));
    let own = psk(known.unwrap_or(1));
    let pinned = *key(SERVER).public();
    let deadline = Instant::now() + TIMEOUT;
    let channel = connect(transport, &key(number), known.map(|_| &own), deadline, |server| *server == pinned)?;
    Ok(Sealed { channel, rest: Vec::new() })
}

/// A server that turns it away may reset it before this side has seen it connected: then whatever is done with it fails.
pub fn tcp(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    if let Err(error) = socket.connect(&address.into()) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(TIMEOUT)).expect("set");
    stream
}

/// A connection that a proxy makes for a client at `192.0.2.N`.
pub fn proxied(address: SocketAddr, client: u8) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::new(PROXY.parse().expect("an ip"), 0).into()).expect("an address of this machine's");
    socket.connect(&address.into()).expect("connected");
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(TIMEOUT)).expect("set");
    let mut header = *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\0\x0a\0\0\x01\0\x07\x22\xb8";
    header[19] = client;
    stream.write_all(&header).expect("sent");
    stream
}

/// An encrypted connection.
#[derive(Debug)]
pub struct Sealed {
    pub channel: ChannelTransport<TcpTransport<Socket>>,
    rest: Vec<u8>,
}

impl Sealed {
    pub fn send(&mut self, text: &str) {
        self.channel.write_all(text.as_bytes()).expect("sent");
        self.channel.flush().expect("sent");
    }

    /// The next line; empty at the end.
    pub fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return String::from_utf8(line).expect("text").trim().to_owned();
            }
            let mut buf = [0; 4096];
            match self.channel.read(&mut buf).expect("received") {
                0 => return String::new(),
                len => self.rest.extend_from_slice(&buf[..len]),
            }
        }
    }

    /// The line that answers `request`.
    pub fn ask(&mut self, request: &str) -> String {
        self.send(&format!("{request}\n"));
        self.line()
    }

    /// The code of the error that answers `request`; empty for no error.
    pub fn code(&mut self, request: &str) -> String {
        code(&self.ask(request))
    }

    /// Puts a file of ten bytes, and returns the last line.
    pub fn put(&mut self, name: &str) -> String {
        let ready = self.ask(&put(name));
        if ready.contains("\"ready\"") {
            self.send("0123456789");
            return self.line();
        }
        ready
    }
}

pub fn put(name: &str) -> String {
    format!(r#"{{"type":"put","fileName":"{name}","fileSize":10,"crc32":"a684c7c6"}}"#)
}

pub fn code(line: &str) -> String {
    line.split_once("\"code\":\"").map_or("", |(_, rest)| rest.split('"').next().unwrap_or_default()).to_owned()
}

/// A connection without encryption.
pub struct Plain(pub TcpStream);

impl Plain {
    pub fn new(address: SocketAddr) -> Self {
        Self(tcp(address))
    }

    /// All that comes after `text` was sent, to the end of the connection.
    pub fn end_after(mut self, text: &[u8]) -> String {
        self.0.write_all(text).expect("sent");
        self.end()
    }

    pub fn end(mut self) -> String {
        let mut received = String::new();
        self.0.read_to_string(&mut received).expect("it ends well");
        received
    }
}
