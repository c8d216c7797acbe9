//! Client and server in memory, over a link that breaks, with a virtual clock and a file that changes meanwhile.

mod common;
mod link;

use coracle_core::{
    ClientAction, ClientEvent, ClientRequest, Code, DigestKind, End, Failure, FileName, GetRequest, Header,
    ServerConfig, Version,
};
use link::{Disk, Pair, Random, Tear};

const NAME: FileName<'static> = FileName::from_static("a.log");
/// The strongest digest that this build supports.
const STRONGEST: DigestKind = if DigestKind::Sha256.is_supported() { DigestKind::Sha256 } else { DigestKind::Crc32 };

/// What a client has stored.
#[derive(Default)]
struct Part {
    bytes: Vec<u8>,
    version: Option<Version>,
}

/// The result of an attempt.
#[derive(Debug, PartialEq)]
enum Outcome {
    Verified,
    Changed { is_snapshot: bool },
    Refused(Option<Code>),
    Failed(Failure),
}

/// Requests the missing bytes, with a digest of the whole file.
fn fetch(pair: &mut Pair<'_>, random: &mut Random, part: &mut Part, kind: DigestKind) -> Outcome {
    let held = part.bytes.clone();
    let version = part.version.clone();
    let get = GetRequest::new(NAME)
        .with_offset(held.len() as u64)
        .with_version(version.as_ref())
        .with_digest(Some(kind))
        .with_digest_from(Some(0));
    pair.client.start(ClientRequest::Get(get), pair.now()).expect("idle");
    let mut shown = 0;
    while let ClientAction::Rehash { offset, len } = pair.client.action() {
        let offset = usize::try_from(offset).expect("short");
        assert_eq!(offset, shown, "each byte once");
        let len = 1 + random.below(usize::try_from(len).expect("short"));
        pair.client.rehashed(&held[offset..offset + len], pair.now());
        shown = offset + len;
    }
    let mut outcome = None;
    let mut told: Option<Header> = None;
    let failure = pair.run(random, |event| match event {
        ClientEvent::Header(header) => {
            assert_eq!(header.offset, held.len() as u64);
            part.version = Some(header.version.clone());
            told = Some(header);
        }
        ClientEvent::Body { offset, bytes } => {
            assert_eq!(offset, part.bytes.len() as u64);
            part.bytes.extend_from_slice(bytes);
        }
        ClientEvent::End(End::Verified(verified)) => {
            assert!(verified.is_whole());
            outcome = Some(Outcome::Verified);
        }
        ClientEvent::End(End::Changed { snapshot }) => {
            outcome = Some(Outcome::Changed { is_snapshot: snapshot.is_some() })
        }
        ClientEvent::Refused(refusal) => outcome = Some(Outcome::Refused(refusal.code)),
        other => panic!("{other:?}"),
    });
    if let Some(header) = told {
        let end = header.offset + header.length;
        assert!(part.bytes.len() as u64 <= end, "more than was announced");
        assert!(outcome.is_none() || part.bytes.len() as u64 == end, "less than was announced");
    }
    match (outcome, failure) {
        (Some(outcome), _) => outcome,
        (None, Some(failure)) => Outcome::Failed(failure),
        (None, None) => panic!("idle without an end"),
    }
}

#[test]
fn every_exchange_over_the_smallest_window() {
    let config = ServerConfig::new();
    let mut random = Random::new(1);
    let bytes = random.bytes(5_000);
    let disk = Disk::new(&bytes);
    disk.0.borrow_mut().many = 300;
    let mut pair = Pair::new(&config, &disk, 1, Tear::default());
    let mut seen = Vec::new();

    pair.client.start(ClientRequest::Hello, pair.now()).expect("idle");
    assert_eq!(pair.run(&mut random, |event| seen.push(format!("{event:?}"))), None);
    assert!(seen[0].starts_with("Hello(Hello { protocol: 1, server: \"coracle/"), "{seen:?}");

    let path = Some(FileName::from_static("many"));
    pair.client.start(ClientRequest::List { path }, pair.now()).expect("idle");
    let mut names = Vec::new();
    let mut listing = None;
    let failure = pair.run(&mut random, |event| match event {
        ClientEvent::Entry(entry) => names.push(entry.name.as_str().to_owned()),
        ClientEvent::Listed(end) => listing = Some(end),
        other => panic!("{other:?}"),
    });
    assert_eq!(failure, None);
    let expected: Vec<String> = (0..300)
        .filter(|number| number % 7 != 3)
        .map(|number| format!("many/{number} \"{}\"", "\u{1F6F6}".repeat(number % 40)))
        .collect();
    assert_eq!(names, expected);
    let listing = listing.expect("an end");
    assert_eq!((listing.count, listing.skipped), (257, 43));

    for digest in [None, Some(DigestKind::Crc32), Some(STRONGEST)] {
        pair.client.start(ClientRequest::Stat { name: NAME, digest }, pair.now()).expect("idle");
        let mut header = None;
        let failure = pair.run(&mut random, |event| {
            if let ClientEvent::Header(told) = event {
                header = Some(told);
            }
        });
        let header = header.expect("a header");
        assert_eq!((failure, header.size, header.digest.map(|digest| digest.kind())), (None, 5_000, digest));
    }

    for kind in [DigestKind::Crc32, STRONGEST] {
        let mut part = Part::default();
        assert_eq!(fetch(&mut pair, &mut random, &mut part, kind), Outcome::Verified);
        assert_eq!(part.bytes, bytes);
    }
    assert_eq!(pair.rig.session.exchanges(), 7);
}

