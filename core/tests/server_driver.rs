//! The server's blocking driver: what it writes, in which pieces, and every failure.

mod common;
mod driving;

use coracle_core::blocking::{Buffers, NoTimeout, SendFileError, Transport, serve};
use coracle_core::{
    Action, CloseHow, CloseReason, Code, Digest, DigestKind, Exchange, FileInfo, Hasher, Instant, Reply, RequestKind,
    ServerConfig, ServerSession, StoreError, Version,
};
use driving::{Arrival, Log, Shelf, Wire, asking, served, served_by};
use embedded_io::{ErrorKind, Write};

const FILE: &[u8] = b"hello, world";
const GET: &str = r#"{"type":"get","fileName":"a.txt"}"#;
const STAT: &str = r#"{"type":"stat","fileName":"a.txt","digest":"crc32"}"#;

const DONE: (CloseHow, CloseReason) = (CloseHow::Finish, CloseReason::Done);
const BROKEN: (CloseHow, CloseReason) = (CloseHow::Abort, CloseReason::Broken);
const FAILED: (CloseHow, CloseReason) = (CloseHow::Abort, CloseReason::Transport);

/// A header of `a.txt` and what follows it.
fn answer(size: usize, rest: &str) -> String {
    format!(
        "{{\"type\":\"file\",\"fileName\":\"a.txt\",\"fileSize\":{size},\"offset\":0,\"length\":{size},\"chunkSize\":1024,\
         \"readCnt\":1,\"lastSize\":{size},\"version\":\"v1\",\"digest\":\"crc32\"}}\n{rest}"
    )
}

const WHOLE: &str = "hello, world{\"type\":\"end\",\"crc32\":\"ffab723a\"}\n";

