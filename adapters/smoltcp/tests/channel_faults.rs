//! The encrypted channel with hostile and broken clients. Names begin with the number in tests/FAULTS.md.

mod net;

use coracle_core::{Close, CloseHow, CloseReason, Store};
use coracle_smoltcp::coracle_channel::{HandshakeError, RecordError};
use coracle_smoltcp::{DisconnectReason, HandshakeFailure};
use net::keys::{Handshake, Keys, PSK, SecureClient};
use net::{Link, OTHER_CLIENT, World, content, store};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;

const FILES: [(&str, usize); 2] = [("small", 100), ("large", 200_000)];
const GET_SMALL: &str = r#"{"type":"get","fileName":"small"}"#;

fn world<const N: usize>() -> World<impl Store, N> {
    let mut world = World::new(store(&FILES), Link::default());
    world.keys = Some(Keys::new());
    world
}

fn last_gone<S: Store, const N: usize>(world: &World<S, N>) -> Option<DisconnectReason> {
    world.seen.gone.last().map(|(_, why)| *why)
}

/// Sends bytes on a connection of their own; what the server answers, and whether it closed in order.
fn answer<S: Store, const N: usize>(world: &mut World<S, N>, bytes: &[u8]) -> (String, bool) {
    let client = world.connect_and_send(bytes);
    let answer = world.read_to_end(client, 15_000);
    world.client(client).close();
    world.run_ms(100);
    answer
}

/// A valid message 1, of a client that goes no further.
fn first_message<S: Store, const N: usize>(world: &mut World<S, N>) -> Vec<u8> {
    let handle = world.connect();
    let first = Handshake::new(handle, 0x52, Some(PSK)).first();
    world.run_ms(10);
    world.client(handle).abort();
    world.run_ms(50);
    first
}

