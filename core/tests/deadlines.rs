//! Timers of a server session, to the millisecond: what starts and restarts them, and what happens when they expire.

mod common;

use std::num::NonZeroU32;

use common::Rig;
use coracle_core::{
    Action, CloseHow, CloseReason, Code, Finished, Instant, ServerConfig, StaticFile, StaticStore, Timer,
};

static FILES: [StaticFile<'static>; 1] = [StaticFile::new("a.bin", "v1", &[b'x'; 5_000])];

const GET: &[u8] = br#"{"type":"get","fileName":"a.bin"}"#;
const STAT: &[u8] = br#"{"type":"stat","fileName":"a.bin","digest":"crc32"}"#;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn rig<'c>(config: &'c ServerConfig<'c>, start_ms: u64) -> Rig<'c, StaticStore<'static>> {
    let mut rig = Rig::with_files(config, &FILES);
    rig.now_ms = start_ms;
    rig
}

/// Receives a request at `now_ms` and performs `steps` actions.
fn asked<'c>(config: &'c ServerConfig<'c>, now_ms: u64, request: &[u8], steps: usize) -> Rig<'c, StaticStore<'static>> {
    let mut rig = rig(config, now_ms);
    assert_eq!(rig.session.receive(request, at(now_ms)).0, request.len());
    for _ in 0..steps {
        assert!(rig.step());
    }
    rig
}

