//! Reports that do not fit the action: a mistake of the owner's, which panics in a debug build and changes nothing in any other.

mod asking;
mod common;

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use asking::{GET, answer, asked};
use common::{Buf, Rig};
use coracle_core::{
    Action, ClientAction, ClientRequest, ClientSession, Code, Digest, FileInfo, Finished, Instant, Listed, Reply,
    ServerConfig, ServerSession, StaticFile, Version,
};

const NOW: Instant = Instant::from_millis(7);

static FILES: [StaticFile<'static>; 1] = [StaticFile::new("a.txt", "v1", b"hello, world")];

type Session<'c> = ServerSession<'c, Buf>;

/// Makes a report that `subject` does not wait for, which `seen` has to show no trace of.
fn assert_misuse<T, S: Debug + PartialEq>(
    subject: &mut T,
    says: &str,
    seen: impl Fn(&T) -> S,
    report: impl FnOnce(&mut T),
) {
    let before = seen(subject);
    let outcome = catch_unwind(AssertUnwindSafe(|| report(&mut *subject)));
    if cfg!(debug_assertions) {
        let panic = outcome.expect_err("a debug build says so");
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).expect("a text");
        assert!(text.contains(says), "{text}");
    } else {
        assert!(outcome.is_ok());
        assert_eq!(seen(subject), before);
    }
}

fn info() -> FileInfo {
    FileInfo { size: 12, version: Version::new("v1").expect("a version"), modified: None }
}

/// Everything that a session shows of itself.
fn shown(session: &Session<'_>) -> String {
    let last = session.last_exchange();
    format!("{:?} {:?} {} {last:?}", session.action(), session.deadline(), session.exchanges())
}

/// A session that wants what its first `steps` steps after `request` lead to.
fn server<'c>(config: &'c ServerConfig<'c>, request: &str, steps: usize) -> Session<'c> {
    let mut rig = Rig::with_files(config, &FILES);
    assert_eq!(rig.session.receive(request.as_bytes(), rig.now()), request.len());
    for _ in 0..steps {
        assert!(rig.step());
    }
    rig.session
}

