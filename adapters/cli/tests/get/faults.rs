//! `coracle get` against servers that violate the protocol or fail: no incomplete or unverified file gets its name, nothing is
//! written elsewhere, and the exit code tells the kind of failure. Names begin with the number of the fault.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Exchange, Server, TestDirectory, crc32, finish, pseudo_random, wait_until};

const HELLO: &[(&str, &[u8])] = &[("hello", b"Hello, world!\n"), ("d/b", b"b"), ("empty", b"")];

#[test]
fn m1_names_that_lead_elsewhere_are_refused() {
    for name in ["../escaped", "/tmp/escaped", "..", ".", "", "a/../../escaped", "sub/deeper", "a\\b", "a\nb"] {
        let local = TestDirectory::new();
        fs::create_dir(local.path("in")).expect("a directory");
        let server = Server::new(move |mut exchange| match exchange.kind() {
            "list" => {
                exchange.line(&json!({"type": "entry", "fileName": name, "fileSize": 1}));
                exchange.line(&json!({"type": "end", "count": 1}));
            }
            _ => exchange.answer(b"x", "v1"),
        });
        local.get(&server, &["-r", "-o", "in"]).exits_with(4);
        assert_eq!(local.names(), ["in"], "{name:?}");
        assert_eq!(local.run(&["ls", &server.address, "-r"]).code, Some(4), "{name:?}");
    }
}

#[test]
fn m1_local_links_do_not_lead_out_of_the_destination() {
    let local = TestDirectory::new();
    fs::create_dir_all(local.path("in")).expect("a directory");
    fs::create_dir_all(local.path("out")).expect("a directory");
    symlink("../out", local.path("in/sub")).expect("a link");
    let server = Server::new(|mut exchange| match (exchange.kind(), exchange.request["path"].as_str()) {
        ("list", None) => {
            exchange.line(&json!({"type": "entry", "fileName": "sub", "directory": true}));
            exchange.line(&json!({"type": "end", "count": 1}));
        }
        ("list", Some(_)) => {
            exchange.line(&json!({"type": "entry", "fileName": "sub/x", "fileSize": 1}));
            exchange.line(&json!({"type": "end", "count": 1}));
        }
        _ => exchange.answer(b"x", "v1"),
    });
    local.get(&server, &["-r", "-o", "in"]).exits_with(5);
    assert_eq!(local.names(), ["in", "in/sub", "out"]);
}

#[test]
fn m2_m11_another_answer_than_was_asked() {
    for (member, value) in [
        ("fileName", json!("other")),
        ("fileName", json!("../hello")),
        ("offset", json!(1)),
        ("length", json!(13)),
        ("length", json!(15)),
        ("version", json!("")),
        ("version", json!("a b")),
        ("fileSize", json!(-1)),
        ("fileSize", json!("14")),
        ("digest", json!("sha256")),
        ("digest", json!(null)),
        ("type", json!("entry")),
        ("readCnt", json!(7)),
    ] {
        let (local, shown) = (TestDirectory::new(), format!("{member}: {value}"));
        let server = Server::new(move |mut exchange| {
            let mut header = exchange.header(HELLO[0].1, "v1");
            header[member] = value.clone();
            exchange.line(&header);
            exchange.send(HELLO[0].1);
            let end = exchange.end(HELLO[0].1);
            exchange.line(&end);
        });
        let result = local.get(&server, &["hello"]);
        assert_eq!(result.code, Some(4), "{shown}: {}", result.stderr);
        assert!(local.names().is_empty(), "{shown}: {:?}", local.names());
        assert_eq!(server.requests(), 1, "{shown}");
    }
}

#[test]
fn m3_nothing_is_overwritten_without_force() {
    let (local, server) = (TestDirectory::new(), Server::honest(HELLO));
    local.write("hello", "old");
    local.get(&server, &["hello"]).exits_with(5).prints_error("exists already");
    assert_eq!(server.connections(), 0, "that was known before");
    local.get(&server, &["hello", "--force"]).exits_with(0);
    assert_eq!(local.read("hello"), b"Hello, world!\n");
    // It appears during the download.
    let path = local.path("late");
    let server = Server::new(move |mut exchange| {
        fs::write(&path, "precious").expect("written");
        exchange.answer(b"new", "v1");
    });
    local.get(&server, &["late"]).exits_with(5).prints_error("exists already");
    assert_eq!(local.read("late"), b"precious");
    local.get(&server, &["late", "--force"]).exits_with(0);
    assert_eq!(local.names(), ["hello", "late"]);
}

