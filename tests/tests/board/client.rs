//! A raw connection to the board, and the contents of the board's files.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use coracle_core::{DigestKind, Hasher};
use serde_json::{Value, json};

use super::emulator::{Board, TIMEOUT};

pub struct Client(BufReader<TcpStream>);

impl Client {
    pub fn connect(board: &Board) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", board.port())).expect("the emulator listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a socket");
        Self(BufReader::new(stream))
    }

    /// Connects, with retries until a slot is free: while sockets are still closing or tell `busy`, the board resets further
    /// connections.
    pub fn admitted(board: &Board) -> Self {
        Self::admitted_within(TIMEOUT, board)
    }

    pub fn admitted_within(timeout: Duration, board: &Board) -> Self {
        let end = Instant::now() + timeout;
        loop {
            let mut client = Self::connect(board);
            client.send_some(json!({"type": "hello"}).to_string().as_bytes());
            match client.try_line() {
                Some(line) if line["type"] == "hello" => return client,
                answer => assert!(Instant::now() < end, "no place, at last {answer:?}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).expect("the board takes it");
    }

    /// Sends as much of `bytes` as the board accepts before it closes.
    pub fn send_some(&mut self, bytes: &[u8]) -> bool {
        self.0.get_mut().write_all(bytes).is_ok()
    }

    pub fn finish(&mut self) {
        self.0.get_mut().shutdown(Shutdown::Write).expect("connected");
    }

    /// The next line, as JSON.
    pub fn line(&mut self) -> Value {
        self.try_line().expect("a line")
    }

    /// The next line, as JSON; `None` where the connection ended or was reset instead.
    pub fn try_line(&mut self) -> Option<Value> {
        let mut line = String::new();
        if matches!(self.0.read_line(&mut line), Ok(0) | Err(_)) {
            return None;
        }
        assert!(line.ends_with("}\n"), "{line:?}");
        Some(serde_json::from_str(&line).expect("JSON"))
    }

    pub fn body(&mut self, len: u64) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(len).expect("small")];
        self.0.read_exact(&mut bytes).expect("the whole body");
        bytes
    }

    /// Whether the board has closed gracefully, and sent nothing more.
    pub fn is_at_end(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0))
    }

    pub fn ask(&mut self, request: &Value) -> Value {
        self.send(request.to_string().as_bytes());
        self.line()
    }

    /// Fetches, and checks the digest; `request` has a `type` and a `fileName`.
    pub fn get(&mut self, request: &Value) -> (Value, Vec<u8>) {
        let header = self.ask(request);
        assert_eq!(header["type"], "file", "{header}");
        let body = self.body(header["length"].as_u64().expect("a length"));
        let end = self.line();
        assert_eq!(end["crc32"], hex(DigestKind::Crc32, &body), "{end}");
        (header, body)
    }
}

/// `status.json`.
pub fn status(board: &Board) -> Value {
    let (_, body) = Client::admitted(board).get(&json!({"type": "get", "fileName": "status.json"}));
    serde_json::from_slice(&body).expect("JSON")
}

pub fn hex(kind: DigestKind, bytes: &[u8]) -> String {
    let mut hasher = Hasher::new(kind).expect("both are there");
    hasher.update(bytes);
    hasher.finish().to_string()
}

/// `image.bin`, as in the firmware's build: Marsaglia's xorshift32 from 1, the most significant bytes.
pub fn image() -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(1 << 20).collect()
}
