//! The classic dialect and the text policies.
#![cfg(feature = "classic")]

mod common;

use common::Rig;
use coracle_core::{
    Action, CloseHow, CloseReason, Code, Entry, EntryKind, Exchange, FileInfo, FileName, Instant, Listed, Reply,
    Request, RequestKind, ServerConfig, StaticFile, StaticStore, StoreError, TextPolicy, Timer, Version,
};

static FILES: [StaticFile<'static>; 6] = [
    StaticFile::new("a.bin", "v1", b"hello, world"),
    StaticFile::new("a{b", "v1", b"brace"),
    StaticFile::new("empty", "v1", b""),
    StaticFile::new("{x", "v1", b"x"),
    StaticFile::new("dir/b", "v1", b"b"),
    StaticFile::new("say \"hi\" 你好", "v1", b"0123456789"),
];

const fn classic<'a>() -> ServerConfig<'a> {
    ServerConfig::new().with_classic(true)
}

type StaticRig<'c> = Rig<'c, StaticStore<'static>>;

fn rig<'c>(config: &'c ServerConfig<'c>) -> StaticRig<'c> {
    Rig::with_files(config, &FILES)
}

/// The responses to `input` under `policy`, sent whole, byte by byte and in threes.
fn answers(policy: TextPolicy<'static>, input: &str) -> String {
    let config = classic().with_text_policy(policy);
    let mut texts = Vec::new();
    for (piece, out) in [(usize::MAX, usize::MAX), (1, 1), (3, 7)] {
        let mut rig = rig(&config);
        rig.piece = out;
        rig.send(input.as_bytes(), piece);
        texts.push(rig.take_text());
    }
    assert_eq!(texts[0], texts[1]);
    assert_eq!(texts[0], texts[2]);
    texts.swap_remove(0)
}

