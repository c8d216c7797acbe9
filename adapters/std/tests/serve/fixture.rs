//! A running server with a directory of its own, and what its clients need.

use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use coracle::server::{Event, Limits, Outcome, Server, ServerHandle, Summary};
use coracle::store::DirectoryStore;
use socket2::{Domain, SockAddr, Socket, Type};
use tempfile::TempDir;

/// However slow the machine is, what takes longer hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const HELLO: &[u8] = br#"{"type":"hello"}"#;

/// What has happened so far, a line each.
#[derive(Clone, Debug, Default)]
pub struct Events(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Events {
    fn note(&self, event: &Event<'_>) {
        let line = match event {
            Event::Connected { peer, live } => format!("connected {} live {live}", peer.address()),
            Event::Refused { code, is_over_share: false, .. } => format!("refused {code}"),
            Event::Refused { address, code, .. } => format!("over share {} {code}", address.ip()),
            Event::Queued { address, .. } => format!("queued {address}"),
            Event::Dequeued { address, end, .. } => format!("dequeued {address} {end:?}"),
            Event::Finished { answer, .. } => {
                let kind = answer.kind.map_or("unreadable", |kind| kind.as_str());
                let outcome = match answer.outcome {
                    Outcome::CutShort(reason) => format!("cut short: {reason}"),
                    outcome => outcome.to_string(),
                };
                format!("{kind} {} {} {outcome}", answer.name, answer.body_len)
            }
            Event::Disconnected { visit, live, .. } => format!("left {} live {live}", visit.reason),
            Event::Trouble { what, error } => format!("trouble {what}: {error}"),
            Event::Stopping { .. } => "stopping".to_owned(),
            Event::Cutting { live } => format!("cutting {live}"),
            _ => return,
        };
        self.0.0.lock().expect("no panic").push(line);
        self.0.1.notify_all();
    }

    /// Waits until `count` lines begin with `start`, and returns them.
    pub fn wait_for(&self, start: &str, count: usize) -> Vec<String> {
        let few = |lines: &mut Vec<String>| lines.iter().filter(|line| line.starts_with(start)).count() < count;
        let waited = self.0.1.wait_timeout_while(self.0.0.lock().expect("no panic"), PATIENCE, few);
        let (lines, timeout) = waited.expect("no panic");
        assert!(!timeout.timed_out(), "not {count} times {start:?} in {lines:#?}");
        lines.iter().filter(|line| line.starts_with(start)).cloned().collect()
    }

    /// How many lines begin with `start` now.
    pub fn count(&self, start: &str) -> usize {
        self.0.0.lock().expect("no panic").iter().filter(|line| line.starts_with(start)).count()
    }
}

/// A server in this process.
pub struct Running {
    pub address: SocketAddr,
    pub handle: ServerHandle,
    pub events: Events,
    pub directory: TempDir,
    thread: Option<JoinHandle<io::Result<Summary>>>,
}

impl Running {
    /// With default limits.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().to_owned();
        Self::over(&path, directory, change)
    }

    /// Over [`settled`], which nobody changes.
    pub fn settled(change: impl FnOnce(&mut Limits)) -> Self {
        Self::over(&settled().0, tempfile::tempdir().expect("a directory"), change)
    }

    fn over(path: &Path, directory: TempDir, change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        let events = Events::default();
        let (told, path) = (mpsc::channel(), path.to_owned());
        let (sender, noted) = (told.0, events.clone());
        let thread = thread::spawn(move || {
            let store = DirectoryStore::open(path)?;
            let server = Server::new(&store)
                .listen_on("127.0.0.1:0".parse().expect("an address"))
                .limits(limits)
                .observer(move |event: &Event<'_>| noted.note(event))
                .bind()?;
            sender.send((server.addresses()[0], server.handle())).expect("somebody waits");
            server.run()
        });
        let (address, handle) = told.1.recv_timeout(PATIENCE).expect("bound");
        Self { address, handle, events, directory, thread: Some(thread) }
    }

    /// Makes a file of `len` bytes, and lets it settle.
    pub fn file(&self, name: &str, len: usize) -> Vec<u8> {
        settled_file(&self.directory.path().join(name), len)
    }

    pub fn connect(&self) -> Client {
        Client::new(self.address)
    }

    /// Connects, and waits for the place: who connects after it comes after it.
    pub fn take_place(&self) -> Client {
        self.seated(self.connect())
    }

    /// Waits until `client` has its place.
    pub fn seated(&self, client: Client) -> Client {
        let address = client.stream.local_addr().expect("an address");
        self.events.wait_for(&format!("connected {address} "), 1);
        client
    }

    /// Waits for the end of the server.
    pub fn join(mut self) -> Summary {
        let thread = self.thread.take().expect("joined once");
        let started = Instant::now();
        while !thread.is_finished() {
            assert!(started.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(2));
        }
        thread.join().expect("no panic").expect("no error")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop_now();
        if let Some(thread) = self.thread.take()
            && !thread::panicking()
        {
            thread.join().expect("no panic").expect("no error");
        }
    }
}

/// A client without any manners but those of a test.
pub struct Client {
    pub stream: TcpStream,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE).expect("connected"))
    }

    /// Comes from `source`, one of this machine's addresses: of 127.0.0.0/8 it has all.
    pub fn coming_from(source: &str, address: SocketAddr) -> Self {
        let source = SocketAddr::new(source.parse().expect("an ip"), 0);
        let socket = Socket::new(Domain::for_address(source), Type::STREAM, None).expect("a socket");
        socket.bind(&SockAddr::from(source)).expect("an address of this machine's");
        socket.connect_timeout(&SockAddr::from(address), PATIENCE).expect("connected");
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        stream.set_write_timeout(Some(PATIENCE)).expect("an option");
        Self { stream }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("sent");
        self
    }

    /// Ends what this side sends.
    pub fn half_close(&mut self) -> &mut Self {
        self.stream.shutdown(Shutdown::Write).expect("shut down");
        self
    }

    /// One line, without its end.
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

    /// All that comes until the server closes.
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).expect("closed in good order");
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// All that comes until the server closes or resets; and whether it reset.
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

    /// Asks `hello` and expects its answer.
    pub fn hello(&mut self) -> String {
        let line = self.send(HELLO).line();
        assert!(line.starts_with(r#"{"type":"hello","protocol":1,"#), "{line}");
        line
    }
}

/// A directory with the file `big`, and its bytes. It stays for the next run, since it takes its time to be settled.
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

/// Makes a file of `len` bytes, and waits until the store takes it for one that does not change: only then may the kernel
/// send it by itself, and its digest be remembered.
pub fn settled_file(path: &Path, len: usize) -> Vec<u8> {
    let bytes = pattern(len);
    fs::write(path, &bytes).expect("written");
    settle(path);
    bytes
}

/// Waits until what was written to `path` is old enough.
fn settle(path: &Path) {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified()).expect("a time");
    let age = modified.elapsed().unwrap_or_default();
    thread::sleep(Duration::from_millis(2200).saturating_sub(age));
}

