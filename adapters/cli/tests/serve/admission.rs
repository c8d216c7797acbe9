//! The options about the admission of clients and about plain text.

use std::process::{Command, Stdio};

use crate::fixture::{Client, HELLO, Program, code, wait_for};

#[test]
fn the_program_queues() {
    let program = Program::start(&["--max-clients", "1", "--admission", "queue", "--queue-length", "1", "-v"]);
    let mut first = program.connect();
    first.hello();
    let mut second = program.connect();
    wait_for(|| program.log().contains(" queued ").then_some(()));
    assert_eq!(code(&program.connect().rest()), "busy");
    drop(first);
    second.hello();
    wait_for(|| program.log().contains(" disconnected ").then_some(()));

    let program = Program::start(&["--max-clients", "1", "--admission", "queue", "--queue-timeout", "300ms"]);
    let mut first = program.connect();
    first.hello();
    assert_eq!(code(&program.connect().rest()), "busy");
}

#[test]
fn x3_the_program_says_why_and_is_dual_stack() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
    command.args(["serve", "--listen", "[::]:0", "--max-clients-per-address", "1"]);
    let program = Program::start_as(command);
    let at = |host: &str| std::net::SocketAddr::new(host.parse().expect("an ip"), program.address.port());
    // One client of each family. The IPv4 one counts by its IPv4 address.
    let (mut v4, mut v6) = (Client::new(at("127.0.0.1")), Client::new(at("::1")));
    v4.hello();
    v6.hello();
    for host in ["127.0.0.1", "::1"] {
        assert_eq!(code(&Client::new(at(host)).rest()), "busy");
    }
    Client::connect_from("127.0.0.2", at("127.0.0.1")).hello();
    let refused = wait_for(|| {
        let log = program.log();
        let lines = log.lines().filter(|line| line.ends_with("refused its address has its share of places busy"));
        Some(lines.count()).filter(|count| *count == 2)
    });
    assert_eq!(refused, 2);
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
