//! Responses are complete, and JSON. Names begin with the number in tests/FAULTS.md.

mod common;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use common::Rig;
use coracle_core::{
    ClientAction, ClientRequest, ClientSession, FileName, GetRequest, Instant, ServerConfig, StartError, StaticFile,
};

/// Reads lines of a text's bytes in hexadecimal and of a reply, and checks that the reply is JSON, and tells the text.
const ORACLE: &str = r#"
import json, sys
count = 0
for line in sys.stdin.buffer.read().split(b"\n")[:-1]:
    text, member, reply = line.split(b" ", 2)
    told = json.loads(reply.decode("utf-8"))[member.decode()]
    text = bytes.fromhex(text.decode()).decode("utf-8")
    assert told == text or (member == b"message" and told.endswith(": " + text)), (text, told)
    count += 1
print(count)
"#;

/// Names, usual and unusual ones.
fn texts() -> Vec<String> {
    let mut texts =
        vec!["\"".repeat(255), "a\"b/\u{2028}\u{2029}".into(), "\u{7f}\u{80}\u{9f}".into(), "\u{feff}x".into()];
    texts.extend((0..0x100).map(|code| format!("x{}y", char::from_u32(code).expect("Latin 1"))));
    texts.extend(
        ["\u{10ffff}", "\u{fffe}", "e\u{301}", "\u{202e}gnp.exe", "</script>", "a\\u0041", "%s%n"].map(String::from),
    );
    texts
}

/// The first line of the response to `request`, sent in pieces of `piece` bytes.
fn reply(request: &serde_json::Value, files: &'static [StaticFile<'static>], piece: usize) -> String {
    let config = ServerConfig::new();
    let mut rig = Rig::with_files(&config, files);
    rig.piece = piece;
    rig.send(request.to_string().as_bytes(), usize::MAX);
    rig.take_text()
}

/// Python's json reads the original name from a header, an entry and an error.
#[test]
fn j17_whatever_a_name_holds_the_reply_is_json() {
    let mut input = String::new();
    let mut count = 0;
    let mut tell = |text: &str, member: &str, reply: &str| {
        let (line, rest) = reply.split_once('\n').expect("a line");
        assert!(line.len() < 1_024 && !line.chars().any(|character| character < ' '), "{line:?}");
        let text = text.bytes().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        writeln!(input, "{text} {member} {line}").expect("a String");
        count += 1;
        rest.to_owned()
    };
    for text in texts() {
        let is_good = FileName::new(&text).is_ok();
        if is_good {
            let name: &'static str = text.clone().leak();
            let files = vec![StaticFile::new(name, "\"\\v", b"")].leak();
            let stat = serde_json::json!({"type": "stat", "fileName": text});
            // What does not fit a request can still be listed.
            if stat.to_string().len() <= 512 {
                tell(&text, "fileName", &reply(&stat, files, 3));
                tell("\"\\v", "version", &reply(&stat, files, usize::MAX));
            }
            if !text.contains('/') {
                tell(&text, "fileName", &reply(&serde_json::json!({"type": "list"}), files, 7));
            }
        }
        // An error repeats the requested name.
        if text.len() < 60 {
            let refused = reply(&serde_json::json!({"type": "stat", "fileName": text}), &[], 2);
            let (member, told) = if is_good { ("message", text.as_str()) } else { ("code", "badName") };
            assert_eq!(tell(told, member, &refused), "");
        }
    }
    let python = Command::new("python3")
        .args(["-c", ORACLE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut python = python.expect("python3 is here; sudo apt-get install python3 brings it");
    let mut stdin = python.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("Python reads");
    drop(stdin);
    let judged = python.wait_with_output().expect("it ends");
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
    assert_eq!(String::from_utf8_lossy(&judged.stdout).trim(), count.to_string());
    assert!(count > 500, "{count}");
}

#[test]
fn j18_a_line_longer_than_the_buffer_goes_out_in_pieces() {
    let name: &'static str = "\"".repeat(FileName::MAX_LEN).leak();
    let files = vec![StaticFile::new(name, "v", b"123")].leak();
    // Escaped it is too long for a request, so only the entry can be tested.
    let request = serde_json::json!({"type": "list"});
    let whole = reply(&request, files, usize::MAX);
    let escaped = name.replace('"', "\\\"");
    let entry = format!("{{\"type\":\"entry\",\"fileName\":\"{escaped}\",\"fileSize\":3}}\n");
    assert!(entry.len() > 512, "longer than the session's buffer");
    assert_eq!(whole, entry + "{\"type\":\"end\",\"count\":1}\n");
    for piece in [1, 5, 100, 511] {
        assert_eq!(reply(&request, files, piece), whole);
    }
}

#[test]
fn j18_a_request_that_does_not_fit_is_an_error_before_a_byte_is_sent() {
    let name = "\"".repeat(FileName::MAX_LEN);
    let name = FileName::new(&name).expect("good");
    let now = Instant::default();
    let mut session = ClientSession::new([0; 1_024]);
    for ask in [
        ClientRequest::Get(GetRequest::new(name)),
        ClientRequest::List { path: Some(name) },
        ClientRequest::Stat { name, digest: None },
    ] {
        assert_eq!(session.start(ask, now), Err(StartError::NameDoesNotFit));
        assert_eq!(session.action(), ClientAction::Idle);
    }
    session.start(ClientRequest::Hello, now).expect("this one fits");
}
