//! What strangers, and whoever is in the middle, get.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use coracle::channel::{HandshakeCause, HandshakeError};
use coracle::server::Admission;

use crate::fixture::{
    PSK, Plain, READER, Running, SERVER, STRANGER, WRITER, code, key, proxied, psk, put, sealed, sealed_over, tcp,
    usual,
};

const STAT: &str = r#"{"type":"stat","fileName":"motd"}"#;

/// What a connection goes through on its way to the server.
type Change = fn(&mut Vec<u8>, usize) -> bool;

/// Passes one connection on, and keeps what went by. `change` is given what the client sends, and how much came before; false: the
/// client's side ends there.
fn middle(server: SocketAddr, change: Change) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    thread::spawn(move || {
        let client = listener.accept().expect("a client").0;
        let server = tcp(server);
        let (mut up, mut down) = (server.try_clone().expect("another"), client.try_clone().expect("another"));
        let recorded = Arc::clone(&record);
        thread::spawn(move || pass(&server, &mut down, &recorded, |_, _| true));
        pass(&client, &mut up, &record, change);
    });
    (address, seen)
}

fn pass(
    mut from: &TcpStream,
    to: &mut TcpStream,
    record: &Mutex<Vec<u8>>,
    change: impl Fn(&mut Vec<u8>, usize) -> bool,
) {
    let mut buf = [0; 4096];
    let mut before = 0;
    while let Ok(len @ 1..) = from.read(&mut buf) {
        record.lock().expect("no panic").extend_from_slice(&buf[..len]);
        let mut bytes = buf[..len].to_vec();
        let goes_on = change(&mut bytes, before);
        before += len;
        if to.write_all(&bytes).is_err() || !goes_on {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Write));
}

