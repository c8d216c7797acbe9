//! Where following begins and ends, and what is in the lines.

use crate::support::{LOG, Serve};

fn out(args: &[&str]) -> (Option<i32>, String) {
    let output = Serve::run(args);
    (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
}

#[test]
fn the_end_is_printed_in_lines_or_bytes() {
    let serve = Serve::new(&[]);
    let lines: Vec<_> = (0..1_000).map(|number| format!("line {number}\n")).collect();
    serve.write(LOG, lines.concat());
    let last = |number: usize| lines[1_000 - number..].concat();
    let server = serve.address.as_str();
    for (args, expected) in [
        (&[server, LOG][..], last(10)),
        (&[server, LOG, "-n", "3"], last(3)),
        (&["-n", "0", server, LOG], String::new()),
        (&["-n", "all", server, LOG], last(1_000)),
        (&["-n", "5000", server, LOG], last(1_000)),
        (&["-c", "9", server, LOG], last(1)),
        (&["-c", "0", server, LOG], String::new()),
    ] {
        assert_eq!(out(args), (Some(0), expected), "{args:?}");
    }
    assert_eq!(out(&["-n", "some", server, LOG]).0, Some(2));
    assert_eq!(out(&["-n", "1", "-c", "1", server, LOG]).0, Some(2));
}

#[test]
fn until_a_text_comes() {
    let serve = Serve::new(&[]);
    serve.write(LOG, "boot\nlogin: prompt\nmore\n");
    assert_eq!(out(&[&serve.address, LOG, "--until", "login:"]), (Some(0), "boot\nlogin: prompt\n".to_owned()));
    let output = Serve::run(&[&serve.address, LOG, "--until", "panic"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no line has \"panic\""), "{output:?}");
    let mut tail = serve.follow(&["--until", "ready", "-n", "1"]);
    tail.prints("more\n");
    serve.append("not yet\nrea");
    tail.prints("more\nnot yet\nrea");
    serve.append("dy\n");
    assert_eq!(tail.ends(), 0);
    tail.prints("more\nnot yet\nready\n");
    let mut tail = serve.follow(&["--until", "never", "--max-time", "200ms", "-n", "0"]);
    assert_eq!(tail.ends(), 3);
    tail.tells("the time for it is over", 1);
}

#[test]
fn l3_whatever_a_line_holds_comes_as_it_is() {
    let serve = Serve::new(&["--append", "*.log"]);
    let mut contents = b"\0\xff\xfe\x1b[31m\r\n".to_vec();
    serve.write(LOG, &contents);
    let tail = serve.follow(&["-n", "all"]);
    tail.prints(&contents);
    let mut add = |bytes: &[u8]| {
        serve.append(bytes);
        contents.extend_from_slice(bytes);
        tail.prints(&contents);
    };
    add(b"login: ");
    add(&b"x".repeat(10 << 20));
    add(b"\n");
    drop(tail);
    let output = Serve::run(&["-n", "all", "--json", &serve.address, LOG]);
    let mut lines = output.stdout.split(|byte| *byte == b'\n').map(serde_json::from_slice::<serde_json::Value>);
    let first = lines.next().expect("a line").expect("JSON");
    assert_eq!((&first["hex"], &first["fileName"]), (&"00fffe1b5b33316d0d".into(), &LOG.into()));
    let second = lines.next().expect("a line").expect("JSON");
    assert_eq!(second["line"].as_str().map(str::len), Some((10 << 20) + 7));
}

/// Two hosts with a long line each: no line is inside another.
#[test]
fn l3_long_lines_of_several_hosts_are_not_mixed() {
    let servers = [Serve::new(&[]), Serve::new(&[])];
    for (serve, letter) in servers.iter().zip(["a", "b"]) {
        serve.write(LOG, format!("{}\n", letter.repeat(3 << 20)).repeat(3));
    }
    let (first, second) = (&servers[0].address, &servers[1].address);
    let (code, printed) = out(&["-n", "all", first, second, LOG]);
    assert_eq!((code, printed.lines().count()), (Some(0), 6));
    for line in printed.lines() {
        let (label, text) = line.split_once(" | ").expect("a label");
        let letter = if label.trim_end() == first { 'a' } else { 'b' };
        assert!(text.len() == 3 << 20 && text.chars().all(|other| other == letter), "a line of {}", text.len());
    }
}

/// Standard output that takes nothing more ends it without an error, as with `head`.
#[test]
fn it_ends_when_nobody_reads() {
    let serve = Serve::new(&[]);
    serve.write(LOG, "x\n".repeat(1 << 20));
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_coracle"))
        .args(["tail", "-f", "-n", "all", &serve.address, LOG])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the program");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("waited for").code(), Some(0));
}

/// While the reader stands still, no memory is taken, and nothing is lost.
#[test]
fn l6_a_reader_that_stands_still_holds_the_reading_back() {
    let serve = Serve::new(&["--append", "*.log"]);
    serve.write(LOG, "");
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_coracle"))
        .args(["tail", "-f", "-n", "all", &serve.address, LOG, "--until", "the end"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the program");
    let contents = (0..2_000_000).fold(String::new(), |text, number| text + &format!("{number}\n"));
    serve.append(&contents);
    serve.append("the end\n");
    let resident_kib = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("a status");
        let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("a size");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number")
    };
    // Until it is full of what nobody reads: its size stays where it is.
    let mut sizes = vec![resident_kib()];
    while sizes.len() < 10 || sizes[sizes.len() - 10] != sizes[sizes.len() - 1] {
        std::thread::sleep(std::time::Duration::from_millis(20));
        sizes.push(resident_kib());
    }
    assert!(sizes[sizes.len() - 1] < 64 << 10, "{sizes:?}");
    let output = child.wait_with_output().expect("the program");
    assert!(output.stdout == (contents + "the end\n").as_bytes() && output.status.success());
}

#[test]
fn hosts_and_names_that_are_wrong_are_told() {
    for (args, what) in [
        (&["localhost", "../a"][..], "'..' is not followed"),
        (&["a:0", "name"], "a port is a number"),
        (&["@/nonexistent", "name"], "/nonexistent"),
        (&["a", "a", "name"], "a is in the arguments already"),
        (&["a"], "NAME"),
    ] {
        let output = Serve::run(args);
        assert!(matches!(output.status.code(), Some(2 | 5)), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(what), "{args:?}: {output:?}");
    }
}
