//! Records behind a handshake: whole, in pieces, spoiled, cut off, out of place, and their end.

mod ends;

use coracle_channel::{
    Channel, Opened, Opener, PLAINTEXT_OFFSET, RECORD_OVERHEAD, Receiver, RecordError, RecordLimit, SealError, Sealer,
};
use ends::*;
use proptest::prelude::*;

/// A record with this plaintext.
fn seal(sealer: &mut Sealer, plaintext: &[u8]) -> Vec<u8> {
    let mut record = vec![0; plaintext.len() + RECORD_OVERHEAD];
    record[PLAINTEXT_OFFSET..][..plaintext.len()].copy_from_slice(plaintext);
    let sealed = sealer.seal(&mut record, plaintext.len()).expect("sealed");
    assert_eq!(sealed, record.len());
    record
}

fn end(sealer: &mut Sealer) -> Vec<u8> {
    let mut record = vec![0; RECORD_OVERHEAD];
    assert_eq!(sealer.finish(&mut record), Ok(RECORD_OVERHEAD));
    record
}

fn receiver(opener: Opener) -> Receiver<Vec<u8>> {
    let len = opener.limit().record_len();
    Receiver::new(opener, vec![0; len]).expect("long enough")
}

/// What is received of these bytes, which come in pieces of these lengths and then byte by byte; and how it ends.
fn receive(receiver: &mut Receiver<Vec<u8>>, bytes: &[u8], pieces: &[usize]) -> (Vec<u8>, Result<(), RecordError>) {
    let (mut plaintext, mut rest) = (Vec::new(), bytes);
    let mut lengths = pieces.iter().copied().chain(std::iter::repeat(1));
    while !rest.is_empty() {
        let piece = lengths.next().unwrap_or(1).min(rest.len());
        match receiver.receive(&rest[..piece]) {
            Ok(taken) => rest = &rest[taken..],
            Err(error) => {
                assert_eq!(receiver.receive(rest), Err(error), "it stays");
                assert_eq!(receiver.receive_eof(), Err(error));
                return (plaintext, Err(error));
            }
        }
        // Piece by piece, too.
        while let [first, ..] = receiver.plaintext() {
            plaintext.push(*first);
            receiver.consume(1);
        }
    }
    (plaintext, receiver.receive_eof())
}

fn directions() -> (Sealer, Receiver<Vec<u8>>) {
    let [client, server] = channels();
    (client.sealer, receiver(server.opener))
}

#[test]
fn the_smallest_and_the_largest_records_arrive() {
    for limit in [RecordLimit::MIN, RecordLimit::BOARD, RecordLimit::PC, RecordLimit::MAX] {
        let [client, server] = complete(Client::new(), Server::with(limit, vec![psk(PSK)]));
        let (mut sealer, mut receiver) = (client.sealer, receiver(server.opener));
        assert_eq!(sealer.room(usize::MAX), limit.bytes());
        for len in [1, 255, limit.bytes()] {
            let plaintext: Vec<u8> = (0..len).map(|place| place as u8).collect();
            let record = seal(&mut sealer, &plaintext);
            assert_eq!(receiver.receive(&record), Ok(record.len()));
            assert_eq!(receiver.plaintext(), plaintext);
            receiver.consume(len);
        }
        assert_eq!((sealer.records(), receiver.records()), (3, 3));
    }
}

#[test]
fn a_record_is_sealed_and_opened_where_it_stands() {
    let [mut client, mut server] = channels();
    let mut buf = *b"..in place................... another one";
    assert_eq!(client.sealer.seal(&mut buf, 8), Ok(26));
    assert_eq!(&buf[26..], b"... another one", "what is behind it is left");
    let opened = server.opener.open(&mut buf);
    assert_eq!(opened, Ok(Opened::Data { plaintext: 2..10, taken: 26 }));
    assert_eq!(&buf[2..10], b"in place");
    assert_eq!(&buf[26..], b"... another one");
}

#[test]
fn a_part_of_a_record_tells_how_long_it_is() {
    let [mut client, mut server] = channels();
    let mut record = seal(&mut client.sealer, b"plaintext");
    let whole = record.clone();
    for len in 0..record.len() {
        let needed = if len < 2 { 2 } else { record.len() };
        assert_eq!(server.opener.open(&mut record[..len]), Ok(Opened::Incomplete { needed }));
        assert_eq!(record, whole, "nothing was done");
    }
    assert_eq!(server.opener.open(&mut record), Ok(Opened::Data { plaintext: 2..11, taken: 27 }));
}