#[test]
fn a_small_response_is_one_write() {
    let served = served(asking(GET), Shelf::new(FILE), 4_096);
    assert_eq!((served.text(), served.why()), (answer(12, WHOLE), DONE));
    assert_eq!(served.wire.parts, [(served.wire.sent.len(), false)]);
    assert_eq!(served.log.lines, [r#"get Some("a.txt")"#, "opened 12", "body 12"]);
    let exchange = Exchange::new(Some(RequestKind::Get), None, 12);
    assert_eq!(served.log.exchanges, [exchange]);
    // It passes the digest of the whole file to the store, and waits for the next request with the idle timer.
    assert_eq!(served.store.remembered, [(12, Digest::Crc32(0xffab_723a))]);
    assert_eq!(served.wire.limits, [Some(60_000), Some(30_000), Some(60_000)]);
}

/// The length of the buffers does not change the bytes sent.
#[test]
fn a_buffer_of_any_length_does() {
    let requests = [GET, r#"{"type":"list"}"#, r#"{"type":"stat","fileName":"b"}"#, GET].concat();
    let store = || Shelf { listing: [Ok(true), Ok(false), Ok(true)].into(), ..Shelf::new(FILE) };
    let whole = served(asking(&requests), store(), 4_096);
    assert_eq!(whole.text().matches("entry").count(), 2);
    assert!(whole.text().contains(
        "{\"type\":\"end\",\"count\":2,\"skipped\":1,\"unnameable\":0}\n{\"type\":\"error\",\"code\":\"notFound\""
    ));
    for scratch_len in (1..40).chain([64, 200, 511, 512, 513]) {
        let other = served(asking(&requests), store(), scratch_len);
        assert_eq!((other.text(), other.why()), (whole.text(), DONE), "{scratch_len}");
        assert_eq!(other.log.exchanges, whole.log.exchanges);
        assert_eq!(other.wire.parts.iter().map(|(len, _)| len).sum::<usize>(), whole.wire.sent.len());
        assert!(other.wire.parts.iter().all(|(len, _)| *len <= scratch_len));
        // Nothing is held back at the end of a response.
        assert_eq!(other.wire.parts.last().map(|(_, more)| *more), Some(false));
    }
}

#[test]
fn a_plain_stream_serves() {
    let config = ServerConfig::new();
    let mut wire = NoTimeout(Wire::default());
    for send_len in [5, 64] {
        // With an observer that would notice an endless loop.
        assert_eq!(served(asking(GET), Shelf::new(FILE), send_len).why(), DONE);
        wire = NoTimeout(asking(GET));
        // A plain stream cannot send files itself.
        wire.0.direct = [Ok(12)].into();
        let mut session = ServerSession::new(&config, [0; 512], Instant::from_millis(0));
        let (mut receive, mut send) = ([0; 7], vec![0; send_len]);
        let scratch = Buffers { receive: &mut receive, send: &mut send };
        let mut clock = || Instant::from_millis(0);
        let close = serve(&mut session, &mut wire, &mut Shelf::new(FILE), scratch, &mut clock, &mut ());
        assert_eq!((close.how, close.why), DONE);
        assert_eq!(String::from_utf8(wire.0.sent.clone()).expect("text"), answer(12, WHOLE));
        assert!(wire.0.limits.is_empty(), "no limit can be set on it");
    }
    wire.flush().expect("flushed");
    assert_eq!(wire.0.flushes, 1);
    assert_eq!(wire.limit_wait(Some(1)), Ok(()));
    assert!(wire.0.limits.is_empty());
}

/// K1, K2: interrupted calls and short writes.
#[test]
fn k1_k2_interrupted_and_short_calls_change_nothing() {
    let mut wire = asking(GET);
    wire.reads.push_front(Arrival::Fail(ErrorKind::Interrupted));
    wire.writes = [Ok(1), Err(ErrorKind::Interrupted), Ok(2), Ok(100), Err(ErrorKind::Interrupted)].into();
    let served = served(wire, Shelf::new(FILE), 4_096);
    assert_eq!((served.text(), served.why()), (answer(12, WHOLE), DONE));
}

/// K4: connections that break, while receiving and while sending. Nothing more is written then.
#[test]
fn k4_a_broken_connection_ends_it() {
    let mut wire = asking(GET);
    wire.reads.push_back(Arrival::Fail(ErrorKind::ConnectionReset));
    assert_eq!(served(wire, Shelf::new(FILE), 4_096).why(), FAILED);
    for outcome in [Err(ErrorKind::BrokenPipe), Ok(0)] {
        for scratch_len in [1, 64, 4_096] {
            let mut wire = asking(GET);
            wire.writes = [Ok(1), outcome, Ok(7)].into();
            let served = served(wire, Shelf::new(FILE), scratch_len);
            assert_eq!((served.why(), served.text().as_str()), (FAILED, "{"));
        }
    }
}

/// K5: a read that reaches the limit is a time-out.
#[test]
fn k5_the_limit_of_a_wait_is_a_deadline() {
    let mut wire = asking("{");
    wire.reads.push_back(Arrival::Silence);
    let timeout = served(wire, Shelf::new(FILE), 64);
    assert_eq!(timeout.why(), (CloseHow::Linger, CloseReason::Refused(Code::Timeout)));
    assert!(timeout.text().starts_with(r#"{"type":"error","code":"timeout""#));
    assert_eq!(timeout.wire.now.get(), 10_000);

    let idle = served(Wire { reads: [Arrival::Silence].into(), ..Wire::default() }, Shelf::new(FILE), 64);
    assert_eq!((idle.why(), idle.text().as_str()), ((CloseHow::Finish, CloseReason::Idle), ""));
    assert_eq!(idle.wire.now.get(), 60_000);

    let mut wire = asking(GET);
    wire.writes = [Ok(10), Err(ErrorKind::TimedOut)].into();
    let stalled = served(wire, Shelf::new(FILE), 64);
    assert_eq!(stalled.why(), (CloseHow::Abort, CloseReason::Stalled));
    assert_eq!((stalled.wire.now.get(), stalled.wire.sent.len()), (30_000, 10));
}

/// A limit that cannot be set could mean blocking without end.
#[test]
fn a_limit_that_cannot_be_set_breaks_the_connection() {
    for limits in 0..3 {
        let mut wire = asking(&GET.repeat(2));
        wire.limits_left = Some(limits);
        let served = served(wire, Shelf::new(FILE), 64);
        assert_eq!(served.why(), FAILED, "{limits}");
    }
}

#[test]
fn a_store_that_fails_in_a_body_breaks_it_off() {
    for fault in [Ok(0), Err(StoreError::Io)] {
        let store = Shelf { reads: [Ok(5), fault].into(), ..Shelf::new(FILE) };
        let broken = served(asking(&GET.repeat(2)), store, 4_096);
        assert_eq!((broken.why(), broken.text()), (BROKEN, answer(12, "hello")));
        let exchange = Exchange::new(Some(RequestKind::Get), Some(Code::Io), 5);
        assert_eq!(broken.log.exchanges, [exchange]);
    }
    // The peer has gone before it can be told.
    let store = Shelf { reads: [Err(StoreError::Io)].into(), ..Shelf::new(FILE) };
    let mut wire = asking(GET);
    wire.writes = [Err(ErrorKind::BrokenPipe)].into();
    assert_eq!(served(wire, store, 4_096).why(), FAILED);
}

#[test]
fn a_store_that_fails_before_the_header_is_an_error() {
    let resume = r#"{"type":"get","fileName":"a.txt","offset":5,"digestFrom":0}"#;
    for fault in [Ok(0), Err(StoreError::Io)] {
        let store = Shelf { reads: [Ok(2), fault].into(), ..Shelf::new(FILE) };
        let failed = served(asking(&[resume, GET].concat()), store, 4_096);
        let (error, rest) = failed.text().split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("two");
        assert_eq!(error, r#"{"type":"error","code":"io","message":"cannot be read: a.txt"}"#);
        assert_eq!(rest, answer(12, WHOLE));
        assert_eq!(failed.log.exchanges[0].error, Some(Code::Io));
    }
    // The previous response has to be written before the file is read.
    let hello = r#"{"type":"hello"}"#;
    let mut wire = asking(&[hello, resume].concat());
    wire.writes = [Err(ErrorKind::BrokenPipe)].into();
    let failed = served(wire, Shelf::new(FILE), 4_096);
    assert_eq!((failed.why(), failed.store.read_len), (FAILED, 0));
}

#[test]
fn a_store_that_cannot_look_at_the_file_again() {
    let store = Shelf { versions: [Ok("v1"), Err(StoreError::Io)].into(), ..Shelf::new(FILE) };
    let failed = served(asking(GET), store, 4_096);
    let rest = "hello, world{\"type\":\"error\",\"code\":\"io\",\"message\":\"cannot be read: a.txt\"}\n";
    assert_eq!((failed.text(), failed.why()), (answer(12, rest), DONE));
    assert!(failed.store.remembered.is_empty());
    // Nor when it opens it.
    let store = Shelf { versions: [Err(StoreError::Denied)].into(), ..Shelf::new(FILE) };
    let failed = served(asking(GET), store, 4_096);
    assert!(failed.text().starts_with(r#"{"type":"error","code":"denied""#));
    assert_eq!(failed.log.lines, [r#"get Some("a.txt")"#]);
}

#[test]
fn a_listing_that_fails_half_way_has_an_error_for_its_end() {
    let store = Shelf { listing: [Ok(true), Err(StoreError::Io), Ok(true)].into(), ..Shelf::new(FILE) };
    let failed = served(asking(r#"{"type":"list"}"#), store, 4_096);
    let lines: Vec<String> = failed.text().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1], r#"{"type":"error","code":"io","message":"listing failed half-way"}"#);
}

/// S1 to S4, a change while it is sent: the error contains the digest of the bytes that were sent.
#[test]
fn a_file_that_changed_while_it_was_sent() {
    let changed = |digest: &str| {
        let error =
            format!("{{\"type\":\"error\",\"code\":\"changed\",\"message\":\"changed meanwhile: a.txt\"{digest}}}\n");
        answer(12, &["hello, world", &error].concat())
    };
    let versions = || [Ok("v1"), Ok("v2")].into();
    let store = Shelf { versions: versions(), ..Shelf::new(FILE) };
    let read = served(asking(GET), store, 4_096);
    assert_eq!(read.text(), changed(",\"crc32\":\"ffab723a\""));
    assert!(read.store.remembered.is_empty(), "it is the digest of no version");

    // Where it was read separately, those may have been other bytes.
    let store = Shelf { versions: versions(), ..Shelf::new(FILE) };
    let mut wire = asking(GET);
    wire.direct = [Ok(12)].into();
    let beside = served(wire, store, 8);
    assert_eq!(beside.text(), changed(""));
}

/// It cannot be read up to where it ended: if it is another version now, that is why.
#[test]
fn s10_a_file_that_shrinks_while_it_is_hashed_has_changed() {
    let resume = GET.replace('}', r#","offset":7,"digestFrom":0}"#);
    for (request, read) in [(resume.as_str(), Ok(0)), (resume.as_str(), Err(StoreError::Io)), (STAT, Ok(0))] {
        for (now, code) in [(Ok("v2"), "changed"), (Ok("v1"), "io"), (Err(StoreError::Io), "io")] {
            let store = Shelf { versions: [Ok("v1"), now].into(), reads: [read].into(), ..Shelf::new(FILE) };
            let text = served(asking(request), store, 4_096).text();
            assert!(text.starts_with(&format!(r#"{{"type":"error","code":"{code}","#)), "{request}: {text}");
        }
    }
}

#[test]
fn a_known_digest_spares_the_reading() {
    let store = Shelf { known: Some(Digest::Crc32(7)), ..Shelf::new(FILE) };
    let known = served(asking(GET), store, 4_096);
    assert_eq!(known.text(), answer(12, "hello, world{\"type\":\"end\",\"crc32\":\"00000007\"}\n"));
    assert!(known.store.remembered.is_empty());
    let store = Shelf { known: Some(Digest::Crc32(7)), ..Shelf::new(FILE) };
    let known = served(asking(STAT), store, 4_096);
    assert!(known.text().ends_with(",\"crc32\":\"00000007\"}\n"));
    assert_eq!(known.store.read_len, 0);
}

/// A known digest is that of the whole file in one version: it is not used for a part, nor for another version.
#[test]
fn a_known_digest_is_used_for_the_whole_file_only() {
    let known = || Shelf { known: Some(Digest::Crc32(7)), ..Shelf::new(FILE) };
    let with = |members: &str| served(asking(&GET.replace('}', &format!("{members}}}"))), known(), 4_096).text();
    let (hello, world, all) = ("\"crc32\":\"3610a686\"}\n", "\"crc32\":\"3a771143\"}\n", "\"crc32\":\"00000007\"}\n");
    assert!(with(r#","length":5"#).ends_with(hello));
    assert!(with(r#","offset":7"#).ends_with(world));
    assert!(with(r#","offset":7,"digestFrom":0"#).ends_with(all));
    assert!(with(r#","length":12"#).ends_with(all));
    for (request, is_known) in [(GET, true), (GET, false), (STAT, false)] {
        let store = Shelf { versions: [Ok("v1"), Ok("v2")].into(), ..known() };
        let store = Shelf { known: store.known.filter(|_| is_known), ..store };
        let changed = served(asking(request), store, 4_096).text();
        // A get has hashed the bytes that it sent, so that their digest is reported.
        let digest = if !is_known && request == GET { ",\"crc32\":\"ffab723a\"" } else { "" };
        let error = format!("\"message\":\"changed meanwhile: a.txt\"{digest}}}\n");
        assert!(changed.ends_with(&error), "{changed}");
    }
}

/// A digest is remembered only when it covers the whole of the file.
#[test]
fn the_digest_of_a_part_is_not_remembered() {
    for (members, is_whole) in [
        ("", true),
        (r#","offset":12,"digestFrom":0"#, true),
        (r#","offset":4,"digestFrom":0"#, true),
        (r#","offset":1"#, false),
        (r#","length":11"#, false),
        (r#","digest":"none""#, false),
    ] {
        let request = GET.replace('}', &format!("{members}}}"));
        let served = served(asking(&request), Shelf::new(FILE), 4_096);
        assert_eq!(served.why(), DONE);
        let expected: &[(u64, Digest)] = if is_whole { &[(12, Digest::Crc32(0xffab_723a))] } else { &[] };
        assert_eq!(served.store.remembered, expected, "{request}");
    }
    let stat = served(asking(r#"{"type":"stat","fileName":"a.txt","digest":"crc32"}"#), Shelf::new(FILE), 5);
    assert_eq!(stat.store.remembered, [(12, Digest::Crc32(0xffab_723a))]);
}

/// A body longer than the free buffer is sent by the transport, where it can do that; and is read separately for the digest.
#[test]
fn the_transport_can_send_a_body_itself() {
    let bytes: Vec<u8> = (0..=255).cycle().take(3_000).collect();
    let mut hasher = Hasher::new(DigestKind::Crc32).expect("supported");
    hasher.update(&bytes);
    let crc32 = hasher.finish();
    for steps in [vec![Ok(1_024), Ok(1_024), Ok(952)], vec![Ok(1), Ok(500), Ok(usize::MAX)], vec![Ok(7)]] {
        let mut wire = asking(GET);
        wire.direct = steps.clone().into();
        let served = served(wire, Shelf::new(&bytes), 600);
        assert_eq!(served.why(), DONE, "{steps:?}");
        let end = format!("{{\"type\":\"end\",\"crc32\":\"{crc32}\"}}\n");
        assert!(served.wire.sent.ends_with(end.as_bytes()));
        let body_end = served.wire.sent.len() - end.len();
        assert!(served.wire.sent[..body_end].ends_with(&bytes));
        assert_eq!(served.store.read_len, 3_000);
        assert_eq!(served.store.remembered, [(3_000, crc32)]);
        let told: usize =
            served.log.lines.iter().filter_map(|line| line.strip_prefix("body ")?.parse::<usize>().ok()).sum();
        assert_eq!(told, 3_000);
        assert_eq!(served.log.exchanges[0].body_len, 3_000);
        // The header waits for the body.
        assert!(served.wire.parts[0].1);
    }
}

/// One write takes header and body while there is room for both.
#[test]
fn a_body_that_fits_is_written_with_the_header() {
    let header_len = answer(12, "").len();
    for (scratch_len, goes_past) in [(header_len + 11, true), (header_len + 12, false)] {
        let mut wire = asking(GET);
        wire.direct = [Ok(12)].into();
        let served = served(wire, Shelf::new(FILE), scratch_len);
        assert_eq!((served.text(), served.why()), (answer(12, WHOLE), DONE));
        assert_eq!(served.wire.direct.is_empty(), goes_past, "{scratch_len}");
    }
}

#[test]
fn the_transport_fails_to_send_a_body() {
    let bytes = [b'x'; 3_000];
    let with = |direct: Vec<Result<usize, SendFileError<ErrorKind>>>, reads: Vec<Result<usize, StoreError>>| {
        let mut wire = asking(GET);
        wire.direct = direct.into();
        served(wire, Shelf { reads: reads.into(), ..Shelf::new(&bytes) }, 600)
    };
    assert_eq!(with(vec![Ok(1_024), Ok(0)], vec![]).why(), BROKEN);
    assert_eq!(with(vec![Ok(1_024), Err(SendFileError::File)], vec![]).why(), BROKEN);
    let reset = SendFileError::Transport(ErrorKind::ConnectionReset);
    assert_eq!(with(vec![Ok(1_024), Err(reset)], vec![]).why(), FAILED);
    let interrupted = SendFileError::Transport(ErrorKind::Interrupted);
    assert_eq!(with(vec![Err(interrupted), Ok(1_024), Ok(1_024)], vec![]).why(), DONE);
    // The bytes sent cannot be read for the digest.
    for fault in [Ok(0), Err(StoreError::Io)] {
        assert_eq!(with(vec![Ok(1_024), Ok(1_024)], vec![Ok(600), fault]).why(), BROKEN);
    }
    // The header cannot be sent before.
    let mut wire = asking(GET);
    wire.direct = [Ok(1_024)].into();
    wire.writes = [Err(ErrorKind::BrokenPipe)].into();
    let unsent = served(wire, Shelf::new(&bytes), 600);
    assert_eq!((unsent.why(), unsent.wire.sent.len(), unsent.wire.direct.len()), (FAILED, 0, 1));
}

/// The observer is asked whether to stop before each step, and at the end of input.
#[test]
fn a_session_stops_gracefully() {
    // The observer is not asked again after that, so it would not notice an endless loop.
    assert_eq!(served(asking(GET), Shelf::new(FILE), 4_096).why(), DONE);
    let config = ServerConfig::new();
    let stopped = |stop_after: usize, requests: &str| {
        let session = ServerSession::new(&config, vec![0; 512], Instant::from_millis(0));
        let log = Log { stop_after: Some(stop_after), ..Log::default() };
        served_by(session, asking(requests), Shelf::new(FILE), 4_096, log)
    };
    let stopping = "{\"type\":\"error\",\"code\":\"shuttingDown\",\"message\":\"server is stopping\"}\n";
    let why = (CloseHow::Linger, CloseReason::Refused(Code::ShuttingDown));
    let at_once = stopped(0, GET);
    assert_eq!((at_once.text().as_str(), at_once.why()), (stopping, why));
    // Inside a response: that is finished first.
    let middle = stopped(3, &GET.repeat(2));
    assert_eq!((middle.text(), middle.why()), (answer(12, WHOLE) + stopping, why));
    // While it waits: a stopping server shuts down the input, and the session is stopped; the client has not gone.
    let steps = (0..40).find(|steps| stopped(*steps, GET).text() == answer(12, WHOLE)).expect("an end without a stop");
    let woken = stopped(steps - 1, GET);
    assert_eq!((woken.text(), woken.why()), (answer(12, WHOLE) + stopping, why));
}

/// A session in a state that the driver did not bring it to, so that no file is open.
#[test]
fn a_session_that_was_begun_elsewhere_ends_gracefully() {
    let config = ServerConfig::new();
    let now = Instant::from_millis(0);
    let begun = |request: &str, steps: usize| {
        let mut rig = common::Rig::new(&config, Shelf::new(FILE));
        assert_eq!(rig.session.receive(request.as_bytes(), now).0, request.len());
        for _ in 0..steps {
            assert!(rig.step());
        }
        let action = format!("{:?}", rig.session.action());
        // The rig's session has another kind of buffer: the same steps again.
        let mut session = ServerSession::new(&config, vec![0; 512], now);
        assert_eq!(session.receive(request.as_bytes(), now).0, request.len());
        let info = FileInfo::new(12, Version::new("v1").expect("good"));
        if request.contains("list") {
            session.reply(Reply::Listing, now);
        } else {
            session.reply(Reply::File { info: &info, known: None }, now);
            for _ in 0..if steps > 1 { 9 } else { 0 } {
                let Action::SendBytes { bytes, .. } = session.action() else { break };
                let len = bytes.len();
                session.sent(len, now);
            }
        }
        assert_eq!(format!("{:?}", session.action()), action);
        served_by(session, Wire::default(), Shelf::new(FILE), 4_096, Log::default())
    };
    let listing = begun(r#"{"type":"list"}"#, 1);
    let error = "{\"type\":\"error\",\"code\":\"io\",\"message\":\"listing failed half-way\"}\n";
    assert_eq!((listing.text().as_str(), listing.why()), (error, DONE));
    assert_eq!(begun(GET, 2).why(), BROKEN);
    let hashing = begun(r#"{"type":"stat","fileName":"a.txt","digest":"crc32"}"#, 1);
    assert!(hashing.text().starts_with(r#"{"type":"error","code":"io","message":"cannot be read: "#));
    assert_eq!(hashing.why(), DONE);
    let finishing = begun(r#"{"type":"get","fileName":"a.txt","offset":12}"#, 2);
    assert!(finishing.text().starts_with(r#"{"type":"error","code":"io","message":"cannot be read: "#));
    assert_eq!(finishing.why(), DONE);
}

/// The observer that ignores everything and never stops has every method.
#[test]
fn an_observer_may_ignore_everything() {
    let looked_at = served(asking(&[GET, GET].concat()), Shelf::new(FILE), 100);
    let config = ServerConfig::new();
    let now = Instant::from_millis(0);
    let mut wire = asking(&[GET, GET].concat());
    let mut session = ServerSession::new(&config, [0; 512], now);
    let (mut receive, mut send) = ([0; 100], [0; 100]);
    let scratch = Buffers { receive: &mut receive, send: &mut send };
    let close = serve(&mut session, &mut wire, &mut Shelf::new(FILE), scratch, &mut || now, &mut ());
    assert_eq!((close, &wire.sent), (looked_at.close, &looked_at.wire.sent));
    assert_eq!(String::from_utf8(wire.sent).expect("text"), answer(12, WHOLE).repeat(2));
}

/// An answer that waits for the next request, of which the beginning has arrived: it is written before the rest is waited for,
/// and where that fails, the connection has ended.
#[test]
fn an_answer_that_waits_for_the_next_one() {
    let whole = served(asking(&[GET, GET].concat()), Shelf::new(FILE), 4_096);
    assert_eq!((whole.text(), whole.wire.parts.len()), (answer(12, WHOLE).repeat(2), 1));
    let begun = [GET, "{"].concat();
    let one = served(asking(&begun), Shelf::new(FILE), 4_096);
    assert!(one.text().starts_with(&answer(12, WHOLE)) && one.wire.parts.len() == 2, "{:?}", one.wire.parts);
    let mut wire = asking(&begun);
    wire.writes = [Err(ErrorKind::BrokenPipe)].into();
    let broken = served(wire, Shelf::new(FILE), 4_096);
    assert_eq!((broken.text().as_str(), broken.why()), ("", FAILED));
}

/// A classic body has no trailer, so it is written immediately; where that fails, it is not reported as sent.
#[cfg(feature = "classic")]
#[test]
fn a_classic_body_is_written_immediately() {
    // What arrives together may be answered together.
    let asking = || Wire {
        reads: [r#"{"type":2,"fileName":"a.txt"}"#, "a.txt"].map(|text| Arrival::Bytes(text.into())).into(),
        ..Wire::default()
    };
    let served = served(asking(), Shelf::new(FILE), 4_096);
    let header = r#"{"type":2,"data":12,"fileName":"a.txt","readCnt":1,"lastSize":12}"#;
    assert_eq!((served.text(), served.why()), (format!("{header}hello, world"), DONE));
    assert_eq!(served.wire.parts, [(header.len(), false), (12, false)]);
    let mut wire = asking();
    wire.writes = [Ok(usize::MAX), Err(ErrorKind::BrokenPipe)].into();
    let broken = self::served(wire, Shelf::new(FILE), 4_096);
    assert_eq!((broken.text().as_str(), broken.why()), (header, FAILED));
    assert_eq!(broken.log.exchanges.len(), 1, "the select alone has ended");
}

#[cfg(feature = "classic")]
#[test]
fn text_is_shown_before_it_is_answered() {
    let config = ServerConfig::new().with_text_policy(coracle_core::TextPolicy::Echo);
    let session = ServerSession::new(&config, vec![0; 512], Instant::from_millis(0));
    let served = served_by(session, asking("hi there"), Shelf::new(FILE), 4, Log::default());
    assert_eq!((served.text().as_str(), served.why()), ("hi there", DONE));
    assert_eq!(served.log.lines.concat().replace("text ", "").replace('"', ""), "hi there");
    assert!(served.log.exchanges.is_empty());
}

/// Each response is about the file as it was opened for it.
#[test]
fn the_next_response_opens_the_file_again() {
    let store = Shelf { versions: [Ok("v1"), Ok("v1"), Ok("v2"), Ok("v2")].into(), ..Shelf::new(FILE) };
    let served = served(asking(&GET.repeat(2)), store, 4_096);
    assert_eq!(served.log.exchanges.len(), 2);
    assert_eq!(served.text(), answer(12, WHOLE) + &answer(12, WHOLE).replace("\"v1\"", "\"v2\""));
}