/// Bytes that do not repeat where a mix-up would not be noticed.
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

/// `serve` as a program, in a directory of its own.
pub struct Program {
    pub child: Child,
    pub address: SocketAddr,
    pub directory: TempDir,
}

impl Program {
    /// Starts it on a free port of 127.0.0.1.
    pub fn start(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
        command.arg("serve").args(args);
        Self::start_as(command)
    }

    /// Starts it by a command that ends in the arguments of `serve`.
    pub fn start_as(mut command: Command) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("a"), b"alpha").expect("written");
        let log = fs::File::create(directory.path().join(".log")).expect("a log");
        command.args(["--listen", "127.0.0.1:0"]).current_dir(directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).process_group(0);
        let mut child = command.spawn().expect("started");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}"));
        Self { address: address.parse().expect("an address"), child, directory }
    }

    pub fn connect(&self) -> Client {
        Client::new(self.address)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path(".log")).expect("a log")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("signalled");
    }

    pub fn wait(&mut self) -> ExitStatus {
        wait_for(|| self.child.try_wait().expect("a child"))
    }

    /// A line of `/proc/PID/status`, in its own unit.
    pub fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
        line.split_whitespace().find_map(|word| word.parse().ok()).expect("a number")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Whoever it traces is in its group, and would outlive it.
        let group = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("an id");
        // It may have ended already.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        drop(self.child.wait());
    }
}

/// Tries again while this machine was too slow for what `attempt` shows: then it returns `None`.
pub fn in_time<T>(attempt: impl FnMut() -> Option<T>) -> T {
    std::iter::repeat_with(attempt).take(20).find_map(|shown| shown).expect("quick enough once in 20 times")
}

/// Asks until there is an answer.
pub fn wait_for<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "it does not happen");
        thread::sleep(Duration::from_millis(5));
    }
}
