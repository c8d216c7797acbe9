//! Handshakes: with each other, with `snow` in both roles, and with who does not follow the rules.

mod ends;

use coracle_channel::{Channel, HandshakeAction, HandshakeError, Receiver, RecordLimit};
use ends::*;
use proptest::prelude::*;

/// A record of the client that the server opens.
fn greet(client: &mut Channel, server: &mut Channel) {
    let mut record = *b"..hello................";
    let len = client.sealer.seal(&mut record, 5).expect("sealed");
    assert_eq!(len, record.len());
    assert!(server.opener.open(&mut record).is_ok());
    assert_eq!(&record[2..7], b"hello");
}

#[test]
fn both_ends_agree_and_know_each_other() {
    let [mut client, mut server] = channels();
    assert_eq!((client.peer, server.peer), (*key(SERVER_SECRET).public(), *key(CLIENT_SECRET).public()));
    assert_eq!((client.sealer.room(100_000), server.sealer.room(100_000)), (512, 16_384));
    greet(&mut client, &mut server);
    greet(&mut server, &mut client);
}

#[test]
fn messages_have_the_lengths_of_the_page() {
    let messages = messages();
    assert_eq!(messages.each_ref().map(Vec::len), [52, 102, 70]);
    assert_eq!(messages[0][..4], [0xc0, 0x01, 0x00, 0x30]);
    assert_eq!((&messages[1][..2], &messages[2][..2]), (&[0x00, 0x64][..], &[0x00, 0x44][..]));
}

#[test]
fn a_step_is_one_diffie_hellman() {
    let (mut client, mut server) = (Client::new(), Server::new());
    let first = client.run(&[]).0;
    let second = server.run(&first).0;
    assert_eq!((client.steps, server.steps), (1, 4), "message 1; the pre-shared keys and three for message 2");
    let third = client.run(&second).0;
    server.run(&third);
    assert_eq!((client.steps, server.steps), (4, 5));
}

#[test]
fn a_handshake_is_used_up() {
    let (mut client, mut server) = (Client::new(), Server::new());
    assert!(client.handshake.finish().is_none() && server.handshake.finish().is_none());
    let first = client.run(&[]).0;
    let second = server.run(&first).0;
    let third = client.run(&second).0;
    server.run(&third);
    assert_eq!((client.handshake.receive(b"x"), server.handshake.receive(b"x")), (0, 0));
    assert!(client.handshake.finish().is_some() && server.handshake.finish().is_some());
    assert!(client.handshake.finish().is_none() && server.handshake.finish().is_none());
}

#[test]
fn what_follows_a_message_is_left() {
    let [first, second, third] = messages();
    let (mut client, mut server) = (Client::new(), Server::new());
    client.run(&[]);
    assert_eq!(server.run(&first).1, 52);
    assert_eq!(client.run(&[&second[..], b"record"].concat()).1, 102);
    assert_eq!(server.run(&[&third[..], b"record"].concat()).1, 70);
    assert_eq!(server.handshake.action(), HandshakeAction::Done);
}

#[test]
fn snow_is_the_client() {
    let mut server = Server::new();
    let mut snow = snow(&CLIENT_SECRET, &PSK, true);
    let (second, _) = server.run(&snow_writes(&mut snow, &[0xc0, 0x01], b""));
    assert_eq!(snow_reads(&mut snow, &second[2..]), [0x02, 0x00, 0x00, 0x00], "512, no flags");
    server.run(&snow_writes(&mut snow, b"", &[0x01, 0x00, 0xff, 0xff]));
    let mut channel = server.handshake.finish().expect("done");
    assert_eq!(channel.peer, *key(CLIENT_SECRET).public());
    assert_eq!(channel.sealer.room(1_000), 256, "whatever the flags are");
    exchange_with_snow(&mut channel, &mut snow.into_transport_mode().expect("complete"), 10);
}

