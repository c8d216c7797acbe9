//! The server's session, exchange by exchange, with a virtual clock.

mod common;

use common::Rig;
use coracle_core::{
    Action, Close, CloseHow, CloseReason, Code, Digest, FileInfo, Instant, Reply, ServerConfig, ServerSession,
    StaticFile, StoreError, Timer, Version,
};

static FILES: [StaticFile<'static>; 3] = [
    StaticFile::new("a.txt", "v1", b"hello, world"),
    StaticFile::new("empty", "v1", b""),
    StaticFile::new("dir/\"q\"", "v\"2\\", b"0123456789"),
];

fn ask(request: &str) -> String {
    let config = ServerConfig::new();
    let mut answers = Vec::new();
    for (piece, out) in [(usize::MAX, usize::MAX), (1, 1), (3, 7)] {
        let mut rig = Rig::with_files(&config, &FILES);
        rig.piece = out;
        rig.send(request.as_bytes(), piece);
        answers.push(rig.take_text());
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    answers.swap_remove(0)
}

#[test]
fn hello() {
    assert_eq!(
        ask(r#"{"type":"hello"}"#),
        "{\"type\":\"hello\",\"protocol\":1,\"server\":\"coracle/0.1.0\",\"name\":\"\",\"maxRequest\":512,\"chunkSize\":1024,\
         \"idle_ms\":60000,\"request_ms\":10000,\"stall_ms\":30000,\"features\":[\"list\",\"stat\",\"get\"],\"digests\":[DIGESTS]}\n"
            .replace("DIGESTS", if cfg!(feature = "sha256") { r#""crc32","sha256""# } else { r#""crc32""# })
    );
}

#[test]
fn get_with_and_without_ranges() {
    assert_eq!(
        ask(r#"{"type":"get","fileName":"a.txt"}"#),
        "{\"type\":\"file\",\"fileName\":\"a.txt\",\"fileSize\":12,\"offset\":0,\"length\":12,\"chunkSize\":1024,\"readCnt\":1,\
         \"lastSize\":12,\"version\":\"v1\",\"digest\":\"crc32\"}\nhello, world{\"type\":\"end\",\"crc32\":\"ffab723a\"}\n"
    );
    assert_eq!(
        ask(r#"{"type":"get","fileName":"a.txt","offset":7,"length":99,"digest":"none"}"#),
        "{\"type\":\"file\",\"fileName\":\"a.txt\",\"fileSize\":12,\"offset\":7,\"length\":5,\"chunkSize\":1024,\"readCnt\":1,\
         \"lastSize\":5,\"version\":\"v1\",\"digest\":\"none\"}\nworld{\"type\":\"end\"}\n"
    );
    assert!(
        ask(r#"{"type":"get","fileName":"a.txt","offset":7,"digestFrom":0}"#)
            .ends_with("world{\"type\":\"end\",\"crc32\":\"ffab723a\"}\n")
    );
    assert!(
        ask(r#"{"type":"get","fileName":"a.txt","offset":12}"#)
            .contains("\"length\":0,\"chunkSize\":1024,\"readCnt\":0,\"lastSize\":0")
    );
    assert!(
        ask(r#"{"type":"get","fileName":"a.txt","offset":13}"#)
            .starts_with("{\"type\":\"error\",\"code\":\"badRange\"")
    );
}

#[test]
fn list_and_stat() {
    assert_eq!(
        ask(r#"{"type":"list"}{"type":"list","path":"dir"}{"type":"list","path":"a.txt"}"#),
        "{\"type\":\"entry\",\"fileName\":\"a.txt\",\"fileSize\":12}\n{\"type\":\"entry\",\"fileName\":\"empty\",\"fileSize\":0}\n\
         {\"type\":\"entry\",\"fileName\":\"dir\",\"directory\":true}\n{\"type\":\"end\",\"count\":3}\n\
         {\"type\":\"entry\",\"fileName\":\"dir/\\\"q\\\"\",\"fileSize\":10}\n{\"type\":\"end\",\"count\":1}\n\
         {\"type\":\"error\",\"code\":\"notDirectory\",\"message\":\"not a directory: a.txt\"}\n"
    );
    assert_eq!(
        ask(r#"{"type":"stat","fileName":"dir/\"q\"","digest":"crc32"}"#),
        "{\"type\":\"file\",\"fileName\":\"dir/\\\"q\\\"\",\"fileSize\":10,\"offset\":0,\"length\":10,\"chunkSize\":1024,\"readCnt\":1,\
         \"lastSize\":10,\"version\":\"v\\\"2\\\\\",\"digest\":\"crc32\",\"crc32\":\"a684c7c6\"}\n"
    );
    let sha256 = ask(r#"{"type":"stat","fileName":"empty","digest":"sha256"}"#);
    assert!(sha256.contains(if cfg!(feature = "sha256") { "\"sha256\":\"e3b0c442" } else { "unsupported" }));
}

#[test]
fn refusals_keep_the_connection_and_the_order_of_checks() {
    for (request, code) in [
        (r#"{"type":3}"#, "unknownType"),
        (r#"{"type":"put","fileName":7}"#, "unknownType"),
        (r#"{"type":null}"#, "badRequest"),
        (r#"{"type":1.0}"#, "badRequest"),
        (r#"{}"#, "badRequest"),
        (r#"{"type":"get"}"#, "badRequest"),
        (r#"{"type":"get","type":"get","fileName":"a.txt"}"#, "badRequest"),
        (r#"{"type":"get","fileName":"a","fileName":"a.txt"}"#, "badRequest"),
        (r#"{"type":"get","fileName":null}"#, "badRequest"),
        (r#"{"type":"get","fileName":"../x","offset":-1}"#, "badRequest"),
        (r#"{"type":"get","fileName":"../x","digest":"md5"}"#, "unsupported"),
        (r#"{"type":"get","fileName":"../x"}"#, "badName"),
        (r#"{"type":"list","path":".."}"#, "badName"),
        (r#"{"type":"list","path":"/"}"#, "badName"),
        (r#"{"type":"get","fileName":"\u002e\u002e/x"}"#, "badName"),
        (r#"{"type":"get","fileName":"x","version":"other"}"#, "notFound"),
        (r#"{"type":"get","fileName":"dir"}"#, "notFile"),
        (r#"{"type":"get","fileName":"a.txt","version":"other","offset":99}"#, "changed"),
        (r#"{"type":"get","fileName":"a.txt","digestFrom":1}"#, "badRange"),
        (r#"{"type":"get","fileName":"a.txt","offset":18446744073709551616}"#, "badRequest"),
        (r#"{"type":"get","fileName":"a\ud800"}"#, "badRequest"),
        (r#"{"type":"get","fileName":"a.txt","digest":"\udc00"}"#, "badRequest"),
        (r#"{"type":"get","fileName":"a.txt","version":"\ud800"}"#, "badRequest"),
        (r#"{"type":"\ud800"}"#, "unknownType"),
        (r#"{"type":"stat","fileName":"a","offset":"ignored","digest":1}"#, "badRequest"),
    ] {
        let answer = ask(&[request, r#"{"type":"stat","fileName":"empty"}"#].concat());
        let begin = format!("{{\"type\":\"error\",\"code\":\"{code}\",\"message\":\"");
        assert!(answer.starts_with(&begin), "{request}: {answer}");
        assert!(answer.contains("\n{\"type\":\"file\",\"fileName\":\"empty\""), "{request}: {answer}");
    }
    assert!(
        ask(r#"{"type":"stat","fileName":"empty","path":1,"version":{},"offset":[[[[[[[]]]]]]]}"#)
            .contains("\"fileSize\":0")
    );
}

/// An error names the member at fault, or the beginning of the file name, up to a whole character.
#[test]
fn a_refusal_names_what_it_is_about() {
    let message = |request: &str| {
        let answer = ask(request);
        let begin = answer.find("\"message\":\"").expect("a message") + 11;
        answer[begin..].strip_suffix("\"}\n").expect("the end of it").to_owned()
    };
    for (request, member) in [
        (r#"{}"#, "type"),
        (r#"{"type":null}"#, "type"),
        (r#"{"type":"get"}"#, "fileName"),
        (r#"{"type":"list","path":7}"#, "path"),
        (r#"{"type":"get","fileName":"a.txt","version":"v1","version":"v1"}"#, "version"),
        (r#"{"type":"stat","fileName":"a.txt","digest":1}"#, "digest"),
        (r#"{"type":"get","fileName":"a.txt","offset":-1}"#, "offset"),
        (r#"{"type":"get","fileName":"a.txt","length":"1"}"#, "length"),
        (r#"{"type":"get","fileName":"a.txt","digestFrom":null}"#, "digestFrom"),
    ] {
        assert_eq!(message(request), format!("missing, doubled or of a wrong type: {member}"), "{request}");
    }
    for (name, told) in [
        ("x".repeat(64), "x".repeat(64)),
        ("x".repeat(65), "x".repeat(64)),
        ("x".repeat(62) + "\u{e9}yz", "x".repeat(62) + "\u{e9}"),
        ("x".repeat(63) + "\u{e9}yz", "x".repeat(63)),
        ("x".repeat(61) + "\u{1F6F6}yz", "x".repeat(61)),
    ] {
        let request = format!("{{\"type\":\"stat\",\"fileName\":\"{name}\"}}");
        assert_eq!(message(&request), format!("not found: {told}"));
    }
    // An invalid name is not repeated.
    assert!(!message(r#"{"type":"stat","fileName":"../secret"}"#).contains("secret"));
}

#[test]
fn what_cannot_be_followed_ends_the_connection() {
    let config = ServerConfig::new();
    let long = [br#"{"type":""#.as_slice(), &[b'x'; 600]].concat();
    let cases: [(&[u8], Code); 6] = [
        (b"GET / HTTP/1.1\r\n\r\n", Code::BadRequest),
        (b"{\"type\":\"get\",\"fileName\":\"\xff\"}", Code::BadRequest),
        (b"{\"a\":nope}", Code::BadRequest),
        (b"{\"a\":[[[[[[[[]]]]]]]]}", Code::BadRequest),
        (b"\0", Code::BadRequest),
        (&long, Code::TooLong),
    ];
    for (input, code) in cases {
        for piece in [1, usize::MAX] {
            let mut rig = Rig::with_files(&config, &FILES);
            rig.send(input, piece);
            let close = rig.close().expect("closed");
            assert_eq!((close.how, close.why), (CloseHow::Linger, CloseReason::Refused(code)));
            assert_eq!(rig.take_text().lines().count(), 1);
        }
    }
}

#[test]
fn deadlines() {
    let config = ServerConfig::new();
    let mut rig = Rig::with_files(&config, &FILES);
    assert_eq!(rig.session.deadline(), Some((Instant::from_millis(60_000), Timer::Idle)));
    rig.wait(5_000);
    rig.send(b" {", 1);
    assert_eq!(rig.session.deadline(), Some((Instant::from_millis(15_000), Timer::Request)));
    rig.wait(9_999);
    rig.send(b"\"", 1);
    rig.wait(1);
    assert!(rig.take_text().contains("\"timeout\""));
    assert_eq!(rig.close().map(|close| close.why), Some(CloseReason::Refused(Code::Timeout)));

    // The line ending after a request starts no timer; white space does.
    let mut rig = Rig::with_files(&config, &FILES);
    rig.send(b"{\"type\":\"hello\"}\r\n", 1);
    assert_eq!(rig.session.deadline(), Some((Instant::from_millis(60_000), Timer::Idle)));
    rig.send(b"\n", 1);
    assert_eq!(rig.session.deadline(), Some((Instant::from_millis(10_000), Timer::Request)));

    let mut rig = Rig::with_files(&config, &FILES);
    rig.wait(60_000);
    assert_eq!(rig.close().map(|close| (close.how, close.why)), Some((CloseHow::Finish, CloseReason::Idle)));
    assert_eq!(rig.take_text(), "");
}

#[test]
fn a_session_refuses_and_stops() {
    let config = ServerConfig::new();
    let session = ServerSession::refusing(Code::Busy, &config, vec![0; 512].into_boxed_slice(), Instant::default());
    let mut rig = Rig::with_files(&config, &FILES);
    rig.session = session;
    rig.work();
    assert!(rig.take_text().starts_with("{\"type\":\"error\",\"code\":\"busy\""));

    let mut rig = Rig::with_files(&config, &FILES);
    rig.piece = 1;
    assert!(rig.session.receive(br#"{"type":"get","fileName":"a.txt"}"#, Instant::default()).0 > 0);
    assert!(rig.step());
    rig.session.stop(Instant::default());
    rig.work();
    let text = rig.take_text();
    assert!(text.contains("hello, world{\"type\":\"end\""), "{text}");
    assert!(text.lines().last().is_some_and(|line| line.contains("shuttingDown")));

    let short = ServerSession::new(&config, [0; 511], Instant::default());
    assert!(matches!(short.action(), coracle_core::Action::Close(close) if close.why == CloseReason::BufTooShort));
    let short = ServerSession::refusing(Code::Busy, &config, [0; 511], Instant::default());
    assert!(matches!(short.action(), coracle_core::Action::Close(close) if close.why == CloseReason::BufTooShort));
}

/// Brackets in a text are not nesting, and an escaped quotation mark is not its end; an empty path is the root.
#[test]
fn a_text_is_taken_for_nothing_else() {
    let missing = |name: &str, means: &str| {
        let answer =
            ask(&format!(r#"{{"type":"stat","x":[{{"y":"}}]\""}}],"fileName":"{name}","z":{{"fileName":"a"}}}}"#));
        let message = format!(r#""code":"notFound","message":"not found: {means}""#);
        assert!(answer.contains(&message), "{answer}");
    };
    missing(r#"q\"[{"#, r#"q\"[{"#);
    missing(r#"]}\"\/\"{"#, r#"]}\"/\"{"#);
    missing(r#"\u005b\"\"["#, r#"[\"\"["#);
    assert_eq!(ask(r#"{"type":"list","path":""}"#), ask(r#"{"type":"list"}"#));
}

/// A known digest of another kind than requested is ignored.
#[test]
fn a_known_digest_of_another_kind_is_none() {
    let config = ServerConfig::new();
    let info = FileInfo::new(12, Version::new("v1").expect("good"));
    for (known, is_hashed) in [(None, true), (Some(Digest::Sha256([0; 32])), true), (Some(Digest::Crc32(7)), false)] {
        let mut rig = Rig::with_files(&config, &FILES);
        assert!(rig.session.receive(br#"{"type":"get","fileName":"a.txt"}"#, rig.now()).0 > 0);
        rig.session.reply(Reply::File { info: &info, known }, rig.now());
        assert!(matches!(rig.session.action(), Action::SendBytes { more: true, .. }));
        rig.send_lines();
        assert_eq!(rig.session.action(), Action::SendFile { offset: 0, len: 12, more: true, hash: is_hashed });
    }
}

#[test]
fn half_close_is_answered_in_full() {
    let config = ServerConfig::new();
    let mut rig = Rig::with_files(&config, &FILES);
    rig.send(br#"{"type":"stat","fileName":"empty"}"#, 1);
    rig.send_eof();
    assert!(rig.take_text().ends_with("}\n"));
    assert_eq!(rig.close().map(|close| close.how), Some(CloseHow::Finish));
    let mut rig = Rig::with_files(&config, &FILES);
    rig.send(br#"{"type":"#, 1);
    rig.send_eof();
    assert!(rig.take_text().contains("badRequest"));
    // The end of input may be reported while a response is under way.
    let mut rig = Rig::with_files(&config, &FILES);
    assert!(rig.session.receive(br#"{"type":"get","fileName":"a.txt"}"#, rig.now()).0 > 0);
    assert!(rig.step());
    rig.session.receive_eof(rig.now());
    assert!(matches!(rig.session.action(), coracle_core::Action::SendBytes { .. }));
    rig.work();
    assert!(rig.take_text().ends_with("hello, world{\"type\":\"end\",\"crc32\":\"ffab723a\"}\n"));
    assert_eq!(rig.close().map(|close| (close.how, close.why)), Some((CloseHow::Finish, CloseReason::Done)));
}

/// A store without a handle for another file or listing: the client is told `busy`, and the connection closes.
#[test]
fn a_store_that_is_busy_closes_the_connection() {
    let config = ServerConfig::new();
    let busy = StoreError::Busy;
    for (request, is_half_way) in
        [(r#"{"type":"get","fileName":"a.txt"}"#, false), (r#"{"type":"list"}"#, false), (r#"{"type":"list"}"#, true)]
    {
        let mut session = ServerSession::new(&config, [0; 512], Instant::default());
        session.receive(request.as_bytes(), Instant::default());
        if is_half_way {
            session.reply(Reply::Listing, Instant::default());
            session.entry(Err(busy), Instant::default());
        } else {
            session.reply(Reply::Refuse(busy.code()), Instant::default());
        }
        let Action::SendBytes { bytes, more } = session.action() else { panic!("no answer to {request}") };
        assert!(!more && bytes.starts_with(br#"{"type":"error","code":"busy","#), "{request}");
        let len = bytes.len();
        session.sent(len, Instant::default());
        let close = Close::new(CloseHow::Linger, CloseReason::Refused(Code::Busy));
        assert_eq!(session.action(), Action::Close(close), "{request}");
        assert_eq!(session.last_exchange().error, Some(Code::Busy));
    }
}

/// The time of `hello` and that of a file are told by the same line, one after the other.
#[test]
fn the_time_of_a_file_is_none_of_the_server() {
    let (config, now) = (ServerConfig::new(), Instant::from_millis(0));
    let mut session = ServerSession::new(&config, [0; 512], now);
    let line = |session: &mut ServerSession<'_, [u8; 512]>| {
        let mut line = Vec::new();
        while let Action::SendBytes { bytes, .. } = session.action() {
            line.extend_from_slice(bytes);
            let len = bytes.len();
            session.sent(len, now);
        }
        String::from_utf8(line).expect("text")
    };
    let info = FileInfo::new(1, Version::new("v1").expect("a version")).with_modified(Some(77));
    session.set_time(Some(99));
    session.receive(br#"{"type":"hello"}"#, now);
    assert!(line(&mut session).contains(r#","time":99,"#));
    session.set_time(Some(100));
    session.receive(br#"{"type":"stat","fileName":"a"}"#, now);
    session.set_time(Some(101));
    session.reply(Reply::File { info: &info, known: None }, now);
    session.set_time(Some(102));
    assert!(line(&mut session).contains(r#","modified":77"#));
    session.receive(br#"{"type":"hello"}"#, now);
    assert!(!line(&mut session).contains("time"), "nobody told the time");
    session.receive(br#"{"type":"stat","fileName":"a"}"#, now);
    session.reply(Reply::File { info: &FileInfo::new(1, info.version), known: None }, now);
    assert!(!line(&mut session).contains("modified"));
}
