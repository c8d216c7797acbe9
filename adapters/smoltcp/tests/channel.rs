//! Clients that come encrypted, on good and bad networks.

mod net;
#[cfg(feature = "write")]
#[path = "../../flash/tests/nor/mod.rs"]
mod nor;

use coracle_core::{DigestKind, ServerConfig, Store};
use coracle_smoltcp::Encryption;
use net::keys::{Handshake, Keys, PSK, SecureClient, pair};
use net::{Link, World, content, store};

const SIZES: [(&str, usize); 5] = [("0", 0), ("1", 1), ("511", 511), ("4096", 4096), ("200000", 200_000)];

fn world<const N: usize>(link: Link) -> World<impl Store, N> {
    let mut world = World::new(store(&SIZES), link);
    world.keys = Some(Keys::new());
    world
}

#[test]
fn files_of_all_sizes_arrive() {
    let mut world = world::<2>(Link::default());
    let mut client = SecureClient::connect(&mut world, 0x52);
    for (name, len) in SIZES {
        assert_eq!(client.get(&mut world, name, len), content(len), "{name}");
    }
    let list = client.ask(&mut world, r#"{"type":"list"}"#);
    assert!(list.contains(r#""fileName":"0""#), "{list}");
    for _ in 0..SIZES.len() {
        client.line(&mut world);
    }
    // Both ends say that nothing is missing.
    let end = client.end();
    client.send_raw(&mut world, &end);
    assert!(world.run_until(5_000, |world| !client.poll(world.client(client.handle))));
    assert_eq!((client.failure, client.has_server_ended()), (None, true));
    let keys = world.keys.as_ref().expect("keys");
    assert_eq!(keys.identified, [(0, *pair(0x52).public(), 0)]);
    assert!(world.run_until(5_000, |world| world.server.live() == 0));
}

#[test]
fn bad_networks_lose_nothing() {
    for seed in 1..4 {
        let link = Link { drop_percent: 10, corrupt_percent: 5, seed, ..Link::default() };
        let mut world = world::<1>(link);
        let mut client = SecureClient::connect(&mut world, 0x52);
        assert_eq!(client.get(&mut world, "4096", 4096), content(4096), "{seed}");
        assert_eq!(client.get(&mut world, "511", 511), content(511), "{seed}");
    }
}

/// The shortest buffers with which a handshake is possible, and a client that takes one byte at a time.
#[test]
fn w2_windows_of_one_byte_through_the_channel() {
    let link = Link { server_receive: 52, server_send: 150, client_receive: 1, ..Link::default() };
    let mut world = world::<1>(link);
    let mut client = SecureClient::connect(&mut world, 0x52);
    assert_eq!(client.get(&mut world, "4096", 4096), content(4096));
}

#[test]
fn w2_small_segments_and_buffers_through_the_channel() {
    for (mtu, server_send) in [(60, 4_096), (61, 151), (576, 1_000), (1_500, 531)] {
        let mut world = world::<1>(Link { mtu, server_send, ..Link::default() });
        let mut client = SecureClient::connect(&mut world, 0x52);
        assert_eq!(client.get(&mut world, "4096", 4096), content(4096), "{mtu} {server_send}");
    }
}

#[test]
fn requests_in_records_of_one_byte_are_answered() {
    let mut world = world::<1>(Link::default());
    let mut client = SecureClient::connect(&mut world, 0x52);
    for byte in br#"{"type":"stat","fileName":"511"}"# {
        client.send(&mut world, &[*byte]);
    }
    let line = client.line(&mut world);
    assert!(line.contains(r#""size":511"#) || line.contains("511"), "{line}");
}

/// Several requests in one record, answered one after the other.
#[test]
fn requests_share_a_record() {
    let mut world = world::<1>(Link::default());
    let mut client = SecureClient::connect(&mut world, 0x52);
    client.send(&mut world, br#"{"type":"hello"}{"type":"get","fileName":"1","digest":"none"}{"type":"hello"}"#);
    assert!(client.line(&mut world).contains(r#""type":"hello""#));
    assert!(client.line(&mut world).contains(r#""type":"file""#));
    assert_eq!(client.body(&mut world, 1), content(1));
    assert!(client.line(&mut world).contains(r#""type":"end""#));
    assert!(client.line(&mut world).contains(r#""type":"hello""#));
}

#[test]
fn handshakes_take_turns() {
    let mut world = world::<4>(Link::default());
    let mut waiting: Vec<_> = (0..4_u8).map(|key| Handshake::new(world.connect(), key + 1, Some(PSK))).collect();
    let mut done = Vec::new();
    world.run_until(10_000, |world| {
        waiting.retain_mut(|handshake| {
            let is_over =
                world.client(handshake.handle).may_send() && handshake.advance(world.client(handshake.handle));
            if is_over {
                done.push(handshake.handle);
            }
            !is_over
        });
        waiting.is_empty()
    });
    assert_eq!(done.len(), 4, "one after the other");
    assert!(world.run_until(1_000, |world| world.keys.as_ref().expect("keys").identified.len() == 4));
}

#[test]
fn plain_clients_are_served_where_both_are() {
    let mut world = world::<2>(Link::default());
    world.keys.as_mut().expect("keys").encryption = Encryption::Offer;
    assert_eq!(world.get("4096", DigestKind::Crc32), content(4096));
    let mut client = SecureClient::connect(&mut world, 0x52);
    assert_eq!(client.get(&mut world, "4096", 4096), content(4096));
    assert_eq!(world.get("200000", DigestKind::Sha256), content(200_000));
}

#[test]
fn a_plain_client_is_told_that_the_server_is_encrypted() {
    let mut world = world::<1>(Link::default());
    let client = world.connect_and_send(br#"{"type":"get","fileName":"4096"}"#);
    let (answer, is_orderly) = world.read_to_end(client, 1_000);
    assert!(is_orderly && answer.contains(r#""code":"encrypted""#) && answer.lines().count() == 1, "{answer}");
    assert_eq!(world.seen.body_len, 0);
    world.client(client).abort();
    world.run_ms(100);
    SecureClient::connect(&mut world, 0x52);
}

#[test]
fn e5_a_stranger_is_told_so_in_the_channel_with_its_key() {
    let config = ServerConfig::new().with_permits(true);
    let mut world = World::<_, 1>::with_config(store(&SIZES), Link::default(), config);
    world.keys = Some(Keys::new());
    let mut client = SecureClient::connect(&mut world, 0x66);
    let line = client.ask(&mut world, r#"{"type":"hello"}"#);
    assert!(line.contains(r#""code":"denied""#) && line.contains("ck1stranger"), "{line}");
    assert!(world.run_until(5_000, |world| !client.poll(world.client(client.handle))));
    assert!(client.has_server_ended() && client.failure.is_none());
}

#[test]
fn a_client_may_do_what_the_owner_says() {
    let config = ServerConfig::new().with_permits(true);
    let files = [("docs/a", 10), ("secret", 20)];
    let mut world = World::<_, 1>::with_config(store(&files), Link::default(), config);
    world.keys = Some(Keys::new());
    world.seen.rights = Some("read=docs/");
    let mut client = SecureClient::connect(&mut world, 0x52);
    assert!(client.ask(&mut world, r#"{"type":"hello"}"#).contains(r#""type":"hello""#));
    assert_eq!(client.get(&mut world, "docs/a", 10), content(10));
    for hidden in ["secret", "nothing"] {
        let line = client.ask(&mut world, &format!(r#"{{"type":"get","fileName":"{hidden}"}}"#));
        assert!(line.contains(r#""code":"denied""#), "{line}");
    }
}

/// `busy` is said in plain before the handshake, `shuttingDown` in the channel behind it.
#[test]
fn refusals_are_plain_before_message_2_and_sealed_behind_it() {
    let mut world = World::<_, 1>::with_config(store(&SIZES), Link::default(), ServerConfig::new());
    world.keys = Some(Keys::new());
    let mut client = SecureClient::connect(&mut world, 0x52);
    client.ask(&mut world, r#"{"type":"hello"}"#);
    let second = world.connect();
    let (answer, is_orderly) = world.read_to_end(second, 1_000);
    assert!(is_orderly && answer.contains(r#""code":"busy""#), "{answer}");
    world.server.stop(world.now);
    let line = client.line(&mut world);
    assert!(line.contains(r#""code":"shuttingDown""#), "{line}");
    assert!(world.run_until(5_000, |world| !client.poll(world.client(client.handle))));
    assert!(client.has_server_ended() && client.failure.is_none());
    assert!(world.run_until(20_000, |world| world.server.is_stopped()));
}

#[test]
fn a_client_in_front_of_its_handshake_is_told_in_plain_that_the_server_stops() {
    let mut world = world::<2>(Link::default());
    let silent = world.connect_and_send(b"");
    let mut handshake = Handshake::new(world.connect(), 0x52, Some(PSK));
    let first = handshake.first();
    world.run_ms(5);
    world.send(handshake.handle, &first[..20]);
    world.server.stop(world.now);
    for client in [silent, handshake.handle] {
        let (answer, _) = world.read_to_end(client, 1_000);
        assert!(answer.contains(r#""code":"shuttingDown""#), "{answer}");
    }
    assert!(world.run_until(20_000, |world| world.server.is_stopped()));
}

#[cfg(feature = "write")]
mod write {
    use std::cell::RefCell;

    use coracle_core::exec::ReadWrite;
    use coracle_core::{RequestKind, StaticFile, StaticStore};
    use coracle_flash::{FlashStore, ImageSlots, SharedFlash, Slot, SlotLayout, SmallFiles};

    use super::nor::{Nor, Torn};
    use super::*;

    type Flash = SharedFlash<'static, Nor<4, 1, 1_024>>;
    static FILES: [StaticFile<'static>; 1] = [StaticFile::new("welcome.txt", "v1", b"hello")];

    #[test]
    fn a_file_is_put_in_records_of_any_length() {
        let chip = &*Box::leak(Box::new(RefCell::new(Nor::<4, 1, 1_024>::new(64, Torn::Stable, 1))));
        let flash = SharedFlash::new(chip);
        let layout = SlotLayout::new::<Flash>(0..56 * 1_024).expect("it fits");
        let small = SmallFiles::open(flash, 56 * 1_024..64 * 1_024).expect("it fits");
        let slots = ImageSlots::new(flash, layout);
        let files = FlashStore::new(StaticStore::new(&FILES), slots, Slot::A, small, ());
        let config = ServerConfig::new().with_offered(RequestKind::Put);
        let mut world = World::<_, 1, ReadWrite, 640>::with_access(files, Link::default(), config);
        world.keys = Some(Keys::new());
        let mut client = SecureClient::connect(&mut world, 0x52);
        for piece in [1, 17, 300, 512] {
            let contents = content(1_500 + piece);
            let (size, digest) = (contents.len(), net::digest_of(DigestKind::Sha256, &contents));
            let put = format!(
                "{{\"type\":\"put\",\"fileName\":\"notes\",\"fileSize\":{size},\"sha256\":\"{digest}\",\"version\":\"*\"}}\n"
            );
            let ready = client.ask(&mut world, &put);
            assert!(ready.contains(r#""type":"ready""#), "{ready}");
            for piece in contents.chunks(piece) {
                client.send(&mut world, piece);
            }
            let end = client.line(&mut world);
            assert!(end.contains(r#""type":"end""#), "{end}");
            assert_eq!(client.get(&mut world, "notes", size), contents);
        }
    }
}