#[test]
fn snow_is_the_server() {
    let mut client = Client::new();
    let mut snow = snow(&SERVER_SECRET, &PSK, false);
    let (first, _) = client.run(&[]);
    assert_eq!(snow_reads(&mut snow, &first[4..]), b"");
    let (third, _) = client.run(&snow_writes(&mut snow, b"", &[0xff, 0xff, 0x00, 0x00]));
    assert_eq!(snow_reads(&mut snow, &third[2..]), [0x40, 0x00, 0x00, 0x00], "16,384, no flags");
    let mut channel = client.handshake.finish().expect("done");
    assert_eq!(snow.get_remote_static(), Some(&key(CLIENT_SECRET).public().as_bytes()[..]));
    assert_eq!(channel.sealer.room(100_000), 65_519, "what a record can hold");
    exchange_with_snow(&mut channel, &mut snow.into_transport_mode().expect("complete"), 10);
}

#[test]
fn e9_the_key_changes_after_65536_records_as_snow_does_it() {
    let mut server = Server::new();
    let mut snow = snow(&CLIENT_SECRET, &PSK, true);
    let (second, _) = server.run(&snow_writes(&mut snow, &[0xc0, 0x01], b""));
    snow_reads(&mut snow, &second[2..]);
    server.run(&snow_writes(&mut snow, b"", &[0x01, 0x00, 0x00, 0x00]));
    let mut channel = server.handshake.finish().expect("done");
    let mut snow = snow.into_transport_mode().expect("complete");
    exchange_with_snow(&mut channel, &mut snow, 65_536);
    snow.rekey_incoming();
    snow.rekey_outgoing();
    exchange_with_snow(&mut channel, &mut snow, 2);
}

/// Records in both directions.
fn exchange_with_snow(channel: &mut Channel, snow: &mut snow::TransportState, records: usize) {
    let (mut record, mut message) = ([0; 32], [0; 32]);
    for number in 0..records {
        let text = u32::try_from(number).expect("small").to_be_bytes();
        record[2..6].copy_from_slice(&text);
        let len = channel.sealer.seal(&mut record, 4).expect("sealed");
        let read = snow.read_message(&record[2..len], &mut message).expect("snow opens it");
        assert_eq!(&message[..read], text);

        let len = snow.write_message(&text, &mut message).expect("sealed");
        record[..2].copy_from_slice(&u16::try_from(len).expect("short").to_be_bytes());
        record[2..][..len].copy_from_slice(&message[..len]);
        channel.opener.open(&mut record[..2 + len]).expect("opened");
        assert_eq!(&record[2..6], text);
    }
}

#[test]
fn the_pre_shared_key_is_found_among_several() {
    let server_keys = [[0x10; 32], [0x20; 32], [0x30; 32]];
    for (place, bytes) in server_keys.into_iter().enumerate() {
        let mut server = Server::with(RecordLimit::PC, server_keys.map(psk).to_vec());
        let mut client = Client::with(RecordLimit::PC, Some(psk(bytes)));
        assert_eq!(server.handshake.psk(), None);
        server.run(&client.run(&[]).0);
        assert_eq!(server.handshake.psk(), Some(place));
    }
}

#[test]
fn without_a_configured_key_both_use_none() {
    let [mut client, mut server] =
        complete(Client::with(RecordLimit::PC, None), Server::with(RecordLimit::PC, Vec::new()));
    greet(&mut client, &mut server);
    let mut server = Server::with(RecordLimit::PC, Vec::new());
    let mut snow = snow(&CLIENT_SECRET, &NO_PSK, true);
    assert_eq!(server.run(&snow_writes(&mut snow, &[0xc0, 0x01], b"")).0.len(), 102);
}

#[test]
fn e5_another_pre_shared_key_is_refused_before_any_diffie_hellman() {
    for (client_key, server_keys) in [
        (Some(psk([0x54; 32])), vec![psk(PSK)]),
        (None, vec![psk(PSK)]),
        (Some(psk(PSK)), vec![]),
        (Some(psk(PSK)), vec![psk([0x54; 32]), psk([0x55; 32])]),
    ] {
        let mut server = Server::with(RecordLimit::PC, server_keys);
        let (first, _) = Client::with(RecordLimit::PC, client_key).run(&[]);
        let (answer, _) = server.run(&first);
        assert_eq!((answer.len(), server.failure()), (0, Some(HandshakeError::Authentication)));
        assert_eq!((server.steps, server.handshake.message()), (1, 1));
    }
}

