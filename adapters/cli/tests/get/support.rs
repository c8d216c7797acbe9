//! Runs the program in a fresh directory, against servers that follow a script.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::{Domain, SockAddr, Socket, Type};
use tempfile::TempDir;

/// A program that runs for longer hangs, however slow the machine is.
const TIMEOUT: Duration = Duration::from_secs(180);

/// What stands in notes and in no error.
const NOTES: [&str; 4] =
    ["trying again in ", "starting over", "what was in the way lies at ", "the server is busy: going on"];

/// A fresh directory, in which the program runs.
pub struct TestDirectory {
    pub root: TempDir,
}

/// How the program ended, and what it printed.
#[derive(Debug, PartialEq)]
pub struct ProgramResult {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl TestDirectory {
    pub fn new() -> Self {
        Self { root: tempfile::tempdir().expect("a directory") }
    }

    /// In memory where possible: for many files, of which the disk would take most of the time.
    pub fn in_memory() -> Self {
        Self { root: directory_in_memory() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).expect("written");
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// All that is in the directory, with what is below, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        collect_names(self.root.path(), "", &mut names);
        names.retain(|name| !name.ends_with(INDEX));
        names.sort();
        names
    }

    pub fn start(&self, args: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_coracle"))
            .args(args)
            .current_dir(self.root.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program")
    }

    /// Runs the program to its end.
    pub fn run(&self, args: &[&str]) -> ProgramResult {
        finish(self.start(args))
    }

    /// Runs `coracle get`; the server's address comes first.
    pub fn get(&self, server: &Server, args: &[&str]) -> ProgramResult {
        let mut all = vec!["get", server.address.as_str()];
        all.extend(args);
        self.run(&all)
    }
}

/// Waits for the program's end.
pub fn finish(mut child: Child) -> ProgramResult {
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let begin = Instant::now();
    let status = loop {
        match child.try_wait().expect("a status") {
            Some(status) => break status,
            None if begin.elapsed() > TIMEOUT => {
                child.kill().expect("killed");
                panic!("the program hangs");
            }
            None => thread::sleep(Duration::from_millis(2)),
        }
    };
    let Output { stdout, stderr, .. } =
        Output { status, stdout: stdout.join().expect("read"), stderr: stderr.join().expect("read") };
    ProgramResult { code: status.code(), stdout, stderr: String::from_utf8(stderr).expect("UTF-8") }
}

impl ProgramResult {
    /// Asserts the exit code, and that there is a message beside notes exactly where it is a failure.
    #[track_caller]
    pub fn exits_with(&self, code: i32) -> &Self {
        let is_note = |line: &str| NOTES.iter().any(|note| line.contains(note));
        assert_eq!(self.code, Some(code), "stderr: {}", self.stderr);
        assert_eq!(code == 0, self.stderr.lines().all(is_note), "stderr: {}", self.stderr);
        self
    }

    #[track_caller]
    pub fn prints_error(&self, what: &str) -> &Self {
        assert!(self.stderr.contains(what), "{what:?} is not in {:?}", self.stderr);
        self
    }

    pub fn out(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("UTF-8")
    }
}

/// A server on a free port that calls a script for each request, until the test ends.
pub struct Server {
    pub address: String,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

/// A request, and the stream for its answer.
pub struct Exchange<'a> {
    pub request: Value,
    /// Counted from 0, over all connections.
    pub number: usize,
    pub out: &'a mut TcpStream,
}

impl Exchange<'_> {
    pub fn kind(&self) -> &str {
        self.request["type"].as_str().unwrap_or("")
    }

    pub fn name(&self) -> &str {
        self.request["fileName"].as_str().unwrap_or("")
    }

    pub fn offset(&self) -> usize {
        self.request["offset"].as_u64().map_or(0, |offset| usize::try_from(offset).expect("an offset"))
    }

    /// Bytes of the body of the correct answer.
    fn length(&self, file: &[u8]) -> usize {
        let asked = self.request["length"].as_u64().and_then(|length| usize::try_from(length).ok());
        asked.unwrap_or(usize::MAX).min(file.len() - self.offset())
    }

    /// Sends `bytes`. The client may have closed the connection.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        drop(self.out.write_all(bytes.as_ref()));
    }

    pub fn line(&mut self, line: &Value) {
        self.send(format!("{line}\n"));
    }

    /// The header of the correct answer, of `file` from the offset that was asked.
    pub fn header(&self, file: &[u8], version: &str) -> Value {
        let length = self.length(file);
        let last = if length == 0 { 0 } else { (length - 1) % 1024 + 1 };
        let mut header = json!({
            "type": "file", "fileName": self.name(), "fileSize": file.len(), "offset": self.offset(), "length": length,
            "chunkSize": 1024, "readCnt": length.div_ceil(1024), "lastSize": last, "version": version,
        });
        let default = if self.kind() == "get" { "crc32" } else { "none" };
        let digest = self.request["digest"].as_str().unwrap_or(default);
        if digest != "none" {
            header["digest"] = digest.into();
            if self.kind() == "stat" {
                header[digest] = crc32(file).into();
            }
        }
        header
    }