/// Each byte of message 1: the connection ends without a byte, and the server serves on.
#[test]
fn e1_a_spoiled_message_1_hears_nothing() {
    for place in 0..52 {
        let mut world = world::<1>();
        let mut first = first_message(&mut world);
        first[place] ^= 1;
        let (text, is_orderly) = answer(&mut world, &first);
        if place == 0 {
            assert!(text.contains(r#""code":"encrypted""#), "no handshake at all: {text}");
        } else {
            assert_eq!((text.as_str(), is_orderly), ("", true), "byte {place}");
            assert!(matches!(last_gone(&world), Some(DisconnectReason::Handshake(_))), "byte {place}");
        }
        world.run_ms(3_000);
        SecureClient::connect(&mut world, 0x52);
    }
}

#[test]
fn e1_a_spoiled_message_3_hears_nothing() {
    for place in [0, 1, 2, 33, 50, 69] {
        let mut world = world::<1>();
        let handle = world.connect();
        let mut handshake = Handshake::new(handle, 0x52, Some(PSK));
        assert!(world.run_until(1_000, |world| world.client(handle).may_send()));
        let first = handshake.first();
        handshake.state.sent(first.len());
        world.send(handle, &first);
        let third = handshake.third(&mut world);
        let mut spoiled = third;
        spoiled[place] ^= 0x40;
        world.send(handle, &spoiled);
        let (text, _) = world.read_to_end(handle, 5_000);
        assert_eq!(text, "", "byte {place}");
        assert!(matches!(last_gone(&world), Some(DisconnectReason::Handshake(_))), "byte {place}");
        assert!(world.keys.as_ref().expect("keys").identified.is_empty());
    }
}

/// A record that is spoiled anywhere, doubled or sent out of order: reset, and nothing of it is acted upon.
#[test]
fn e1_e2_a_record_that_is_not_the_clients_resets_the_connection() {
    type Spoil = fn(Vec<u8>, Vec<u8>) -> Vec<u8>;
    let spoils: [(&str, Spoil); 6] = [
        ("the first byte of ciphertext", |mut first, _| {
            first[2] ^= 1;
            first
        }),
        ("the last byte of the tag", |mut first, _| {
            *first.last_mut().expect("bytes") ^= 1;
            first
        }),
        ("one byte more", |mut first, _| {
            first.insert(5, 0);
            first.push(0);
            first
        }),
        ("another order", |first, second| [second, first].concat()),
        ("one is left out", |_, second| second),
        ("another session's", |first, _| {
            let mut other = first;
            other[2..].fill(0x77);
            other
        }),
    ];
    for (what, spoil) in spoils {
        let mut world = world::<1>();
        let mut client = SecureClient::connect(&mut world, 0x52);
        let records = [client.seal(GET_SMALL.as_bytes()), client.seal(GET_SMALL.as_bytes())];
        let [first, second] = records;
        client.send_raw(&mut world, &spoil(first, second));
        world.run_ms(500);
        assert_eq!(world.client(client.handle).state(), tcp::State::Closed, "{what}");
        assert_eq!(last_gone(&world), Some(DisconnectReason::Record(RecordError::Authentication)), "{what}");
        assert_eq!(world.seen.exchanges, 0, "{what}");
    }
}

#[test]
fn e2_a_record_that_is_repeated_is_acted_upon_once() {
    let mut world = world::<1>();
    let mut client = SecureClient::connect(&mut world, 0x52);
    let record = client.seal(GET_SMALL.as_bytes());
    client.send_raw(&mut world, &[record.clone(), record].concat());
    world.run_ms(500);
    assert_eq!(last_gone(&world), Some(DisconnectReason::Record(RecordError::Authentication)));
    assert_eq!(world.seen.exchanges, 1);
}

/// TCP's end without the channel's, at every byte of a request.
#[test]
fn e3_a_request_that_is_cut_is_never_taken_for_the_end() {
    for at in [0, 1, 2, 3, 20, 50] {
        let mut world = world::<1>();
        let mut client = SecureClient::connect(&mut world, 0x52);
        let record = client.seal(GET_SMALL.as_bytes());
        client.send_raw(&mut world, &record[..at]);
        world.client(client.handle).close();
        world.run_ms(500);
        assert_eq!(last_gone(&world), Some(DisconnectReason::Record(RecordError::Truncated)), "{at}");
        assert!(!client.has_server_ended());
    }
}

#[test]
fn e3_an_answer_that_is_cut_lacks_its_end() {
    let mut world = world::<1>();
    let mut client = SecureClient::connect(&mut world, 0x52);
    client.send(&mut world, br#"{"type":"get","fileName":"large"}"#);
    client.body(&mut world, 10_000);
    // It stops reading, and is reset.
    world.run_ms(35_000);
    assert!(world.run_until(20_000, |world| !client.poll(world.client(client.handle))));
    assert!(!client.has_server_ended() && client.failure == Some(RecordError::Truncated));
}

#[test]
fn e5_another_psk_hears_nothing_and_costs_no_diffie_hellman() {
    let mut world = world::<1>();
    let handle = world.connect();
    let end = Handshake::new(handle, 0x52, Some([0x99; 32])).complete(&mut world).err();
    assert_eq!(end, Some(HandshakeError::Closed));
    let failed = HandshakeFailure::Failed(HandshakeError::Authentication);
    assert_eq!(last_gone(&world), Some(DisconnectReason::Handshake(failed)));
}

#[test]
fn e6_lengths_that_cannot_be_reset_the_connection_at_once() {
    for length in [0_u16, 15, 529, 4_096, 65_535] {
        let mut world = world::<1>();
        let mut client = SecureClient::connect(&mut world, 0x52);
        client.send_raw(&mut world, &length.to_be_bytes());
        world.run_ms(200);
        assert_eq!(last_gone(&world), Some(DisconnectReason::Record(RecordError::Length(length))));
        assert_eq!(world.client(client.handle).state(), tcp::State::Closed);
    }
}

#[test]
fn e6_bytes_behind_the_end_reset_the_connection() {
    let mut world = world::<1>();
    let mut client = SecureClient::connect(&mut world, 0x52);
    client.send(&mut world, br#"{"type":"get","fileName":"large"}"#);
    let end = [client.end(), vec![0, 16]].concat();
    client.send_raw(&mut world, &end);
    world.run_until(20_000, |world| !client.poll(world.client(client.handle)));
    assert_eq!(last_gone(&world), Some(DisconnectReason::Record(RecordError::AfterEnd)));
}

/// A thousand records of one byte of white space and then a request: others are served meanwhile.
#[test]
fn e6_a_thousand_records_of_one_byte_delay_nobody() {
    let mut world = world::<2>();
    let mut busy = SecureClient::connect(&mut world, 0x52);
    let mut other = SecureClient::connect(&mut world, 0x54);
    let records: Vec<u8> = (0..1_000).flat_map(|_| busy.seal(b" ")).collect();
    for piece in records.chunks(2_000) {
        busy.send_raw(&mut world, piece);
        assert_eq!(other.get(&mut world, "small", 100), content(100));
    }
    assert_eq!(busy.get(&mut world, "small", 100), content(100));
}

#[test]
fn e6_a_wrong_head_ends_the_connection_before_the_rest_has_come() {
    for head in [&[0xc0, 0x02][..], &[0xc0, 0x01, 0x01], &[0xc0, 0x01, 0x00, 0x31]] {
        let mut world = world::<1>();
        let client = world.connect_and_send(head);
        assert_eq!(world.read_to_end(client, 500), (String::new(), true), "{head:?}");
        assert_eq!(world.keys.as_ref().expect("keys").handshakes(), 0, "{head:?}");
    }
}

#[test]
fn e7_a_message_1_that_drips_is_given_up() {
    let mut world = world::<1>();
    let first = first_message(&mut world);
    let client = world.connect_and_send(&first[..1]);
    for byte in &first[1..10] {
        world.run_ms(1_000);
        if world.client(client).can_send() {
            world.send(client, &[*byte]);
        }
    }
    world.run_ms(1_500);
    assert_eq!(last_gone(&world), Some(DisconnectReason::Handshake(HandshakeFailure::TimedOut)));
    assert_eq!(world.keys.as_ref().expect("keys").handshakes(), 0);
}

#[test]
fn e7_a_handshake_that_is_left_ends_after_3_s() {
    let mut world = world::<1>();
    let first = first_message(&mut world);
    let client = world.connect_and_send(&first);
    assert!(!world.run_until(2_900, |world| !world.client(client).may_recv()), "too early");
    assert!(
        world.run_until(300, |world| last_gone(world) == Some(DisconnectReason::Handshake(HandshakeFailure::TimedOut))),
        "too late"
    );
}

/// A replayed message 1 holds the one handshake; the client of another address gets it after a second.
#[test]
fn e7_a_newcomer_from_another_address_takes_the_place() {
    let mut world = world::<2>();
    let first = first_message(&mut world);
    world.connect_and_send(&first);
    let begun = world.now;
    let handle = world.connect_from(OTHER_CLIENT);
    let mut client = Handshake::new(handle, 0x52, Some(PSK)).complete(&mut world).expect("a place");
    assert_eq!(client.get(&mut world, "small", 100), content(100));
    let waited = (world.now - begun).total_millis();
    assert!((900..2_500).contains(&waited), "{waited} ms");
    assert_eq!(
        world.seen.gone.iter().map(|(_, why)| *why).find(|why| matches!(why, DisconnectReason::Handshake(_))),
        Some(DisconnectReason::Handshake(HandshakeFailure::GaveWay))
    );
}

#[test]
fn e7_the_same_address_does_not_take_the_place() {
    let mut world = world::<2>();
    let first = first_message(&mut world);
    world.connect_and_send(&first);
    let begun = world.now;
    SecureClient::connect(&mut world, 0x52);
    let waited = (world.now - begun).total_millis();
    assert!(waited >= 2_500, "{waited} ms, {:?}", world.seen.gone);
}

#[test]
fn e7_a_recorded_message_1_is_answered_once() {
    let mut world = world::<2>();
    let handle = world.connect();
    let mut handshake = Handshake::new(handle, 0x52, Some(PSK));
    let first = handshake.first();
    let mut client = handshake.complete(&mut world).expect("a handshake");
    let handshakes = world.keys.as_ref().expect("keys").handshakes();
    for _ in 0..5 {
        let stranger = world.connect_from(OTHER_CLIENT);
        assert!(world.run_until(1_000, |world| world.client(stranger).may_send()), "no connection");
        world.send(stranger, &first);
        assert_eq!(world.read_to_end(stranger, 100), (String::new(), false), "it is reset at once");
        assert_eq!(last_gone(&world), Some(DisconnectReason::Handshake(HandshakeFailure::Repeated)));
    }
    assert_eq!(world.keys.as_ref().expect("keys").handshakes(), handshakes, "nothing is computed for it");
    assert_eq!(client.get(&mut world, "small", 100), content(100));
    // The address that sends it is aborted like others whose handshakes fail.
    let aborted = world.connect_from(OTHER_CLIENT);
    world.run_ms(100);
    assert_eq!(world.client(aborted).state(), tcp::State::Closed);
    SecureClient::connect(&mut world, 0x54);
}

/// All places are taken by a stranger who has sent nothing, a part of message 1, or a recorded one: 200 ms later another may have one.
#[test]
fn e7_a_stranger_that_is_silent_gives_way_where_there_is_no_place() {
    let recorded = first_message(&mut world::<1>());
    for first in [&[][..], &recorded[..20], &recorded] {
        let mut world = world::<1>();
        let stranger = world.connect_from(OTHER_CLIENT);
        assert!(world.run_until(1_000, |world| world.client(stranger).may_send()), "no connection");
        world.send(stranger, first);
        world.run_ms(220);
        let begun = world.now;
        SecureClient::connect(&mut world, 0x52);
        let waited = (world.now - begun).total_millis();
        assert!(waited < 100, "{} bytes: {waited} ms", first.len());
    }
}

/// Strangers who do not close what was closed to them, on all sockets: without the pre-shared key, and where there was no place.
#[test]
fn e7_strangers_that_keep_a_closed_connection_keep_nobody_out() {
    let mut spoiled = first_message(&mut world::<1>());
    spoiled[51] ^= 1;
    let mut world = world::<1>();
    for _ in 0..2 {
        let stranger = world.connect_from(OTHER_CLIENT);
        assert!(world.run_until(1_000, |world| world.client(stranger).may_send()), "no connection");
        world.send(stranger, &spoiled);
    }
    world.run_ms(20);
    let mut client = SecureClient::connect(&mut world, 0x52);
    assert_eq!(client.get(&mut world, "small", 100), content(100));
    for _ in 0..3 {
        let stranger = world.connect_and_send(&[]);
        world.run_ms(20);
        let told = world.read_now(stranger);
        assert!(told.contains(r#""code":"busy""#), "{told}");
    }
}

#[test]
fn e7_an_address_that_fails_five_times_is_aborted_for_10_s() {
    let mut world = world::<2>();
    let mut spoiled = first_message(&mut world);
    spoiled[51] ^= 1;
    for _ in 0..5 {
        assert_eq!(answer(&mut world, &spoiled), (String::new(), true));
    }
    let handshakes = world.keys.as_ref().expect("keys").handshakes();
    let aborted = world.connect();
    world.run_ms(500);
    assert_eq!(world.client(aborted).state(), tcp::State::Closed);
    assert_eq!(world.keys.as_ref().expect("keys").handshakes(), handshakes);
    // Others are served meanwhile, and it is itself afterwards.
    let handle = world.connect_from(OTHER_CLIENT);
    Handshake::new(handle, 0x52, Some(PSK)).complete(&mut world).expect("another address");
    world.run_ms(10_000);
    SecureClient::connect(&mut world, 0x52);
}

/// Strangers of another address come a thousand times a second with a replayed message 1, and go no further: an honest client is
/// served within 10 s.
#[test]
fn e7_strangers_do_not_keep_an_honest_client_out() {
    let mut world = world::<3>();
    let first = first_message(&mut world);
    let (mut strangers, mut attempt): (Vec<SocketHandle>, Option<Handshake>) = (Vec::new(), None);
    let (mut tries, mut round) = (0, 0);
    let is_served = world.run_until(10_000, |world| {
        round += 1;
        for is_honest in if round % 2 == 0 { [true, false] } else { [false, true] } {
            if is_honest {
                let handshake = attempt.get_or_insert_with(|| {
                    tries += 1;
                    Handshake::new(world.connect(), 0x52, Some(PSK))
                });
                let socket = world.client(handshake.handle);
                if socket.state() != tcp::State::SynSent && handshake.advance(socket) {
                    if handshake.state.finish().is_some() {
                        return true;
                    }
                    attempt = None;
                }
            } else {
                strangers.push(world.connect_from(OTHER_CLIENT));
            }
        }
        strangers.retain(|handle| {
            let socket = world.client(*handle);
            if socket.may_send() && socket.send_queue() == 0 && socket.recv_queue() == 0 {
                // It may have been closed meanwhile, as it is to be.
                let _ = socket.send_slice(&first);
            }
            socket.is_open()
        });
        false
    });
    assert!(is_served, "{tries} tries");
}

#[test]
fn e8_without_entropy_nobody_is_served_encrypted() {
    let mut world = world::<1>();
    world.keys.as_mut().expect("keys").has_entropy = false;
    let handle = world.connect();
    let end = Handshake::new(handle, 0x52, Some(PSK)).complete(&mut world).err();
    assert!(end.is_some());
    assert_eq!(last_gone(&world), Some(DisconnectReason::Handshake(HandshakeFailure::NoKeys)));
}

/// A client that never reads: the channel's end waits for room no longer than the session does.
#[test]
fn c3_a_reader_that_does_not_read_is_reset_in_the_channel() {
    let mut world = world::<1>();
    let mut client = SecureClient::connect(&mut world, 0x52);
    let record = client.seal(br#"{"type":"get","fileName":"large"}"#);
    world.send(client.handle, &record);
    assert!(!world.run_until(29_000, |world| world.server.live() == 0), "too early");
    assert!(world.run_until(3_000, |world| world.server.live() == 0), "too late");
    assert_eq!(last_gone(&world), Some(DisconnectReason::Closed(Close::new(CloseHow::Abort, CloseReason::Stalled))));
}