#[test]
fn m4_links_are_neither_followed_nor_replaced() {
    for name in ["hello", ".coracle-hello.part", ".coracle-hello.part.json"] {
        let (local, server) = (TestDirectory::new(), Server::honest(HELLO));
        local.write("precious", "precious");
        for target in ["precious", "nothing"] {
            symlink(target, local.path(name)).expect("a link");
            local.get(&server, &["hello", "--force"]).exits_with(5).prints_error("symbolic link");
            fs::remove_file(local.path(name)).expect("still a link");
        }
        assert_eq!(local.read("precious"), b"precious");
        assert_eq!(local.names(), ["precious"]);
    }
}

#[test]
fn m5_sizes_that_cannot_be() {
    for size in [u64::MAX, 1 << 60] {
        let local = TestDirectory::new();
        let server = Server::new(move |mut exchange| {
            exchange.line(&json!({
                "type": "file", "fileName": "a", "fileSize": size, "offset": 0, "length": size, "chunkSize": 65536,
                "readCnt": size.div_ceil(65536), "lastSize": (size - 1) % 65536 + 1, "version": "v", "digest": "crc32",
            }));
        });
        local.get(&server, &["a"]).exits_with(5).prints_error("no room");
        assert!(local.names().is_empty());
    }
    let (local, server) = (TestDirectory::new(), Server::honest(HELLO));
    local.get(&server, &["hello", "--max-size", "13"]).exits_with(5).prints_error("more than the limit of 13");
    local.get(&server, &["hello", "--max-size", "13", "-o", "-"]).exits_with(5);
    assert!(local.names().is_empty());
    local.get(&server, &["hello", "--max-size", "14B"]).exits_with(0);
}

#[test]
fn m6_more_bytes_than_announced() {
    for tail in ["x", "{", "\n", "{}\n"] {
        let local = TestDirectory::new();
        let server = Server::new(move |mut exchange| {
            let header = exchange.header(HELLO[0].1, "v1");
            exchange.line(&header);
            if exchange.offset() == 0 {
                exchange.send(HELLO[0].1);
            }
            exchange.send(tail);
            let end = exchange.end(HELLO[0].1);
            exchange.line(&end);
        });
        local.get(&server, &["hello"]).exits_with(4);
        assert!(!local.path("hello").exists(), "{tail:?}");
        // All bytes have come; a correct server completes the download without sending them again.
        assert_eq!(local.read(".coracle-hello.part"), HELLO[0].1);
    }
}

#[test]
fn m7_fewer_bytes_than_announced_can_be_resumed() {
    let (local, file) = (TestDirectory::new(), pseudo_random(100_000));
    let sent = file.clone();
    let server = Server::new(move |mut exchange| {
        let header = exchange.header(&sent, "v1");
        exchange.line(&header);
        exchange.send(&sent[..60_000]);
        exchange.cut();
    });
    local.get(&server, &["a", "--retries", "0"]).exits_with(3);
    assert_eq!(local.names(), [".coracle-a.part", ".coracle-a.part.json"]);
    assert_eq!(local.read(".coracle-a.part"), &file[..60_000]);
    // A correct server at another address takes over, which the digest makes safe.
    let sent = file.clone();
    let server = Server::new(move |mut exchange| {
        assert_eq!((exchange.offset(), &exchange.request["digestFrom"]), (60_000, &json!(0)));
        assert_eq!(exchange.request["version"], "v1");
        exchange.answer(&sent, "v1");
    });
    local.get(&server, &["a"]).exits_with(0);
    assert_eq!(local.read("a"), file);
    assert_eq!(local.names(), ["a"]);
}

