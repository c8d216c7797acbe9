//! Bytes that are no request.

use std::thread;
use std::time::{Duration, Instant};

use coracle::server::OnText;

use crate::fixture::{Running, code, in_time};

#[test]
fn f11_text_is_rejected_by_default() {
    let server = Running::new();
    let rest = server.connect().send("GET / HTTP/1.1\r\n\r\n").rest();
    assert_eq!(code(&rest), "badRequest");
    assert!(!rest.contains("GET") && !rest.contains("HTTP"), "{rest}");
}

#[test]
fn echo_returns_every_byte() {
    let server = Running::with(|limits| limits.on_text = OnText::Echo);
    let mut client = server.connect();
    let noise: Vec<u8> = (0..=255).filter(|byte| *byte != b'{').cycle().skip(200).take(100_000).collect();
    let mut writer = client.stream.try_clone().expect("a clone");
    thread::scope(|scope| {
        scope.spawn(|| std::io::Write::write_all(&mut writer, &noise).expect("sent"));
        assert!(client.bytes(noise.len()) == noise, "other bytes came back");
    });
    client.hello();
    // White space before text counts as white space before a request.
    assert_eq!(client.send("\nonce more\n").bytes(10), b"once more\n");
}

#[test]
fn one_reply_for_each_arrival() {
    let server = Running::with(|limits| limits.on_text = OnText::Reply("收到客户端信息".to_owned()));
    let mut client = server.connect();
    for text in ["早上好", "no newline", "x"] {
        client.send(text);
        assert_eq!(client.bytes(21), "收到客户端信息".as_bytes());
    }
    // A character in two pieces.
    client.send(&"早".as_bytes()[..1]);
    assert_eq!(client.bytes(21).len(), 21);
    client.send(&"早".as_bytes()[1..]);
    assert_eq!(client.bytes(21).len(), 21);
    client.hello();
    client.half_close();
    assert_eq!(client.rest(), "");
}

/// The name of the selected file may arrive in pieces, but a part of it is echoed after a second.
#[test]
fn the_beginning_of_a_name_is_held_for_a_second() {
    let server = Running::with(|limits| {
        limits.on_text = OnText::Echo;
        limits.classic = true;
    });
    std::fs::write(server.directory.path().join("motd"), "Mind the step.\n").expect("written");
    let mut client = in_time(|| {
        let mut client = server.connect();
        let header = r#"{"type":2,"data":15,"fileName":"motd","readCnt":1,"lastSize":15}"#;
        assert_eq!(client.send(r#"{"type":2,"fileName":"motd"}"#).bytes(header.len()), header.as_bytes());
        let started = Instant::now();
        client.send("mo");
        thread::sleep(Duration::from_millis(300));
        client.send("td");
        (started.elapsed() < Duration::from_millis(900)).then(|| {
            assert_eq!(client.bytes(15), b"Mind the step.\n");
            client
        })
    });
    let started = Instant::now();
    assert_eq!(client.send("mo").bytes(2), b"mo");
    let passed = started.elapsed();
    // The clock is as fine as a tick of the kernel.
    assert!(passed >= Duration::from_millis(980) && passed < Duration::from_secs(20), "{passed:?}");
    assert_eq!(client.send("td").bytes(2), b"td");
    assert_eq!(client.send("motd").bytes(15), b"Mind the step.\n");
}

/// Text makes a connection active, as requests do.
#[test]
fn a_client_that_sent_text_is_not_evicted() {
    let server = Running::with(|limits| {
        limits.max_clients = 1;
        limits.on_text = OnText::Echo;
    });
    let mut client = server.connect();
    assert_eq!(client.send("hi").bytes(2), b"hi");
    thread::sleep(Duration::from_millis(1200));
    assert_eq!(code(&server.connect().rest()), "busy");
    assert_eq!(client.send("hi").bytes(2), b"hi");
}
