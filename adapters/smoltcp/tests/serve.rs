//! The server with well-behaved clients, on good and bad networks.

mod net;

use coracle_core::{DigestKind, End, FileName, GetRequest};
use net::{Link, World, content, store};

const SIZES: [(&str, usize); 7] =
    [("0", 0), ("1", 1), ("1023", 1023), ("1024", 1024), ("1025", 1025), ("4096", 4096), ("200000", 200_000)];

#[test]
fn files_of_all_sizes_arrive_verified() {
    let mut world = World::<_, 2>::new(store(&SIZES), Link::default());
    for (name, len) in SIZES {
        for kind in [DigestKind::Crc32, DigestKind::Sha256] {
            assert_eq!(world.get(name, kind), content(len), "{name}");
        }
    }
    assert_eq!(world.seen.exchanges, 2 * SIZES.len());
    assert_eq!(world.seen.body_len, 2 * SIZES.iter().map(|(_, len)| len).sum::<usize>());
    assert!(world.run_until(5_000, |world| world.server.live() == 0));
}

#[test]
fn many_requests_share_a_connection() {
    let mut world = World::<_, 1>::new(store(&SIZES), Link::default());
    let requests = concat!(
        r#"{"type":"hello"}"#,
        r#"{"type":"list"}"#,
        r#"{"type":"stat","fileName":"1024","digest":"crc32"}"#,
        r#"{"type":"get","fileName":"1","digest":"none"}"#,
        r#"{"type":"get","fileName":"none"}"#,
    );
    let client = world.connect_and_send(requests.as_bytes());
    world.client(client).close();
    let (answer, is_orderly) = world.read_to_end(client, 5_000);
    assert!(is_orderly, "{answer}");
    let types = answer.matches(r#""type":""#).count();
    // hello; entries and end; stat; header and end; error.
    assert_eq!(types, 1 + SIZES.len() + 1 + 1 + 2 + 1, "{answer}");
    assert!(answer.contains(r#""count":7"#) && answer.ends_with("}\n"), "{answer}");
    assert!(answer.contains(r#""code":"notFound""#), "{answer}");
}

/// The digest covers the earlier bytes, which the server reads before it responds.
#[test]
fn a_part_of_a_file_is_covered_from_its_beginning() {
    let mut world = World::<_, 1>::new(store(&SIZES), Link::default());
    let have = content(150_001);
    let get = GetRequest::new(FileName::from_static("200000")).with_offset(150_001).with_digest_from(Some(0));
    let mut fetch = world.fetch(&get);
    let mut sink = Resumed { bytes: have };
    match world.finish(&mut fetch, &mut sink) {
        Ok(End::Verified(verified)) => assert!(verified.is_whole()),
        other => panic!("{other:?}"),
    }
    assert_eq!(sink.bytes, content(200_000));
}

struct Resumed {
    bytes: Vec<u8>,
}

impl coracle_core::exec::Sink for Resumed {
    type Error = ();

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), ()> {
        assert_eq!(offset, self.bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn read_back(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, ()> {
        let rest = &self.bytes[usize::try_from(offset).expect("small")..];
        let len = rest.len().min(buf.len()).min(100);
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

/// 15 % of the packets are lost and 15 % have a bit flipped, in each direction. A client resumes after its last attempt, and
/// gives up after three attempts without progress.
#[test]
fn w8_loss_and_corruption() {
    for seed in 1..=8 {
        let link = Link { drop_percent: 15, corrupt_percent: 15, seed, ..Link::default() };
        let mut world = World::<_, 2>::new(store(&SIZES), link);
        let mut sink = Resumed { bytes: Vec::new() };
        let mut in_vain = 0;
        loop {
            let had = sink.bytes.len();
            let get =
                GetRequest::new(FileName::from_static("200000")).with_offset(had as u64).with_digest_from(Some(0));
            let mut fetch = world.fetch(&get);
            match world.finish(&mut fetch, &mut sink) {
                Ok(End::Verified(verified)) => break assert!(verified.is_whole()),
                Ok(other) => panic!("seed {seed}: {other:?}"),
                Err(error) => assert!(error.is_temporary(), "seed {seed}: {error:?}"),
            }
            in_vain = if sink.bytes.len() > had { 0 } else { in_vain + 1 };
            assert!(in_vain < 3, "seed {seed}: {had} bytes, then three tries in vain");
        }
        assert_eq!(sink.bytes, content(200_000), "seed {seed}");
    }
}

/// The smallest buffers: one byte to send, one to receive, one at the client.
#[test]
fn w1_w2_buffers_of_one_byte() {
    let link = Link { server_receive: 1, server_send: 1, client_receive: 1, ..Link::default() };
    let mut world = World::<_, 1>::new(store(&SIZES), link);
    assert_eq!(world.get("1025", DigestKind::Crc32), content(1025));
}

#[test]
fn w2_small_segments() {
    // The handshake's packets, with their options, take 60 bytes.
    for mtu in [60, 61, 576] {
        let mut world = World::<_, 1>::new(store(&SIZES), Link { mtu, ..Link::default() });
        assert_eq!(world.get("4096", DigestKind::Crc32), content(4096), "{mtu}");
    }
}

#[test]
fn w4_a_link_that_is_down_for_5_s_costs_no_connection() {
    let mut world = World::<_, 1>::new(store(&SIZES), Link::default());
    let mut fetch = world.fetch(&GetRequest::new(FileName::from_static("200000")));
    let mut bytes = Vec::new();
    while bytes.len() < 50_000 {
        world.poll_fetch(&mut fetch, &mut net::into_vec(&mut bytes));
        world.step();
    }
    world.cut(true);
    world.run_ms(5_000);
    world.cut(false);
    let end = world.finish(&mut fetch, &mut net::into_vec(&mut bytes));
    assert!(matches!(end, Ok(End::Verified(_))), "{end:?}");
    assert_eq!(bytes, content(200_000));
    assert_eq!(world.seen.connected.len(), 1);
}

#[test]
fn w4_a_link_that_is_down_for_5_min_ends_in_a_resume() {
    let mut world = World::<_, 1>::new(store(&SIZES), Link::default());
    let get = GetRequest::new(FileName::from_static("200000")).with_digest(None);
    let mut fetch = world.fetch(&get);
    let mut bytes = Vec::new();
    while bytes.len() < 50_000 {
        world.poll_fetch(&mut fetch, &mut net::into_vec(&mut bytes));
        world.step();
    }
    world.cut(true);
    assert!(world.run_until(35_000, |world| world.server.live() == 0), "the stalled session keeps its place");
    world.run_ms(300_000);
    world.cut(false);
    let end = world.finish(&mut fetch, &mut net::into_vec(&mut bytes));
    assert!(end.is_err_and(|error| error.is_temporary()));
    let mut fetch = world.fetch(&get.with_offset(bytes.len() as u64));
    assert!(matches!(world.finish(&mut fetch, &mut net::into_vec(&mut bytes)), Ok(End::Unchecked)));
    assert_eq!(bytes, content(200_000));
}

#[test]
fn a_server_that_is_stopped_finishes_its_exchanges() {
    let mut world = World::<_, 2>::new(store(&SIZES), Link::default());
    let idle = world.connect_and_send(b"");
    let mut fetch = world.fetch(&GetRequest::new(FileName::from_static("200000")));
    let mut bytes = Vec::new();
    while bytes.is_empty() {
        world.poll_fetch(&mut fetch, &mut net::into_vec(&mut bytes));
        world.step();
    }
    world.server.stop(world.now);
    let end = world.finish(&mut fetch, &mut net::into_vec(&mut bytes));
    assert!(matches!(end, Ok(End::Verified(_))), "{end:?}");
    let (answer, is_orderly) = world.read_to_end(idle, 1_000);
    assert!(is_orderly && answer.contains(r#""code":"shuttingDown""#), "{answer}");
    assert!(world.run_until(10_000, |world| world.server.is_stopped()));
    let late = world.connect();
    world.run_ms(1_000);
    assert!(!world.client(late).is_open());
}