#[test]
fn m8_a_wrong_digest_is_tried_once_more_and_then_reported() {
    let (local, file) = (TestDirectory::new(), pseudo_random(5_000));
    let sent = file.clone();
    let server = Server::new(move |mut exchange| {
        assert_eq!(exchange.offset(), 0);
        let header = exchange.header(&sent, "v1");
        exchange.line(&header);
        exchange.send(&sent);
        exchange.line(&json!({"type": "end", "crc32": crc32(b"something else")}));
    });
    local.write("kept", "kept");
    local.get(&server, &["a"]).exits_with(4).prints_error("digest");
    assert_eq!(server.requests(), 2);
    assert_eq!(local.names(), ["kept"]);
    local.get(&server, &["a", "-o", "kept", "--force"]).exits_with(4);
    assert_eq!(local.read("kept"), b"kept");
    let result = local.get(&server, &["a", "-o", "-"]);
    assert_eq!((result.exits_with(4).stdout.len(), server.requests()), (5_000, 5));
}

#[test]
fn m8_a_part_that_rotted_is_found_out_and_begins_again() {
    let (local, file) = (TestDirectory::new(), pseudo_random(50_000));
    let sent = file.clone();
    let server = Server::new(move |mut exchange| match exchange.number {
        0 => {
            let header = exchange.header(&sent, "v1");
            exchange.line(&header);
            exchange.send(&sent[..20_000]);
            exchange.cut();
        }
        _ => exchange.answer(&sent, "v1"),
    });
    local.get(&server, &["a", "--retries", "0"]).exits_with(3);
    let mut part = local.read(".coracle-a.part");
    part[100] ^= 1;
    fs::write(local.path(".coracle-a.part"), part).expect("written");
    local.get(&server, &["a"]).exits_with(0);
    assert_eq!(local.read("a"), file);
    assert_eq!(server.requests(), 3);
}

#[test]
fn m9_only_no_digest_does_without_one() {
    let good = crc32(HELLO[0].1);
    let upper = if good.to_uppercase() == good { "ABCDEF01".to_owned() } else { good.to_uppercase() };
    for end in [
        json!({"type": "end"}),
        json!({"type": "end", "crc32": null}),
        json!({"type": "end", "crc32": upper}),
        json!({"type": "end", "crc32": good[1..]}),
        json!({"type": "end", "crc32": format!("{good}0")}),
        json!({"type": "end", "sha256": good}),
        json!({"type": "end", "crc32": 7}),
    ] {
        let (local, shown) = (TestDirectory::new(), end.to_string());
        let server = Server::new(move |mut exchange| {
            let header = exchange.header(HELLO[0].1, "v1");
            exchange.line(&header);
            let offset = exchange.offset();
            exchange.send(&HELLO[0].1[offset..]);
            exchange.line(&end);
        });
        let result = local.get(&server, &["hello"]);
        assert_eq!(result.code, Some(4), "{shown}");
        assert!(!local.path("hello").exists(), "{shown}");
    }
    let (local, server) = (TestDirectory::new(), Server::honest(HELLO));
    local.get(&server, &["hello", "--digest", "none"]).exits_with(0);
    assert_eq!(local.names(), ["hello"]);
}

