//! Changing the addresses of a running server.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use coracle::server::{Event, Server};
use coracle_core::{StaticFile, StaticStore};

use crate::fixture::{Client, Running, wait_for};

static FILES: [StaticFile<'static>; 1] = [StaticFile::new("motd", "1", b"Mind the step.\n")];

#[test]
fn moving_keeps_connections() {
    let server = Running::new();
    let mut client = server.connect();
    client.hello();
    let moved = server.handle.listen_only_on(&[free()]).expect("moved");
    assert_eq!(server.handle.addresses(), moved);
    assert!(TcpStream::connect(server.address).is_err(), "it listens there no longer");
    Client::new(moved[0]).hello();
    client.hello();
    // To the same port of every address, where its own listener is in the way.
    let everywhere = moved_to_every_address(&server);
    Client::new(everywhere).hello();
    client.hello();
}

#[test]
fn k7_a_failed_move_changes_nothing() {
    let server = Running::new();
    let mut client = server.connect();
    client.hello();
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let taken_address = taken.local_addr().expect("an address");
    // The first address would do, but it is all or none.
    for wrong in [taken_address, "192.0.2.7:0".parse().expect("an address")] {
        let error = server.handle.listen_only_on(&[free(), wrong]).expect_err("it cannot listen there");
        assert!(error.to_string().starts_with(&format!("cannot listen on {wrong}: ")), "{error}");
        assert_eq!(server.handle.addresses(), [server.address]);
        server.connect().hello();
        client.hello();
    }
    server.handle.stop();
    let error = server.handle.listen_only_on(&[free()]).expect_err("stopped");
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Other, "the server was stopped"));
}

#[test]
fn a_server_starts_without_listeners_and_reports_each_change() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&told);
    let note = move |event: &Event<'_>| {
        let line = match event {
            Event::Listening { address } => format!("+{address}"),
            Event::ListenerClosed { address } => format!("-{address}"),
            _ => return,
        };
        noted.lock().expect("no panic").push(line);
    };
    let server = Server::new(StaticStore::new(&FILES)).with_observer(note).bind_later();
    assert_eq!(server.addresses(), []);
    let handle = server.handle();
    let running = thread::spawn(move || server.run());
    let mut expected = Vec::new();
    for _ in 0..2 {
        let [address] = handle.listen_only_on(&[free()]).expect("bound")[..] else { panic!("one address") };
        Client::new(address).hello();
        expected.push(format!("+{address}"));
        assert_eq!(handle.stop_listening(), [address]);
        expected.push(format!("-{address}"));
        wait_for(|| (*told.lock().expect("no panic") == expected).then_some(()));
    }
    handle.stop();
    running.join().expect("no panic").expect("no error");
    assert_eq!(*told.lock().expect("no panic"), expected);
}

/// Moves from a port of 127.0.0.1 to the same port of every address, and gives it at 127.0.0.1.
///
/// The kernel chose the port for 127.0.0.1 alone: a socket of another test may hold it elsewhere.
fn moved_to_every_address(server: &Running) -> SocketAddr {
    for _ in 0..100 {
        let here = server.handle.addresses()[0];
        let everywhere = SocketAddr::new("::".parse().expect("an ip"), here.port());
        match server.handle.listen_only_on(&[everywhere]) {
            Ok(moved) => {
                assert_eq!(moved, [everywhere]);
                return here;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}"),
        }
        server.handle.listen_only_on(&[free()]).expect("moved");
    }
    panic!("each of 100 ports is held by another socket");
}

fn free() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}
