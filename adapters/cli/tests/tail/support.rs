//! A server with a log, and a program that follows it.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// What takes longer hangs, however slow the machine is.
const TIMEOUT: Duration = Duration::from_secs(120);

pub const LOG: &str = "boot.log";

/// `coracle serve` of a fresh directory.
pub struct Serve {
    root: TempDir,
    args: Vec<String>,
    child: Child,
    pub address: String,
}

/// `coracle tail`, and what it has printed until now.
pub struct Tail {
    child: Child,
    out: Arc<Mutex<Vec<u8>>>,
    err: Arc<Mutex<Vec<u8>>>,
}

impl Serve {
    pub fn new(args: &[&str]) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let (child, address) = start(&root, "127.0.0.1:0", &args);
        Self { root, args, child, address }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).expect("written");
    }

    pub fn append(&self, bytes: impl AsRef<[u8]>) {
        let mut log = OpenOptions::new().append(true).open(self.path(LOG)).expect("opened for appending");
        log.write_all(bytes.as_ref()).expect("appended");
    }

    /// Waits until the server watches a file that is followed: a file is kept from then on when another one replaces it.
    #[track_caller]
    pub fn watches(&self) {
        let begin = Instant::now();
        let is_watching = || {
            let descriptors = fs::read_dir(format!("/proc/{}/fdinfo", self.child.id())).expect("it runs").flatten();
            // A descriptor may have been closed meanwhile.
            let mut texts = descriptors.filter_map(|descriptor| fs::read_to_string(descriptor.path()).ok());
            texts.any(|text| text.contains("inotify wd:"))
        };
        while !is_watching() {
            assert!(begin.elapsed() < TIMEOUT, "no file is watched");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until the server has the file open that has this name now.
    #[track_caller]
    pub fn has_open(&self, name: &str) {
        let (begin, path) = (Instant::now(), self.path(name).canonicalize().expect("it is there"));
        let is_open = || {
            let descriptors = fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").flatten();
            descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok()).any(|open| open == path)
        };
        while !is_open() {
            assert!(begin.elapsed() < TIMEOUT, "{name} is not opened");
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("sent");
    }

    /// Kills the server.
    pub fn stop(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited for");
    }

    pub fn restart(&mut self) {
        self.child = start(&self.root, &self.address, &self.args).0;
    }

    /// Runs `coracle tail ARGS` to its end.
    pub fn run(args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_coracle")).arg("tail").args(args).output().expect("the program")
    }

    /// Follows the log.
    pub fn follow(&self, args: &[&str]) -> Tail {
        Tail::start(&[&["-f", &self.address, LOG], args].concat())
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // The server may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn start(root: &TempDir, listen: &str, args: &[String]) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_coracle"))
        .args(["serve", "--listen", listen, "-q"])
        .args(args)
        .arg(root.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let first = lines.next().expect("a line").expect("text");
    let address = first.strip_prefix("listening on ").unwrap_or_else(|| panic!("{first}")).to_owned();
    thread::spawn(move || lines.for_each(drop));
    (child, address)
}

impl Tail {
    pub fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_coracle"))
            .arg("tail")
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        let (out, err) = (collect(child.stdout.take()), collect(child.stderr.take()));
        Self { child, out, err }
    }

    pub fn out(&self) -> Vec<u8> {
        self.out.lock().expect("what was printed").clone()
    }

    pub fn err(&self) -> String {
        String::from_utf8(self.err.lock().expect("what was told").clone()).expect("UTF-8")
    }

    /// Waits until it has printed exactly `expected`.
    #[track_caller]
    pub fn prints(&self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let begin = Instant::now();
        loop {
            let out = self.out();
            if out == expected {
                return;
            }
            let shown = String::from_utf8_lossy(out.get(..out.len().min(2_000)).expect("a part"));
            assert!(expected.starts_with(&out), "it printed {shown:?}; on standard error {:?}", self.err());
            assert!(begin.elapsed() < TIMEOUT, "it printed only {shown:?}; on standard error {:?}", self.err());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until it has told `what` so many times.
    #[track_caller]
    pub fn tells(&self, what: &str, times: usize) {
        let begin = Instant::now();
        while self.err().matches(what).count() != times {
            assert!(begin.elapsed() < TIMEOUT, "{what:?} is not {times} times in {:?}", self.err());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for its end.
    pub fn ends(&mut self) -> i32 {
        let begin = Instant::now();
        loop {
            match self.child.try_wait().expect("a status") {
                Some(status) => return status.code().expect("no signal"),
                None => assert!(begin.elapsed() < TIMEOUT, "it does not end"),
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Tail {
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("sent");
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> Arc<Mutex<Vec<u8>>> {
    let collected = Arc::new(Mutex::new(Vec::new()));
    let (mut pipe, shared) = (pipe.expect("a pipe"), Arc::clone(&collected));
    thread::spawn(move || {
        let mut buf = [0; 65_536];
        while let Ok(len @ 1..) = pipe.read(&mut buf) {
            shared.lock().expect("what was printed").extend_from_slice(buf.get(..len).expect("a part"));
        }
    });
    collected
}
