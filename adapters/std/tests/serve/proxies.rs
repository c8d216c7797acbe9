//! Clients behind a proxy that speaks the PROXY protocol, version 2.

use std::net::SocketAddr;
use std::time::Duration;

use coracle::server::Admission;

use crate::fixture::{Client, HELLO, Running, code};

const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

/// The header of a client at `address`, with what a proxy has to tell beside it.
fn header(address: &str) -> Vec<u8> {
    let address: SocketAddr = address.parse().expect("an address");
    let (family, mut block) = match address {
        SocketAddr::V4(v4) => (0x11, [v4.ip().octets(), [10, 0, 0, 1]].concat()),
        SocketAddr::V6(v6) => (0x21, [v6.ip().octets(), [1; 16]].concat()),
    };
    block.extend(address.port().to_be_bytes());
    block.extend([0x22, 0xb8, 0x04, 0, 2, 0, 0]);
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
    bytes.push(family);
    bytes.extend(u16::try_from(block.len()).expect("short").to_be_bytes());
    bytes.extend(block);
    bytes
}

fn behind_localhost() -> Running {
    Running::behind(&["127.0.0.1"], |_| {})
}

#[test]
fn b2_limits_and_events_see_the_client_behind_the_proxy() {
    let server = Running::behind(&["10.0.0.0/8", "127.0.0.0/30"], |limits| limits.max_clients_per_address = Some(2));
    let connect = |address: &str| {
        let mut client = Client::connect_from("127.0.0.2", server.address);
        client.send(header(address));
        client
    };
    let mut held: Vec<Client> =
        ["192.0.2.1:1", "192.0.2.1:2", "[2001:db8::1]:1", "[2001:db8::2]:2"].map(connect).into();
    held.iter_mut().for_each(|client| drop(client.hello()));
    for address in ["192.0.2.1:1", "192.0.2.1:2", "[2001:db8::1]:1", "[2001:db8::2]:2"] {
        server.events.wait_for(&format!("connected {address} "), 1);
    }
    assert_eq!(code(&connect("192.0.2.1:3").rest()), "busy");
    assert_eq!(code(&connect("[2001:db8::3]:3").rest()), "busy", "of the same network");
    connect("192.0.2.2:4").hello();
    assert_eq!(server.events.count("over address limit 192.0.2.1 busy"), 1);
    // Of one address they are where no proxy stands in between.
    let direct: Vec<Client> =
        (0..2).map(|_| server.admitted(Client::connect_from("127.0.0.9", server.address))).collect();
    assert_eq!(code(&Client::connect_from("127.0.0.9", server.address).rest()), "busy");
    drop(direct);
}