#[test]
fn what_does_not_fit_is_not_sealed() {
    let (mut sealer, _) = directions();
    assert_eq!([0, 18, 19, 530, 531].map(|len| sealer.room(len)), [0, 0, 1, 512, 512]);
    let mut buf = [7; 600];
    for (room, len) in [(600, 0), (600, 513), (25, 8), (18, 1), (1, 1), (0, 0), (600, usize::MAX)] {
        assert_eq!(sealer.seal(&mut buf[..room], len), Err(SealError::Length));
    }
    assert_eq!(sealer.finish(&mut buf[..17]), Err(SealError::Length));
    assert_eq!((buf, sealer.records()), ([7; 600], 0), "nothing was done");
    assert_eq!(sealer.seal(&mut buf[..26], 8), Ok(26));
}

#[test]
fn a_short_buffer_is_refused() {
    let [_, server] = channels();
    let short = Receiver::new(server.opener, [0; 529]).err();
    assert_eq!(short.map(|error| error.needed), Some(530));
}

#[test]
fn nothing_is_taken_while_there_is_plaintext() {
    let (mut sealer, mut receiver) = directions();
    let both = [seal(&mut sealer, b"one"), seal(&mut sealer, b"two")].concat();
    assert_eq!(receiver.receive(&both), Ok(21));
    assert_eq!(receiver.receive(&both[21..]), Ok(0));
    receiver.consume(1);
    assert_eq!(receiver.receive(&both[21..]), Ok(0));
    assert_eq!(receiver.plaintext(), b"ne");
    receiver.consume(100);
    assert_eq!(receiver.receive(&both[21..]), Ok(21));
    assert_eq!(receiver.plaintext(), b"two");
}

#[test]
fn the_end_is_the_peers_word() {
    let (mut sealer, mut receiver) = directions();
    let bytes = [seal(&mut sealer, b"all"), end(&mut sealer)].concat();
    assert!(sealer.has_ended() && sealer.room(600) == 0);
    assert_eq!(receive(&mut receiver, &bytes, &[]), (b"all".to_vec(), Ok(())));
    assert!(receiver.has_ended());
    let mut buf = [0; 100];
    assert_eq!((sealer.seal(&mut buf, 1), sealer.finish(&mut buf)), (Err(SealError::Ended), Err(SealError::Ended)));
}

#[test]
fn either_end_closes_first() {
    for order in [[0, 1], [1, 0]] {
        let mut ends = channels().map(|channel: Channel| (channel.sealer, Some(channel.opener)));
        for sender in order {
            let bytes = [seal(&mut ends[sender].0, b"last"), end(&mut ends[sender].0)].concat();
            let mut receiver = receiver(ends[1 - sender].1.take().expect("once"));
            assert_eq!(receive(&mut receiver, &bytes, &[]), (b"last".to_vec(), Ok(())));
        }
    }
}

#[test]
fn e6_bytes_behind_the_end_are_refused() {
    for behind in [&[0][..], b"{\"type\":\"hello\"}"] {
        let (mut sealer, mut receiver) = directions();
        let bytes = [&end(&mut sealer), behind].concat();
        assert_eq!(receive(&mut receiver, &bytes, &[bytes.len()]), (vec![], Err(RecordError::AfterEnd)));
    }
    // A second end, by an end that does not hold to the rules.
    let mut server = Server::new();
    let mut peer = snow(&CLIENT_SECRET, &PSK, true);
    let (second, _) = server.run(&snow_writes(&mut peer, &[0xc0, 0x01], b""));
    snow_reads(&mut peer, &second[2..]);
    server.run(&snow_writes(&mut peer, b"", &[0x01, 0x00, 0x00, 0x00]));
    let mut peer = peer.into_transport_mode().expect("complete");
    let mut receiver = receiver(server.handshake.finish().expect("done").opener);
    let mut bytes = vec![];
    for _ in 0..2 {
        let mut record = [0; 16];
        peer.write_message(b"", &mut record).expect("sealed");
        bytes.extend([&[0, 16][..], &record].concat());
    }
    assert_eq!(receive(&mut receiver, &bytes, &[7]), (vec![], Err(RecordError::AfterEnd)));
}

#[test]
fn e6_lengths_that_cannot_be_are_refused_before_reading_on() {
    for (len, valid) in [(0, false), (15, false), (16, true), (528, true), (529, false), (u16::MAX, false)] {
        let (_, mut receiver) = directions();
        let head = len.to_be_bytes();
        if valid {
            assert_eq!(receiver.receive(&head), Ok(2), "{len}");
            let record = vec![0; usize::from(len)];
            let received = receive(&mut receiver, &record, &[record.len()]);
            assert_eq!(received, (vec![], Err(RecordError::Authentication)), "{len}");
        } else {
            assert_eq!(receiver.receive(&head), Err(RecordError::Length(len)), "its head alone");
        }
        assert_eq!(receiver.records(), 0);
    }
}

