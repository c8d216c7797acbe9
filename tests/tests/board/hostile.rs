//! Hostile clients. Names begin with the number in tests/FAULTS.md.

use std::time::Duration;

use serde_json::json;

use super::client::{Client, image, status};
use super::emulator::Board;

/// All of these against one board, which continues to serve, and never uses more than half of its stack.
#[test]
fn x9_hostile_clients_leave_half_of_the_stack() {
    let board = Board::start(&["config=none"]);
    let unanswered = |bytes: &[u8]| (bytes.to_vec(), "badRequest", true);
    let long_name = "n".repeat(256);
    let longest = format!(r#"{{"type":"stat","x":"{}","fileName":"empty"}}"#, "y".repeat(512 - 41));
    assert_eq!(longest.len(), 512);
    for (bytes, code, closes) in [
        // F1, F3: too long, with and without an end.
        (format!("{longest} ").replace(r#"{"type""#, r#"{ "type""#).into_bytes(), "tooLong", true),
        (format!(r#"{{"type":"{}"#, "x".repeat(100_000)).into_bytes(), "tooLong", true),
        // J3: as deep as a line allows.
        (format!(r#"{{"a":{}"#, "[".repeat(500)).into_bytes(), "badRequest", true),
        (format!(r#"{{"a":{}"#, r#"{"a":"#.repeat(100)).into_bytes(), "badRequest", true),
        // F11: another protocol.
        unanswered(b"GET / HTTP/1.1\r\nHost: board\r\n\r\n"),
        unanswered(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        unanswered(&[0xff; 4096]),
        // F10, J7, J9.
        unanswered(b"{\"type\":\"li\0st\"}"),
        unanswered(b"{\"type\":\"list\",\"path\":\"\xc0\xae\"}"),
        // P1 to P8.
        (br#"{"type":"get","fileName":"../boot.log"}"#.to_vec(), "badName", false),
        (br#"{"type":"get","fileName":"/etc/passwd"}"#.to_vec(), "badName", false),
        (br#"{"type":"get","fileName":"a\\b"}"#.to_vec(), "badName", false),
        (br#"{"type":"get","fileName":"\u002e\u002e/boot.log"}"#.to_vec(), "badName", false),
        (br#"{"type":"get","fileName":"boot.log\u0000"}"#.to_vec(), "badName", false),
        (format!(r#"{{"type":"get","fileName":"{long_name}"}}"#).into_bytes(), "badName", false),
        (br#"{"type":"get","fileName":"docs"}"#.to_vec(), "notFile", false),
        (br#"{"type":"list","path":"empty"}"#.to_vec(), "notDirectory", false),
        (br#"{"type":"list","path":"boot.log"}"#.to_vec(), "notDirectory", false),
        (br#"{"type":"put","fileName":"boot.log"}"#.to_vec(), "unknownType", false),
        (br#"{"type":"get","fileName":"empty","digest":"md5"}"#.to_vec(), "unsupported", false),
    ] {
        let mut client = Client::admitted(&board);
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        let is_whole = client.send_some(&bytes);
        assert!(is_whole || closes, "{text}");
        assert_eq!(client.line()["code"], code, "{text}");
        if closes {
            assert!(client.is_at_end(), "{text}");
        } else {
            assert_eq!(client.ask(&json!({"type": "hello"}))["type"], "hello", "{text}");
        }
    }
    // F2: of maximum length. F4: byte by byte.
    let mut client = Client::admitted(&board);
    client.send(longest.as_bytes());
    assert_eq!(client.line()["type"], "file");
    for byte in br#"{"type":"stat","fileName":"docs/\u8239.txt","digest":"sha256"}"# {
        client.send(&[*byte]);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(client.line()["fileName"], "docs/船.txt");
    // C6, C7: reset in the middle of a body, and right after connecting.
    for _ in 0..20 {
        let mut client = Client::admitted(&board);
        client.ask(&json!({"type": "get", "fileName": "image.bin"}));
        drop(client);
        drop(Client::connect(&board));
    }
    assert_stack_left(&board);
}

/// Lines of maximum length, nested to the maximum depth and deeper: a recursive parser would need 33 KiB of stack for them.
#[test]
fn w11_the_deepest_lines_leave_half_of_the_stack() {
    let board = Board::start(&["config=none"]);
    for (open, close, deepest) in [("[", "]", 7), (r#"{"a":"#, "}", 7)] {
        for depth in [deepest, deepest + 1, 80] {
            let value = format!("{}0{}", open.repeat(depth), close.repeat(depth));
            let values = [value.as_str()].repeat((512 - 50) / (value.len() + 5)).join(r#","x":"#);
            let is_served = depth == deepest;
            let mut client = Client::admitted(&board);
            client.send_some(format!(r#"{{"type":"stat","fileName":"empty","x":{values}}}"#).as_bytes());
            let answer = client.line();
            assert_eq!(answer["type"], if is_served { "file" } else { "error" }, "{depth} of {open}: {answer}");
        }
        let mut client = Client::admitted(&board);
        client.send_some(format!(r#"{{"type":"list","x":{}"#, open.repeat(480 / open.len())).as_bytes());
        assert_eq!(client.line()["code"], "badRequest");
    }
    assert_stack_left(&board);
}

/// The log in RAM is filled several times, while the developer's log is not read.
#[test]
fn w12_a_log_that_nobody_takes_stops_nothing() {
    let board = Board::start(&["config=none"]);
    let stat = json!({"type": "stat", "fileName": "boot.log"});
    let before = Client::admitted(&board).ask(&stat);
    board.hold_log(true);
    for _ in 0..80 {
        let mut client = Client::admitted(&board);
        for _ in 0..6 {
            assert_eq!(client.ask(&json!({"type": "hello"}))["type"], "hello");
        }
        // Its slot is free for the next one.
        client.finish();
        assert!(client.is_at_end());
    }
    let (header, log) = Client::admitted(&board).get(&json!({"type": "get", "fileName": "boot.log"}));
    board.hold_log(false);
    assert!(log.len() <= 8 * 1024 && log.ends_with(b"\n"), "{header}");
    assert_ne!(header["version"], before["version"], "it has not been full");
}

/// At most half of the stack was ever used.
fn assert_stack_left(board: &Board) {
    let after = status(board);
    let numbers = (after["stack_high_water"].as_u64(), after["stack_size"].as_u64());
    let (Some(used), Some(size)) = numbers else { panic!("{after}") };
    println!("stack: {used} of {size} bytes");
    assert!(size == 8192 && used * 2 < size && used > 512, "{after}");
}

/// Forty silent clients do not keep another client out.
#[test]
fn c1_the_silent_do_not_keep_others_out() {
    let board = Board::start(&["config=none"]);
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(Client::connect(&board));
        std::thread::sleep(Duration::from_millis(30));
    }
    // Long before the silent clients reach their idle timeout.
    let mut client = Client::admitted_within(Duration::from_secs(10), &board);
    let (header, body) = client.get(&json!({"type": "get", "fileName": "welcome.txt"}));
    assert_eq!(header["fileSize"].as_u64(), Some(body.len() as u64));
}

/// Three clients send invalid bytes as fast as they can; the fourth is served.
#[test]
fn w15_a_flood_does_not_starve_the_others() {
    let board = Board::start(&["config=none"]);
    let floods: Vec<_> =
        (0..3).map(|_| Client::admitted(&board)).map(|client| std::thread::spawn(|| flood(client))).collect();
    std::thread::sleep(Duration::from_millis(200));
    let (_, body) = Client::admitted(&board).get(&json!({"type": "get", "fileName": "image.bin"}));
    assert_eq!(body, image());
    for flood in floods {
        let sent = flood.join().expect("it does not panic");
        assert!(sent > 1_000_000, "{sent} bytes are no flood");
    }
    Client::admitted(&board);
}

/// Sends white space until the board's request timeout. Returns the number of bytes taken.
fn flood(mut client: Client) -> usize {
    let spaces = [b' '; 4096];
    let mut sent = 0;
    while client.send_some(&spaces) {
        sent += spaces.len();
    }
    sent
}