#[test]
fn m10_lines_that_never_end_or_are_none() {
    let local = TestDirectory::new();
    type Script = fn(&mut Exchange<'_>);
    let scripts: [(&str, Script); 6] = [
        ("10 MB of a string", |exchange| {
            exchange.send(r#"{"type":"file","fileName":""#);
            (0..160).for_each(|_| exchange.send([b'x'; 65_536]));
        }),
        ("nested", |exchange| exchange.send(format!("{}\n", r#"{"type":"file","x":[[[[[[[[[[[[1]]]]]]]]]]]]}"#))),
        ("no JSON", |exchange| exchange.send("HTTP/1.1 400 Bad Request\r\n\r\n")),
        ("an array", |exchange| exchange.send("[1,2]\n")),
        ("no newline", |exchange| {
            exchange.send(format!("{} {}", exchange.header(HELLO[0].1, "v1"), "x".repeat(2_000)));
        }),
        ("a doubled member", |exchange| {
            let header = exchange.header(HELLO[0].1, "v1").to_string();
            exchange.send(format!("{},\"offset\":0}}\n", &header[..header.len() - 1]));
        }),
    ];
    for (what, script) in scripts {
        let server = Server::new(move |mut exchange| script(&mut exchange));
        let result = local.get(&server, &["hello"]);
        assert_eq!(result.code, Some(4), "{what}: {}", result.stderr);
        assert!(local.names().is_empty(), "{what}");
    }
}

#[test]
fn m12_no_word_of_a_server_steers_the_terminal() {
    let local = TestDirectory::new();
    let server = Server::new(|mut exchange| match exchange.kind() {
        "list" => {
            exchange.send("{\"type\":\"entry\",\"fileName\":\"gpj.\u{202e}exe\",\"fileSize\":1}\n");
            exchange.line(&json!({"type": "end", "count": 1}));
        }
        _ => exchange.send(
            "{\"type\":\"error\",\"code\":\"no\\u001b[2J\",\"message\":\"a\\u001b]0;x\\u0007\\r\\n\u{9b}2Jz\"}\n",
        ),
    });
    let result = local.get(&server, &["hello"]);
    result.exits_with(1);
    let harmless = |text: &str| !text.trim_end().chars().any(|c| c.is_control() || c == '\u{202e}');
    assert!(harmless(&result.stderr), "{:?}", result.stderr);
    for option in ["-r", "--json", "-l"] {
        let result = local.run(&["ls", &server.address, option]);
        assert!(harmless(&result.exits_with(0).out()), "{:?}", result.out());
        assert!(result.out().contains("gpj."));
    }
}

#[test]
fn m13_a_server_that_says_nothing_is_left() {
    let local = TestDirectory::new();
    let server = Server::new(|mut exchange| {
        let header = exchange.header(&[0; 1_000], "v1");
        exchange.line(&header);
        let offset = exchange.offset();
        exchange.send(&[0; 10][..10 - offset.min(9)]);
        sleep(Duration::from_secs(120));
    });
    let begin = Instant::now();
    let result = local.get(&server, &["a", "--stall-timeout", "300ms", "--retries", "0"]);
    result.exits_with(3).prints_error("nothing for too long");
    // The default is 30 s.
    assert!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
    assert_eq!(local.read(".coracle-a.part").len(), 10);
}

#[test]
fn m15_a_server_that_closes_every_4_kib() {
    let (local, file) = (TestDirectory::new(), pseudo_random(10 * 4_096 + 5));
    let sent = file.clone();
    let server = Server::new(move |mut exchange| {
        let header = exchange.header(&sent, "v1");
        exchange.line(&header);
        let from = exchange.offset();
        let to = sent.len().min(from + 4_096);
        exchange.send(&sent[from..to]);
        if to == sent.len() {
            let end = exchange.end(&sent);
            exchange.line(&end);
        } else {
            exchange.cut();
        }
    });
    local.get(&server, &["a"]).exits_with(0);
    assert_eq!((local.read("a"), server.requests()), (file.clone(), 11));
    // Without progress the retries end.
    let begin = server.requests();
    let stuck = Server::new(|mut exchange| exchange.cut());
    local.get(&stuck, &["b", "--retries", "2"]).exits_with(3);
    assert_eq!((stuck.requests(), server.requests()), (3, begin));
}

#[test]
fn m17_two_clients_never_share_a_part() {
    let (local, file) = (TestDirectory::new(), pseudo_random(400_000));
    let (sent, goes_on) = (file.clone(), Arc::new(AtomicBool::new(false)));
    let may_end = Arc::clone(&goes_on);
    let server = Server::new(move |mut exchange| {
        let header = exchange.header(&sent, "v1");
        exchange.line(&header);
        let offset = exchange.offset();
        for piece in sent[offset..].chunks(4_000) {
            exchange.send(piece);
            sleep(Duration::from_millis(3));
        }
        wait_until("the end of the second client", || may_end.load(Ordering::SeqCst));
        let end = exchange.end(&sent);
        exchange.line(&end);
    });
    let first = local.start(&["get", &server.address, "a"]);
    wait_until("a part", || local.path(".coracle-a.part").exists());
    local.get(&server, &["a"]).exits_with(5).prints_error("another coracle");
    goes_on.store(true, Ordering::SeqCst);
    finish(first).exits_with(0);
    assert_eq!(local.read("a"), file);
    assert_eq!(local.names(), ["a"]);
}