#[test]
fn e6_a_thousand_records_of_one_byte_arrive() {
    let (mut sealer, mut receiver) = directions();
    let bytes: Vec<u8> = (0..1_000).flat_map(|_| seal(&mut sealer, b"x")).collect();
    assert_eq!(receive(&mut receiver, &bytes, &[1_000; 20]).0, vec![b'x'; 1_000]);
}

#[test]
fn e1_a_spoiled_record_is_not_opened() {
    let (mut sealer, _) = directions();
    let (before, record) = (seal(&mut sealer, b"good"), seal(&mut sealer, b"to be spoiled"));
    let behind = seal(&mut sealer, b"behind it");
    for place in 0..record.len() {
        for bit in 0..8 {
            let mut flipped = record.clone();
            flipped[place] ^= 1 << bit;
            nothing_of_it(&[&before[..], &flipped, &behind].concat());
        }
        nothing_of_it(&[&before[..], &record[..place], &record[place + 1..], &behind].concat());
        if place + 1 < record.len() {
            nothing_of_it(&[&before[..], &record[..=place], &record[place..], &behind].concat());
        }
    }
}

/// Of these bytes the first record is received and nothing else.
fn nothing_of_it(bytes: &[u8]) {
    let (_, mut receiver) = directions();
    let (plaintext, outcome) = receive(&mut receiver, bytes, &[bytes.len()]);
    assert_eq!(plaintext, b"good");
    assert!(outcome.is_err());
}

#[test]
fn e2_records_out_of_place_are_refused() {
    let [mut client, mut server] = channels();
    let records = [&b"1"[..], b"2", b"3"].map(|text| seal(&mut client.sealer, text));
    let back = seal(&mut server.sealer, b"1");
    let mut other = Client::with(RecordLimit::PC, Some(psk(PSK)));
    other.key = key([0x99; 32]);
    let [mut stranger, _] = complete(other, Server::new());
    let foreign = seal(&mut stranger.sealer, b"1");
    for (bytes, plaintext) in [
        ([&records[1][..], &records[0]].concat(), &b""[..]),
        ([&records[0][..], &records[0]].concat(), b"1"),
        ([&records[0][..], &records[2]].concat(), b"1"),
        (back, b""),
        (foreign, b""),
    ] {
        let (_, mut receiver) = directions();
        let received = receive(&mut receiver, &bytes, &[bytes.len()]);
        assert_eq!(received, (plaintext.to_vec(), Err(RecordError::Authentication)));
    }
}

#[test]
fn e3_a_stream_that_is_cut_anywhere_is_truncated() {
    let (mut sealer, _) = directions();
    let bytes = [seal(&mut sealer, b"a body"), seal(&mut sealer, b" of two"), end(&mut sealer)].concat();
    for cut in 0..bytes.len() {
        let (_, mut receiver) = directions();
        let (plaintext, outcome) = receive(&mut receiver, &bytes[..cut], &[cut]);
        let whole = if cut < 24 {
            ""
        } else if cut < 49 {
            "a body"
        } else {
            "a body of two"
        };
        assert_eq!((plaintext, outcome), (whole.into(), Err(RecordError::Truncated)), "at {cut}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the records and the pieces in which they come, what was sent is received.
    #[test]
    fn any_split_receives_the_same(
        texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..=512), 0..6),
        pieces in prop::collection::vec(1..700_usize, 0..20),
    ) {
        let (mut sealer, mut receiver) = directions();
        let mut bytes: Vec<u8> = texts.iter().flat_map(|text| seal(&mut sealer, text)).collect();
        bytes.extend(end(&mut sealer));
        prop_assert_eq!(receive(&mut receiver, &bytes, &pieces), (texts.concat(), Ok(())));
    }

    /// Whatever is changed, only what stands before it in whole records is received, and never the end.
    #[test]
    fn e1_any_change_is_noticed(
        texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..=60), 1..5),
        place in any::<prop::sample::Index>(),
        with in prop::collection::vec(any::<u8>(), 0..5),
        len in 0..5_usize,
        pieces in prop::collection::vec(1..100_usize, 0..10),
    ) {
        let (mut sealer, mut receiver) = directions();
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        for text in &texts {
            bytes.extend(seal(&mut sealer, text));
            ends.push(bytes.len());
        }
        bytes.extend(end(&mut sealer));
        let honest = bytes.clone();
        let place = place.index(bytes.len());
        bytes.splice(place..(place + len).min(honest.len()), with);
        prop_assume!(bytes != honest && !bytes.starts_with(&honest));
        let same = bytes.iter().zip(&honest).take_while(|(one, other)| one == other).count();
        let whole = ends.iter().filter(|end| **end <= same).count();
        let (plaintext, outcome) = receive(&mut receiver, &bytes, &pieces);
        prop_assert_eq!(plaintext, texts[..whole].concat());
        prop_assert!(outcome.is_err());
    }
}
