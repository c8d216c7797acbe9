//! What a client makes of the answers to requests that write, and how it notices a server that lies.

mod asking;

use asking::{NAME, asked};
use coracle_core::{
    ClientAction, ClientEvent, ClientRequest, Delete, Digest, Failure, FileName, Instant, Put, Timer, Violation,
    WriteRequest,
};

const NOW: Instant = Instant::from_millis(0);
const READY: &str = r#"{"type":"ready","fileName":"a.txt","fileSize":10,"offset":4,"length":6,"chunkSize":1024}"#;
const STORED: &str = r#"{"type":"end","fileName":"a.txt","version":"w1","crc32":"a684c7c6"}"#;

const PUT: ClientRequest<'static> =
    ClientRequest::Write(WriteRequest::Put(Put::new(NAME, 10, Digest::Crc32(0xa684_c7c6))));
const DELETE: ClientRequest<'static> =
    ClientRequest::Write(WriteRequest::Delete(Delete::File { name: NAME, version: None }));
const SPACE: ClientRequest<'static> = ClientRequest::Write(WriteRequest::Space);

/// The failure that `line` comes to; `None` where it is an answer.
fn failure(ask: ClientRequest<'_>, line: &str) -> Option<Failure> {
    let mut session = asked(ask, b"");
    session.receive(format!("{line}\n").as_bytes(), NOW);
    match session.action() {
        ClientAction::Close(failure) => Some(failure),
        _ => None,
    }
}

#[test]
fn what_does_not_fit_the_request_is_a_violation() {
    for (ask, line) in [
        (PUT, READY),
        (PUT, STORED),
        (DELETE, r#"{"type":"end"}"#),
        (SPACE, r#"{"type":"space","total":9,"free":7,"maxFile":5}"#),
        (SPACE, r#"{"type":"space"}"#),
    ] {
        assert_eq!(failure(ask, line), None, "{line}");
    }
    for (ask, line, from, to, violation) in [
        (PUT, READY, r#""chunkSize":1024"#, r#""chunkSize":0"#, Violation::Limit),
        (PUT, READY, "a.txt", "b.txt", Violation::Name),
        (PUT, READY, r#""fileSize":10"#, r#""fileSize":11"#, Violation::Length),
        (PUT, READY, r#""length":6"#, r#""length":5"#, Violation::Length),
        (PUT, READY, r#""offset":4"#, r#""offset":18446744073709551615"#, Violation::Length),
        (PUT, READY, "ready", "space", Violation::Type),
        (PUT, STORED, "a.txt", "b.txt", Violation::Name),
        (PUT, STORED, "a684c7c6", "a684c7c7", Violation::Digest),
        // Only what was deferred may have no version yet.
        (PUT, STORED, r#""version":"w1","#, "", Violation::Member),
        (PUT, STORED, r#","crc32":"a684c7c6""#, "", Violation::Digest),
        (DELETE, STORED, "end", "ready", Violation::Type),
        (SPACE, STORED, "end", "file", Violation::Type),
    ] {
        assert!(line.contains(from), "{line} has no {from}");
        let lie = line.replace(from, to);
        assert_eq!(failure(ask, &lie), Some(Failure::Violation(violation)), "{lie}");
    }
}

#[test]
fn the_room_of_a_server() {
    let mut session = asked(SPACE, b"");
    let (_, event) = session.receive(b"{\"type\":\"space\",\"total\":9,\"maxFile\":5}\n", NOW);
    let Some(ClientEvent::Space(space)) = event else { panic!("{event:?}") };
    assert_eq!((space.total, space.free, space.max_file), (Some(9), None, Some(5)));
    assert_eq!(session.action(), ClientAction::Idle);
}

/// While a body is sent, the session waits for room; when it cannot be sent, for the reason.
#[test]
fn a_body_that_cannot_be_sent() {
    let mut session = asked(PUT, b"");
    session.receive(format!("{READY}\n").as_bytes(), NOW);
    assert_eq!(session.action(), ClientAction::SendFile { offset: 4, len: 6 });
    assert_eq!(session.deadline(), Some((Instant::from_millis(30_000), Timer::Stall)));
    session.sent(2, Instant::from_millis(10));
    assert_eq!(session.action(), ClientAction::SendFile { offset: 6, len: 4 });
    assert_eq!(session.deadline(), Some((Instant::from_millis(30_010), Timer::Stall)));
    session.send_failed();
    assert_eq!(session.action(), ClientAction::Receive);
    let (_, event) =
        session.receive(b"{\"type\":\"error\",\"code\":\"noSpace\",\"message\":\"full\",\"free\":0}\n", NOW);
    assert!(matches!(event, Some(ClientEvent::Refused(_))), "{event:?}");
}

#[test]
fn a_hello_tells_the_owners_actions() {
    let hello = |actions: &str| {
        format!(
            "{{\"type\":\"hello\",\"protocol\":1,\"server\":\"s\",\"name\":\"n\",\"maxRequest\":768,\"chunkSize\":1,\"idle_ms\":0,\
             \"request_ms\":0,\"stall_ms\":0,\"features\":[\"put\",\"do\"],\"digests\":[],\"actions\":{actions}}}\n"
        )
    };
    for (told, expected) in [
        ("[]", &[][..]),
        (r#"["restart"]"#, &["restart"]),
        // What could not be asked for is left out.
        (r#"["confirm","RESTART","","re start","x-1"]"#, &["confirm", "x-1"]),
    ] {
        let mut session = asked(ClientRequest::Hello, b"");
        let line = hello(told);
        let (_, event) = session.receive(line.as_bytes(), NOW);
        let Some(ClientEvent::Hello(hello)) = event else { panic!("{event:?}") };
        assert_eq!(hello.actions.iter().collect::<Vec<_>>(), expected, "{told}");
        assert!(hello.features.put && hello.features.actions && !hello.features.delete);
    }
    assert_eq!(failure(ClientRequest::Hello, hello("7").trim()), Some(Failure::Violation(Violation::Member)));
}

#[test]
fn names_of_uploads_are_reserved() {
    for (name, is_reserved) in [
        (".coracle-a", true),
        ("d/.coracle-", true),
        (".coracle-a/b", true),
        (".coracle", false),
        ("a.coracle-", false),
        ("d/coracle-.coracle-", false),
    ] {
        assert_eq!(FileName::new(name).expect("a name").is_reserved(), is_reserved, "{name}");
    }
}
