//! The owner's decisions: when a session asks for one, of what, and what it does with the answer.
#![cfg(feature = "rights")]

use coracle_core::{
    Action, CloseHow, CloseReason, Code, Demand, Exchange, Grant, Instant, Permit, Reply, Request, RequestKind, Rights,
    ServerConfig, ServerSession,
};

const NOW: Instant = Instant::from_millis(7);

fn config() -> ServerConfig<'static> {
    let config = ServerConfig::new().with_permits(true);
    #[cfg(feature = "manage")]
    let config = {
        use coracle_core::ActionWords;
        let kinds =
            [RequestKind::Put, RequestKind::Delete, RequestKind::Rename, RequestKind::MakeDir, RequestKind::Space];
        let actions = ActionWords::new("confirm restart").expect("good words");
        kinds.into_iter().fold(config, ServerConfig::with_offered).with_actions(actions)
    };
    config
}

/// A session that was sent `request`.
fn asked<'c>(config: &'c ServerConfig<'c>, request: &str) -> ServerSession<'c, [u8; 768]> {
    let mut session = ServerSession::new(config, [0; 768], NOW);
    let request = format!("{request}\n");
    let mut rest = request.as_bytes();
    while !rest.is_empty() {
        let (taken, _) = session.receive(rest, NOW);
        if taken == 0 {
            break;
        }
        rest = &rest[taken..];
    }
    session
}

/// What the session sends next, all of it.
fn sent(session: &mut ServerSession<'_, [u8; 768]>) -> String {
    let mut sent = Vec::new();
    while let Action::SendBytes { bytes, .. } = session.action() {
        sent.extend_from_slice(bytes);
        let len = bytes.len();
        session.sent(len, NOW);
    }
    String::from_utf8(sent).expect("text")
}

