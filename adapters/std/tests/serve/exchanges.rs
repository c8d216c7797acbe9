//! Good and bad requests.

use std::io::{Read, Write};

use crate::fixture::{HELLO, Running, code, settled};

#[test]
fn hello_list_and_get_on_one_connection() {
    let server = Running::new();
    let bytes = server.file("boot.log", 200_000);
    let mut client = server.connect();
    assert!(client.hello().contains(r#""maxRequest":4096,"chunkSize":65536,"idle_ms":60000"#));
    assert!(client.send(r#"{"type":"list"}"#).line().starts_with(r#"{"type":"entry","fileName":"boot.log""#));
    assert_eq!(client.line(), r#"{"type":"end","count":1}"#);
    // By sendfile, hashed beside it, and with the cached digest.
    for digest in ["none", "crc32", "crc32"] {
        let request = format!(r#"{{"type":"get","fileName":"boot.log","digest":"{digest}"}}"#);
        assert!(client.send(request).line().starts_with(r#"{"type":"file","fileName":"boot.log","fileSize":200000"#));
        assert!(client.bytes(bytes.len()) == bytes, "the body is another");
        let end = client.line();
        match digest {
            "none" => assert_eq!(end, r#"{"type":"end"}"#),
            _ => assert_eq!(end, format!(r#"{{"type":"end","crc32":"{:08x}"}}"#, crc32(&bytes))),
        }
    }
    let request = r#"{"type":"get","fileName":"boot.log","offset":199990,"length":4,"digest":"none"}"#;
    client.send(request).line();
    assert_eq!(client.bytes(4), bytes[199_990..199_994]);
    assert_eq!(client.half_close().rest(), "{\"type\":\"end\"}\n");
    assert_eq!(server.events.wait_for("left", 1), ["left done live 0"]);
    assert_eq!(server.events.count("get boot.log 200000 ok"), 3);
    assert_eq!(server.events.count("get boot.log 4 ok"), 1);
}

/// The system's clock is that of the files' times.
#[test]
fn hello_tells_the_time_by_the_clock_of_the_files() {
    let server = Running::new();
    server.file("a", 1);
    let path = server.directory.path().join("a");
    let modified = || {
        let metadata = std::fs::metadata(&path).expect("there");
        let modified = metadata.modified().expect("known").duration_since(std::time::UNIX_EPOCH);
        modified.expect("after 1970").as_secs()
    };
    let before = modified();
    let hello = server.connect().hello();
    std::fs::write(&path, "later").expect("written");
    let (_, rest) = hello.split_once(r#","time":"#).expect("a time");
    let told: u64 = rest.split(',').next().expect("a number").parse().expect("a number");
    // The clock of the files runs up to a tick behind.
    assert!((before..=modified() + 1).contains(&told), "{hello}");
}

#[test]
fn s4_each_request_gets_the_newest_contents() {
    let server = Running::new();
    let path = server.directory.path().join("status");
    let mut clients = ["none", "crc32"].map(|digest| (server.connect(), digest));
    let mut follow = |expected: &[u8]| {
        for (client, digest) in &mut clients {
            let mut answers = Vec::new();
            for _ in 0..4 {
                let line = client.send(format!(r#"{{"type":"get","fileName":"status","digest":"{digest}"}}"#)).line();
                assert!(line.contains(&format!(r#""fileSize":{},"#, expected.len())), "{line}");
                assert_eq!(client.bytes(expected.len()), expected);
                answers.push((line, client.line()));
            }
            let end = match *digest {
                "none" => r#"{"type":"end"}"#.to_owned(),
                _ => format!(r#"{{"type":"end","crc32":"{:08x}"}}"#, crc32(expected)),
            };
            assert!(answers.iter().all(|answer| *answer == answers[0] && answer.1 == end), "{answers:?}");
        }
    };
    let settle = || std::thread::sleep(std::time::Duration::from_millis(2_100));
    std::fs::write(&path, "one").expect("written");
    settle();
    follow(b"one");
    std::fs::write(&path, "two").expect("written");
    follow(b"two");
    settle();
    follow(b"two");
    std::fs::write(server.directory.path().join("other"), "three").expect("written");
    std::fs::rename(server.directory.path().join("other"), &path).expect("replaced");
    follow(b"three");
    settle();
    follow(b"three");
    std::fs::remove_file(&path).expect("removed");
    for (client, digest) in &mut clients {
        let line = client.send(format!(r#"{{"type":"get","fileName":"status","digest":"{digest}"}}"#)).line();
        assert_eq!(code(&line), "notFound");
    }
    assert_eq!(server.events.wait_for("get status 3 ok", 24).len(), 24);
    assert_eq!(server.events.count("get status 5 ok"), 16);
}

#[test]
fn c5_a_half_close_does_not_cancel_requests() {
    let server = Running::settled(|_| {});
    let bytes = &settled().1;
    let mut client = server.connect();
    client.send(r#"{"type":"get","fileName":"big","digest":"none"}{"type":"hello"}"#).half_close();
    client.line();
    assert!(client.bytes(bytes.len()) == *bytes);
    assert_eq!(client.line(), r#"{"type":"end"}"#);
    assert!(client.rest().starts_with(r#"{"type":"hello""#));
}

#[test]
fn f4_a_request_in_single_bytes() {
    let server = Running::new();
    let mut client = server.connect();
    client.stream.set_nodelay(true).expect("an option");
    for byte in HELLO {
        client.send([*byte]);
    }
    assert!(client.line().starts_with(r#"{"type":"hello""#));
}

#[test]
fn f5_two_requests_in_one_segment() {
    let server = Running::new();
    let mut client = server.connect();
    client.send([HELLO, br#"{"type":"list"}"#].concat());
    assert!(client.line().starts_with(r#"{"type":"hello""#));
    assert_eq!(client.line(), r#"{"type":"end","count":0}"#);
}

#[test]
fn f9_end_of_input_inside_a_request() {
    let server = Running::new();
    let rest = server.connect().send(r#"{"type":"hel"#).half_close().rest();
    assert_eq!(code(&rest), "badRequest");
    assert_eq!(server.events.wait_for("left", 1), ["left badRequest live 0"]);
    assert_eq!(server.events.count("hello"), 0);
}

#[test]
fn f11_other_protocols_get_one_error_and_a_close() {
    let server = Running::new();
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03secret-random".to_vec();
    for noise in [b"GET /secret HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), tls, vec![0; 64]] {
        let rest = server.connect().send(noise).rest();
        assert_eq!(rest.lines().count(), 1, "{rest}");
        assert_eq!(code(&rest), "badRequest");
        assert!(!rest.contains("secret"), "it reflects its input: {rest}");
    }
    assert_eq!(server.events.wait_for("left badRequest", 3).len(), 3);
}

#[test]
fn f3_ten_megabytes_of_anything_get_one_error() {
    let server = Running::new();
    for (noise, expected) in [(b"\xf3", "badRequest"), (b"{", "badRequest")] {
        assert_eq!(flood(&server, b"", noise), expected);
    }
    assert_eq!(flood(&server, br#"{"x":""#, b"x"), "tooLong");
    assert!(server.connect().hello().contains("coracle"));
}

/// Sends `start` and 10 MB of `noise`, reading meanwhile, and returns the code of the one error that came.
fn flood(server: &Running, start: &[u8], noise: &[u8; 1]) -> String {
    let mut client = server.connect();
    let mut sender = client.stream.try_clone().expect("a clone");
    let block = noise.repeat(100_000);
    let start = start.to_vec();
    let sending = std::thread::spawn(move || {
        let mut sent = sender.write_all(&start);
        for _ in 0..100 {
            // The connection ends somewhere on the way.
            sent = sent.and_then(|()| sender.write_all(&block));
        }
        sent.is_err()
    });
    let mut line = vec![0; 1024];
    let len = client.stream.read(&mut line).expect("an error line");
    let line = String::from_utf8(line[..len].to_vec()).expect("UTF-8");
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(sending.join().expect("no panic"), "10 MB were read");
    code(&line)
}

#[test]
fn a_file_that_just_changed_is_sent_by_read_and_hash() {
    let server = Running::new();
    let bytes = crate::fixture::pattern(300_000);
    std::fs::write(server.directory.path().join("fresh"), &bytes).expect("written");
    let mut client = server.connect();
    for digest in ["none", "crc32"] {
        client.send(format!(r#"{{"type":"get","fileName":"fresh","digest":"{digest}"}}"#)).line();
        assert!(client.bytes(bytes.len()) == bytes);
        assert!(client.line().starts_with(r#"{"type":"end""#));
    }
}

#[test]
fn small_files_leave_in_one_segment() {
    let server = Running::new();
    server.file("a", 1024);
    let mut client = server.connect();
    client.send(r#"{"type":"get","fileName":"a"}"#);
    // One write arrives as a whole in what the first read finds.
    let mut answer = [0; 4096];
    let len = client.stream.read(&mut answer).expect("an answer");
    let text = String::from_utf8_lossy(&answer[..len]).into_owned();
    assert!(text.ends_with("\"}\n") && text.contains(r#"{"type":"end","crc32":""#), "{text}");
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}
