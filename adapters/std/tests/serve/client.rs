//! A client over a plain socket, files for it, and waiting. Shared with the tests of the program.

#![allow(dead_code, reason = "each of the test programs that share it uses a part of it")]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

/// What takes longer hangs, however slow the machine is.
pub const TIMEOUT: Duration = Duration::from_secs(30);
pub const HELLO: &[u8] = br#"{"type":"hello"}"#;

/// A client that sends what it is told and reads what comes.
pub struct Client {
    pub stream: TcpStream,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&address, TIMEOUT).expect("connected"))
    }

    /// Connects from `source`, a local address; all of 127.0.0.0/8 are.
    pub fn connect_from(source: &str, address: SocketAddr) -> Self {
        let source = SocketAddr::new(source.parse().expect("an ip"), 0);
        let socket = Socket::new(Domain::for_address(source), Type::STREAM, None).expect("a socket");
        socket.bind(&SockAddr::from(source)).expect("an address of this machine's");
        socket.connect_timeout(&SockAddr::from(address), TIMEOUT).expect("connected");
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(TIMEOUT)).expect("an option");
        stream.set_write_timeout(Some(TIMEOUT)).expect("an option");
        Self { stream }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("sent");
        self
    }

    /// Shuts down the sending side.
    pub fn half_close(&mut self) -> &mut Self {
        self.stream.shutdown(Shutdown::Write).expect("shut down");
        self
    }

    /// One line, without its newline.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        loop {
            match self.bytes(1)[0] {
                b'\n' => return String::from_utf8(line).expect("UTF-8"),
                byte => line.push(byte),
            }
        }
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).expect("enough bytes");
        bytes
    }

    /// Everything until the server closes.
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).expect("closed in good order");
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Everything until the server closes or resets, and whether it reset.
    pub fn rest_or_reset(&mut self) -> (Vec<u8>, bool) {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => (rest, false),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => (rest, true),
            Err(error) => panic!("neither closed nor reset: {error}"),
        }
    }

    /// Resets the connection.
    pub fn reset(self) {
        Socket::from(self.stream).set_linger(Some(Duration::ZERO)).expect("an option");
    }

    /// Sends a `hello` and expects its answer.
    pub fn hello(&mut self) -> String {
        let line = self.send(HELLO).line();
        assert!(line.starts_with(r#"{"type":"hello","protocol":1,"#), "{line}");
        line
    }
}

/// A directory with the file `big`, and its bytes. It stays for the next run, since settling takes time.
pub fn settled() -> &'static (PathBuf, Vec<u8>) {
    static SETTLED: OnceLock<(PathBuf, Vec<u8>)> = OnceLock::new();
    SETTLED.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("serve-settled");
        let (path, bytes) = (directory.join("big"), pattern(30_000_000));
        if fs::read(&path).ok().as_ref() != Some(&bytes) {
            fs::create_dir_all(&directory).expect("a directory");
            fs::write(&path, &bytes).expect("written");
        }
        settle(&path);
        (directory, bytes)
    })
}

/// Writes a file of `len` bytes, and waits until the store considers it unchanging: only then is it sent by sendfile, and its
/// digest cached.
pub fn settled_file(path: &Path, len: usize) -> Vec<u8> {
    let bytes = pattern(len);
    fs::write(path, &bytes).expect("written");
    settle(path);
    bytes
}

/// Waits until the last write to `path` is old enough.
fn settle(path: &Path) {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified()).expect("a time");
    let age = modified.elapsed().unwrap_or_default();
    thread::sleep(Duration::from_millis(2200).saturating_sub(age));
}

/// Bytes without short periods, so that any mix-up shows.
pub fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut bytes = Vec::with_capacity(len + 4);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// The code of an error line.
pub fn code(line: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    assert_eq!(value["type"], "error", "{line}");
    value["code"].as_str().expect("a code").to_owned()
}

/// Repeats `attempt` while it returns `None`, because the machine was too slow.
pub fn in_time<T>(attempt: impl FnMut() -> Option<T>) -> T {
    std::iter::repeat_with(attempt).take(20).find_map(|shown| shown).expect("quick enough once in 20 times")
}

/// Polls until there is a value.
pub fn wait_for<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < TIMEOUT, "it does not happen");
        thread::sleep(Duration::from_millis(5));
    }
}
