//! Which clients are admitted.

use std::time::{Duration, Instant};

use crate::fixture::{Client, HELLO, Running, code, in_time, settled, wait_for};

#[test]
fn x3_a_new_client_is_refused_while_all_connections_are_active() {
    let server = Running::with(|limits| limits.max_clients = 2);
    let (mut first, mut second) = (server.connect(), server.connect());
    first.hello();
    second.hello();
    std::thread::sleep(Duration::from_millis(1100));
    let started = Instant::now();
    let mut third = server.connect();
    assert_eq!(code(&third.rest()), "busy");
    // At once, and not when one of the others is idle for too long.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    first.hello();
    second.hello();
    drop(first);
    server.events.wait_for("left", 1);
    server.connect().hello();
    assert_eq!(server.events.count("refused busy"), 1);
}

#[test]
fn x3_the_oldest_silent_client_is_evicted() {
    let (server, mut honest, mut slow) = in_time(|| {
        let server = Running::with(|limits| limits.max_clients = 3);
        let mut honest = server.connect();
        honest.hello();
        let started = Instant::now();
        let mut slow: Vec<Client> = (0..2).map(|_| server.connect_admitted()).collect();
        for client in &mut slow {
            client.send("{");
        }
        // None is old enough to be evicted yet.
        let line = server.connect().send(HELLO).line();
        (started.elapsed() < Duration::from_secs(1)).then(|| {
            assert_eq!(code(&line), "busy");
            (server, honest, slow)
        })
    });
    std::thread::sleep(Duration::from_millis(1100));
    let mut new_client = server.connect();
    new_client.hello();
    assert_eq!(slow.remove(0).rest(), "", "the oldest one is closed without a message");
    assert_eq!(server.events.wait_for("left", 1), ["left dropped live 3"]);
    // The others stay.
    assert!(slow.remove(0).send(r#""type":"hello"}"#).line().contains("protocol"));
    honest.hello();
    new_client.hello();
}

#[test]
fn a_download_is_not_evicted_for_a_new_client() {
    let server = Running::settled(|limits| limits.max_clients = 1);
    let bytes = &settled().1;
    let mut client = server.connect();
    client.send(r#"{"type":"get","fileName":"big","digest":"none"}"#).line();
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(code(&server.connect().rest()), "busy");
    assert!(client.bytes(bytes.len()) == *bytes);
}

#[test]
fn c2_200_slow_clients_do_not_keep_others_out() {
    let server = Running::with(|limits| limits.max_clients = 50);
    let slow: Vec<Client> = (0..200).map(|_| server.connect()).collect();
    // Those that connect when the first ones are a second old already may be admitted in their place.
    wait_for(|| (server.events.count("connected") + server.events.count("refused") == 200).then_some(()));
    assert_eq!(server.handle.live(), 50);
    std::thread::sleep(Duration::from_millis(1100));
    for _ in 0..60 {
        server.connect().hello();
    }
    drop(slow);
    wait_for(|| (server.handle.live() == 0).then_some(()));
}

#[cfg(target_os = "linux")]
#[test]
fn worker_threads_are_reused_and_named() {
    let server = Running::new();
    for _ in 0..50 {
        server.connect().hello();
    }
    server.events.wait_for("left", 50);
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux").flatten();
    let names = threads.map(|task| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default());
    assert!(names.filter(|name| name.starts_with("client-")).count() >= 1);
}

#[test]
fn listeners_can_be_closed_and_opened_again() {
    let server = Running::new();
    let mut client = server.connect();
    client.hello();
    assert_eq!(server.handle.stop_listening(), [server.address]);
    assert!(std::net::TcpStream::connect(server.address).is_err());
    client.hello();
    let again = server.handle.listen_on(server.address).expect("free again");
    assert_eq!(again, [server.address]);
    server.connect().hello();
    client.hello();
}
