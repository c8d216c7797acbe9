//! `coracle get` of files that grow all the time, from `coracle serve --append`.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use crate::program::Serve;
use crate::support::{ProgramResult, TestDirectory, finish, pseudo_random};

/// Runs the program while something is appended to `log` every millisecond.
fn run_while_it_grows(local: &TestDirectory, log: &std::path::Path, args: &[&str]) -> ProgramResult {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut log = OpenOptions::new().append(true).open(log).expect("opened for appending");
            while !is_over.load(Ordering::Relaxed) {
                log.write_all(b"another line\n").expect("appended");
                sleep(Duration::from_millis(1));
            }
        });
        let result = finish(local.start(args));
        is_over.store(true, Ordering::Relaxed);
        result
    })
}

#[test]
fn s2_a_log_is_fetched_once_however_fast_it_grows() {
    let local = TestDirectory::new();
    let serve = Serve::with_args(&["--append", "*.log"]);
    serve.write("boot.log", pseudo_random(1 << 20));
    let path = serve.root.path().join("boot.log");
    let before = fs::metadata(&path).expect("metadata").len();
    let args = ["get", &serve.address, "boot.log", "--limit-rate", "4MB", "--force"];
    run_while_it_grows(&local, &path, &args).exits_with(0);
    let (got, now) = (local.read("boot.log"), fs::read(&path).expect("read"));
    // What was there when it began: less than what came to it in the quarter of a second that it took.
    assert!(got.len() as u64 >= before && got.len() < now.len() && now.starts_with(&got), "{} bytes", got.len());
    // And among other files.
    fs::create_dir(local.path("tree")).expect("made");
    run_while_it_grows(&local, &path, &["get", &serve.address, "-r", "-o", "tree", "--limit-rate", "4MB"])
        .exits_with(0);
    assert!(fs::read(&path).expect("read").starts_with(&local.read("tree/boot.log")));
}

#[test]
fn one_file_that_is_served_can_grow_too() {
    let (local, root) = (TestDirectory::new(), tempfile::tempdir().expect("a directory"));
    let path = root.path().join("boot.log");
    fs::write(&path, pseudo_random(1 << 20)).expect("written");
    let (mut child, address) = Serve::start_with(&path, "127.0.0.1:0", &["--append", "*"]);
    let result = run_while_it_grows(&local, &path, &["get", &address, "boot.log", "--limit-rate", "4MB"]);
    child.kill().and_then(|()| child.wait()).expect("killed");
    result.exits_with(0);
    assert!(fs::read(&path).expect("read").starts_with(&local.read("boot.log")));
}

#[test]
fn a_pattern_that_is_none_is_refused() {
    let local = TestDirectory::new();
    local.run(&["serve", "--append", "logs/"]).exits_with(2).prints_error("'logs/**'");
}
