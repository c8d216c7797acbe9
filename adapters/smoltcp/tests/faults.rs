//! The server with misbehaving clients and stores. Names begin with the number in tests/FAULTS.md.

mod net;

use std::cell::Cell;
use std::rc::Rc;

use coracle_core::{
    Close, CloseHow, CloseReason, Code, DigestKind, Failure, FileInfo, FileName, GetRequest, Listed, ServerConfig,
    StaticFile, StaticListing, StaticStore, Store, StoreError,
};
use coracle_smoltcp::{DisconnectReason, FetchError};
use net::{Link, World, content, into_vec, store};
use smoltcp::socket::tcp;
use smoltcp::time::Duration;

const FILES: [(&str, usize); 2] = [("small", 100), ("large", 200_000)];
const GET_LARGE: &[u8] = br#"{"type":"get","fileName":"large"}"#;

fn last_gone<S: Store, const N: usize>(world: &World<S, N>) -> Option<DisconnectReason> {
    world.seen.gone.last().map(|(_, why)| *why)
}

fn closed(how: CloseHow, why: CloseReason) -> Option<DisconnectReason> {
    Some(DisconnectReason::Closed(Close::new(how, why)))
}

#[test]
fn w5_a_peer_that_vanishes_while_idle_frees_its_place() {
    let mut world = World::<_, 1>::new(store(&FILES), Link::default());
    world.connect_and_send(br#"{"type":"hello"}"#);
    world.cut(true);
    assert!(!world.run_until(59_000, |world| world.server.live() == 0), "too early");
    assert!(world.run_until(2_000, |world| world.server.live() == 0), "too late");
    assert_eq!(last_gone(&world), closed(CloseHow::Finish, CloseReason::Idle));
    // The end of the connection is not acknowledged either.
    world.run_ms(11_000);
    world.cut(false);
    assert_eq!(world.get("small", DigestKind::Crc32), content(100));
}

#[test]
fn w5_a_peer_that_vanishes_does_not_hinder_the_others() {
    let mut world = World::<_, 3>::new(store(&FILES), Link::default());
    let vanished = world.connect_and_send(GET_LARGE);
    // It sends nothing more, and acknowledges nothing.
    world.client(vanished).set_timeout(None);
    let silent = world.connect_and_send(b"");
    for _ in 0..3 {
        assert_eq!(world.get("large", DigestKind::Crc32), content(200_000));
    }
    assert!(world.client(silent).may_send());
}

/// The client never reads the response.
#[test]
fn c3_a_reader_that_does_not_read_is_reset() {
    let mut world = World::<_, 1>::new(store(&FILES), Link::default());
    let client = world.connect_and_send(GET_LARGE);
    assert!(!world.run_until(29_000, |world| world.server.live() == 0), "too early");
    assert!(world.run_until(3_000, |world| world.server.live() == 0), "too late");
    assert_eq!(last_gone(&world), closed(CloseHow::Abort, CloseReason::Stalled));
    world.run_ms(100);
    assert_eq!(world.client(client).state(), tcp::State::Closed);
    assert_eq!(world.get("small", DigestKind::Crc32), content(100));
}

#[test]
fn c2_a_request_that_drips_is_refused() {
    let mut world = World::<_, 1>::new(store(&FILES), Link::default());
    let client = world.connect_and_send(b"{");
    for _ in 0..9 {
        world.run_ms(1_000);
        world.send(client, b" ");
    }
    let (answer, is_orderly) = world.read_to_end(client, 2_000);
    assert!(is_orderly && answer.contains(r#""code":"timeout""#), "{answer}");
    assert_eq!(last_gone(&world), closed(CloseHow::Linger, CloseReason::Refused(Code::Timeout)));
}

#[test]
fn w6_c5_a_half_closed_client_gets_its_whole_answer() {
    let mut world = World::<_, 1>::new(store(&FILES), Link::default());
    let client = world.connect();
    assert!(world.run_until(1_000, |world| world.client(client).may_send()));
    // Request and FIN are in one packet.
    world.client(client).send_slice(GET_LARGE).expect("connected");
    world.client(client).close();
    let mut len = 0;
    assert!(world.run_until(10_000, |world| {
        let socket = world.client(client);
        while let Ok(read) = socket.recv(|bytes| (bytes.len(), bytes.len()))
            && read > 0
        {
            len += read;
        }
        !socket.may_recv()
    }));
    assert!(len > 200_000, "{len}");
    assert_eq!(last_gone(&world), closed(CloseHow::Finish, CloseReason::Done));
    assert!(world.run_until(1_000, |world| world.server.live() == 0));
}

#[test]
fn c6_a_reset_frees_the_place_at_once() {
    let mut world = World::<_, 1>::new(store(&FILES), Link::default());
    for _ in 0..3 {
        let client = world.connect_and_send(GET_LARGE);
        assert_eq!(world.server.live(), 1);
        world.client(client).abort();
        assert!(world.run_until(50, |world| world.server.live() == 0));
        assert_eq!(last_gone(&world), closed(CloseHow::Abort, CloseReason::Transport));
    }
    assert_eq!(world.get("small", DigestKind::Crc32), content(100));
}

/// Every slot is in use: the next client is told `busy`, the one after that is reset, the others are not affected.
#[test]
fn w7_more_clients_than_places() {
    let mut world = World::<_, 2>::new(store(&FILES), Link::default());
    let served = [world.connect_and_send(GET_LARGE), world.connect_and_send(GET_LARGE)];
    world.run_ms(3_000);
    let third = world.connect();
    world.run_ms(5);
    let fourth = world.connect();
    let (answer, is_orderly) = world.read_to_end(third, 1_000);
    assert!(is_orderly, "{answer}");
    assert!(answer.contains(r#""type":"error","code":"busy""#) && answer.ends_with("}\n"), "{answer}");
    world.run_ms(20);
    assert!(!world.client(fourth).is_open(), "{}", world.client(fourth).state());
    world.client(third).close();
    world.run_ms(100);
    let fifth = world.connect();
    assert!(world.read_to_end(fifth, 1_000).0.contains("busy"));
    for client in served {
        world.client(client).close();
        assert!(world.read_to_end(client, 10_000).0.ends_with("}\n"));
    }
    assert_eq!(world.get("large", DigestKind::Crc32), content(200_000));
}

/// A full server says when to come again, and the board's own client passes it on.
#[test]
fn c20_a_full_server_says_when_to_come_again() {
    for (config, told) in [
        (ServerConfig::new().with_busy_retry_ms(2_500), Some(Duration::from_millis(2_500))),
        (ServerConfig::new(), None),
    ] {
        let mut world = World::<_, 1>::with_config(store(&FILES), Link::default(), config);
        let served = world.connect_and_send(GET_LARGE);
        let mut fetch = world.fetch(&GetRequest::new(FileName::from_static("small")));
        assert_eq!(fetch.retry_after(), None);
        let end = world.finish(&mut fetch, &mut into_vec(&mut Vec::new()));
        assert!(matches!(end, Err(FetchError::Failed(Failure::Ended(Code::Busy)))), "{end:?}");
        assert_eq!(fetch.retry_after(), told);
        world.client(served).close();
        world.read_to_end(served, 10_000);
        assert_eq!(world.get("small", DigestKind::Crc32), content(100));
    }
}

/// A client without a request is evicted when another client needs its slot, but not in its first second.
#[test]
fn w7_the_silent_give_way() {
    let mut world = World::<_, 2>::new(store(&FILES), Link::default());
    let asking = world.connect_and_send(br#"{"type":"hello"}"#);
    let silent = world.connect_and_send(b"");
    let third = world.connect();
    assert!(world.read_to_end(third, 500).0.contains("busy"));
    world.client(third).close();
    world.run_ms(1_100);
    assert_eq!(world.get("small", DigestKind::Crc32), content(100));
    assert!(world.seen.gone.contains(&(1, DisconnectReason::Evicted)), "{:?}", world.seen.gone);
    assert_eq!(world.client(silent).state(), tcp::State::Closed);
    assert!(world.read_now(asking).contains(r#""type":"hello""#));
    world.send(asking, br#"{"type":"hello"}"#);
    assert!(world.read_now(asking).contains(r#""type":"hello""#));
}

/// Clients that never complete their handshake hold the sockets for 10 s only.
#[test]
fn w7_half_open_connections_are_given_up() {
    let mut world = World::<_, 1>::new(store(&FILES), Link::default());
    world.to_client.borrow_mut().is_down = true;
    let half_open = [world.connect(), world.connect()];
    world.run_ms(50);
    for client in half_open {
        world.client(client).abort();
    }
    // The resets of the aborted clients are lost, too.
    world.cut(true);
    world.run_ms(100);
    world.cut(false);
    world.run_ms(11_500);
    assert_eq!(world.get("small", DigestKind::Crc32), content(100));
}

/// A client that was sent an error and does not close is reset after a while.
#[test]
fn w7_a_lingering_client_is_cut_off_after_2_s() {
    let mut world = World::<_, 1>::new(store(&FILES), Link::default());
    let client = world.connect_and_send(b"GET / HTTP/1.1\r\n\r\n");
    assert!(world.read_now(client).contains(r#""code":"badRequest""#));
    assert_eq!(world.server.live(), 0);
    world.run_ms(1_500);
    assert_eq!(world.client(client).state(), tcp::State::CloseWait);
    world.run_ms(1_000);
    assert_eq!(world.client(client).state(), tcp::State::Closed);
}

/// 10 MB of noise: one error line, at most 1 MiB discarded, every other client is served.
#[test]
fn f3_noise_without_end_is_cut_off() {
    let mut world = World::<_, 2>::new(store(&FILES), Link::default());
    let client = world.connect();
    let mut sent = 0;
    world.run_until(60_000, |world| {
        let socket = world.client(client);
        if socket.can_send() {
            sent += socket.send_slice(&[b'x'; 4096]).unwrap_or(0);
        }
        sent > 10_000_000 || (sent > 0 && !socket.may_send())
    });
    assert!(sent < 1_200_000, "{sent} bytes were taken");
    assert!(world.run_until(5_000, |world| world.server.live() == 0));
    assert_eq!(world.get("small", DigestKind::Crc32), content(100));
}

/// A store whose large file cannot be read past `broken_at`, and whose version changes when `version` does.
struct Broken {
    files: StaticStore<'static>,
    broken_at: u64,
    version: Rc<Cell<u32>>,
}

impl Store for Broken {
    type File = &'static StaticFile<'static>;
    type Listing = StaticListing<'static>;

    fn open(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError> {
        self.files.open(name)
    }

    fn info(&mut self, file: &Self::File) -> Result<FileInfo, StoreError> {
        let version = coracle_core::Version::new(&self.version.get().to_string()).map_err(|_| StoreError::Io)?;
        Ok(FileInfo::new(self.files.info(file)?.size, version))
    }

    fn read(&mut self, file: &mut Self::File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        if offset >= self.broken_at { Err(StoreError::Io) } else { self.files.read(file, offset, buf) }
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<Self::Listing, StoreError> {
        self.files.list(path)
    }

    fn next<'a>(&mut self, _: &'a mut Self::Listing) -> Result<Listed<'a>, StoreError> {
        Err(StoreError::Io)
    }
}

fn broken(broken_at: u64) -> Broken {
    Broken { files: store(&FILES), broken_at, version: Rc::default() }
}

/// Reading 1 MB for a digest takes seconds on a board. Meanwhile other clients are served.
#[test]
fn w15_long_work_is_done_in_turns() {
    let mut world = World::<_, 2>::new(store(&[("huge", 1_000_000)]), Link::default());
    let busy = world.connect_and_send(br#"{"type":"stat","fileName":"huge","digest":"crc32"}"#);
    for _ in 0..3 {
        let other = world.connect_and_send(br#"{"type":"hello"}"#);
        assert!(world.read_now(other).contains(r#""type":"hello""#));
        world.client(other).close();
    }
    assert_eq!(world.client(busy).recv_queue(), 0, "all of it was read before others had their turn");
    assert!(world.run_until(5_000, |world| world.client(busy).can_recv()));
    assert!(world.read_now(busy).contains(r#""crc32":""#));
}

#[test]
fn w9_a_read_error_breaks_the_body_off() {
    let mut world = World::<_, 2>::new(broken(100_000), Link::default());
    let client = world.connect_and_send(GET_LARGE);
    let (answer, is_orderly) = world.read_to_end(client, 10_000);
    assert!(!is_orderly && !answer.contains(r#""type":"end""#));
    assert_eq!(last_gone(&world), closed(CloseHow::Abort, CloseReason::Broken));
    assert_eq!(world.get("small", DigestKind::Crc32), content(100));
}

#[test]
fn w9_a_read_error_before_the_header_is_told() {
    let mut world = World::<_, 2>::new(broken(100_000), Link::default());
    let stat = br#"{"type":"stat","fileName":"large","digest":"sha256"}{"type":"list"}"#;
    let client = world.connect_and_send(stat);
    world.run_ms(500);
    let answer = world.read_now(client);
    assert_eq!(answer.matches(r#""code":"io""#).count(), 2, "{answer}");
    assert!(world.client(client).may_send(), "the connection goes on");
}

/// The file changes while it is sent: the client is told, with the digest of the bytes sent.
#[test]
fn s6_a_file_that_changes_meanwhile() {
    let store = broken(u64::MAX);
    let version = store.version.clone();
    let mut world = World::<_, 1>::new(store, Link::default());
    let client = world.connect_and_send(GET_LARGE);
    version.set(1);
    world.client(client).close();
    let (answer, _) = world.read_to_end(client, 10_000);
    let last = answer.lines().last().unwrap_or_default();
    assert!(last.contains(r#""code":"changed""#) && last.contains(r#""crc32":""#), "{last}");
}