#[test]
fn b2_a_header_in_single_bytes_is_read_to_its_end_and_no_further() {
    let server = behind_localhost();
    let bytes = [&header("192.0.2.7:7"), HELLO].concat();
    for lengths in [vec![1; bytes.len()], vec![16, 1, bytes.len() - 17], vec![bytes.len()]] {
        let (mut client, mut rest) = (server.connect(), &bytes[..]);
        client.stream.set_nodelay(true).expect("an option");
        for len in lengths {
            let (piece, behind) = rest.split_at(len);
            client.send(piece);
            rest = behind;
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(client.line().starts_with(r#"{"type":"hello""#));
        client.hello();
    }
    assert_eq!(server.events.count("connected 192.0.2.7:7 "), 3);
}

#[test]
fn b2_what_is_no_header_is_refused_and_told() {
    let server = behind_localhost();
    let wrong_command = [&header("192.0.2.1:1")[..12], &[0x31], &header("192.0.2.1:1")[13..]].concat();
    for (bytes, word) in [
        (HELLO.to_vec(), "missing"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "missing"),
        (b"PROXY TCP4 192.0.2.1 10.0.0.1 1 8888\r\n{\"type\":\"hello\"}".to_vec(), "version1"),
        (wrong_command, "malformed"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".to_vec(), "tooLong"),
    ] {
        let before = server.events.count(&format!("proxy {word}"));
        assert_eq!(code(&server.connect().send(bytes).rest()), "badRequest", "{word}");
        server.events.wait_for(&format!("proxy {word}"), before + 1);
    }
    // Closed without a byte, and in the middle.
    drop(server.connect());
    server.events.wait_for("proxy left", 1);
    server.connect().send(&header("192.0.2.1:1")[..20]);
    server.events.wait_for("proxy lost", 1);
    server.connect().send(header("192.0.2.1:1")).hello();
    assert_eq!((server.events.count("connected"), server.events.count("trouble")), (1, 0));
}

#[test]
fn b2_a_doubled_header_is_no_request() {
    let server = behind_localhost();
    assert_eq!(code(&server.connect().send(header("192.0.2.1:1").repeat(2)).rest()), "badRequest");
    server.events.wait_for("connected 192.0.2.1:1 ", 1);
}

#[test]
fn b2_a_stranger_is_served_and_cannot_pretend_to_be_another() {
    let server = Running::behind(&["127.0.0.2"], |_| {});
    server.connect().hello();
    assert_eq!(code(&server.connect().send(header("192.0.2.1:1")).rest()), "badRequest");
    assert_eq!(server.events.wait_for("connected 127.0.0.1:", 2).len(), 2);
    assert_eq!(server.events.count("connected 192.0.2.1"), 0);
}

#[test]
fn b2_headers_that_do_not_come_hold_no_place_and_end() {
    let server = Running::behind(&["127.0.0.1"], |limits| {
        limits.max_clients = 1;
        limits.request_timeout = Some(Duration::from_millis(1500));
    });
    // Silent ones, and some that stop in the middle.
    let mut late: Vec<Client> = (0..10).map(|_| server.connect()).collect();
    for client in &mut late[5..] {
        client.send(&header("192.0.2.1:1")[..20]);
    }
    let mut served = server.connect();
    served.send(header("192.0.2.1:1")).hello();
    late.iter_mut().for_each(|client| assert_eq!(code(&client.rest()), "timeout"));
    server.events.wait_for("proxy timeout", 10);
    served.hello();
    assert_eq!(server.events.count("connected"), 1);
}

#[test]
fn b2_so_many_may_wait_for_their_header() {
    let server = Running::behind(&["127.0.0.1"], |limits| limits.max_clients = 1);
    let late: Vec<Client> = (0..70).map(|_| server.connect()).collect();
    server.events.wait_for("refused busy", 6);
    drop(late);
    server.events.wait_for("proxy left", 64);
    server.connect().send(header("192.0.2.1:1")).hello();
    assert_eq!(server.events.count("refused busy"), 6);
}

#[test]
fn b2_checks_of_the_proxy_and_clients_without_an_address_are_served() {
    let server = behind_localhost();
    server.connect().send(LOCAL).hello();
    server.events.wait_for("checked 127.0.0.1:", 1);
    for family in [0x00, 0x12, 0x31] {
        let header = [&b"\r\n\r\n\0\r\nQUIT\n\x21"[..], &[family, 0, 216], &[7; 216]].concat();
        server.connect().send(header).hello();
    }
    assert_eq!(server.events.wait_for("connected 127.0.0.1:", 3).len(), 3);
}

#[test]
fn b2_clients_behind_a_proxy_are_queued() {
    let server = Running::behind(&["127.0.0.1"], |limits| {
        limits.max_clients = 1;
        limits.admission = Admission::Queue { length: 2, timeout: None };
    });
    let mut first = server.connect();
    first.send(header("192.0.2.1:1")).hello();
    let (mut second, mut third) = (server.connect(), server.connect());
    second.send(header("192.0.2.2:2"));
    server.events.wait_for("queued 192.0.2.2:2", 1);
    third.send(header("192.0.2.3:3"));
    server.events.wait_for("queued 192.0.2.3:3", 1);
    drop(first);
    second.hello();
    drop(second);
    third.hello();
}

#[test]
fn c11_who_has_sent_no_header_is_told_that_the_server_stops() {
    let server = behind_localhost();
    let (mut silent, mut begun) = (server.connect(), server.connect());
    begun.send(&header("192.0.2.1:1")[..20]);
    // Both are accepted when one that came later is served.
    server.connect().send(LOCAL).hello();
    server.handle.stop();
    assert_eq!(code(&silent.rest()), "shuttingDown");
    let told = begun.rest_or_reset();
    assert!(told.1 || code(&String::from_utf8_lossy(&told.0)) == "shuttingDown", "{told:?}");
    assert_eq!(server.join().aborted, 0);
}
