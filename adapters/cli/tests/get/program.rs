//! `coracle serve`, as the server of a test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::support::{ProgramResult, TestDirectory};

/// `coracle serve` of a fresh directory.
pub struct Serve {
    pub root: tempfile::TempDir,
    pub child: Child,
    pub address: String,
}

impl Serve {
    pub fn new() -> Self {
        Self::of(tempfile::tempdir().expect("a directory"))
    }

    pub fn of(root: tempfile::TempDir) -> Self {
        let (child, address) = Self::start(root.path(), "127.0.0.1:0");
        Self { root, child, address }
    }

    /// A server that serves hidden files too.
    pub fn of_all(root: tempfile::TempDir) -> Self {
        let (child, address) = Self::start_with(root.path(), "127.0.0.1:0", &["--hidden"]);
        Self { root, child, address }
    }

    pub fn with_args(args: &[&str]) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let (child, address) = Self::start_with(root.path(), "127.0.0.1:0", args);
        Self { root, child, address }
    }

    /// A server that can be written to.
    pub fn writable(root: tempfile::TempDir, args: &[&str]) -> Self {
        let args = [&["--write", "--allow-plain-writes"], args].concat();
        let (child, address) = Self::start_with(root.path(), "127.0.0.1:0", &args);
        Self { root, child, address }
    }

    pub fn start(root: &Path, listen: &str) -> (Child, String) {
        Self::start_with(root, listen, &[])
    }

    pub fn start_with(root: &Path, listen: &str, args: &[&str]) -> (Child, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_coracle"))
            .args(["serve", "--listen", listen, "-q"])
            .args(args)
            .arg(root)
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

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.root.path().join(name), bytes).expect("written");
    }

    pub fn stop(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited for");
    }

    pub fn restart(&mut self) {
        let (child, address) = Self::start(self.root.path(), &self.address);
        assert_eq!(address, self.address);
        self.child = child;
    }

    pub fn get(&self, local: &TestDirectory, args: &[&str]) -> ProgramResult {
        local.run(&[&["get", self.address.as_str()], args].concat())
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // The server may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