    /// The end of the correct answer.
    pub fn end(&self, file: &[u8]) -> Value {
        let from =
            self.request["digestFrom"].as_u64().map_or(self.offset(), |from| usize::try_from(from).expect("small"));
        match self.request["digest"].as_str() {
            None | Some("crc32") => {
                let to = self.offset() + self.length(file);
                json!({"type": "end", "crc32": crc32(&file[from..to])})
            }
            Some("none") => json!({"type": "end"}),
            Some(other) => panic!("the script has no {other}"),
        }
    }

    /// The correct answer to a get, a stat or a list of what lies in the root.
    pub fn honest(&mut self, files: &[(&str, &[u8])]) {
        if self.kind() == "list" {
            for (name, bytes) in files {
                self.line(&json!({"type": "entry", "fileName": name, "fileSize": bytes.len()}));
            }
            return self.line(&json!({"type": "end", "count": files.len()}));
        }
        let Some((_, file)) = files.iter().find(|(name, _)| *name == self.name()) else {
            return self.refuse("notFound", "no such file");
        };
        self.answer(file, "v1");
    }

    /// The correct answer to a get or a stat of `file`.
    pub fn answer(&mut self, file: &[u8], version: &str) {
        if self.request["version"].as_str().is_some_and(|asked| asked != version) {
            return self.refuse("changed", "the file changed");
        }
        if self.offset() > file.len() {
            return self.refuse("badRange", "behind the end");
        }
        let header = self.header(file, version);
        self.line(&header);
        if self.kind() == "get" {
            let offset = self.offset();
            let to = offset + self.length(file);
            self.send(&file[offset..to]);
            let end = self.end(file);
            self.line(&end);
        }
    }

    pub fn refuse(&mut self, code: &str, message: &str) {
        self.line(&json!({"type": "error", "code": code, "message": message}));
    }

    /// Ends the connection without a reset, so that what was sent arrives.
    pub fn cut(&mut self) {
        drop(self.out.shutdown(Shutdown::Both));
    }
}

/// What `get -r` notes in its destination.
pub const INDEX: &str = ".coracle-index";

/// The answer to a hello, of a server that has a clock.
const HELLO: &[u8] = b"{\"type\":\"hello\",\"protocol\":1,\"server\":\"script\",\"name\":\"\",\"maxRequest\":640,\
    \"chunkSize\":1024,\"idle_ms\":0,\"request_ms\":0,\"stall_ms\":0,\"time\":2000000000,\"features\":[],\"digests\":[]}\n";

impl Server {
    /// `script` is called for each request but a hello.
    pub fn new(script: impl Fn(Exchange<'_>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let (requests, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let server = Self { address, requests: requests.clone(), connections: connections.clone() };
        let script = Arc::new(script);
        thread::spawn(move || {
            for stream in listener.incoming() {
                connections.fetch_add(1, Ordering::SeqCst);
                let (script, requests) = (script.clone(), requests.clone());
                thread::spawn(move || {
                    let mut out = stream.expect("a connection");
                    let mut input = BufReader::new(out.try_clone().expect("a second handle"));
                    let mut line = String::new();
                    while input.read_line(&mut line).is_ok_and(|len| len > 0) {
                        let request: Value = serde_json::from_str(&line).expect("a request on a line");
                        if request["type"] == "hello" {
                            drop(out.write_all(HELLO));
                            line.clear();
                            continue;
                        }
                        let number = requests.fetch_add(1, Ordering::SeqCst);
                        script(Exchange { request, number, out: &mut out });
                        line.clear();
                    }
                });
            }
        });
        server
    }

    /// A server that serves `files` correctly.
    pub fn honest(files: &'static [(&'static str, &'static [u8])]) -> Self {
        Self::new(move |mut exchange| exchange.honest(files))
    }

    /// How many requests there were.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// CRC-32/ISO-HDLC, bit by bit: independent of the implementation under test.
pub fn crc32(bytes: &[u8]) -> String {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1)))
    });
    format!("{:08x}", !crc)
}

/// `len` bytes without short periods.
pub fn pseudo_random(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..len.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(len).collect()
}

/// An address on which nothing listens as long as the socket is held.
pub fn unused_address() -> (Socket, String) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).expect("a port");
    let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("its address").to_string();
    (socket, address)
}

/// A fresh directory, in memory if possible.
pub fn directory_in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory")
}

/// Waits until `happens`.
pub fn wait_until(what: &str, happens: impl Fn() -> bool) {
    let begin = Instant::now();
    while !happens() {
        assert!(begin.elapsed() < TIMEOUT, "timed out waiting for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.expect("a pipe").read_to_end(&mut bytes).expect("read");
        bytes
    })
}

fn collect_names(directory: &Path, prefix: &str, names: &mut Vec<String>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().expect("a type").is_dir() {
            collect_names(&entry.path(), &format!("{name}/"), names);
        }
        names.push(name);
    }
}
