//! Connections that break, and crowds of clients.

use std::fs;
use std::net::TcpStream;
use std::time::Duration;

use socket2::Socket;

use crate::fixture::{HELLO, Running, pattern, wait_for};

#[test]
fn c6_a_reset_in_the_middle_of_a_body() {
    let server = Running::settled(|_| {});
    for digest in ["none", "crc32"] {
        let mut client = server.connect();
        client.send(format!(r#"{{"type":"get","fileName":"big","digest":"{digest}"}}"#)).line();
        client.bytes(1000);
        client.reset();
    }
    let left = server.events.wait_for("left", 2);
    assert!(left.iter().all(|line| line.starts_with("left lost (")), "{left:?}");
    let finished = server.events.wait_for("get big", 2);
    assert!(finished.iter().all(|line| line.contains("cut short: lost (")), "{finished:?}");
    assert_eq!((finished.len(), server.handle.live()), (2, 0));
    server.connect().hello();
}

#[test]
fn s1_a_file_that_shrinks_while_it_is_sent() {
    let server = Running::new();
    let bytes = pattern(40_000_000);
    for digest in ["none", "crc32"] {
        assert!(server.file("big", bytes.len()) == bytes);
        let mut client = server.connect();
        client.send(format!(r#"{{"type":"get","fileName":"big","digest":"{digest}"}}"#)).line();
        let mut got = client.bytes(1000);
        let file = fs::File::options().write(true).open(server.directory.path().join("big")).expect("there");
        file.set_len(10_000_000).expect("cut");
        let (rest, is_reset) = client.rest_or_reset();
        got.extend(rest);
        assert!(is_reset && got.len() < bytes.len(), "{} bytes, reset: {is_reset}", got.len());
    }
    let left = server.events.wait_for("left", 2);
    assert!(left.iter().all(|line| line == "left fileFault live 0"), "{left:?}");
}

#[test]
fn c7_clients_that_are_gone_before_they_are_accepted() {
    let server = Running::new();
    for _ in 0..300 {
        server.connect().reset();
    }
    server.connect().hello();
    wait_for(|| (server.handle.live() == 0).then_some(()));
    assert_eq!(server.events.count("trouble"), 0);
}

#[test]
fn c8_a_storm_of_connections() {
    let server = Running::with(|limits| limits.max_clients = 32);
    let address = server.address;
    let storms: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let mut held = Vec::new();
                for _ in 0..500 {
                    held.extend(TcpStream::connect_timeout(&address, Duration::from_secs(5)));
                    if held.len() > 50 {
                        held.drain(..50);
                    }
                }
                held
            })
        })
        .collect();
    let mut held: Vec<_> = storms.into_iter().flat_map(|storm| storm.join().expect("no panic")).collect();
    // Others stay until as many are served as may be, so that the highest number is known. A client that came while the
    // server had yet to notice who was gone may have been refused.
    wait_for(|| {
        held.push(server.connect().stream);
        (server.handle.live() == 32).then_some(())
    });
    drop(held);
    // Every place is free again, as soon as the clients are accepted and gone that closed in the listener's queue.
    let mut clients = Vec::new();
    wait_for(|| {
        let mut client = server.connect();
        if client.send(HELLO).line().starts_with(r#"{"type":"hello""#) {
            clients.push(client);
        }
        (clients.len() == 32).then_some(())
    });
    let live = |line: &String| line.rsplit(' ').next().and_then(|live| live.parse::<usize>().ok()).expect("a number");
    let most = server.events.wait_for("connected", 1).iter().map(live).max();
    assert_eq!(most, Some(32));
}

/// A client that leaves while its file is hashed or read is noticed when the next byte is sent, and earlier by nothing.
#[test]
fn c10_clients_that_leave_while_their_file_is_read() {
    let server = Running::new();
    fs::write(server.directory.path().join("big"), pattern(1_000_000)).expect("written");
    for request in [
        r#"{"type":"stat","fileName":"big","digest":"sha256"}"#,
        r#"{"type":"get","fileName":"big","digest":"sha256"}"#,
        r#"{"type":"get","fileName":"big","offset":999999,"digestFrom":0,"digest":"sha256"}"#,
    ] {
        for resets in [false, true] {
            for _ in 0..4 {
                let mut client = server.connect();
                client.send(request);
                if resets {
                    client.reset();
                }
            }
        }
    }
    server.connect().hello();
    // One line for each of them, whatever the moment.
    let finished = server.events.wait_for("left", 25);
    assert!(
        finished.iter().all(|line| line.starts_with("left done") || line.starts_with("left lost (")),
        "{finished:?}"
    );
    assert_eq!((finished.len(), server.handle.live()), (25, 0));
    assert_eq!(server.events.count("get big") + server.events.count("stat big"), 24);
    assert_eq!(server.events.count("trouble"), 0);
}

#[test]
fn c15_probes_are_no_errors() {
    let server = Running::new();
    for _ in 0..20 {
        drop(server.connect());
        server.connect().hello();
    }
    let left = server.events.wait_for("left", 40);
    assert!(left.iter().all(|line| line.starts_with("left done")), "{left:?}");
    assert_eq!(server.events.count("trouble"), 0);
}

#[test]
fn k2_a_reader_with_a_tiny_window_gets_the_same_bytes() {
    let server = Running::new();
    let bytes = server.file("big", 400_000);
    for digest in ["none", "crc32"] {
        let mut client = server.connect();
        let socket = Socket::from(client.stream.try_clone().expect("a clone"));
        socket.set_recv_buffer_size(16 * 1024).expect("an option");
        client.send(format!(r#"{{"type":"get","fileName":"big","digest":"{digest}"}}"#)).line();
        assert!(client.bytes(bytes.len()) == bytes);
        assert!(client.line().starts_with(r#"{"type":"end""#));
    }
}
