//! Idle, request and stall time-outs.

use std::time::{Duration, Instant};

use crate::fixture::{Running, code, settled};

fn within(started: Instant, least_ms: u64, most_ms: u64) {
    let elapsed = started.elapsed();
    let range = Duration::from_millis(least_ms)..Duration::from_millis(most_ms);
    assert!(range.contains(&elapsed), "{elapsed:?} is not in {range:?}");
}

#[test]
fn c1_an_idle_connection_is_closed_without_a_message() {
    let server = Running::with(|limits| limits.idle_timeout = Some(Duration::from_millis(400)));
    let (mut silent, mut idle) = (server.connect(), server.connect());
    let started = Instant::now();
    idle.hello();
    assert_eq!((silent.rest(), idle.rest()), (String::new(), String::new()));
    // Long before the default of a minute.
    within(started, 350, 20_000);
    assert_eq!(server.events.wait_for("left idle", 2).len(), 2);
}

#[test]
fn c2_a_trickling_request_is_refused_at_its_deadline() {
    let server = Running::with(|limits| limits.request_timeout = Some(Duration::from_millis(500)));
    let mut client = server.connect();
    let started = Instant::now();
    let (mut reader, mut sender) = (server.connect(), client.stream.try_clone().expect("a clone"));
    let trickle = std::thread::spawn(move || {
        use std::io::Write;
        // For longer than the test allows, unless the server closes.
        for byte in br#"{"type":"hello","x":""#.iter().chain(&[b'0'; 150]) {
            if sender.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(90));
        }
    });
    let line = client.line();
    // The default is 10 s.
    within(started, 450, 9000);
    assert_eq!(code(&line), "timeout");
    reader.hello();
    trickle.join().expect("no panic");
    assert_eq!(server.events.wait_for("left", 1), ["left timeout live 1"]);
}

/// The order tells that both deadlines are those of the limits: by default the request's is 10 s.
#[test]
fn c1_c2_deadlines_hold_after_many_requests() {
    let server = Running::with(|limits| {
        limits.idle_timeout = Some(Duration::from_secs(6));
        limits.request_timeout = Some(Duration::from_secs(3));
    });
    let (mut resting, mut begun, mut asking) = (server.connect(), server.connect(), server.connect());
    for client in [&mut resting, &mut begun, &mut asking] {
        (0..5).for_each(|_| drop(client.hello()));
    }
    begun.send(r#"{"type":"#);
    // Past the time that the others have, and never for so long without a request.
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(1500));
        asking.hello();
    }
    assert_eq!(resting.rest(), "");
    assert_eq!(code(&begun.rest()), "timeout");
    assert_eq!(server.events.wait_for("left", 2), ["left timeout live 2", "left idle live 1"]);
    asking.hello();
}

#[test]
fn c2_white_space_starts_the_request_deadline() {
    let server = Running::with(|limits| limits.request_timeout = Some(Duration::from_millis(300)));
    let rest = server.connect().send(" ").rest();
    assert_eq!(code(&rest), "timeout");
}

#[test]
fn c3_a_client_that_does_not_read_is_reset() {
    let server = Running::settled(|limits| limits.stall_timeout = Some(Duration::from_millis(500)));
    let bytes = &settled().1;
    for digest in ["none", "crc32"] {
        let mut client = server.connect();
        let started = Instant::now();
        client.send(format!(r#"{{"type":"get","fileName":"big","digest":"{digest}"}}"#));
        let left = server.events.wait_for("left", if digest == "none" { 1 } else { 2 });
        // The default is 30 s.
        within(started, 450, 20_000);
        assert!(left.iter().all(|line| line == "left stalled live 0"), "{left:?}");
        let (got, is_reset) = client.rest_or_reset();
        assert!(is_reset && got.len() < bytes.len(), "a body that is not whole must not end like a whole one");
    }
    assert_eq!(server.events.count("get big"), 2);
    assert_eq!(
        server.events.wait_for("get big", 2).iter().filter(|line| line.ends_with("cut short: stalled")).count(),
        2
    );
}

#[test]
fn c3_a_client_below_the_lowest_rate_is_reset() {
    let server = Running::settled(|limits| {
        limits.stall_timeout = Some(Duration::from_millis(400));
        limits.min_rate = 20_000_000;
    });
    let mut client = server.connect();
    client.send(r#"{"type":"get","fileName":"big","digest":"none"}"#);
    let started = Instant::now();
    // Never stalled, and never fast enough.
    let mut got = 0;
    while server.events.count("left") == 0 {
        got += client.bytes(20_000).len();
        std::thread::sleep(Duration::from_millis(10));
        assert!(started.elapsed() < Duration::from_secs(20), "{got} bytes");
    }
    assert_eq!(server.events.wait_for("left", 1), ["left stalled live 0"]);
}

#[test]
fn without_time_outs_connections_stay() {
    let server = Running::with(|limits| {
        limits.idle_timeout = None;
        limits.request_timeout = None;
        limits.stall_timeout = None;
    });
    let mut client = server.connect();
    assert!(client.hello().contains(r#""idle_ms":0,"request_ms":0,"stall_ms":0"#));
    client.send("{");
    std::thread::sleep(Duration::from_millis(1500));
    assert!(client.send(r#""type":"hello"}"#).line().contains("protocol"));
}
