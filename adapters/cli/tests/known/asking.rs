//! What is asked on a terminal, which `script` of bsdutils makes.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use crate::support::{Server, User, key};

/// Runs the program in a terminal, and types.
fn in_terminal(user: &User, args: &str, typed: &str) -> (Option<i32>, String) {
    let command = format!("'{}' {args}", env!("CARGO_BIN_EXE_coracle"));
    let mut script = user
        .command("script")
        .args(["-qec", &command, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("script: {error}; 'apt-get install bsdutils' installs it"));
    script.stdin.take().expect("its input").write_all(typed.as_bytes()).expect("typed");
    let output = script.wait_with_output().expect("its output");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_server_that_the_user_knows_is_kept() {
    let (server, user) = (Server::start(0x51, Vec::new()), User::new());
    user.keep_key("mine", 0x61);
    let args = format!("get {} motd --key mine", server.address());
    let (code, shown) = in_terminal(&user, &args, "no\n");
    assert_eq!(code, Some(4), "{shown}");
    assert!(shown.contains(&key(0x51).public().to_string()), "{shown}");
    assert!(!user.configuration("pins").exists() && !user.path("motd").exists());

    let (code, shown) = in_terminal(&user, &args, "yes\n");
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(fs::read_to_string(user.path("motd")).expect("fetched"), "Mind the step.\n");
    let kept = fs::read_to_string(user.configuration("pins")).expect("kept");
    assert_eq!(kept, format!("{} {}\n", server.address(), key(0x51).public()));
    // Without asking, and without a terminal.
    user.run(&["ls", &server.address()]).prints(0, "motd\n");
}

#[test]
fn clients_of_several_threads_ask_once() {
    let (server, user) = (Server::start(0x51, Vec::new()), User::new());
    user.keep_key("mine", 0x61);
    let args = format!("get -r {} -j 4 -o all --key mine", server.address());
    let (code, shown) = in_terminal(&user, &args, "yes\n");
    assert_eq!((code, shown.matches("Is it the same?").count()), (Some(0), 1), "{shown}");
    assert_eq!(fs::read_to_string(user.path("all/motd")).expect("fetched"), "Mind the step.\n");
}
