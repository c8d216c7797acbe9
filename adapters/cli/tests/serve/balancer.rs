//! The program behind a balancer: clients that a PROXY header names, and checks that only look whether it is there.

use std::process::{Command, Stdio};

use crate::fixture::{Program, code, wait_for};

/// The header of a client at 192.0.2.7, port 7.
const HEADER: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x0a\0\0\x01\0\x07\x22\xb8";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

#[test]
fn b2_the_log_names_the_client_behind_the_proxy() {
    let program = Program::start(&["--proxy-protocol", "10.0.0.0/8,::1", "--proxy-protocol", "127.0.0.1"]);
    let mut client = program.connect();
    client.send(HEADER).send(r#"{"type":"get","fileName":"a"}"#).line();
    drop(client);
    assert_eq!(code(&program.connect().send("PROXY TCP4 192.0.2.7 10.0.0.1 7 8888\r\n").rest()), "badRequest");
    wait_for(|| (program.log().lines().count() >= 3).then_some(()));
    let log = program.log();
    assert!(log.lines().any(|line| line.contains(" 192.0.2.7:7 client-") && line.contains(" get a 5 B ")), "{log}");
    let word = " proxy a PROXY header of version 1: the proxy has to send version 2";
    assert!(log.lines().any(|line| line.contains(" 127.0.0.1:") && line.ends_with(word)), "{log}");
}

#[test]
fn c15_checks_have_lines_in_a_verbose_log_alone() {
    for (level, expected) in [("-v", 1), ("--log-format=text", 0)] {
        let program = Program::start(&["--proxy-protocol", "127.0.0.2", level]);
        // As a balancer asks that sends no header; one that hangs up, and one that resets.
        program.connect().hello();
        drop(program.connect());
        let mut reset = program.connect();
        reset.hello();
        reset.reset();
        // Somebody asks for something, and has a line: those of before had theirs by then, or have none.
        let mut last = program.connect();
        last.send(r#"{"type":"stat","fileName":"a"}"#).line();
        drop(last);
        wait_for(|| program.log().contains(" stat a ").then_some(()));
        wait_for(|| (program.log().matches(" disconnected ").count() > 3 * expected).then_some(()));
        let log = program.log();
        assert_eq!(log.matches(" hello ").count(), 2 * expected, "{log}");
        assert_eq!(log.lines().filter(|line| line.contains(" 0 answers ")).count(), expected, "{log}");
    }
}

#[test]
fn c15_checks_of_the_balancer_itself_leave_no_line() {
    let program = Program::start(&["--proxy-protocol", "127.0.0.1"]);
    program.connect().send(LOCAL).hello();
    program.connect().send(LOCAL);
    drop(program.connect());
    let mut client = program.connect();
    client.send(HEADER).send(r#"{"type":"stat","fileName":"a"}"#).line();
    drop(client);
    wait_for(|| program.log().contains(" disconnected ").then_some(()));
    assert_eq!(program.log().lines().count(), 2, "{}", program.log());
}

#[test]
fn what_is_no_address_of_a_proxy_is_wrong_usage() {
    for wrong in ["balancer", "10.0.0.0/33", "10.0.0.5:80", ""] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
        let output = command.args(["serve", "--proxy-protocol", wrong]).stdin(Stdio::null()).output().expect("run");
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("as 10.0.0.5, 10.0.0.0/8"), "{output:?}");
    }
}