#[test]
fn list() {
    assert_eq!(
        answers(TextPolicy::Reject, r#"{"type":1}"#),
        r#"{"type":1,"fileName":["a.bin","a{b","empty","{x","say \"hi\" 你好"],"data":5}"#
    );
    static NONE: [StaticFile<'static>; 0] = [];
    let config = classic();
    let mut rig = Rig::with_files(&config, &NONE);
    rig.send(br#"{"type":1}"#, 1);
    assert_eq!(rig.take_text(), r#"{"type":1,"fileName":[],"data":0}"#);
}

#[test]
fn select_and_confirm_any_number_of_times_with_native_requests_in_between() {
    let header = r#"{"type":2,"data":12,"fileName":"a.bin","readCnt":1,"lastSize":12}"#;
    let stat = ask_stat();
    assert_eq!(
        answers(
            TextPolicy::Reject,
            r#"{"type":2,"fileName":"a.bin"}a.bina.bin{"type":"stat","fileName":"empty"}a.bin"#
        ),
        [header, "hello, world", "hello, world", &stat, "hello, world"].concat()
    );
    assert_eq!(
        answers(TextPolicy::Reject, "{\"type\":2,\"fileName\":\"say \\\"hi\\\" 你好\"}\r\nsay \"hi\" 你好"),
        r#"{"type":2,"data":10,"fileName":"say \"hi\" 你好","readCnt":1,"lastSize":10}0123456789"#
    );
    assert_eq!(
        answers(
            TextPolicy::Reject,
            r#"{"type":2,"fileName":"a{b"}a{b{"type":2,"fileName":"empty"}emptyempty{"type":1}"#
        ),
        concat!(
            r#"{"type":2,"data":5,"fileName":"a{b","readCnt":1,"lastSize":5}brace"#,
            r#"{"type":2,"data":0,"fileName":"empty","readCnt":0,"lastSize":0}"#,
            r#"{"type":1,"fileName":["a.bin","a{b","empty","{x","say \"hi\" 你好"],"data":5}"#
        )
    );
}

#[test]
fn a_select_that_fails_clears_the_selection() {
    let failed = |name: &str| format!(r#"{{"type":2,"data":-1,"fileName":"{name}","readCnt":0,"lastSize":0}}"#);
    for (asked, named) in [("nothing", "nothing"), ("dir", "dir"), ("../x", ""), ("", ""), ("{x", "{x")] {
        let input = format!(r#"{{"type":2,"fileName":"a.bin"}}{{"type":2,"fileName":"{asked}"}}"#);
        let config = classic();
        let mut rig = rig(&config);
        rig.send(input.as_bytes(), 1);
        assert!(rig.take_text().ends_with(&failed(named)), "{asked}");
        rig.send(b"a", 1);
        assert_eq!(rig.close().map(|close| close.why), Some(CloseReason::Refused(Code::BadRequest)));
    }
    assert!(answers(TextPolicy::Reject, r#"{"type":2}"#).contains("badRequest"));
    assert!(answers(TextPolicy::Reject, r#"{"type":3}"#).contains("unknownType"));
}

#[test]
fn echo_gives_back_every_byte() {
    assert_eq!(answers(TextPolicy::Echo, "hello\r\n  you }\u{e9}"), "hello\r\n  you }\u{e9}");
    let hello = answers(TextPolicy::Echo, r#"{"type":"hello"}"#);
    assert_eq!(answers(TextPolicy::Echo, "\n a b {\"type\":\"hello\"}\r\nc\n"), ["a b ", &hello, "c\n"].concat());
    let long = "x".repeat(5000);
    assert_eq!(answers(TextPolicy::Echo, &long), long);
    // A name that is not completed is text.
    let header = r#"{"type":2,"data":12,"fileName":"a.bin","readCnt":1,"lastSize":12}"#;
    assert_eq!(answers(TextPolicy::Echo, r#"{"type":2,"fileName":"a.bin"}a.bix"#), [header, "a.bix"].concat());
    assert_eq!(
        answers(TextPolicy::Echo, r#"{"type":2,"fileName":"a.bin"}a.b{"type":9}"#).len(),
        header.len() + 3 + answers(TextPolicy::Echo, r#"{"type":9}"#).len()
    );
}

/// A name may follow a response, also where the arrival began with text.
#[test]
fn a_name_behind_an_answer_is_a_name() {
    let config = classic().with_text_policy(TextPolicy::Echo);
    let select = r#"{"type":2,"fileName":"a.bin"}"#;
    let header = r#"{"type":2,"data":12,"fileName":"a.bin","readCnt":1,"lastSize":12}"#;
    let mut rig = rig(&config);
    rig.send(select.as_bytes(), usize::MAX);
    assert_eq!(rig.take_text(), header);
    rig.send(["hi", select, "a.bin"].concat().as_bytes(), usize::MAX);
    assert_eq!(rig.take_text(), ["hi", header, "hello, world"].concat());
}

#[test]
fn one_reply_for_each_arrival_with_text() {
    let config = classic().with_text_policy(TextPolicy::Reply("收到"));
    let mut rig = rig(&config);
    rig.send("早上好".as_bytes(), usize::MAX);
    assert_eq!(rig.take_text(), "收到");
    rig.send(&[b'x'; 1024], usize::MAX);
    assert_eq!(rig.take_text(), "收到");
    rig.send(&[b'x'; 1025], usize::MAX);
    assert_eq!(rig.take_text(), "收到收到");
    rig.send(b"{\"type\":9}abc", usize::MAX);
    assert!(rig.take_text().ends_with("}\n收到"));
    assert_eq!(rig.text.len(), 9 + 1024 + 1025 + 3);
    // Two arrivals offered at once are separated by the length of the first offer.
    let (offered, _) = rig.session.receive(b"ab", rig.now());
    assert_eq!(offered, 2);
    rig.work();
    rig.send(b"cd", usize::MAX);
    assert_eq!(rig.take_text(), "收到收到");
}

/// With an empty reply nothing is sent, and the text is still shown to the owner.
#[test]
fn a_reply_may_be_empty() {
    let config = classic().with_text_policy(TextPolicy::Reply(""));
    let mut rig = rig(&config);
    rig.send(b"hello{\"type\":9}", usize::MAX);
    assert_eq!(rig.text, b"hello");
    assert!(rig.take_text().starts_with(r#"{"type":"error","code":"unknownType""#));
}

#[test]
fn a_held_prefix_becomes_text_after_a_second() {
    let config = classic().with_text_policy(TextPolicy::Echo);
    let mut rig = rig(&config);
    rig.send(br#"{"type":2,"fileName":"a.bin"}"#, usize::MAX);
    rig.take_text();
    rig.wait(500);
    rig.send(b"a", 1);
    rig.now_ms += 400;
    rig.send(b".b", 1);
    assert_eq!(rig.take_text(), "");
    // The second begins with the first byte of it.
    assert_eq!(rig.session.deadline(), Some((Instant::from_millis(1500), Timer::Hold)));
    rig.wait(1000);
    assert_eq!(rig.take_text(), "a.b");
    rig.send(b"in", usize::MAX);
    assert_eq!(rig.take_text(), "in");
    rig.send(b"a.", usize::MAX);
    rig.send(b"bin", usize::MAX);
    assert_eq!(rig.take_text(), "hello, world");
    rig.send(b"a.", usize::MAX);
    rig.send_eof();
    assert_eq!(rig.take_text(), "a.");
    assert_eq!(rig.close().map(|close| (close.how, close.why)), Some((CloseHow::Finish, CloseReason::Done)));
}

/// The actions of a session after a confirmed name.
#[derive(Debug, PartialEq)]
enum Wanted {
    Close(CloseHow, CloseReason),
    SendFile { len: usize, more: bool, hash: bool },
}

/// A classic body has no trailer, so its last bytes are sent immediately.
#[test]
fn more_follows_but_the_last_bytes_of_a_body() {
    static LONG: [StaticFile<'static>; 1] = [StaticFile::new("a", "v1", &[b'x'; 2_100])];
    let config = classic();
    let mut rig = Rig::with_files(&config, &LONG);
    rig.send(br#"{"type":2,"fileName":"a"}"#, usize::MAX);
    assert_eq!(rig.take_text(), r#"{"type":2,"data":2100,"fileName":"a","readCnt":3,"lastSize":52}"#);
    assert_eq!(rig.session.receive(b"a", rig.now()).0, 1);
    assert!(rig.step());
    let mut seen = Vec::new();
    while let Action::SendFile { offset, len, more, hash: false } = rig.session.action() {
        seen.push((offset, len, more));
        assert!(seen.len() < 9, "no end in sight");
        assert!(rig.step());
    }
    assert_eq!(seen, [(0, 1_024, true), (1_024, 1_024, true), (2_048, 52, false)]);
    assert_eq!((rig.output.len(), rig.session.exchanges()), (2_100, 2));
    assert_eq!(rig.session.last_exchange().body_len, 2_100);
}

/// The dialect has no error message: a failure after a select ends the connection, with no byte sent.
#[test]
fn what_fails_ends_the_connection() {
    let config = classic();
    let select = br#"{"type":2,"fileName":"a.bin"}"#;
    let info = |size, version| FileInfo::new(size, Version::new(version).expect("good"));
    let confirmed = |reply: Reply<'_>| {
        let mut rig = rig(&config);
        rig.send(select, usize::MAX);
        rig.take_text();
        assert_eq!(rig.session.receive(b"a.bin", rig.now()).0, 5);
        assert_eq!(rig.session.action(), Action::Reply(Request::Confirm { name: FileName::from_static("a.bin") }));
        rig.session.reply(reply, rig.now());
        let wanted = match rig.session.action() {
            Action::Close(close) => Wanted::Close(close.how, close.why),
            Action::SendFile { offset: 0, len, more, hash } => Wanted::SendFile { len, more, hash },
            other => panic!("{other:?}"),
        };
        (wanted, rig.session.last_exchange(), rig.session.exchanges())
    };
    let classic = |code| {
        let exchange = Exchange::new(Some(RequestKind::Confirm), Some(code), 0);
        (Wanted::Close(CloseHow::Finish, CloseReason::Classic), exchange, 2)
    };
    assert_eq!(confirmed(Reply::File { info: &info(12, "v2"), known: None }), classic(Code::Changed));
    assert_eq!(confirmed(Reply::File { info: &info(11, "v1"), known: None }), classic(Code::Changed));
    assert_eq!(confirmed(Reply::Refuse(Code::NotFound)), classic(Code::NotFound));
    // It has grown: the announced bytes are sent.
    let grown = confirmed(Reply::File { info: &info(13, "v1"), known: None });
    assert_eq!(grown.0, Wanted::SendFile { len: 12, more: false, hash: false });
}

#[test]
fn a_list_that_fails_ends_the_connection() {
    let config = classic();
    let failed = |fault: StoreError, is_begun: bool| {
        let mut rig = rig(&config);
        assert_eq!(rig.session.receive(br#"{"type":1}"#, rig.now()).0, 10);
        if is_begun {
            rig.session.reply(Reply::Listing, rig.now());
            rig.send_lines();
            rig.session.entry(Err(fault), rig.now());
        } else {
            rig.session.reply(Reply::Refuse(fault.code()), rig.now());
        }
        assert_eq!(rig.close().map(|close| (close.how, close.why)), Some((CloseHow::Finish, CloseReason::Classic)));
        let last = rig.session.last_exchange();
        assert_eq!((last.kind, last.error, rig.session.exchanges()), (Some(RequestKind::List), Some(fault.code()), 1));
    };
    failed(StoreError::Io, true);
    failed(StoreError::Denied, false);
}

/// Anything but plain files is left out, and not counted.
#[test]
fn a_list_leaves_out_what_is_no_file() {
    let config = classic();
    let mut rig = rig(&config);
    assert_eq!(rig.session.receive(br#"{"type":1}"#, rig.now()).0, 10);
    rig.session.reply(Reply::Listing, rig.now());
    let entry = |name, kind| Ok(Listed::Entry(Entry::new(FileName::from_static(name), kind)));
    let file = EntryKind::File { size: 1, modified: Some(1) };
    for step in [
        Ok(Listed::Skipped),
        Ok(Listed::Hidden),
        entry("d", EntryKind::Directory { link: false }),
        entry("a", file),
        Ok(Listed::Skipped),
        entry("l", EntryKind::Directory { link: true }),
        entry("b", file),
        Ok(Listed::End),
    ] {
        rig.send_lines();
        assert_eq!(rig.session.action(), Action::Entry);
        rig.session.entry(step, rig.now());
    }
    rig.work();
    assert_eq!(rig.take_text(), r#"{"type":1,"fileName":["a","b"],"data":2}"#);
}

fn ask_stat() -> String {
    answers(TextPolicy::Reject, r#"{"type":"stat","fileName":"empty"}"#)
}

/// Unless the owner enables it, a build with the dialect responds like one without.
#[test]
fn it_is_off_unless_the_owner_turns_it_on() {
    let config = ServerConfig::new();
    for request in [r#"{"type":1}"#, r#"{"type":2}"#, r#"{"type":2,"fileName":"a.bin"}"#] {
        let mut rig = rig(&config);
        rig.send(request.as_bytes(), usize::MAX);
        let text = rig.take_text();
        assert!(text.starts_with(r#"{"type":"error","code":"unknownType","#), "{text}");
    }
}
