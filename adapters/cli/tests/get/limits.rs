//! Limits of the user's: how long all may take, how slow the server may be, how fast this end may be.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Server, TestDirectory, pseudo_random};

/// `coracle serve` of a directory, until the end of the test.
struct Serve {
    child: Child,
    address: String,
}

impl Serve {
    fn new(served: &TestDirectory, options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_coracle"))
            .args(["serve", "-q", "--listen", "127.0.0.1:0", "--name", "bench-7"])
            .args(options)
            .arg(served.root.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening on ").expect("an address").to_owned();
        Self { child, address }
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// As many heartbeats as anybody waits for.
fn heartbeats(exchange: &mut crate::support::Exchange<'_>, count: usize) {
    for _ in 0..count {
        exchange.send(" ");
        sleep(Duration::from_millis(100));
    }
}

#[test]
fn m13_no_server_holds_a_client_for_longer_than_max_time() {
    let local = TestDirectory::new();
    let server = Server::new(|mut exchange| match exchange.name() {
        "drip" => {
            let header = exchange.header(&[b' '; 1_000], "v1");
            exchange.line(&header);
            heartbeats(&mut exchange, 1_000);
        }
        "busy" => {
            exchange.line(&json!({"type": "error", "code": "busy", "message": "full", "retry_ms": 20_000}));
            exchange.cut();
        }
        _ => heartbeats(&mut exchange, 1_000),
    });
    for command in [
        vec!["get", &server.address, "computes"],
        vec!["get", &server.address, "drip"],
        vec!["get", &server.address, "busy"],
        vec!["get", "-r", &server.address],
        vec!["stat", &server.address, "computes"],
        vec!["ls", &server.address],
        vec!["info", &server.address],
    ] {
        let begin = Instant::now();
        let result = local.run(&[&command[..], &["--max-time", "700ms"]].concat());
        result.exits_with(3).prints_error("the time for it is over");
        // The machine may be busy; without the limit it takes 100 s.
        assert!((700..60_000).contains(&begin.elapsed().as_millis()), "{command:?}: {:?}", begin.elapsed());
    }
}

#[test]
fn m13_a_server_that_is_too_slow_is_left() {
    let local = TestDirectory::new();
    let server = Server::new(|mut exchange| match exchange.name() {
        "drip" => {
            let header = exchange.header(&[b'x'; 10_000], "v1");
            exchange.line(&header);
            for _ in 0..1_000 {
                exchange.send("x");
                sleep(Duration::from_millis(50));
            }
        }
        // It computes for longer than the rate is measured.
        _ => {
            heartbeats(&mut exchange, 15);
            exchange.honest(&[("a", b"alpha")]);
        }
    });
    let options = ["--min-rate", "1k", "--stall-timeout", "1s", "--retries", "0"];
    local.run(&[&["get", &server.address, "drip"], &options[..]].concat()).exits_with(3).prints_error("more slowly");
    local.run(&[&["get", &server.address, "a"], &options[..]].concat()).exits_with(0);
    assert_eq!(local.read("a"), b"alpha");
}

/// Only that it takes long enough: how fast the machine is does not matter.
#[test]
fn what_is_moved_keeps_to_the_limits() {
    let served = TestDirectory::new();
    let contents = pseudo_random(60_000);
    served.write("a", &contents);
    served.write("b", &contents);
    for (options, get, least_ms) in [
        (&[][..], &["--limit-rate", "60kB", "-j", "2"][..], 1_700),
        (&["--limit-rate", "60kB"][..], &["-j", "2"][..], 1_700),
        (&["--limit-rate-per-client", "60kB"][..], &["-j", "1"][..], 1_700),
        (&["--limit-rate-per-client", "60kB"][..], &["--digest", "none", "-j", "1"][..], 1_700),
    ] {
        let (local, server) = (TestDirectory::new(), Serve::new(&served, options));
        let begin = Instant::now();
        local.run(&[&["get", &server.address, "a", "b"], get].concat()).exits_with(0);
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(least_ms), "{options:?}, {get:?}: {took:?}");
        assert!(local.read("a") == contents && local.read("b") == contents);
    }
}

#[test]
fn only_addresses_of_one_family_are_used() {
    let (local, served) = (TestDirectory::new(), TestDirectory::new());
    served.write("a", "alpha");
    let server = Serve::new(&served, &[]);
    local.run(&["get", "-4", &server.address, "a"]).exits_with(0);
    let result = local.run(&["get", "-6", &server.address, "a", "--force", "--retries", "0"]);
    result.exits_with(3).prints_error("the host has no IPv6 address");
    local.run(&["get", "-4", "-6", &server.address, "a"]).exits_with(2);
}

#[test]
fn info_tells_what_hello_says() {
    let (local, served) = (TestDirectory::new(), TestDirectory::new());
    let server = Serve::new(&served, &["--idle-timeout", "90s"]);
    let text = local.run(&["info", &server.address]).exits_with(0).out();
    for word in ["bench-7", "list, stat, get", "crc32, sha256", "4096 bytes a request", "idle 1m 30s", "time  "] {
        assert!(text.contains(word), "{word} in {text}");
    }
    let told: Value = serde_json::from_slice(&local.run(&["info", &server.address, "--json"]).stdout).expect("JSON");
    assert_eq!((&told["name"], &told["idle_ms"]), (&json!("bench-7"), &json!(90_000)));
    assert!(told["time"].as_u64().is_some_and(|time| time > 1_700_000_000), "{told}");
    // An old server without a clock, and one that steers the terminal.
    let old = Server::new(|mut exchange| {
        exchange
            .line(&json!({"type": "hello", "protocol": 1, "server": "old/1\u{1b}[2J", "name": "", "maxRequest": 512,
            "chunkSize": 1, "idle_ms": 0, "request_ms": 1, "stall_ms": 2, "features": ["get", "new"], "digests": []}));
    });
    let text = local.run(&["info", &old.address]).exits_with(0).out();
    assert!(text.contains("(no name)") && text.contains("unknown") && text.contains("idle never"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}
