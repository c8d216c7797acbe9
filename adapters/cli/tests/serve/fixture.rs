//! The running program with a directory of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use tempfile::TempDir;

pub use crate::client::{Client, HELLO, code, settled, wait_for};

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
        command.process_group(0);
        Self::spawn(command, Stdio::null())
    }

    /// Starts it in a session of its own: with this terminal, or with none.
    pub fn start_in_session(terminal: Option<OwnedFd>, args: &[&str]) -> Self {
        let mut command = Command::new("setsid");
        command.args(terminal.is_some().then_some("--ctty"));
        command.args(["env", "--default-signal", env!("CARGO_BIN_EXE_coracle"), "serve"]).args(args);
        Self::spawn(command, terminal.map_or_else(Stdio::null, Stdio::from))
    }

    fn spawn(mut command: Command, stdin: Stdio) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("a"), b"alpha").expect("written");
        let log = fs::File::create(directory.path().join(".log")).expect("a log");
        command.args(["--listen", "127.0.0.1:0"]).current_dir(directory.path());
        command.stdin(stdin).stdout(Stdio::piped()).stderr(log);
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

    /// The number in a line of `/proc/PID/status`.
    pub fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
        line.split_whitespace().find_map(|word| word.parse().ok()).expect("a number")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Under strace the program is in the group of strace, and would outlive it.
        let group = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("an id");
        // It may have ended already.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        drop(self.child.wait());
    }
}