/// M15: the server closes at every multiple of 4 KiB, and at every byte of the response for a short file.
#[test]
fn m15_resumes_after_each_cut() {
    let config = ServerConfig::new();
    let mut random = Random::new(2);
    let bytes = random.bytes(40_000);
    let disk = Disk::new(&bytes);
    let mut part = Part::default();
    let mut tries = 0;
    loop {
        tries += 1;
        assert!(tries < 100, "it does not go on from what is held");
        let mut pair = Pair::new(&config, &disk, 700, Tear { down: Some(4_096), ..Tear::default() });
        match fetch(&mut pair, &mut random, &mut part, DigestKind::Crc32) {
            Outcome::Verified => break,
            other => assert_eq!(other, Outcome::Failed(Failure::Closed)),
        }
    }
    assert_eq!(part.bytes, bytes);
    assert!((10..=12).contains(&tries), "{tries}");

    let disk = Disk::new(&bytes[..100]);
    for cut in 1..300 {
        let mut part = Part::default();
        let mut pair = Pair::new(&config, &disk, 64, Tear { down: Some(cut), ..Tear::default() });
        let first = fetch(&mut pair, &mut random, &mut part, STRONGEST);
        if first != Outcome::Verified {
            assert_eq!(first, Outcome::Failed(Failure::Closed));
            let mut pair = Pair::new(&config, &disk, 64, Tear::default());
            assert_eq!(fetch(&mut pair, &mut random, &mut part, STRONGEST), Outcome::Verified);
        }
        assert_eq!(part.bytes, bytes[..100]);
    }
}

/// S6 and S10 for the client: its bytes are not the beginning of the server's file.
#[test]
fn s6_s10_a_changed_file_is_not_spliced() {
    let config = ServerConfig::new();
    let mut random = Random::new(3);
    let disk = Disk::new(&random.bytes(3_000));
    let mut part = Part::default();
    let tear = Tear { down: Some(2_000), ..Tear::default() };
    let torn = fetch(&mut Pair::new(&config, &disk, 100, tear), &mut random, &mut part, DigestKind::Crc32);
    assert_eq!(torn, Outcome::Failed(Failure::Closed));
    assert!(part.bytes.len() > 1_000);
    disk.0.borrow_mut().replace(random.bytes(3_000));
    let resumed =
        fetch(&mut Pair::new(&config, &disk, 100, Tear::default()), &mut random, &mut part, DigestKind::Crc32);
    assert_eq!(resumed, Outcome::Refused(Some(Code::Changed)));
    disk.0.borrow_mut().rewrite(|bytes| bytes.truncate(500));
    let resumed =
        fetch(&mut Pair::new(&config, &disk, 100, Tear::default()), &mut random, &mut part, DigestKind::Crc32);
    assert_eq!(resumed, Outcome::Refused(Some(Code::Changed)));
    // Without the version: the offset is beyond the end.
    part.version = None;
    let resumed =
        fetch(&mut Pair::new(&config, &disk, 100, Tear::default()), &mut random, &mut part, DigestKind::Crc32);
    assert_eq!(resumed, Outcome::Refused(Some(Code::BadRange)));
    // Where it is not, the digest of the whole file differs.
    disk.0.borrow_mut().replace(random.bytes(3_000));
    let resumed =
        fetch(&mut Pair::new(&config, &disk, 100, Tear::default()), &mut random, &mut part, DigestKind::Crc32);
    assert_eq!(resumed, Outcome::Failed(Failure::Digest));
}

#[test]
fn a_log_that_grows_is_fetched_from_where_it_was() {
    let config = ServerConfig::new();
    let mut random = Random::new(4);
    let disk = Disk::new(b"");
    let mut part = Part::default();
    let mut log = Vec::new();
    let mut pair = Pair::new(&config, &disk, 50, Tear::default());
    for len in [0, 1, 1_024, 0, 2_000] {
        let line = random.bytes(len);
        disk.0.borrow_mut().append(&line);
        log.extend_from_slice(&line);
        assert_eq!(fetch(&mut pair, &mut random, &mut part, STRONGEST), Outcome::Verified);
        assert_eq!(part.bytes, log);
    }
}

