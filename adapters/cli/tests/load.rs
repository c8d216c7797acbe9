//! `coracle load` against `coracle serve`: the clients' report agrees with the server's metrics and log.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coracle::channel::{KeyPair, create_psk, create_secret_key, new_psk, new_secret_key};
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};
use tempfile::TempDir;

const FILE_LEN: usize = 10_000;
const TIMEOUT: Duration = Duration::from_secs(30);

/// `serve` of one file, with metrics and log.
struct Server {
    child: Child,
    address: SocketAddr,
    metrics: SocketAddr,
    directory: TempDir,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("file"), vec![7; FILE_LEN]).expect("written");
        let log = fs::File::create(directory.path().join(".log")).expect("a log");
        let mut child = Command::new(env!("CARGO_BIN_EXE_coracle"))
            .args(["serve", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--log-format", "json"])
            .args(args)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let mut next = |start: &str, end: &str| {
            let line = lines.next().expect("a line");
            let address = line.strip_prefix(start).and_then(|line| line.strip_suffix(end));
            address.unwrap_or_else(|| panic!("{line:?}")).parse().expect("an address")
        };
        let address = next("listening on ", "");
        let metrics = next("metrics on http://", "/metrics");
        Self { child, address, metrics, directory }
    }

    /// Waits for at least `count` lines of the log about `event`, and returns them.
    fn log(&self, event: &str, count: usize) -> Vec<Value> {
        let started = Instant::now();
        loop {
            let log = fs::read_to_string(self.directory.path().join(".log")).expect("a log");
            let whole = log.rsplit_once('\n').map_or("", |(lines, _)| lines);
            let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
            let lines: Vec<Value> = lines.filter(|line| line["event"] == event).collect();
            if lines.len() >= count {
                return lines;
            }
            assert!(started.elapsed() < TIMEOUT, "{} lines about {event}", lines.len());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The metrics, by name and labels.
    fn metrics(&self) -> BTreeMap<String, f64> {
        let mut page = TcpStream::connect(self.metrics).expect("connected");
        page.set_read_timeout(Some(TIMEOUT)).expect("an option");
        page.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
        let mut text = String::new();
        page.read_to_string(&mut text).expect("closed in good order");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let lines = body.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| {
                let (name, value) = line.rsplit_once(' ').expect("a value");
                (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
            })
            .collect()
    }

    /// The metrics after all clients have disconnected.
    fn metrics_at_rest(&self) -> BTreeMap<String, f64> {
        let started = Instant::now();
        loop {
            let metrics = self.metrics();
            if metrics["coracle_clients"] == 0.0 {
                return metrics;
            }
            assert!(started.elapsed() < TIMEOUT, "{metrics:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs `load` and returns its exit code and its report.
fn load(address: SocketAddr, args: &[&str]) -> (Option<i32>, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_coracle"))
        .args(["load", &address.to_string(), "--json"])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("run");
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert!(output.stderr.is_empty(), "{output:?}");
    (output.status.code(), report)
}

fn number(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap_or_else(|| panic!("no {name} in {report}"))
}

#[test]
fn sixty_four_clients_and_the_servers_own_counters() {
    for extra in [&[][..], &["--new-connection"]] {
        // On a busy machine the server notices disconnections later.
        let server = Server::start(&["--max-clients", "2000"]);
        let args = [&["--clients", "64", "--requests", "1000", "--get", "file"], extra].concat();
        let (code, report) = load(server.address, &args);
        assert_eq!(code, Some(0), "{report}");
        let body = 1000 * FILE_LEN as u64;
        assert_eq!((number(&report, "succeeded"), number(&report, "failed")), (1000, 0), "{report}");
        assert_eq!(number(&report, "bodyBytes"), body);
        assert!(number(&report, "receivedBytes") > body);

        let metrics = server.metrics_at_rest();
        let requests = r#"coracle_requests_total{request="get",outcome="ok"}"#;
        assert_eq!(metrics[requests], 1000.0, "{metrics:?}");
        assert_eq!(metrics["coracle_body_bytes_total"], body as f64);
        let connections = if extra.is_empty() { 64.0 } else { 1000.0 };
        assert_eq!(metrics["coracle_connections_total"], connections);
        assert_eq!(metrics[r#"coracle_disconnections_total{reason="done"}"#], connections);
        assert_eq!(metrics[r#"coracle_request_duration_seconds_count{request="get"}"#], 1000.0);

        let finished = server.log("finished", 1000);
        assert_eq!(finished.len(), 1000);
        assert!(finished.iter().all(|line| line["outcome"] == "ok" && line["what"] == "get"));
        assert_eq!(finished.iter().filter_map(|line| line["bytes"].as_u64()).sum::<u64>(), body);
        let latencies = &report["latency_ms"];
        let latency = |name: &str| latencies[name].as_f64().unwrap_or_else(|| panic!("{latencies}"));
        let order = ["p50", "p90", "p99", "p99.9", "max"].map(latency);
        assert!(order[0] > 0.0 && order.is_sorted(), "{latencies}");
    }
}

#[test]
fn texts_listings_and_hellos() {
    let server = Server::start(&["--on-text", "reply:got it"]);
    let (code, report) = load(server.address, &["--clients", "50", "--text", "a client says hello"]);
    assert_eq!((code, number(&report, "succeeded")), (Some(0), 50), "{report}");
    assert_eq!(number(&report, "receivedBytes"), 50 * 6);
    let metrics = server.metrics_at_rest();
    assert_eq!(metrics["coracle_text_arrivals_total"], 50.0);
    assert_eq!(metrics["coracle_text_bytes_total"], 50.0 * 19.0);
    let texts = server.log("text", 50);
    assert!(texts.len() == 50 && texts.iter().all(|line| line["text"] == "a client says hello"), "{texts:?}");

    let (code, report) = load(server.address, &["--clients", "5", "--requests", "50", "--list"]);
    assert_eq!((code, number(&report, "succeeded")), (Some(0), 50), "{report}");
    let (code, report) = load(server.address, &["--clients", "5", "--requests", "50"]);
    assert_eq!((code, number(&report, "succeeded")), (Some(0), 50), "{report}");
    let metrics = server.metrics_at_rest();
    assert_eq!(metrics[r#"coracle_requests_total{request="list",outcome="ok"}"#], 50.0);
    assert_eq!(metrics[r#"coracle_requests_total{request="hello",outcome="ok"}"#], 50.0);
}

#[test]
fn failures_are_counted_by_kind() {
    let server = Server::start(&["--max-clients", "2"]);
    let (code, report) = load(server.address, &["--clients", "3", "--requests", "300", "--get", "nothing"]);
    assert_eq!(code, Some(1));
    assert_eq!(number(&report, "succeeded"), 0);
    let failures = report["failures"].as_object().expect("an object");
    assert!(failures.keys().all(|kind| kind == "notFound" || kind == "busy"), "{report}");
    // A refused client asks again at once, so the number of refusals depends on time: mostly more than half.
    assert!(failures["notFound"].as_u64() >= Some(60), "{report}");
    assert_eq!(failures.values().filter_map(Value::as_u64).sum::<u64>(), 300, "{report}");
    assert!(report["latency_ms"].is_null());

    server.metrics_at_rest();
    let (code, report) = load(server.address, &["--clients", "1", "--text", "hello"]);
    assert_eq!((code, report["failures"]["badRequest"].as_u64()), (Some(1), Some(1)), "{report}");

    server.metrics_at_rest();
    // Two places, both taken by clients that have made requests.
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = TcpStream::connect(server.address).expect("connected");
        client.write_all(br#"{"type":"hello"}"#).expect("sent");
        assert!(client.read(&mut [0; 1024]).expect("an answer") > 0);
        held.push(client);
    }
    let (code, report) = load(server.address, &["--clients", "4", "--requests", "8"]);
    assert_eq!((code, report["failures"]["busy"].as_u64()), (Some(1), Some(8)), "{report}");
    let refused = server.metrics()[r#"coracle_refused_total{code="busy"}"#];
    assert!(refused >= 8.0, "{refused}");
    drop(held);

    // Nothing listens there, and nothing else can.
    let held = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    held.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).expect("a port");
    let free = held.local_addr().ok().and_then(|address| address.as_socket()).expect("its address");
    let (code, report) = load(free, &["--clients", "2", "--requests", "4"]);
    assert_eq!((code, report["failures"]["connecting: connection refused"].as_u64()), (Some(1), Some(4)), "{report}");
}

/// A server that stalls once: with a rate, the requests that were due meanwhile are late, too.
#[test]
fn waiting_counts_where_there_is_a_rate() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = server.local_addr().expect("its address");
    let serving = std::thread::spawn(move || {
        let (mut client, _) = server.accept().expect("accepted");
        let (mut piece, mut count) = ([0; 64], 0);
        while client.read(&mut piece).is_ok_and(|len| len > 0) {
            count += 1;
            if count == 20 {
                std::thread::sleep(Duration::from_millis(500));
            }
            client.write_all(b"ok").expect("sent");
        }
        count
    });
    let (code, report) = load(address, &["--clients", "1", "--requests", "100", "--rate", "100", "--text", "now"]);
    assert_eq!((code, number(&report, "succeeded")), (Some(0), 100), "{report}");
    assert_eq!(serving.join().expect("no panic"), 100);
    // 50 requests were due during the stall of half a second, and waited for half of it on average. Without a schedule only one
    // would be slow.
    let p90 = report["latency_ms"]["p90"].as_f64().expect("a number");
    assert!(p90 > 200.0, "{report}");
    assert!(report["duration_ms"].as_f64().is_some_and(|millis| millis > 950.0), "{report}");
}

#[test]
fn a_duration_ends_it() {
    let server = Server::start(&[]);
    let started = Instant::now();
    let (code, report) = load(server.address, &["--clients", "4", "--duration", "1s", "--rate", "200"]);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(number(&report, "succeeded"), 200, "{report}");
    assert!(started.elapsed() < TIMEOUT);
}

/// A server with one place serves clients in the order of their connections.
#[test]
fn one_after_the_other() {
    let server = Server::start(&["--on-text", "echo", "--max-clients", "1", "--admission", "queue"]);
    let args = ["--clients", "20", "--requests", "40", "--serial", "--pause", "5ms", "--text", "x", "--new-connection"];
    let (code, report) = load(server.address, &args);
    assert_eq!((code, number(&report, "succeeded")), (Some(0), 40), "{report}");
    assert!(report["duration_ms"].as_f64().is_some_and(|millis| millis > 195.0), "{report}");
    let metrics = server.metrics_at_rest();
    assert_eq!(metrics["coracle_clients_waiting"], 0.0);
}

#[test]
fn the_table_and_wrong_usage() {
    let server = Server::start(&[]);
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
        let output = command.arg("load").args(args).stdin(Stdio::null()).output().expect("run");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let address = server.address.to_string();
    let (code, table) = run(&[&address, "-c", "4", "-n", "40"]);
    assert_eq!(code, Some(0));
    for row in ["clients               4", "succeeded            40", "failed                0", "p99.9", "max"] {
        assert!(table.contains(row), "{row:?} is not in\n{table}");
    }
    for wrong in [
        &["--clients", "0"][..],
        &["--get", "../x"],
        &["--get", "a", "--list"],
        &["--requests", "1", "--duration", "1s"],
        &["--rate", "0"],
        &["--pause", "1s"],
    ] {
        assert_eq!(run(&[&[&address[..]], wrong].concat()).0, Some(2), "{wrong:?}");
    }
}

/// The page of metrics is there while the server runs, and an address that cannot be bound is an error.
#[test]
fn the_numbers_end_with_the_server() {
    let mut server = Server::start(&[]);
    assert_eq!(server.metrics()["coracle_clients"], 0.0);
    let output = Command::new(env!("CARGO_BIN_EXE_coracle"))
        .args(["serve", "--listen", "127.0.0.1:0", "--metrics", &server.metrics.to_string()])
        .stdin(Stdio::null())
        .output()
        .expect("run");
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot serve metrics"), "{output:?}");
    // A silent connection to it does not delay the end.
    let _silent = TcpStream::connect(server.metrics).expect("connected");
    let pid = rustix::process::Pid::from_child(&server.child);
    let started = Instant::now();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signalled");
    assert_eq!(server.child.wait().expect("ended").code(), Some(0));
    assert!(started.elapsed() < TIMEOUT);
    assert!(TcpStream::connect(server.metrics).is_err());
}

#[test]
fn e5_the_pre_shared_key_that_is_answered_is_found_once() {
    let keys = tempfile::tempdir().expect("a directory");
    let path = |name: &str| keys.path().join(name).to_str().expect("text").to_owned();
    let server = KeyPair::new(new_secret_key().expect("random"));
    create_secret_key(path("key").as_ref(), &server).expect("written");
    for name in ["old", "new"] {
        create_psk(path(name).as_ref(), &new_psk().expect("random")).expect("written");
    }
    let (key, psk) = (path("key"), path("new"));
    let server_of = Server::start(&["--key", &key, "--psk", &psk]);
    let pin = server.public().to_string();
    let args =
        ["--clients", "8", "--requests", "100", "--get", "file", "--pin", &pin, "--psk", &path("old"), "--psk", &psk];
    let (code, report) = load(server_of.address, &args);
    assert_eq!((code, number(&report, "succeeded"), number(&report, "failed")), (Some(0), 100, 0), "{report}");
    let metrics = server_of.metrics_at_rest();
    let failed = metrics.iter().filter(|(name, _)| name.contains("handshakes") && !name.contains(r#""ok""#));
    let failed: f64 = failed.map(|(_, count)| count).sum();
    assert_eq!(failed, 1.0, "each one counts against this address: {metrics:?}");
}