#[test]
fn e11_nothing_but_lengths_is_in_the_clear() {
    let server = Running::new();
    let (address, seen) = middle(server.address, |_, _| true);
    let mut client = sealed(address, WRITER, Some(PSK)).expect("the handshake is made");
    client.ask(r#"{"type":"hello"}"#);
    assert!(client.put("in/payroll.txt").contains(r#""end""#));
    assert_eq!(client.code(r#"{"type":"list"}"#), "denied");
    drop(client);
    let log = server.log.wait_for("put in/payroll.txt");
    let seen = seen.lock().expect("no panic").clone();
    assert!(seen.len() > 500, "{} bytes", seen.len());
    for text in ["payroll", "0123456789", "hello", "features", "type", "denied", "error", "in/"] {
        assert!(!seen.windows(text.len()).any(|part| part == text.as_bytes()), "{text}");
    }
    for number in [SERVER, WRITER] {
        for secret in [key(number).public().as_bytes(), key(number).secret().as_bytes()] {
            assert!(!seen.windows(32).any(|part| part == secret));
        }
    }
    // Nor is a secret in the log, or in what a program prints.
    let shown = format!("{log}{:?}{:?}", server.channel, psk(PSK));
    for secret in [key(SERVER).secret().reveal().to_string(), psk(PSK).reveal().to_string()] {
        assert!(!shown.contains(&secret), "{shown}");
    }
}

/// Somebody in the middle flips a bit, or cuts off, anywhere behind the handshake: the request is not acted upon.
#[test]
fn e4_what_was_changed_on_the_way_is_not_acted_upon() {
    const HANDSHAKE: usize = 52 + 70;
    let changes: [(Change, &str); 3] = [
        (
            |bytes, before| {
                if before + bytes.len() > HANDSHAKE {
                    let last = bytes.len() - 1;
                    bytes[last] ^= 1;
                }
                true
            },
            "altered (a record that is not the peer's",
        ),
        (|bytes, before| before + bytes.len() <= HANDSHAKE, "truncated (cut off"),
        (
            |bytes, before| {
                if before + bytes.len() > HANDSHAKE {
                    let again = bytes.clone();
                    bytes.extend(again);
                }
                true
            },
            "altered (a record that is not the peer's",
        ),
    ];
    for (change, reason) in changes {
        let server = Running::new();
        let (address, _) = middle(server.address, change);
        let mut client = sealed(address, WRITER, Some(PSK)).expect("the handshake is made");
        // A second one for what is doubled.
        client.send(&format!("{}\n", r#"{"type":"delete","fileName":"in/old.txt"}"#));
        let log = server.log.wait_for(reason);
        let is_doubled = log.contains("delete in/old.txt 0 B") && log.contains(" ok");
        assert!(is_doubled || server.directory.path().join("in/old.txt").exists(), "{log}");
    }
}

/// A file whose last bytes came without the authenticated end of what was sent before is no file.
#[test]
fn e3_a_body_that_is_cut_off_is_never_whole() {
    let server = Running::new();
    let mut writer = server.client(WRITER);
    assert!(writer.ask(&put("in/a.txt")).contains(r#""ready""#));
    writer.send("01234");
    writer.channel.inner().socket().shutdown(Shutdown::Write).expect("shut down");
    server.log.wait_for("truncated (cut off");
    assert!(!server.directory.path().join("in/a.txt").exists());
}

#[test]
fn e5_another_pre_shared_key_is_answered_with_nothing() {
    let server = Running::new();
    for known in [Some(PSK + 1), None] {
        let failure = server.try_client(READER, known).expect_err("refused");
        assert_eq!(failure.message, 2);
        assert!(matches!(failure.cause, HandshakeCause::Handshake(HandshakeError::Closed)), "{failure:?}");
        assert!(failure.received.is_empty());
    }
    server.log.wait_for("handshake (message 1: another pre-shared key");
}

#[test]
fn e7_an_address_whose_handshakes_fail_is_turned_away() {
    let server = Running::new();
    let mut fails = 0;
    while !server.log.text().contains("too many of its handshakes have failed") {
        assert!(server.try_client(READER, Some(PSK + 1)).is_err());
        fails += 1;
        assert!(fails < 1000, "{}", server.log.text());
    }
    // For ten seconds: of these attempts some are made in time on any machine.
    let is_barred = (0..100).any(|_| {
        let mut rest = Vec::new();
        let mut stream = tcp(server.address);
        let sent = stream.write_all(b"{\"type\":\"hello\"}");
        sent.is_err() || stream.read_to_end(&mut rest).is_err()
    });
    assert!(is_barred);
}

#[test]
fn b2_e7_the_bar_is_for_the_client_behind_the_proxy() {
    let server = Running::new();
    while !server.log.text().contains("192.0.2.1:7 - barred") {
        assert!(sealed_over(proxied(server.address, 1), READER, Some(PSK + 1)).is_err());
        assert!(server.log.text().lines().count() < 1000, "{}", server.log.text());
    }
    let mut other = sealed_over(proxied(server.address, 2), READER, Some(PSK)).expect("the handshake is made");
    assert_eq!(other.code(STAT), "");
    server.log.wait_for("192.0.2.2:7 client-");
    // Without encryption, and with a second header in its place.
    for text in [&b"{\"type\":\"hello\"}"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        assert_eq!(code(&Plain(proxied(server.address, 3)).end_after(text)), "encrypted");
    }
}

/// A handshake clears the count, so that a client with its old pre-shared key in between is no stranger.
#[test]
fn e7_a_completed_handshake_clears_the_count() {
    let server = Running::new();
    for _ in 0..4 {
        for _ in 0..3 {
            assert!(server.try_client(READER, Some(PSK + 1)).is_err());
        }
        assert_eq!(server.client(READER).code(STAT), "");
    }
}

/// Handshakes that are begun and left take no place from a client that makes one.
#[test]
fn e7_handshakes_that_are_left_hold_no_places() {
    let server = Running::with(usual(), |limits| {
        limits.max_clients = 8;
        limits.admission = Admission::default();
    });
    // Only the first bytes of a message 1, so that none fails before the end.
    let left: Vec<TcpStream> = (0..64)
        .map(|_| {
            let mut stream = tcp(server.address);
            drop(stream.write_all(&[0xc0, 0x01, 0x00]));
            stream
        })
        .collect();
    let is_served = (0..600).any(|_| {
        thread::sleep(Duration::from_millis(50));
        server.try_client(READER, Some(PSK)).is_ok_and(|mut client| client.code(STAT).is_empty())
    });
    assert!(is_served, "{}", server.log.text());
    drop(left);
}

/// A record that comes byte by byte has no more time than any other request.
#[test]
fn e6_a_slow_record_is_bounded_by_the_deadline_of_a_request() {
    let server = Running::with(usual(), |limits| limits.idle_timeout = Some(Duration::from_secs(1)));
    let client = server.client(READER);
    let socket = client.channel.inner().socket();
    // It would be 16 KiB.
    assert_eq!(socket.send(&[0x40, 0x10]).expect("sent"), 2);
    let closed = (0..600).any(|_| {
        thread::sleep(Duration::from_millis(100));
        socket.send(&[0]).is_err()
    });
    assert!(closed, "{}", server.log.text());
    assert!(!server.log.text().contains("altered"), "{}", server.log.text());
}

#[test]
fn a_record_of_an_impossible_length_closes_the_connection() {
    let server = Running::new();
    for length in [0_u16, 15, 16_401, u16::MAX] {
        let client = server.client(READER);
        let mut socket = client.channel.inner().socket();
        socket.write_all(&length.to_be_bytes()).expect("sent");
        server.log.wait_for(&format!("altered (a record with the length {length}"));
    }
}

#[test]
fn a_server_that_stops_says_so_inside_of_the_channel_and_in_plain_before_it() {
    let server = Running::new();
    let mut client = server.client(READER);
    assert_eq!(client.code(STAT), "");
    // One that has begun nothing, and one in the middle of message 1.
    let (silent, mut begun) = (server.plain(), server.plain());
    begun.0.write_all(&[0xc0]).expect("sent");
    for stream in [&silent, &begun] {
        server.log.wait_for(&format!("{} ", stream.0.local_addr().expect("an address")));
    }
    server.handle.stop();
    assert_eq!(code(&client.line()), "shuttingDown");
    assert_eq!(client.line(), "");
    assert!(client.channel.has_peer_ended());
    for plain in [silent, begun] {
        assert_eq!(code(&plain.end()), "shuttingDown");
    }
}

#[test]
fn a_busy_server_says_so_in_plain_instead_of_message_2() {
    let server = Running::with(usual(), |limits| limits.max_clients = 1);
    let mut client = server.client(READER);
    assert_eq!(client.code(STAT), "");
    let failure = server.try_client(READER, Some(PSK)).expect_err("busy");
    assert!(matches!(failure.cause, HandshakeCause::Handshake(HandshakeError::NotEncrypted)), "{failure:?}");
    assert_eq!(code(&String::from_utf8_lossy(&failure.received)), "busy");
}

/// Message 1 of another client, sent again: the server answers, and whoever sent it cannot go on.
#[test]
fn e4_a_replayed_message_1_leads_nowhere() {
    let server = Running::new();
    let (address, seen) = middle(server.address, |_, _| true);
    assert_eq!(sealed(address, READER, Some(PSK)).expect("made").code(STAT), "");
    let seen = seen.lock().expect("no panic").clone();
    let mut replay = tcp(server.address);
    replay.write_all(&seen[..52]).expect("sent");
    let mut second = [0; 102];
    replay.read_exact(&mut second).expect("message 2");
    assert_ne!(second[..], seen[52..154]);
    // Message 3 and the request of then, of which the lengths are known.
    replay.write_all(&seen[154..224]).expect("sent");
    assert_eq!(replay.read(&mut [0; 64]).unwrap_or(0), 0);
    let log = server.log.wait_for("handshake (message 3: ");
    assert_eq!(log.matches(" stat motd ").filter(|_| true).count(), 2, "{log}");
    assert!(server.try_client(STRANGER, Some(PSK)).is_ok());
}
