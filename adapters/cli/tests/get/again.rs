//! `coracle get -r` again: what is asked, what is fetched, and what is replaced unasked.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use crate::support::{Exchange, INDEX, Server, TestDirectory};

/// A time that the clock of the scripted server is far behind.
const MODIFIED: u64 = 1_000_000_000;

/// A server of the files `a` and `b`, whose contents and times come from `version`.
fn versions(version: &Arc<AtomicUsize>, modified: fn(usize) -> u64) -> Server {
    let version = version.clone();
    Server::new(move |mut exchange: Exchange<'_>| {
        let version = version.load(Ordering::SeqCst);
        let time = modified(version);
        let contents = |name: &str| format!("{name} {version}").into_bytes();
        match exchange.kind() {
            "list" => {
                for name in ["a", "b"] {
                    let size = contents(name).len();
                    exchange.line(&json!({"type": "entry", "fileName": name, "fileSize": size, "modified": time}));
                }
                exchange.line(&json!({"type": "end", "count": 2}));
            }
            _ => {
                let (file, label) = (contents(exchange.name()), format!("v{version}"));
                let mut header = exchange.header(&file, &label);
                header["modified"] = time.into();
                exchange.line(&header);
                if exchange.kind() == "get" {
                    exchange.send(&file);
                    let end = exchange.end(&file);
                    exchange.line(&end);
                }
            }
        }
    })
}

fn summary(local: &TestDirectory, server: &Server, args: &[&str], code: i32, words: &str) {
    let result = local.get(server, &[&["-r", "-o", "to"], args].concat());
    assert!(result.exits_with(code).out().starts_with(words), "{args:?}: {}", result.out());
}

#[test]
fn what_is_listed_as_it_is_here_is_not_asked_for() {
    let (local, version) = (TestDirectory::new(), Arc::new(AtomicUsize::new(1)));
    let server = versions(&version, |version| MODIFIED + version as u64);
    summary(&local, &server, &[], 0, "2 fetched (6 bytes), 0 equal");
    let asked = server.requests();
    summary(&local, &server, &[], 0, "0 fetched (0 bytes), 2 equal");
    assert_eq!(server.requests() - asked, 1, "the listing alone");
    // Digests on request, and where the times say nothing.
    summary(&local, &server, &["--checksum"], 0, "0 fetched (0 bytes), 2 equal");
    assert_eq!(server.requests() - asked, 4);
    fs::remove_file(local.path("to").join(INDEX)).expect("removed");
    summary(&local, &server, &[], 0, "0 fetched (0 bytes), 2 equal");
    assert_eq!(server.requests() - asked, 5, "without an index the times do");
    fs::File::options()
        .write(true)
        .open(local.path("to/a"))
        .and_then(|file| file.set_modified(UNIX_EPOCH))
        .expect("old");
    for requests in [7, 8] {
        summary(&local, &server, &[], 0, "0 fetched (0 bytes), 2 equal");
        assert_eq!(server.requests() - asked, requests, "it is asked for once, and then known");
    }
}

#[test]
fn what_may_have_been_modified_again_is_asked_for() {
    let (local, version) = (TestDirectory::new(), Arc::new(AtomicUsize::new(1)));
    // The time of the scripted server's hello.
    let server = versions(&version, |_| 2_000_000_000 - 1);
    summary(&local, &server, &[], 0, "2 fetched");
    // Another content with the old size and the old time.
    version.store(2, Ordering::SeqCst);
    summary(&local, &server, &[], 0, "2 fetched (6 bytes), 0 equal");
    assert_eq!(local.read("to/a"), b"a 2");
}

#[test]
fn what_was_fetched_and_not_touched_is_replaced_unasked() {
    let (local, version) = (TestDirectory::new(), Arc::new(AtomicUsize::new(1)));
    let server = versions(&version, |version| MODIFIED + version as u64);
    for number in 1..4 {
        version.store(number, Ordering::SeqCst);
        summary(&local, &server, &[], 0, "2 fetched (6 bytes), 0 equal");
        assert_eq!(local.read("to/b"), format!("b {number}").as_bytes());
    }
    // A new mode, a second name or a new time is no new content.
    fs::hard_link(local.path("to/a"), local.path("to/c")).expect("linked");
    let touched = fs::File::options().write(true).open(local.path("to/b")).expect("opened");
    touched.set_modified(UNIX_EPOCH + Duration::from_secs(5)).expect("touched");
    version.store(4, Ordering::SeqCst);
    summary(&local, &server, &[], 0, "2 fetched (6 bytes), 0 equal");
    // The user's changes stay.
    local.write("to/a", "a 5");
    version.store(6, Ordering::SeqCst);
    let result = local.get(&server, &["-r", "-o", "to"]);
    result.exits_with(5).prints_error("to/a was changed here since it was fetched; --force replaces it");
    assert_eq!((local.read("to/a"), local.read("to/b")), (b"a 5".to_vec(), b"b 6".to_vec()));
    summary(&local, &server, &["--force"], 0, "1 fetched (3 bytes), 1 equal");
    assert_eq!(local.read("to/a"), b"a 6");
    // Without the index nothing is known of it.
    fs::remove_file(local.path("to").join(INDEX)).expect("removed");
    version.store(7, Ordering::SeqCst);
    local.get(&server, &["-r", "-o", "to"]).exits_with(5).prints_error("to/a exists already");
    assert_eq!(local.read("to/a"), b"a 6");
}

#[test]
fn m3_the_index_is_nothing_that_is_fetched() {
    let local = TestDirectory::new();
    let server = Server::honest(&[(".coracle-index", b"evil"), ("a", b"alpha")]);
    let result = local.get(&server, &["-r", "-o", "to"]);
    result.exits_with(5).prints_error(".coracle-index cannot be saved under its name");
    assert!(local.read("to/.coracle-index").starts_with(b"{\"coracleIndex\":1}\n"));
}