/// A server that hashes for minutes before the header, and again before the end, sends heartbeats; the client waits.
#[test]
fn heartbeats_keep_a_slow_response_alive() {
    let config = ServerConfig::new();
    let mut random = Random::new(5);
    let bytes = random.bytes(60_000);
    let disk = Disk::new(&bytes);
    let mut part = Part { bytes: bytes[..50_000].to_vec(), version: None };
    let mut pair = Pair::new(&config, &disk, 2_000, Tear::default());
    pair.rig.hash_ms = 9_000;
    assert_eq!(fetch(&mut pair, &mut random, &mut part, DigestKind::Crc32), Outcome::Verified);
    assert!(pair.rig.now_ms > 300_000, "{} ms", pair.rig.now_ms);
}

/// A link that breaks silently is noticed by a timer.
#[test]
fn silence_is_noticed_on_time() {
    let config = ServerConfig::new();
    let mut random = Random::new(6);
    let disk = Disk::new(&random.bytes(10_000));
    for tear in [Tear { down: Some(5_000), ..Tear::default() }, Tear { up: Some(5), ..Tear::default() }] {
        let mut pair = Pair::new(&config, &disk, 300, Tear { is_silent: true, ..tear });
        let outcome = fetch(&mut pair, &mut random, &mut Part::default(), DigestKind::Crc32);
        assert_eq!((outcome, pair.rig.now_ms), (Outcome::Failed(Failure::Stalled), 30_000));
    }
}

/// Whatever happens to the link and to the file, a verified download is the file in some version.
#[test]
fn no_fetch_ends_in_a_file_that_never_was() {
    let config = ServerConfig::new();
    let (mut tries, mut torn, mut changed, mut corrupt) = (0_u32, 0_u32, 0_u32, 0_u32);
    let rounds = if std::env::var_os("CORACLE_QUICK").is_some() { 200 } else { 2_000 };
    for seed in 0..rounds {
        let mut random = Random::new(seed);
        let size = [0, 1, 300, 1_024, 5_000, 20_000][random.below(6)];
        let disk = Disk::new(&random.bytes(size));
        let mut part = Part::default();
        let mut is_trusted = true;
        let mut is_verified = false;
        for attempt in 0..40 {
            let is_calm = attempt >= 30;
            let changes = disk.changes();
            if random.chance(40) && !is_calm {
                disk.0.borrow_mut().change(&mut random);
            }
            let tear = Tear {
                down: (random.chance(60) && !is_calm).then(|| 1 + random.below(size + 400)),
                up: (random.chance(5) && !is_calm).then(|| 1 + random.below(60)),
                is_silent: random.chance(30),
            };
            let window = 1 + random.below(3_000);
            let mut pair = Pair::new(&config, &disk, window, tear);
            pair.changes = if random.chance(60) && !is_calm { 3 } else { 0 };
            pair.corruption = if random.chance(10) && !is_calm { 5 } else { 0 };
            is_trusted &= pair.corruption == 0;
            let kind = if random.chance(50) { DigestKind::Crc32 } else { STRONGEST };
            let outcome = fetch(&mut pair, &mut random, &mut part, kind);
            tries += 1;
            changed += u32::from(disk.changes() != changes);
            corrupt += u32::from(pair.corruption > 0);
            match outcome {
                Outcome::Verified => {
                    // No digest covers the version, which may be corrupt.
                    let version = part.version.as_ref().filter(|_| is_trusted);
                    assert!(disk.ever_was(version, &part.bytes), "seed {seed}: a file that never was");
                    is_verified = true;
                    break;
                }
                Outcome::Failed(Failure::Closed | Failure::SendFailed | Failure::Stalled | Failure::Ended(_)) => {
                    torn += 1
                }
                // It shrank while the server hashed the earlier bytes.
                Outcome::Refused(Some(Code::Io)) => {}
                Outcome::Changed { .. } | Outcome::Failed(Failure::Digest) | Outcome::Refused(Some(Code::Changed)) => {
                    part = Part::default();
                }
                Outcome::Refused(Some(Code::NotFound)) => {
                    part = Part::default();
                    disk.0.borrow_mut().replace(random.bytes(size));
                }
                other => {
                    assert!(!is_trusted, "seed {seed}: {other:?}");
                    part = Part::default();
                }
            }
        }
        assert!(is_verified, "seed {seed}");
    }
    println!("{tries} tries: {torn} torn, {changed} met a change, {corrupt} over a link that corrupts");
    assert!(torn * 10 > tries * 3 && changed * 10 > tries * 2 && u64::from(corrupt) * 10 > rounds);
}
