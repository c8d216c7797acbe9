//! Clients that wait for a file to grow, and newcomers that need their places. Names begin with the number in tests/FAULTS.md.

mod net;

use std::cell::Cell;
use std::rc::Rc;

use coracle_core::{DigestKind, FileInfo, FileName, Listed, ServerConfig, Store, StoreError, Version};
use coracle_smoltcp::DisconnectReason;
use net::{Link, World, content};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;

const LINE: &[u8] = b"0.000 a line\n";
const FOLLOW: &str = r#"{"type":"get","fileName":"log","offset":0,"digest":"none","wait_ms":60000}"#;
const GET: &[u8] = br#"{"type":"get","fileName":"small","digest":"none"}"#;
const HELLO: &[u8] = br#"{"type":"hello"}"#;

/// A log that is empty at first, and a file.
struct Log(Rc<Cell<usize>>);

impl Store for Log {
    /// The log's name, or the contents of the other file.
    type File = Option<Vec<u8>>;
    type Listing = ();

    fn open(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError> {
        match name.as_str() {
            "log" => Ok(None),
            "small" => Ok(Some(content(100))),
            _ => Err(StoreError::NotFound),
        }
    }

    fn info(&mut self, file: &Self::File) -> Result<FileInfo, StoreError> {
        let len = file.as_ref().map_or(self.0.get() * LINE.len(), Vec::len);
        Ok(FileInfo::new(len.try_into().expect("small"), Version::new("v1").map_err(|_| StoreError::Io)?))
    }

    fn read(&mut self, file: &mut Self::File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let all = file.clone().unwrap_or_else(|| LINE.repeat(self.0.get()));
        let rest = &all[usize::try_from(offset).expect("small")..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn list(&mut self, _: Option<FileName<'_>>) -> Result<(), StoreError> {
        Ok(())
    }

    fn next<'a>(&mut self, (): &'a mut ()) -> Result<Listed<'a>, StoreError> {
        Ok(Listed::End)
    }
}

fn world<const N: usize>() -> (World<Log, N>, Rc<Cell<usize>>) {
    let lines = Rc::<Cell<usize>>::default();
    let config = ServerConfig::new().with_wait_max_ms(60_000).with_busy_retry_ms(2_500);
    (World::with_config(Log(lines.clone()), Link::default(), config), lines)
}

/// A client that waits.
fn follower<const N: usize>(world: &mut World<Log, N>) -> SocketHandle {
    let client = world.connect_and_send(FOLLOW.as_bytes());
    world.run_ms(100);
    assert_eq!(world.client(client).recv_queue(), 0, "it waits");
    client
}

/// What a follower is told that gives way.
fn assert_displaced<const N: usize>(world: &mut World<Log, N>, client: SocketHandle) {
    let (answer, is_orderly) = world.read_to_end(client, 1_000);
    let lines: Vec<_> = answer.lines().collect();
    assert!(is_orderly && lines.len() == 3, "{answer}");
    assert!(lines[0].contains(r#""length":0"#) && lines[1] == r#"{"type":"end"}"#, "{answer}");
    assert!(lines[2].contains(r#""code":"busy""#) && lines[2].contains(r#""retry_ms":2500"#), "{answer}");
    world.client(client).close();
}

#[test]
fn l8_a_newcomer_that_asks_gets_the_place_of_who_has_waited_longest() {
    let (mut world, lines) = world::<2>();
    let followers = [follower(&mut world), follower(&mut world)];
    let newcomer = world.connect_and_send(HELLO);
    assert!(world.read_now(newcomer).contains(r#""type":"hello""#));
    world.run_ms(500);
    for client in followers {
        assert_eq!(world.client(client).recv_queue(), 0, "nobody gives way to who has asked for nothing");
    }
    assert_eq!(world.seen.connected, [0, 1], "its observer is not told of it yet");
    world.send(newcomer, GET);
    assert_displaced(&mut world, followers[0]);
    let answer = world.read_now(newcomer);
    assert!(answer.contains(r#""type":"end""#) && answer.len() > 100, "{answer}");
    assert_eq!((&world.seen.connected[..], world.seen.gone.len()), (&[0, 1, 0][..], 1));
    // It keeps its place, and the other one waits on.
    world.run_ms(5_000);
    world.send(newcomer, GET);
    assert!(world.read_now(newcomer).contains(r#""type":"end""#));
    lines.set(1);
    world.server.look_again(world.now);
    world.run_ms(50);
    let answer = world.read_now(followers[1]);
    assert!(answer.contains("0.000 a line") && answer.contains(r#""type":"end""#), "{answer}");
    // There is a place for one who is told to come again.
    world.client(newcomer).close();
    world.run_ms(100);
    assert_eq!(world.get("small", DigestKind::Crc32), content(100));
}

/// One after the other, each of whom asks at once.
#[test]
fn l8_a_newcomer_is_served_while_followers_come_again() {
    let (mut world, _) = world::<2>();
    let mut followers = vec![follower(&mut world), follower(&mut world)];
    for _ in 0..5 {
        assert_eq!(world.get("small", DigestKind::Crc32), content(100));
        assert_displaced(&mut world, followers.remove(0));
        world.run_ms(3_000);
        followers.push(follower(&mut world));
    }
}

#[test]
fn l8_a_newcomer_that_asks_for_nothing_is_refused_after_a_second() {
    for sent in [b"".as_slice(), HELLO, br#"{"type":"ge"#] {
        let (mut world, _) = world::<2>();
        let followers = [follower(&mut world), follower(&mut world)];
        let newcomer = world.connect_and_send(sent);
        world.run_ms(800);
        assert!(world.client(newcomer).may_recv() && !world.read_now(newcomer).contains("busy"));
        let (answer, is_orderly) = world.read_to_end(newcomer, 500);
        assert!(is_orderly && answer.contains(r#""code":"busy""#), "{answer}");
        world.client(newcomer).close();
        for client in followers {
            assert_eq!(world.client(client).recv_queue(), 0, "it waits on");
        }
        assert_eq!(world.seen.connected, [0, 1, 2]);
        assert_eq!(world.seen.gone.len(), 1);
    }
}

/// Who lingers comes first, then who is silent, and only then who waits.
#[test]
fn l8_the_silent_give_way_before_those_who_wait() {
    let (mut world, _) = world::<2>();
    let waiting = follower(&mut world);
    let silent = world.connect_and_send(b"");
    world.run_ms(1_100);
    assert_eq!(world.get("small", DigestKind::Crc32), content(100));
    assert!(world.seen.gone.contains(&(1, DisconnectReason::Evicted)), "{:?}", world.seen.gone);
    assert_eq!(world.client(silent).state(), tcp::State::Closed);
    let refused = world.connect_and_send(b"noise");
    world.run_ms(50);
    assert_eq!(world.client(refused).state(), tcp::State::CloseWait, "it lingers");
    assert_eq!(world.get("small", DigestKind::Crc32), content(100));
    assert_eq!(world.client(waiting).recv_queue(), 0, "it waits on");
}

#[test]
fn l8_a_server_that_stops_keeps_no_newcomer() {
    let (mut world, _) = world::<1>();
    let client = follower(&mut world);
    let newcomer = world.connect();
    world.run_ms(20);
    world.server.stop(world.now);
    world.send(newcomer, GET);
    let (answer, _) = world.read_to_end(newcomer, 2_000);
    assert!(!answer.contains(r#""type":"file""#), "{answer}");
    let (answer, _) = world.read_to_end(client, 2_000);
    assert!(answer.contains("shuttingDown"), "{answer}");
    world.client(client).close();
    world.client(newcomer).close();
    assert!(world.run_until(5_000, |world| world.server.is_stopped()));
}

#[cfg(feature = "channel")]
mod encrypted {
    use super::net::keys::{Handshake, Keys, SecureClient, pair};
    use super::*;

    fn followed() -> (World<Log, 2>, [SecureClient; 2]) {
        let (mut world, _) = world::<2>();
        world.keys = Some(Keys::new());
        let followers = [0x52, 0x54].map(|key| {
            let mut client = SecureClient::connect(&mut world, key);
            client.send(&mut world, FOLLOW.as_bytes());
            world.run_ms(100);
            client
        });
        (world, followers)
    }

    #[test]
    fn l8_a_newcomer_with_a_key_gets_the_place_of_who_has_waited_longest() {
        let (mut world, [mut first, mut second]) = followed();
        let mut newcomer = SecureClient::connect(&mut world, 0x56);
        assert_eq!(newcomer.get(&mut world, "small", 100), content(100));
        assert!(first.line(&mut world).contains(r#""length":0"#));
        assert!(first.line(&mut world).contains(r#""type":"end""#));
        assert!(first.line(&mut world).contains(r#""code":"busy""#));
        assert!(second.poll(world.client(second.handle)) && second.plaintext.is_empty());
        let identified = &world.keys.as_ref().expect("keys").identified;
        assert_eq!(identified[2..], [(0, *pair(0x56).public(), 0)]);
        assert_eq!(world.seen.connected, [0, 1, 0]);
    }

    #[test]
    fn l8_strangers_and_the_silent_displace_nobody() {
        let (mut world, mut followers) = followed();
        world.keys.as_mut().expect("keys").stranger = Some(*pair(0x58).public());
        // One with a key that may do nothing, one with another pre-shared key, one who says nothing, and one in plain.
        let mut stranger = SecureClient::connect(&mut world, 0x58);
        assert!(stranger.ask(&mut world, r#"{"type":"list"}"#).contains(r#""code":"busy""#));
        world.client(stranger.handle).close();
        world.run_ms(100);
        let handle = world.connect();
        assert!(Handshake::new(handle, 0x56, Some([0x11; 32])).complete(&mut world).is_err());
        world.client(handle).close();
        world.run_ms(100);
        let silent = world.connect();
        world.run_ms(500);
        assert_eq!(world.client(silent).state(), tcp::State::Closed);
        let plain = world.connect_and_send(HELLO);
        assert!(world.read_to_end(plain, 500).0.contains(r#""code":"encrypted""#));
        world.client(plain).close();
        world.run_ms(100);
        for client in &mut followers {
            assert!(client.poll(world.client(client.handle)) && client.plaintext.is_empty(), "it waits on");
        }
        let (connected, gone) = (&world.seen.connected, &world.seen.gone);
        assert_eq!((&connected[..], gone.len()), (&[0, 1, 2, 2, 2, 2][..], 4), "{gone:?}");
        assert!(gone.iter().all(|(slot, _)| *slot == 2));
        assert_eq!(world.keys.as_ref().expect("keys").identified.len(), 2);
    }
}