#[test]
fn every_request_is_decided_on_by_what_it_names() {
    let config = config();
    let mut requests = vec![
        (r#"{"type":"hello"}"#, RequestKind::Hello, "", ""),
        (r#"{"type":"list"}"#, RequestKind::List, "", ""),
        (r#"{"type":"list","path":"a"}"#, RequestKind::List, "a", ""),
        (r#"{"type":"stat","fileName":"a/b"}"#, RequestKind::Stat, "a/b", ""),
        (r#"{"type":"get","fileName":"\u0061/b"}"#, RequestKind::Get, "a/b", ""),
        // What is wrong with it is told to whom the owner knows.
        (r#"{"type":"fly"}"#, RequestKind::Hello, "", ""),
    ];
    #[cfg(feature = "manage")]
    requests.extend([
        (r#"{"type":"put","fileName":"a","fileSize":0,"crc32":"00000000"}"#, RequestKind::Put, "a", ""),
        (r#"{"type":"delete","path":"a"}"#, RequestKind::Delete, "a", ""),
        (r#"{"type":"rename","to":"b","fileName":"a"}"#, RequestKind::Rename, "a", "b"),
        (r#"{"type":"makeDir","path":"a"}"#, RequestKind::MakeDir, "a", ""),
        (r#"{"type":"space"}"#, RequestKind::Space, "", ""),
        (r#"{"type":"do","action":"restart"}"#, RequestKind::Do, "restart", ""),
    ]);
    for (request, kind, subject, to) in requests.drain(..) {
        let mut session = asked(&config, request);
        let Action::Permit(demand) = session.action() else { panic!("{request}: {:?}", session.action()) };
        assert_eq!((demand.kind, demand.subject, demand.to), (kind, subject, to), "{request}");
        assert_eq!(demand.name().map_or("", |name| name.as_str()), subject);
        #[cfg(feature = "manage")]
        assert_eq!(demand.actions.as_str(), "confirm restart");
        // Nothing is looked up before.
        session.permit(Permit::Denied, NOW);
        let line = sent(&mut session);
        let code = if request.contains("fly") { "unknownType" } else { "denied" };
        assert!(line.contains(&format!(r#""code":"{code}""#)), "{request}: {line}");
        assert_eq!(session.action(), Action::Receive);
    }
}

#[test]
fn what_is_granted_goes_on() {
    let config = config();
    let mut session = asked(&config, r#"{"type":"stat","fileName":"a"}"#);
    session.permit(Permit::Granted(Grant::ALL), NOW);
    assert!(matches!(session.action(), Action::Reply(Request::Stat { .. })));
    session.reply(Reply::Refuse(Code::NotFound), NOW);
    assert!(sent(&mut session).contains("notFound"));
    assert_eq!(session.last_exchange(), Exchange::new(Some(RequestKind::Stat), Some(Code::NotFound), 0));

    let mut session = asked(&config, r#"{"type":"hello"}"#);
    session.permit(Permit::Granted(Grant::ALL), NOW);
    let hello = sent(&mut session);
    assert!(hello.contains(r#""features":["list","stat","get""#), "{hello}");
    assert_eq!(hello.contains(r#""actions":["confirm","restart"]"#), cfg!(feature = "manage"), "{hello}");
}

#[test]
fn a_key_that_nobody_knows_is_told_and_the_connection_closes() {
    let config = config();
    let key = "k".repeat(70);
    for request in [r#"{"type":"hello"}"#, r#"{"type":"get"}"#, r#"{"type":"get","fileName":"a"}"#] {
        let mut session = asked(&config, request);
        session.permit(Permit::Unknown { key: &key }, NOW);
        let line = sent(&mut session);
        // No more of it than of any name.
        assert!(line.contains("denied") && line.contains(&key[..64]) && !line.contains(&key[..65]), "{line}");
        let Action::Close(close) = session.action() else { panic!("{:?}", session.action()) };
        assert_eq!((close.how, close.why), (CloseHow::Linger, CloseReason::Refused(Code::Denied)));
        assert_eq!((session.exchanges(), session.last_exchange().error), (1, Some(Code::Denied)));
    }
}

#[test]
fn a_decision_that_nobody_asked_for_ends_the_session() {
    let config = config();
    for permit in [Permit::Denied, Permit::Granted(Grant::ALL), Permit::Unknown { key: "k" }] {
        let mut session = ServerSession::new(&config, [0; 768], NOW);
        session.permit(permit, NOW);
        let Action::Close(close) = session.action() else { panic!("{:?}", session.action()) };
        assert_eq!((close.how, close.why), (CloseHow::Abort, CloseReason::Misuse));
        session.permit(permit, NOW);
    }
    // And no answer takes the place of a decision.
    let mut session = asked(&config, r#"{"type":"stat","fileName":"a"}"#);
    session.reply(Reply::Refuse(Code::NotFound), NOW);
    assert!(matches!(session.action(), Action::Close(close) if close.why == CloseReason::Misuse));
}

/// A server that is stopped meanwhile decides on the request that it has, and takes no other.
#[test]
fn a_decision_is_awaited_though_the_server_stops_or_the_input_ends() {
    let config = config();
    for stops in [true, false] {
        let mut session = asked(&config, r#"{"type":"stat","fileName":"a"}"#);
        if stops {
            session.stop(NOW)
        } else {
            session.receive_eof(NOW)
        }
        assert_eq!(session.receive(b"{", NOW).0, 0);
        assert!(matches!(session.action(), Action::Permit(_)));
        session.permit(Permit::Denied, NOW);
        let lines = sent(&mut session);
        assert!(lines.contains("denied") && lines.contains("shuttingDown") == stops, "{lines}");
        assert!(matches!(session.action(), Action::Close(_)));
    }
}

#[test]
fn without_permits_nobody_is_asked() {
    let config = ServerConfig::new();
    assert!(matches!(asked(&config, r#"{"type":"stat","fileName":"a"}"#).action(), Action::Reply(_)));
    let mut session = asked(&config, r#"{"type":"hello"}"#);
    assert!(sent(&mut session).contains(r#""features":["list","stat","get"],"#));
}

#[test]
fn a_grant_says_how_far_it_goes() {
    let grant = |words| match Rights::new(words).expect("good").permit(&Demand::new(RequestKind::Get, "a/b")) {
        Permit::Granted(grant) => grant,
        other => panic!("{words}: {other:?}"),
    };
    assert!(!grant("read").is_confined() && grant("read=a/").is_confined());
    assert!(grant("read").may_compare() && Grant::ALL.may_compare() && !Grant::ALL.is_confined());
    assert_eq!(Rights::NONE.permit(&Demand::new(RequestKind::Get, "a")), Permit::Denied);
    assert!(matches!(Rights::READ.permit(&Demand::new(RequestKind::Get, "a")), Permit::Granted(_)));
}