#[test]
fn e4_a_server_that_is_not_meant_learns_nothing() {
    let mut client = Client::new();
    client.expected = *key([0x77; 32]).public();
    let (first, _) = client.run(&[]);
    let (second, _) = Server::new().run(&first);
    let (third, _) = client.run(&second);
    assert_eq!(third.len(), 0, "no message 3");
    assert_eq!(client.handshake.action(), HandshakeAction::Decide(*key(SERVER_SECRET).public()));
    client.handshake.receive_eof();
    assert_eq!(client.failure(), Some(HandshakeError::Closed));
}

#[test]
fn e4_a_plain_answer_is_seen_and_left() {
    for answer in ["{\"type\":\"error\",\"code\":\"busy\"}\n", "\r\n", "HTTP/1.1 400 Bad Request"] {
        let mut client = Client::new();
        client.run(&[]);
        assert_eq!(client.run(answer.as_bytes()), (Vec::new(), 0));
        assert_eq!(client.failure(), Some(HandshakeError::NotEncrypted));
    }
}

#[test]
fn e4_a_replayed_first_message_gets_no_further() {
    let [first, _, third] = messages();
    let mut server = Server::new();
    server.handshake = coracle_channel::ServerHandshake::new(
        coracle_channel::Entropy::new([0x63; 32]).expect("not blank"),
        RecordLimit::BOARD,
    );
    assert_eq!(server.run(&first).0.len(), 102, "it is a valid one");
    server.run(&third);
    assert_eq!(server.failure(), Some(HandshakeError::Authentication));
}

#[test]
fn e6_wrong_heads_end_a_handshake_at_once() {
    for (bytes, taken, error) in [
        (&[0x7b][..], 0, HandshakeError::NotEncrypted),
        (&[0xc0, 0x02], 1, HandshakeError::Suite(2)),
        (&[0xc0, 0x01, 0x01], 2, HandshakeError::Length),
        (&[0xc0, 0x01, 0x00, 0x31], 3, HandshakeError::Length),
    ] {
        let mut server = Server::new();
        assert_eq!(server.run(bytes), (Vec::new(), taken));
        assert_eq!(server.failure(), Some(error));
        assert_eq!(server.run(b"more"), (Vec::new(), 0));
    }
    for bytes in [&[0x01][..], &[0x00, 0x63]] {
        let mut server = Server::new();
        server.run(&messages()[0]);
        server.run(bytes);
        assert_eq!(server.failure(), Some(HandshakeError::Length), "of message 3");
    }
    let mut client = Client::new();
    client.run(&[]);
    client.run(&[0x00, 0x65]);
    assert_eq!(client.failure(), Some(HandshakeError::Length), "of message 2");
}

#[test]
fn e6_a_peer_that_takes_too_little_is_refused() {
    for (max, error) in
        [(255_u16, Some(HandshakeError::RecordLimit(255))), (0, Some(HandshakeError::RecordLimit(0))), (256, None)]
    {
        let parameters = [&max.to_be_bytes()[..], &[0, 0]].concat();
        let mut server = Server::new();
        let mut peer = snow(&CLIENT_SECRET, &PSK, true);
        let (second, _) = server.run(&snow_writes(&mut peer, &[0xc0, 0x01], b""));
        snow_reads(&mut peer, &second[2..]);
        server.run(&snow_writes(&mut peer, b"", &parameters));
        assert_eq!(server.failure(), error);

        let mut client = Client::new();
        let mut peer = snow(&SERVER_SECRET, &PSK, false);
        snow_reads(&mut peer, &client.run(&[]).0[4..]);
        client.run(&snow_writes(&mut peer, b"", &parameters));
        assert_eq!(client.failure(), error);
    }
}

