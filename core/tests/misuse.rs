//! Reports that do not match the action, which close the session.

mod asking;
mod common;

use asking::{GET, answer, asked};
use common::{Buf, Rig};
use coracle_core::{
    Action, ClientAction, ClientEvent, ClientRequest, ClientSession, Close, CloseHow, CloseReason, Code, Digest,
    Failure, FileInfo, Finished, Instant, Listed, Reply, ServerConfig, ServerSession, StaticFile, Version,
};

const NOW: Instant = Instant::from_millis(7);

static FILES: [StaticFile<'static>; 1] = [StaticFile::new("a.txt", "v1", b"hello, world")];

type Session<'c> = ServerSession<'c, Buf>;

fn info() -> FileInfo {
    FileInfo::new(12, Version::new("v1").expect("a version"))
}

/// The visible state of a session.
fn shown(session: &Session<'_>) -> String {
    let last = session.last_exchange();
    format!("{:?} {:?} {} {last:?}", session.action(), session.deadline(), session.exchanges())
}

/// The session has closed with `Misuse`, and stays closed.
fn assert_closed_for_misuse(session: &mut Session<'_>, what: &str) {
    let close = Action::Close(Close::new(CloseHow::Abort, CloseReason::Misuse));
    assert_eq!((session.action(), session.deadline()), (close.clone(), None), "{what}");
    session.sent(1, NOW);
    session.finished(Finished::new(None, true), NOW);
    session.stop(NOW);
    session.handle_timeout(NOW);
    assert_eq!(session.receive(b"{}", NOW).0, 0);
    assert_eq!(session.action(), close, "{what}");
}

/// A session after `request` and `steps` actions.
fn server<'c>(config: &'c ServerConfig<'c>, request: &str, steps: usize) -> Session<'c> {
    let mut rig = Rig::with_files(config, &FILES);
    assert_eq!(rig.session.receive(request.as_bytes(), rig.now()).0, request.len());
    for _ in 0..steps {
        assert!(rig.step());
    }
    rig.session
}

#[test]
fn a_report_to_a_server_that_matches_another_action() {
    type Report = (&'static str, fn(&mut Session<'_>));
    let reports: [Report; 8] = [
        ("reply", |session| session.reply(Reply::Refuse(Code::NotFound), NOW)),
        ("entry", |session| session.entry(Ok(Listed::End), NOW)),
        ("sent", |session| session.sent(1, NOW)),
        ("hashed", |session| session.hashed(1, NOW)),
        ("working", |session| session.working(NOW)),
        ("finished", |session| session.finished(Finished::new(None, true), NOW)),
        ("file_fault", |session| session.file_fault(NOW)),
        #[cfg(feature = "classic")]
        ("text_seen", |session| session.text_seen(NOW)),
        #[cfg(not(feature = "classic"))]
        ("sent", |session| session.sent(usize::MAX, NOW)),
    ];
    let get = r#"{"type":"get","fileName":"a.txt","offset":5,"digestFrom":0}"#;
    // The request, the number of actions, and the reports that are valid then.
    let situations: [(&str, usize, &[&str]); 7] = [
        ("", 0, &[]),
        (get, 0, &["reply"]),
        (r#"{"type":"list"}"#, 1, &["entry"]),
        (r#"{"type":"hello"}"#, 0, &["sent"]),
        (get, 1, &["hashed", "finished", "file_fault"]),
        (get, 3, &["sent", "file_fault"]),
        (r#"{"type":"stat","fileName":"a.txt","digest":"crc32"}"#, 2, &["working", "finished", "file_fault"]),
    ];
    let config = ServerConfig::new();
    for (request, steps, fitting) in situations {
        for (name, report) in reports.iter().filter(|(name, _)| !fitting.contains(name)) {
            let mut session = server(&config, request, steps);
            report(&mut session);
            assert_closed_for_misuse(&mut session, &format!("{name} after {steps} steps of {request}"));
        }
    }
}

/// A report of 0 bytes sent changes nothing, in any state.
#[test]
fn no_bytes_sent_can_be_reported_at_any_time() {
    let config = ServerConfig::new();
    for request in ["", r#"{"type":"list"}"#, r#"{"type":"hello"}"#] {
        let mut session = server(&config, request, 0);
        let before = shown(&session);
        session.sent(0, NOW);
        assert_eq!(shown(&session), before);
    }
}

/// A reply of the store that does not match the request.
#[test]
fn a_reply_that_matches_another_request() {
    let config = ServerConfig::new();
    #[cfg(feature = "classic")]
    let config = config.with_classic(true);
    let info = info();
    let replies = [
        (r#"{"type":"list"}"#, Reply::File { info: &info, known: None }),
        (r#"{"type":"get","fileName":"a"}"#, Reply::Listing),
        #[cfg(feature = "classic")]
        (r#"{"type":1}"#, Reply::File { info: &info, known: None }),
        #[cfg(feature = "classic")]
        (r#"{"type":2,"fileName":"a.txt"}"#, Reply::Listing),
    ];
    for (request, reply) in replies {
        let mut session = server(&config, request, 0);
        session.reply(reply, NOW);
        assert_closed_for_misuse(&mut session, request);
    }
}

/// A requested digest that is not reported, or is of another kind: neither header nor trailer is sent without it.
#[test]
fn a_digest_that_is_not_reported() {
    let config = ServerConfig::new();
    for digest in [None, Some(Digest::Sha256([0; 32]))] {
        let mut session = server(&config, r#"{"type":"stat","fileName":"a.txt","digest":"crc32"}"#, 2);
        session.finished(Finished::new(digest, true), NOW);
        assert_closed_for_misuse(&mut session, "a stat");
    }
}

#[test]
fn a_report_to_a_client_that_matches_another_action() {
    type Client = ClientSession<[u8; 1_024]>;
    type Report = (&'static str, fn(&mut Client));
    let reports: [Report; 3] = [
        ("rehashed", |session| session.rehashed(b"x", NOW)),
        ("sent", |session| session.sent(1, NOW)),
        ("send_failed", |session| session.send_failed()),
    ];
    for (name, report) in reports {
        for is_asked in [true, false] {
            let mut session = if is_asked { asked(GET, b"") } else { ClientSession::new([0; 1_024]) };
            report(&mut session);
            assert_eq!(session.action(), ClientAction::Close(Failure::Misuse), "{name}");
            report(&mut session);
            assert_eq!((session.action(), session.deadline()), (ClientAction::Close(Failure::Misuse), None), "{name}");
        }
    }
    let mut session = ClientSession::new([0; 1_024]);
    session.start(ClientRequest::Hello, NOW).expect("idle");
    session.rehashed(b"x", NOW);
    assert_eq!(session.action(), ClientAction::Close(Failure::Misuse));
}

/// A count of more bytes than were offered is limited to those.
#[test]
fn more_bytes_are_reported_than_were_offered() {
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
    client.sent(usize::MAX, NOW);
    assert_eq!(client.action(), ClientAction::Receive);
    assert!(matches!(client.receive(&answer(b"x", 0), NOW), (_, Some(ClientEvent::Header(_)))));
}
