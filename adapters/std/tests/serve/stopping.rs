//! Stopping a server.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use coracle::server::Server;
use coracle::store::{DirectoryStore, WritableDirectoryStore, WriteOptions};

use crate::fixture::{Client, Running, code, settled};

#[test]
fn c11_responses_under_way_are_finished() {
    let server = Running::settled(|_| {});
    let bytes = &settled().1;
    let (mut busy, mut idle, mut silent) = (server.connect(), server.connect(), server.connect());
    busy.send(r#"{"type":"get","fileName":"big","digest":"none"}"#).line();
    idle.hello();
    server.events.wait_for("connected", 3);
    server.handle.stop();
    assert_eq!(code(&idle.rest()), "shuttingDown");
    assert_eq!(code(&silent.rest()), "shuttingDown");
    for _ in 0..3 {
        let line = server.connect().rest();
        assert!(code(&line) == "shuttingDown" && line.contains(r#""retry_ms":5000"#), "{line}");
    }
    assert!(busy.bytes(bytes.len()) == *bytes);
    assert_eq!(busy.line(), r#"{"type":"end"}"#);
    assert_eq!(code(&busy.rest()), "shuttingDown");
    assert_eq!(server.events.wait_for("refused shuttingDown", 3).len(), 3);
    assert_eq!(server.events.count("cutting"), 0);
    assert_eq!(server.join().aborted, 0);
}

#[test]
fn c11_connections_left_after_the_grace_time_are_aborted() {
    let server = Running::settled(|limits| limits.grace = Some(Duration::from_millis(400)));
    let bytes = &settled().1;
    let mut client = server.connect();
    client.send(r#"{"type":"get","fileName":"big","digest":"none"}"#).line();
    let (events, started) = (server.events.clone(), Instant::now());
    server.handle.stop();
    assert_eq!(server.join().aborted, 1);
    // Without a grace time the stall time-out would end it after 30 s.
    assert!(started.elapsed() >= Duration::from_millis(400) && started.elapsed() < Duration::from_secs(20));
    assert_eq!(events.wait_for("left", 1), ["left cut live 0"]);
    assert_eq!(events.count("cutting 1"), 1);
    let (got, is_reset) = client.rest_or_reset();
    assert!(is_reset && got.len() < bytes.len());
}

#[test]
fn c12_stop_now_aborts_all_connections() {
    let server = Running::settled(|_| {});
    let mut clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
    clients[0].send(r#"{"type":"get","fileName":"big","digest":"none"}"#).line();
    clients[1].send("{");
    clients[2].hello();
    let started = Instant::now();
    server.handle.stop();
    server.handle.stop_now();
    server.join();
    // The grace time is 10 s.
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[test]
fn c12_stop_now_aborts_hashing() {
    let server = Running::new();
    let file = std::fs::File::create(server.directory.path().join("long")).expect("a file");
    file.set_len(1 << 40).expect("sparse");
    server.connect().send(r#"{"type":"stat","fileName":"long","digest":"sha256"}"#);
    let mut client = server.connect();
    client.send(r#"{"type":"stat","fileName":"long","digest":"crc32"}"#);
    server.events.wait_for("connected", 2);
    std::thread::sleep(Duration::from_millis(200));
    let started = Instant::now();
    server.handle.stop_now();
    server.join();
    // Hashing all of it takes minutes.
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[cfg(target_os = "linux")]
#[test]
fn all_threads_end() {
    let named = || {
        let tasks = std::fs::read_dir("/proc/self/task").expect("Linux").flatten();
        tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok()).collect::<Vec<_>>()
    };
    let server = Running::new();
    let clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    let peers: Vec<_> = clients.iter().map(|client| client.stream.local_addr().expect("an address")).collect();
    for peer in peers {
        server.events.wait_for(&format!("connected {peer} "), 1);
    }
    assert!(named().iter().filter(|name| name.starts_with("client-")).count() >= 20);
    server.handle.stop();
    // `run` joins all threads before it returns.
    assert_eq!(server.join().aborted, 0);
}

#[test]
fn c11_a_body_that_arrives_is_stored_before_the_server_has_stopped() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = DirectoryStore::open(directory.path()).expect("a directory");
    let store = WritableDirectoryStore::new(store, WriteOptions::new()).expect("it can be read");
    let server = Server::writable(&store).with_address("127.0.0.1:0".parse().expect("an address"));
    let server = server.bind().expect("bound");
    let (address, handle) = (server.addresses()[0], server.handle());
    thread::scope(|scope| {
        let running = scope.spawn(|| server.run());
        let [mut client, mut gone] = ["a.txt", "b.txt"].map(|name| {
            let mut client = Client::new(address);
            let put = format!(r#"{{"type":"put","fileName":"{name}","fileSize":10,"crc32":"a684c7c6"}}"#);
            client.send(put + "\n");
            let line = client.line();
            assert!(line.contains(r#""type":"ready""#), "{line}");
            client.send("01234");
            client
        });
        handle.stop();
        // Its other half never comes: without its end being seen, the server would wait for it for ever.
        gone.half_close();
        assert_eq!(code(&Client::new(address).rest()), "shuttingDown");
        client.send("56789");
        let line = client.line();
        assert!(line.contains(r#""type":"end""#), "{line}");
        assert_eq!(code(&client.rest()), "shuttingDown");
        running.join().expect("no panic").expect("served");
    });
    assert_eq!(fs::read(directory.path().join("a.txt")).expect("stored"), b"0123456789");
    assert!(!directory.path().join("b.txt").exists());
}
