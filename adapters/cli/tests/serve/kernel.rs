//! System calls that fail, by strace's fault injection.

use std::process::Command;

use crate::fixture::{Program, settled, wait_for};

/// Runs the program under `strace` with `injections`.
fn tampered(injections: &[&str], args: &[&str]) -> Program {
    let found = Command::new("strace").arg("-V").output();
    assert!(found.is_ok(), "this test needs strace: apt-get install strace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null"]);
    for injection in injections {
        command.args(["-e", &format!("inject={injection}")]);
    }
    command.arg(env!("CARGO_BIN_EXE_coracle")).arg("serve").arg(&settled().0).args(args);
    Program::start_as(command)
}

#[test]
fn k6_no_error_of_accept_ends_service() {
    for errno in ["ECONNABORTED", "EPROTO", "EPERM", "EINTR", "ENOBUFS", "ENOMEM", "EMFILE", "ENFILE", "EIO"] {
        let program = tampered(&[&format!("accept4:error={errno}:when=1..4")], &["-v"]);
        for _ in 0..3 {
            program.connect().hello();
        }
        let is_used_up = ["ENOBUFS", "ENOMEM", "EMFILE", "ENFILE", "EIO"].contains(&errno);
        let warns = |program: &Program| program.log().contains("trouble accepting a client");
        if is_used_up {
            wait_for(|| warns(&program).then_some(()));
        } else {
            // The lines of the clients come after the warning would.
            wait_for(|| (program.log().matches("disconnected").count() == 3).then_some(()));
            assert!(!warns(&program), "{errno}: {}", program.log());
        }
    }
}

#[test]
fn k1_interrupted_calls_are_tried_again() {
    let calls = ["recvfrom", "pread64", "sendto", "sendfile"].map(|call| format!("{call}:error=EINTR:when=10+3"));
    let program = tampered(&calls.each_ref().map(String::as_str), &[]);
    let bytes = &settled().1;
    let mut client = program.connect();
    for digest in ["none", "sha256", "crc32", "none"] {
        client.send(format!(r#"{{"type":"get","fileName":"big","digest":"{digest}"}}"#)).line();
        assert!(client.bytes(bytes.len()) == *bytes);
        assert!(client.line().starts_with(r#"{"type":"end""#));
    }
}

#[test]
fn k4_a_network_that_fails_ends_the_connection_and_nothing_else() {
    for errno in ["EPIPE", "ECONNRESET", "ETIMEDOUT", "EHOSTUNREACH", "ENETDOWN"] {
        let program = tampered(&[&format!("sendfile:error={errno}:when=2")], &[]);
        let bytes = &settled().1;
        let mut client = program.connect();
        client.send(r#"{"type":"get","fileName":"big","digest":"none"}"#).line();
        let (got, is_reset) = client.rest_or_reset();
        assert!(is_reset && got.len() < bytes.len(), "{errno}");
        wait_for(|| program.log().contains("cut short: lost (").then_some(()));
        program.connect().hello();
    }
}

#[test]
fn k8_options_that_are_refused_are_logged_and_it_serves() {
    let program = tampered(&["setsockopt:error=ENOPROTOOPT"], &["--idle-timeout", "500ms"]);
    let bytes = &settled().1;
    let mut client = program.connect();
    client.send(r#"{"type":"get","fileName":"big","digest":"none"}"#).line();
    assert!(client.bytes(bytes.len()) == *bytes);
    client.half_close().rest();
    let log = wait_for(|| Some(program.log()).filter(|log| log.contains("a socket refused an option")));
    for option in ["SO_REUSEADDR", "TCP_NODELAY", "SO_KEEPALIVE"] {
        assert!(log.contains(&format!("trouble {option} ")), "{log}");
    }
}

#[test]
fn s7_a_disk_that_fails_breaks_the_body_off() {
    let program = tampered(&["sendfile:error=EIO:when=2"], &[]);
    let bytes = &settled().1;
    let mut client = program.connect();
    client.send(r#"{"type":"get","fileName":"big","digest":"none"}"#).line();
    let (got, is_reset) = client.rest_or_reset();
    assert!(is_reset && got.len() < bytes.len());
    assert!(bytes.starts_with(&got), "an error line inside the body?");
    wait_for(|| program.log().contains(" fileFault\n").then_some(()));
    program.connect().hello();
}

/// Where sendfile does not work, the bytes of the file are read, from where the body has come to.
#[test]
fn a_file_that_sendfile_cannot_send_is_read() {
    for failing in ["sendfile:error=EINVAL", "sendfile:error=EINVAL:when=3+"] {
        let program = tampered(&[failing], &[]);
        let bytes = &settled().1;
        let mut client = program.connect();
        for _ in 0..2 {
            client.send(r#"{"type":"get","fileName":"big","digest":"none"}"#).line();
            assert!(client.bytes(bytes.len()) == *bytes, "{failing}");
            assert_eq!(client.line(), r#"{"type":"end"}"#, "{failing}");
        }
    }
}

#[test]
fn without_ipv6_it_listens_on_ipv4() {
    let program = tampered(&["socket:error=EAFNOSUPPORT:when=1"], &["--listen", "[::]:0"]);
    assert!(program.address.is_ipv4() && program.address.ip().is_unspecified(), "{}", program.address);
    let here = std::net::SocketAddr::new("127.0.0.1".parse().expect("an ip"), program.address.port());
    crate::fixture::Client::new(here).hello();
}
