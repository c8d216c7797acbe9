//! Bytes that are no request.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use coracle::server::OnText;

use crate::fixture::{HELLO, Program, Running, code, in_time, wait_for};

#[test]
fn f11_text_is_rejected_unless_the_owner_decides_otherwise() {
    let server = Running::new();
    let rest = server.connect().send("GET / HTTP/1.1\r\n\r\n").rest();
    assert_eq!(code(&rest), "badRequest");
    assert!(!rest.contains("GET") && !rest.contains("HTTP"), "{rest}");
}

#[test]
fn an_echo_gives_back_every_byte() {
    let server = Running::with(|limits| limits.on_text = OnText::Echo);
    let mut client = server.connect();
    let noise: Vec<u8> = (0..=255).filter(|byte| *byte != b'{').cycle().skip(200).take(100_000).collect();
    let mut writer = client.stream.try_clone().expect("a clone");
    thread::scope(|scope| {
        scope.spawn(|| std::io::Write::write_all(&mut writer, &noise).expect("sent"));
        assert!(client.bytes(noise.len()) == noise, "it came back otherwise");
    });
    client.hello();
    // White space in front of text is in front of a request, too.
    assert_eq!(client.send("\nonce more\n").bytes(10), b"once more\n");
}

#[test]
fn one_reply_for_each_arrival() {
    let server = Running::with(|limits| limits.on_text = OnText::Reply("收到客户端信息".to_owned()));
    let mut client = server.connect();
    for text in ["早上好", "no newline", "x"] {
        client.send(text);
        assert_eq!(client.bytes(21), "收到客户端信息".as_bytes());
    }
    // A character that comes in two pieces harms nobody.
    client.send(&"早".as_bytes()[..1]);
    assert_eq!(client.bytes(21).len(), 21);
    client.send(&"早".as_bytes()[1..]);
    assert_eq!(client.bytes(21).len(), 21);
    client.hello();
    client.half_close();
    assert_eq!(client.rest(), "");
}

/// The selected file's name may come in pieces, but who sends a part of it and waits gets that back after a second.
#[test]
fn the_beginning_of_a_name_is_held_for_a_second() {
    let server = Running::with(|limits| limits.on_text = OnText::Echo);
    std::fs::write(server.directory.path().join("motd"), "Mind the step.\n").expect("written");
    let mut client = in_time(|| {
        let mut client = server.connect();
        let header = r#"{"type":2,"data":15,"fileName":"motd","readCnt":1,"lastSize":15}"#;
        assert_eq!(client.send(r#"{"type":2,"fileName":"motd"}"#).bytes(header.len()), header.as_bytes());
        let started = Instant::now();
        client.send("mo");
        thread::sleep(Duration::from_millis(300));
        client.send("td");
        (started.elapsed() < Duration::from_millis(900)).then(|| {
            assert_eq!(client.bytes(15), b"Mind the step.\n");
            client
        })
    });
    let started = Instant::now();
    assert_eq!(client.send("mo").bytes(2), b"mo");
    let passed = started.elapsed();
    // The clock ticks every few milliseconds.
    assert!(passed >= Duration::from_millis(980) && passed < Duration::from_secs(20), "{passed:?}");
    assert_eq!(client.send("td").bytes(2), b"td");
    assert_eq!(client.send("motd").bytes(15), b"Mind the step.\n");
}

/// Text counts as a sign of life: who has sent some does not lose the place.
#[test]
fn who_has_sent_text_keeps_its_place() {
    let server = Running::with(|limits| {
        limits.max_clients = 1;
        limits.on_text = OnText::Echo;
    });
    let mut client = server.connect();
    assert_eq!(client.send("hi").bytes(2), b"hi");
    thread::sleep(Duration::from_millis(1200));
    assert_eq!(code(&server.connect().rest()), "busy");
    assert_eq!(client.send("hi").bytes(2), b"hi");
}

#[test]
fn the_program_logs_each_arrival_escaped_with_its_peer() {
    let program = Program::start(&["--on-text", "reply:got it"]);
    let mut client = program.connect();
    let peer = client.stream.local_addr().expect("an address");
    for text in ["早上好", "\x1b[2J\r\n2024-01-01 a forged line", "\u{202e}"] {
        client.send(text);
        assert_eq!(client.bytes(6), b"got it");
    }
    drop(client);
    wait_for(|| program.log().contains("disconnected").then_some(()));
    let log = program.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(" text ")).collect();
    assert_eq!(lines.len(), 3, "{log}");
    assert!(lines.iter().all(|line| line.contains(&peer.to_string())), "{log}");
    assert!(lines[0].ends_with(" text 早上好"), "{log}");
    assert!(lines[1].ends_with(r" text \x1b[2J\r\n2024-01-01 a forged line"), "{log}");
    assert!(lines[2].ends_with(r" text \u{202e}"), "{log}");

    let program = Program::start(&["--on-text", "echo", "--log-format", "json"]);
    let mut client = program.connect();
    assert_eq!(client.send("\x1b\"").bytes(2), b"\x1b\"");
    wait_for(|| program.log().contains(r#""event":"text""#).then_some(()));
    assert!(!program.log().contains('\x1b'));
    assert!(program.log().contains(r#""text":"\u001b\"""#), "{}", program.log());
    client.send(HELLO).line();
}

#[test]
fn a_policy_that_there_is_not_is_wrong_usage() {
    for wrong in ["reply", "reply:", "shout"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
        let output = command.args(["serve", "--on-text", wrong]).stdin(Stdio::null()).output().expect("run");
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("reply:TEXT"), "{output:?}");
    }
}