#[test]
fn a_report_to_a_server_that_fits_another_action() {
    type Report = (&'static str, fn(&mut Session<'_>));
    let reports: [Report; 8] = [
        ("reply", |session| session.reply(Reply::Refuse(Code::NotFound), NOW)),
        ("entry", |session| session.entry(Ok(Listed::End), NOW)),
        ("sent", |session| session.sent(1, NOW)),
        ("hashed", |session| session.hashed(1, NOW)),
        ("working", |session| session.working(NOW)),
        ("finished", |session| session.finished(Finished { digest: None, same_version: true }, NOW)),
        ("file_fault", |session| session.file_fault(NOW)),
        #[cfg(feature = "classic")]
        ("text_seen", |session| session.text_seen(NOW)),
        #[cfg(not(feature = "classic"))]
        ("sent", |session| session.sent(usize::MAX, NOW)),
    ];
    let get = r#"{"type":"get","fileName":"a.txt","offset":5,"digestFrom":0}"#;
    // What is asked for, how many steps later, and what is no misuse then.
    let situations: [(&str, usize, &[&str]); 8] = [
        ("", 0, &[]),
        (get, 0, &["reply"]),
        (r#"{"type":"list"}"#, 1, &["entry"]),
        (r#"{"type":"hello"}"#, 0, &["sent"]),
        (get, 1, &["hashed", "file_fault"]),
        (get, 3, &["sent", "file_fault"]),
        (r#"{"type":"stat","fileName":"a.txt","digest":"crc32"}"#, 2, &["working", "finished", "file_fault"]),
        ("\0", 1, &[]),
    ];
    let config = ServerConfig::new();
    for (request, steps, fitting) in situations {
        for (name, report) in reports.iter().filter(|(name, _)| !fitting.contains(name)) {
            let mut session = server(&config, request, steps);
            assert_misuse(&mut session, &format!("{name} does not answer the action"), shown, report);
        }
    }
}

/// Nothing was sent, so nothing is changed, whatever the session waits for.
#[test]
fn that_no_byte_was_sent_can_be_said_at_any_time() {
    let config = ServerConfig::new();
    for request in ["", r#"{"type":"list"}"#, r#"{"type":"hello"}"#] {
        let mut session = server(&config, request, 0);
        let before = shown(&session);
        session.sent(0, NOW);
        assert_eq!(shown(&session), before);
    }
}

/// An answer of the store's that is none to the request: the client is told that the file cannot be read.
#[test]
fn a_reply_that_fits_another_request() {
    let config = ServerConfig::new();
    let info = info();
    let replies = [
        (r#"{"type":"list"}"#, Reply::File { info: &info, known: None }),
        (r#"{"type":"get","fileName":"a"}"#, Reply::Listing),
    ];
    for (request, reply) in replies {
        let mut session = server(&config, request, 0);
        let outcome = catch_unwind(AssertUnwindSafe(|| session.reply(reply, NOW)));
        assert_eq!(outcome.is_err(), cfg!(debug_assertions));
        if !cfg!(debug_assertions) {
            let Action::SendBytes { bytes, .. } = session.action() else { panic!("no answer") };
            assert!(bytes.starts_with(br#"{"type":"error","code":"io","message":"cannot be read: "#));
            assert_eq!(session.last_exchange().error, Some(Code::Io));
        }
    }
}

/// A digest that is asked for and not told, or of another kind: an error, and no header or end without it.
#[test]
fn a_digest_that_is_not_told() {
    let config = ServerConfig::new();
    for digest in [None, Some(Digest::Sha256([0; 32]))] {
        let mut session = server(&config, r#"{"type":"stat","fileName":"a.txt","digest":"crc32"}"#, 2);
        let finished = Finished { digest, same_version: true };
        let outcome = catch_unwind(AssertUnwindSafe(|| session.finished(finished, NOW)));
        assert_eq!(outcome.is_err(), cfg!(debug_assertions));
        if !cfg!(debug_assertions) {
            let Action::SendBytes { bytes, .. } = session.action() else { panic!("no answer") };
            assert!(bytes.starts_with(br#"{"type":"error","code":"io","message":"digest not known""#));
        }
    }
}

#[cfg(feature = "classic")]
#[test]
fn a_reply_that_fits_no_classic_request() {
    let config = ServerConfig::new();
    for (request, reply) in [
        (r#"{"type":1}"#, Reply::File { info: &info(), known: None }),
        (r#"{"type":2,"fileName":"a.txt"}"#, Reply::Listing),
    ] {
        let mut session = server(&config, request, 0);
        let outcome = catch_unwind(AssertUnwindSafe(|| session.reply(reply, NOW)));
        assert_eq!(outcome.is_err(), cfg!(debug_assertions));
        if !cfg!(debug_assertions) {
            let Action::Close(close) = session.action() else { panic!("not closed") };
            assert_eq!(close.why, coracle_core::CloseReason::Classic);
            assert_eq!(session.last_exchange().error, Some(Code::Io));
        }
    }
}

#[test]
fn a_report_to_a_client_that_fits_another_action() {
    type Client = ClientSession<[u8; 1_024]>;
    type Report = (&'static str, fn(&mut Client));
    let reports: [Report; 3] = [
        ("rehashed without", |session| session.rehashed(b"x", NOW)),
        ("sent without", |session| session.sent(1, NOW)),
        ("send_failed without", |session| session.send_failed()),
    ];
    let seen = |session: &Client| format!("{:?} {:?}", session.action(), session.deadline());
    for (name, report) in reports {
        for is_asked in [true, false] {
            let mut session = if is_asked { asked(GET, b"") } else { ClientSession::new([0; 1_024]) };
            assert_misuse(&mut session, name, seen, report);
        }
    }
    let mut session = ClientSession::new([0; 1_024]);
    session.start(ClientRequest::Hello, NOW).expect("idle");
    assert_misuse(&mut session, "rehashed without", seen, |session| session.rehashed(b"x", NOW));
}

/// More than there was is cut to what there was.
#[test]
fn more_is_said_to_be_sent_than_there_was() {
    let config = ServerConfig::new();
    let mut session = server(&config, r#"{"type":"hello"}"#, 0);
    session.sent(usize::MAX, NOW);
    assert_eq!((session.action(), session.exchanges()), (Action::Receive, 1));

    let mut session = server(&config, r#"{"type":"get","fileName":"a.txt"}"#, 2);
    assert!(matches!(session.action(), Action::SendFile { offset: 0, len: 12, .. }));
    session.sent(13, NOW);
    assert_eq!(session.action(), Action::Finish { from: 0, to: 12 });
    assert_eq!(session.last_exchange().body_len, 12);

    let mut session = server(&config, r#"{"type":"get","fileName":"a.txt","offset":5,"digestFrom":0}"#, 1);
    assert_eq!(session.action(), Action::Hash { offset: 0, len: 5 });
    session.hashed(6, NOW);
    assert!(matches!(session.action(), Action::SendBytes { more: true, .. }));

    let mut client = ClientSession::new([0; 1_024]);
    client.start(GET, NOW).expect("idle");
    let outcome = catch_unwind(AssertUnwindSafe(|| client.sent(usize::MAX, NOW)));
    assert_eq!(outcome.is_err(), cfg!(debug_assertions));
    if !cfg!(debug_assertions) {
        assert_eq!(client.action(), ClientAction::Receive);
        assert!(matches!(client.receive(&answer(b"x", 0), NOW), (_, Some(coracle_core::Event::Header(_)))));
    }
}
