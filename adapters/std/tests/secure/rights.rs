//! What each client may do.

#[cfg(unix)]
use std::fs;
#[cfg(unix)]
use std::os::unix::fs::symlink;

use coracle::channel::{Authorized, ServerChannel};

use crate::fixture::{PSK, READER, Running, SERVER, STRANGER, WRITER, code, key, list, psk};

const STAT: &str = r#"{"type":"stat","fileName":"motd"}"#;

#[test]
fn each_client_may_do_what_its_line_says() {
    let server = Running::new();
    let mut reader = server.client(READER);
    let hello = reader.ask(r#"{"type":"hello"}"#);
    assert!(hello.contains(r#""features":["list","stat","get","wait"]"#), "{hello}");
    assert!(reader.ask(STAT).contains(r#""fileSize":15"#));
    assert_eq!(code(&reader.put("in/a.txt")), "denied");
    assert_eq!(reader.code(r#"{"type":"delete","fileName":"in/old.txt"}"#), "denied");

    let mut writer = server.client(WRITER);
    assert_eq!(writer.code(STAT), "denied");
    assert_eq!(writer.code(r#"{"type":"list"}"#), "denied");
    assert!(writer.put("in/a.txt").contains(r#""type":"end""#));
    assert_eq!(code(&writer.put("a.txt")), "denied");
    assert!(server.directory.path().join("in/a.txt").exists() && !server.directory.path().join("a.txt").exists());
    assert_eq!(writer.code(r#"{"type":"rename","fileName":"in/a.txt","to":"b.txt"}"#), "denied");
    assert_eq!(writer.code(r#"{"type":"rename","fileName":"in/a.txt","to":"in/b.txt"}"#), "");

    let log = server.log.wait_for("rename in/a.txt to in/b.txt");
    let put = log.lines().find(|line| line.contains(" put in/a.txt ") && line.contains(" version ")).expect("logged");
    let owner = format!("Ada, who writes {}", key(WRITER).public());
    assert!(put.contains(&owner), "{put}");
    assert!(log.lines().any(|line| line.contains("The reader stat motd")), "{log}");
    assert!(log.lines().any(|line| line.contains("put in/a.txt") && line.ends_with("denied")), "{log}");
}

#[test]
fn e5_an_unknown_key_hears_its_own_key_and_no_more() {
    let server = Running::new();
    for request in [r#"{"type":"hello"}"#, STAT, r#"{"type":"fly"}"#] {
        let mut stranger = server.client(STRANGER);
        let answer = stranger.ask(request);
        assert!(code(&answer) == "denied" && answer.contains(&key(STRANGER).public().to_string()), "{answer}");
        assert_eq!(stranger.line(), "");
    }
}

#[test]
fn without_a_list_whoever_knows_the_pre_shared_key_may_read() {
    let channel = ServerChannel::new(key(SERVER)).with_psks(vec![psk(PSK)]).expect("one");
    let server = Running::with(channel, |_| {});
    let mut client = server.client(STRANGER);
    assert!(client.ask(STAT).contains(r#""fileSize":15"#));
    assert_eq!(code(&client.put("in/a.txt")), "denied");
}

#[test]
fn e5_what_is_revoked_ends_with_the_next_request() {
    let server = Running::new();
    let (mut reader, mut writer) = (server.client(READER), server.client(WRITER));
    assert!(reader.ask(STAT).contains(r#""fileSize":15"#));
    let ready = writer.ask(&crate::fixture::put("in/a.txt"));
    assert!(ready.contains(r#""ready""#), "{ready}");
    writer.send("01234");
    server.channel.set_clients(Authorized::parse(&format!("{} read\n", key(WRITER).public())).expect("a list"));
    assert_eq!(reader.code(STAT), "denied");
    assert_eq!(reader.line(), "");
    // The file is not given its name.
    writer.send("56789");
    assert_eq!(code(&writer.line()), "denied");
    assert!(!server.directory.path().join("in/a.txt").exists());
    assert!(writer.ask(STAT).contains(r#""fileSize":15"#));
}

#[cfg(unix)]
#[test]
fn a_right_that_is_limited_to_a_directory_follows_no_links() {
    let server = Running::new();
    let root = server.directory.path();
    symlink("../motd", root.join("in/out")).expect("made");
    symlink(".", root.join("in/round")).expect("made");
    fs::create_dir(root.join("in/deep")).expect("made");
    symlink("../..", root.join("in/deep/up")).expect("made");
    let mut writer = server.client(WRITER);
    for name in ["in/out", "in/round/old.txt", "in/deep/up/motd"] {
        assert_eq!(writer.code(&format!(r#"{{"type":"stat","fileName":"{name}"}}"#)), "denied", "{name}");
    }
    for name in ["in/out", "in/deep/up/a.txt", "in/round/a.txt"] {
        assert_eq!(code(&writer.put(name)), "denied", "{name}");
    }
    assert_eq!(writer.code(r#"{"type":"makeDir","path":"in/deep/up/new"}"#), "denied");
    assert_eq!(writer.code(r#"{"type":"delete","fileName":"in/deep/up/motd"}"#), "denied");
    assert_eq!(writer.code(r#"{"type":"list","path":"in/round"}"#), "denied");
    let mut listed = vec![writer.ask(r#"{"type":"list","path":"in"}"#)];
    while !listed[listed.len() - 1].contains(r#""count""#) {
        listed.push(writer.line());
    }
    let listed = listed.concat();
    assert!(listed.contains("in/old.txt") && listed.contains("in/deep"), "{listed}");
    assert!(
        !listed.contains("in/out") && !listed.contains("in/round") && listed.contains(r#""skipped":2"#),
        "{listed}"
    );
    // Who may read everything follows them.
    assert!(server.client(READER).ask(r#"{"type":"stat","fileName":"in/out"}"#).contains(r#""fileSize":15"#));
}

#[test]
fn clients_without_encryption_are_served_as_far_as_the_list_says() {
    let server = Running::new();
    // Nothing that it says is read.
    for text in [&b"{\"type\":\"hello\"}\n"[..], b"GET / HTTP/1.1\r\n\r\n", b" ", b"\xc1"] {
        let answer = server.plain().end_after(text);
        assert!(code(&answer) == "encrypted" && answer.lines().count() == 1, "{answer}");
    }

    let offering = |more: &str| {
        let clients = Authorized::parse(&list(more)).expect("a list");
        let channel = ServerChannel::new(key(SERVER)).with_psks(vec![psk(PSK)]).expect("one");
        Running::with(channel.with_clients(clients).with_plain(true), |_| {})
    };
    let server = offering("");
    assert_eq!(code(&server.plain().end_after(b"{\"type\":\"hello\"}\n")), "encrypted");
    assert!(server.client(READER).ask(STAT).contains(r#""fileSize":15"#));

    let server = offering("plain read=in/\n");
    let plain = server.plain();
    plain.0.set_nodelay(true).expect("set");
    let requests =
        [STAT, r#"{"type":"stat","fileName":"in/old.txt"}"#, &crate::fixture::put("in/a.txt"), ""].join("\n");
    let clone = plain.0.try_clone().expect("another handle");
    std::io::Write::write_all(&mut &clone, requests.as_bytes()).expect("sent");
    clone.shutdown(std::net::Shutdown::Write).expect("shut down");
    let answers = plain.end();
    let codes: Vec<String> = answers.lines().map(code).collect();
    assert_eq!(codes, ["denied", "", "denied"], "{answers}");
    assert!(server.client(READER).ask(STAT).contains(r#""fileSize":15"#));
}