#[test]
fn the_defaults_are_the_same_by_either_name() {
    let (default, new) = (ServerConfig::default(), ServerConfig::new());
    assert_eq!(format!("{default:?}"), format!("{new:?}"));
    let hello = |config: &ServerConfig<'_>| {
        let mut rig = rig(config, 0);
        rig.send(br#"{"type":"hello"}"#, usize::MAX);
        rig.take_text()
    };
    let told = hello(&new.with_idle_ms(1).with_request_ms(2).with_stall_ms(3).with_chunk_size(NonZeroU32::MIN));
    assert!(told.contains(r#""chunkSize":1,"idle_ms":1,"request_ms":2,"stall_ms":3,"#), "{told}");
}

#[test]
fn each_can_be_set_and_switched_off() {
    let config = ServerConfig::new().with_idle_ms(50).with_request_ms(60).with_stall_ms(70);
    let mut rig = rig(&config, 0);
    assert_eq!(rig.session.deadline(), Some((at(50), Timer::Idle)));
    rig.session.receive(b"{", at(10));
    assert_eq!(rig.session.deadline(), Some((at(70), Timer::Request)));
    let rig = asked(&config, 1_000, GET, 1);
    assert_eq!(rig.session.deadline(), Some((at(1_070), Timer::Stall)));

    let config = ServerConfig::new().with_idle_ms(0).with_request_ms(0).with_stall_ms(0);
    let mut rig = self::rig(&config, 0);
    assert_eq!(rig.session.deadline(), None);
    rig.session.receive(b"{", at(10));
    assert_eq!(rig.session.deadline(), None);
    rig.session.handle_timeout(at(u64::MAX));
    assert_eq!(rig.session.action(), Action::Receive);
    let rig = asked(&config, 1_000, GET, 1);
    assert_eq!(rig.session.deadline(), None);
}

/// No timer expires a millisecond early.
#[test]
fn no_timer_expires_early() {
    let config = ServerConfig::new();
    let mut idle = rig(&config, 0);
    idle.session.handle_timeout(at(59_999));
    assert_eq!(idle.session.action(), Action::Receive);
    idle.session.handle_timeout(at(60_000));
    assert_eq!(idle.close().map(|close| (close.how, close.why)), Some((CloseHow::Finish, CloseReason::Idle)));

    let mut stalled = asked(&config, 100, GET, 1);
    stalled.session.handle_timeout(at(30_099));
    assert!(stalled.close().is_none());
    stalled.session.handle_timeout(at(30_100));
    assert_eq!(stalled.close().map(|close| (close.how, close.why)), Some((CloseHow::Abort, CloseReason::Stalled)));
    // Reports after the session has closed change neither how nor why.
    stalled.session.send_failed();
    stalled.session.handle_timeout(at(u64::MAX));
    assert_eq!(stalled.close().map(|close| close.why), Some(CloseReason::Stalled));
    assert_eq!(stalled.session.deadline(), None);
}

/// Bytes sent restart the stall timer: in a line, in a body, and when the owner's buffer is written.
#[test]
fn progress_counts_wherever_bytes_go() {
    let config = ServerConfig::new();
    let mut rig = asked(&config, 0, GET, 1);
    let stall = |millis| Some((at(millis), Timer::Stall));
    assert_eq!(rig.session.deadline(), stall(30_000));
    rig.session.sent(1, at(5));
    assert_eq!(rig.session.deadline(), stall(30_005));
    rig.session.sent(0, at(6));
    assert_eq!(rig.session.deadline(), stall(30_005));
    rig.session.progress(at(7));
    assert_eq!(rig.session.deadline(), stall(30_007));
    rig.now_ms = 10;
    assert!(rig.step());
    assert!(matches!(rig.session.action(), Action::SendFile { .. }));
    rig.session.sent(1, at(20));
    assert_eq!(rig.session.deadline(), stall(30_020));
    rig.session.progress(at(30));
    assert_eq!(rig.session.deadline(), stall(30_030));
    // A clock that runs backwards does not make a timer expire earlier.
    rig.session.sent(1, at(25));
    assert_eq!(rig.session.deadline(), stall(30_030));

    // Between exchanges nothing is sent.
    let mut rig = self::rig(&config, 0);
    rig.session.progress(at(500));
    assert_eq!(rig.session.deadline(), Some((at(60_000), Timer::Idle)));
    // No timer runs while the owner opens a file.
    let rig = asked(&config, 0, GET, 0);
    assert_eq!(rig.session.deadline(), None);
}

/// The request timer is started by the first byte, also white space, and by none after it; the idle timer by the end of a
/// response.
#[test]
fn the_request_timer_starts_once() {
    let config = ServerConfig::new();
    for first in [b" ", b"{", b"\t", b"\r", b"\n"] {
        let mut rig = rig(&config, 0);
        rig.session.receive(first, at(3));
        for millis in 4..100 {
            rig.session.receive(b" ", at(millis));
        }
        assert_eq!(rig.session.deadline(), Some((at(10_003), Timer::Request)), "{first:?}");
    }
    let mut rig = asked(&config, 100, GET, 0);
    rig.now_ms = 7_000;
    rig.work();
    assert_eq!(rig.session.deadline(), Some((at(67_000), Timer::Idle)));
    rig.now_ms = 8_000;
    rig.send(b"{", 1);
    assert_eq!(rig.session.deadline(), Some((at(18_000), Timer::Request)));
    rig.wait(10_000);
    assert_eq!(rig.close().map(|close| close.why), Some(CloseReason::Refused(Code::Timeout)));
}

/// At most one line ending belongs to the request before it, in each of its spellings.
#[test]
fn one_line_ending_starts_no_timer_and_a_second_one_does() {
    let config = ServerConfig::new();
    let hello: &[u8] = br#"{"type":"hello"}"#;
    for (ending, is_request) in [
        (&b"\n"[..], false),
        (b"\r", false),
        (b"\r\n", false),
        (b"\n\n", true),
        (b"\n\r", true),
        (b"\r\r", true),
        (b"\r\n\n", true),
        (b" ", true),
        (b" \n", true),
        (b"\n ", true),
    ] {
        for piece in [1, usize::MAX] {
            let mut rig = rig(&config, 0);
            rig.send(hello, usize::MAX);
            rig.now_ms = 50;
            rig.send(ending, piece);
            let armed = rig.session.deadline().map(|(_, deadline)| deadline);
            let expected = if is_request { Timer::Request } else { Timer::Idle };
            assert_eq!(armed, Some(expected), "{ending:?} in pieces of {piece}");
        }
    }
    // Before the first request a line ending belongs to no request.
    let mut rig = rig(&config, 0);
    rig.send(b"\n", 1);
    assert_eq!(rig.session.deadline(), Some((at(10_000), Timer::Request)));
}

/// The minimum rate: after the first `stall_ms` every byte extends the deadline.
#[test]
fn a_minimum_rate_counts_bytes_sent() {
    let config = ServerConfig::new().with_min_rate(100).with_stall_ms(1_000);
    let mut rig = asked(&config, 0, GET, 1);
    assert_eq!(rig.session.deadline(), Some((at(1_000), Timer::Stall)));
    let Action::SendBytes { bytes, .. } = rig.session.action() else { panic!("no header") };
    let header_len = u64::try_from(bytes.len()).expect("short");
    rig.session.sent(bytes.len(), at(0));
    assert!(matches!(rig.session.action(), Action::SendFile { .. }));
    let mut earned_ms = header_len * 1_000 / 100;
    assert_eq!(rig.session.deadline(), Some((at(1_000), Timer::Stall)), "the stall is nearer");
    // Single bytes restart the stall timer but are below the minimum rate.
    let mut now_ms = 0;
    loop {
        now_ms += 900;
        if rig.session.deadline().is_some_and(|(when, _)| when <= at(now_ms)) {
            break;
        }
        rig.session.sent(1, at(now_ms));
        earned_ms += 10;
        let (stall, rate) = ((at(now_ms + 1_000), Timer::Stall), (at(earned_ms + 1_000), Timer::Rate));
        assert_eq!(rig.session.deadline(), Some(if rate.0 < stall.0 { rate } else { stall }));
    }
    assert!(now_ms > earned_ms + 1_000 - 900);
    rig.session.handle_timeout(at(now_ms));
    assert_eq!(rig.close().map(|close| close.why), Some(CloseReason::Stalled));
}

#[test]
fn a_minimum_rate_starts_after_30_s_without_a_stall_timeout() {
    let config = ServerConfig::new().with_min_rate(1_000).with_stall_ms(0);
    let mut rig = asked(&config, 5_000, GET, 1);
    assert_eq!(rig.session.deadline(), Some((at(35_000), Timer::Rate)));
    rig.session.sent(7, at(6_000));
    assert_eq!(rig.session.deadline(), Some((at(35_007), Timer::Rate)));
    rig.session.handle_timeout(at(35_006));
    assert!(rig.close().is_none());
    // The bytes of a body extend it, too.
    let mut whole = asked(&config, 0, GET, 2);
    assert!(matches!(whole.session.action(), Action::SendFile { offset: 0, .. }));
    let (when, _) = whole.session.deadline().expect("a deadline");
    whole.session.sent(1_024, at(1));
    assert_eq!(whole.session.deadline(), Some((when.after(1_024), Timer::Rate)));
    rig.session.handle_timeout(at(35_007));
    assert_eq!(rig.close().map(|close| close.why), Some(CloseReason::Stalled));
    // The next response is measured on its own.
    let mut rig = asked(&config, 0, br#"{"type":"hello"}"#, 1);
    assert_eq!(rig.session.receive(GET, at(50_000)).0, GET.len());
    rig.now_ms = 50_000;
    assert!(rig.step());
    assert_eq!(rig.session.deadline(), Some((at(80_000), Timer::Rate)));
}

/// A heartbeat is due after every 10 s of hashing or finishing, however often the owner reports in between.
#[test]
fn heartbeats_are_due_every_10_s() {
    let config = ServerConfig::new().with_chunk_size(NonZeroU32::MIN);
    let mut rig = asked(&config, 1_000, STAT, 1);
    assert_eq!(rig.session.action(), Action::Hash { offset: 0, len: 1 });
    assert_eq!(rig.session.deadline(), Some((at(11_000), Timer::Heartbeat)));
    rig.session.hashed(1, at(5_000));
    rig.session.hashed(1, at(10_999));
    rig.session.handle_timeout(at(10_999));
    assert_eq!(rig.session.action(), Action::Hash { offset: 2, len: 1 });
    rig.session.handle_timeout(at(11_000));
    assert_eq!(rig.session.action(), Action::SendBytes { bytes: b" ", more: false });
    assert_eq!(rig.session.deadline(), Some((at(41_000), Timer::Stall)));
    rig.session.sent(1, at(12_000));
    assert_eq!(rig.session.action(), Action::Hash { offset: 2, len: 1 });
    assert_eq!(rig.session.deadline(), Some((at(22_000), Timer::Heartbeat)));
    rig.session.hashed(1, at(22_000));
    assert_eq!(rig.session.action(), Action::SendBytes { bytes: b" ", more: false });
    rig.session.sent(1, at(22_000));
    assert_eq!(rig.session.action(), Action::Hash { offset: 3, len: 1 });
}

#[test]
fn heartbeats_while_it_finishes() {
    let config = ServerConfig::new().with_chunk_size(NonZeroU32::new(8_192).expect("not 0"));
    let mut rig = asked(&config, 0, STAT, 2);
    let finish = Action::Finish { from: 0, to: 5_000 };
    assert_eq!(rig.session.action(), finish);
    assert_eq!(rig.session.deadline(), Some((at(10_000), Timer::Heartbeat)));
    rig.session.working(at(9_999));
    assert_eq!(rig.session.action(), finish);
    rig.session.working(at(10_000));
    assert_eq!(rig.session.action(), Action::SendBytes { bytes: b" ", more: false });
    rig.session.sent(1, at(10_001));
    assert_eq!(rig.session.action(), finish);
    rig.session.working(at(20_000));
    assert_eq!(rig.session.action(), finish);
    rig.session.handle_timeout(at(20_001));
    assert_eq!(rig.session.action(), Action::SendBytes { bytes: b" ", more: false });
    rig.session.sent(1, at(20_001));
    let digest = Some(coracle_core::Digest::Crc32(0x1234));
    rig.session.finished(Finished::new(digest, true), at(20_002));
    rig.work();
    assert!(rig.take_text().ends_with(",\"digest\":\"crc32\",\"crc32\":\"00001234\"}\n"));
}