/// One byte of a message flipped, left out, or doubled.
fn spoiled(message: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..message.len()).flat_map(move |place| {
        let mut flipped = message.to_vec();
        flipped[place] ^= 1 << (place % 8);
        let dropped = [&message[..place], &message[place + 1..]].concat();
        let doubled = [&message[..=place], &message[place..]].concat();
        [flipped, dropped, doubled]
    })
}

#[test]
fn e1_a_spoiled_message_ends_the_handshake() {
    let [first, second, third] = messages();
    for spoiled in spoiled(&first) {
        let mut server = Server::new();
        let (answer, taken) = server.run(&spoiled);
        server.handshake.receive_eof();
        assert!(server.failure().is_some());
        // A doubled last byte stands behind a whole message.
        assert_eq!(answer.is_empty(), spoiled[..taken.min(52)] != first, "{spoiled:02x?}");
    }
    for spoiled in spoiled(&second) {
        let mut client = Client::new();
        client.run(&[]);
        let (answer, taken) = client.run(&spoiled);
        assert_eq!(answer.is_empty(), spoiled[..taken] != second, "{spoiled:02x?}");
        client.handshake.receive_eof();
        assert_eq!(client.failure().is_none(), !answer.is_empty());
    }
    for spoiled in spoiled(&third) {
        let mut server = Server::new();
        server.run(&first);
        let (answer, taken) = server.run(&spoiled);
        server.handshake.receive_eof();
        assert!(answer.is_empty());
        assert_eq!(server.failure().is_none(), spoiled[..taken] == third, "{spoiled:02x?}");
        if server.failure().is_none() {
            let channel = server.handshake.finish().expect("done");
            let mut receiver = Receiver::new(channel.opener, [0; 530]).expect("long enough");
            receiver.receive(&spoiled[taken..]).expect("part of a record");
            assert!(receiver.receive_eof().is_err());
        }
    }
}

#[test]
fn e3_a_handshake_that_is_cut_anywhere_ends() {
    let [first, second, third] = messages();
    for cut in 0..first.len() + third.len() {
        let mut server = Server::new();
        server.run(&first[..cut.min(first.len())]);
        server.run(&third[..cut.saturating_sub(first.len())]);
        server.handshake.receive_eof();
        assert_eq!(server.failure(), Some(HandshakeError::Closed), "at {cut}");
        assert!(server.handshake.finish().is_none());
    }
    for cut in 0..second.len() {
        let mut client = Client::new();
        client.run(&[]);
        client.run(&second[..cut]);
        client.handshake.receive_eof();
        assert_eq!(client.failure(), Some(HandshakeError::Closed), "at {cut}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_split_makes_the_same_handshake(cuts in prop::collection::vec(1..40_usize, 0..12)) {
        let messages = messages();
        let (mut client, mut server) = (Client::new(), Server::new());
        let sent = client.run(&[]).0;
        prop_assert_eq!(&sent, &messages[0]);
        prop_assert_eq!(&in_pieces(&messages[0], &cuts, |piece| server.run(piece)), &messages[1]);
        prop_assert_eq!(&in_pieces(&messages[1], &cuts, |piece| client.run(piece)), &messages[2]);
        prop_assert_eq!(in_pieces(&messages[2], &cuts, |piece| server.run(piece)), []);
        prop_assert_eq!(server.handshake.action(), HandshakeAction::Done);
        prop_assert_eq!(client.handshake.action(), HandshakeAction::Done);
    }
}

fn in_pieces(message: &[u8], cuts: &[usize], mut run: impl FnMut(&[u8]) -> (Vec<u8>, usize)) -> Vec<u8> {
    let (mut rest, mut output) = (message, Vec::new());
    for cut in cuts.iter().chain(std::iter::repeat(&1)) {
        let piece = &rest[..(*cut).min(rest.len())];
        let (sent, taken) = run(piece);
        output.extend(sent);
        rest = &rest[taken..];
        if rest.is_empty() {
            break;
        }
    }
    output
}
