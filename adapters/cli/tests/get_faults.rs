//! `coracle get` against servers that lie, cheat and break: nothing half-written or unproven gets a real name, nothing is
//! written elsewhere, and the exit code tells whose fault it was. The names begin with the fault's number.

mod get_support;

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use get_support::{Asked, Scene, Server, crc32, finish, nobody, noise, wait_until};
use serde_json::json;

const HELLO: &[(&str, &[u8])] = &[("hello", b"Hello, world!\n"), ("d/b", b"b"), ("empty", b"")];

#[test]
fn fetches_and_leaves_nothing_else() {
    let (scene, server) = (Scene::new(), Server::honest(HELLO));
    let ran = scene.get(&server, &["hello"]);
    assert!(ran.ends(0).stdout.is_empty(), "a pipe gets nothing but errors");
    assert_eq!(scene.read("hello"), b"Hello, world!\n");
    scene.get(&server, &["empty"]).ends(0);
    scene.get(&server, &["d/b", "-o", "else"]).ends(0);
    assert_eq!(scene.names(), ["else", "empty", "hello"]);
    let ran = scene.get(&server, &["hello", "d/b", "-o", "-"]);
    assert_eq!(ran.ends(0).stdout, b"Hello, world!\nb");
    scene.get(&server, &["nothing"]).ends(1).says("no such file (notFound)");
    scene.get(&server, &["hello", "-o", "/dev/null"]).ends(0);
    scene.get(&server, &["hello", "-o", "no/such/directory"]).ends(5);
    assert_eq!(scene.names(), ["else", "empty", "hello"]);
}

#[test]
fn several_go_to_a_directory_and_the_first_failure_counts() {
    let (scene, server) = (Scene::new(), Server::honest(HELLO));
    scene.write("b", "old");
    let ran = scene.get(&server, &["missing", "hello", "d/b", "-o", "."]);
    ran.ends(1).says("missing: no such file").says("d/b: ./b exists already");
    assert_eq!((scene.read("hello"), scene.read("b")), (b"Hello, world!\n".to_vec(), b"old".to_vec()));
    scene.get(&server, &["hello", "d/b", "-o", "new/"]).ends(0);
    assert_eq!(scene.names(), ["b", "hello", "new", "new/b", "new/hello"]);
    scene.get(&server, &["b", "d/b"]).ends(2).says("two of these");
}

#[test]
fn what_cannot_be_asked_is_wrong_usage() {
    let (scene, server) = (Scene::new(), Server::honest(HELLO));
    for name in ["../x", "/etc/passwd", "a//b", "a\\b", "a\nb", ""] {
        scene.get(&server, &[name]).ends(2);
    }
    assert_eq!(server.requests(), 0);
    for host in ["", "::1", "[::1", "host:0", "host:x", "http://host/"] {
        assert_eq!(scene.run(&["get", host, "a"]).code, Some(2), "{host}");
    }
}

#[test]
fn nobody_there_is_network_trouble_after_the_retries() {
    let scene = Scene::new();
    let (_held, address) = nobody();
    let begin = Instant::now();
    scene.run(&["get", &address, "a", "--retries", "2"]).ends(3).says("cannot connect");
    // Pauses of at least 150 and 450 ms.
    assert!(begin.elapsed() >= Duration::from_millis(600), "{:?}", begin.elapsed());
    scene.run(&["get", "no.such.host.invalid", "a", "--retries", "0"]).ends(3).says("no.such.host.invalid");
    assert!(scene.names().is_empty());
}

#[test]
fn busy_and_shutting_down_are_tried_again() {
    for code in ["busy", "shuttingDown", "timeout"] {
        let scene = Scene::new();
        let server = Server::new(move |mut asked| match asked.number {
            0 | 1 => {
                asked.refuse(code, "later");
                asked.cut();
            }
            _ => asked.honest(HELLO),
        });
        scene.get(&server, &["hello"]).ends(0);
        assert_eq!(server.requests(), 3, "{code}");
        let never = Server::new(move |mut asked| {
            asked.refuse(code, "later");
            asked.cut();
        });
        Scene::new().get(&never, &["hello", "--retries", "1"]).ends(3);
        assert_eq!(never.requests(), 2, "{code}");
    }
}

#[test]
fn m1_names_that_lead_elsewhere_are_refused() {
    for name in ["../escaped", "/tmp/escaped", "..", ".", "", "a/../../escaped", "sub/deeper", "a\\b", "a\nb"] {
        let scene = Scene::new();
        fs::create_dir(scene.path("in")).expect("a directory");
        let server = Server::new(move |mut asked| match asked.kind() {
            "list" => {
                asked.line(&json!({"type": "entry", "fileName": name, "fileSize": 1}));
                asked.line(&json!({"type": "end", "count": 1}));
            }
            _ => asked.answer(b"x", "v1"),
        });
        scene.get(&server, &["-r", "-o", "in"]).ends(4);
        assert_eq!(scene.names(), ["in"], "{name:?}");
        assert_eq!(scene.run(&["ls", &server.address, "-r"]).code, Some(4), "{name:?}");
    }
}

#[test]
fn m1_local_links_do_not_lead_out_of_the_destination() {
    let scene = Scene::new();
    fs::create_dir_all(scene.path("in")).expect("a directory");
    fs::create_dir_all(scene.path("out")).expect("a directory");
    symlink("../out", scene.path("in/sub")).expect("a link");
    let server = Server::new(|mut asked| match (asked.kind(), asked.request["path"].as_str()) {
        ("list", None) => {
            asked.line(&json!({"type": "entry", "fileName": "sub", "directory": true}));
            asked.line(&json!({"type": "end", "count": 1}));
        }
        ("list", Some(_)) => {
            asked.line(&json!({"type": "entry", "fileName": "sub/x", "fileSize": 1}));
            asked.line(&json!({"type": "end", "count": 1}));
        }
        _ => asked.answer(b"x", "v1"),
    });
    scene.get(&server, &["-r", "-o", "in"]).ends(5);
    assert_eq!(scene.names(), ["in", "in/sub", "out"]);
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
        let (scene, shown) = (Scene::new(), format!("{member}: {value}"));
        let server = Server::new(move |mut asked| {
            let mut header = asked.header(HELLO[0].1, "v1");
            header[member] = value.clone();
            asked.line(&header);
            asked.send(HELLO[0].1);
            let end = asked.end(HELLO[0].1);
            asked.line(&end);
        });
        let ran = scene.get(&server, &["hello"]);
        assert_eq!(ran.code, Some(4), "{shown}: {}", ran.stderr);
        assert!(scene.names().is_empty(), "{shown}: {:?}", scene.names());
        assert_eq!(server.requests(), 1, "{shown}");
    }
}

#[test]
fn m3_nothing_is_overwritten_without_force() {
    let (scene, server) = (Scene::new(), Server::honest(HELLO));
    scene.write("hello", "old");
    scene.get(&server, &["hello"]).ends(5).says("exists already");
    assert_eq!(server.connections(), 0, "that was known before");
    scene.get(&server, &["hello", "--force"]).ends(0);
    assert_eq!(scene.read("hello"), b"Hello, world!\n");
    // It comes while the download is under way.
    let path = scene.path("late");
    let server = Server::new(move |mut asked| {
        fs::write(&path, "precious").expect("written");
        asked.answer(b"new", "v1");
    });
    scene.get(&server, &["late"]).ends(5).says("exists already");
    assert_eq!(scene.read("late"), b"precious");
    scene.get(&server, &["late", "--force"]).ends(0);
    assert_eq!(scene.names(), ["hello", "late"]);
}

#[test]
fn m4_links_are_neither_followed_nor_replaced() {
    for name in ["hello", "hello.part", "hello.part.json"] {
        let (scene, server) = (Scene::new(), Server::honest(HELLO));
        scene.write("precious", "precious");
        for target in ["precious", "nothing"] {
            symlink(target, scene.path(name)).expect("a link");
            scene.get(&server, &["hello", "--force"]).ends(5).says("symbolic link");
            fs::remove_file(scene.path(name)).expect("still a link");
        }
        assert_eq!(scene.read("precious"), b"precious");
        assert_eq!(scene.names(), ["precious"]);
    }
}

#[test]
fn m5_sizes_that_cannot_be() {
    for size in [u64::MAX, 1 << 60] {
        let scene = Scene::new();
        let server = Server::new(move |mut asked| {
            asked.line(&json!({
                "type": "file", "fileName": "a", "fileSize": size, "offset": 0, "length": size, "chunkSize": 65536,
                "readCnt": size.div_ceil(65536), "lastSize": (size - 1) % 65536 + 1, "version": "v", "digest": "crc32",
            }));
        });
        scene.get(&server, &["a"]).ends(5).says("no room");
        assert!(scene.names().is_empty());
    }
    let (scene, server) = (Scene::new(), Server::honest(HELLO));
    scene.get(&server, &["hello", "--max-size", "13"]).ends(5).says("more than the limit of 13");
    scene.get(&server, &["hello", "--max-size", "13", "-o", "-"]).ends(5);
    assert!(scene.names().is_empty());
    scene.get(&server, &["hello", "--max-size", "14B"]).ends(0);
}

#[test]
fn m6_more_bytes_than_announced() {
    for tail in ["x", "{", "\n", "{}\n"] {
        let scene = Scene::new();
        let server = Server::new(move |mut asked| {
            let header = asked.header(HELLO[0].1, "v1");
            asked.line(&header);
            if asked.offset() == 0 {
                asked.send(HELLO[0].1);
            }
            asked.send(tail);
            let end = asked.end(HELLO[0].1);
            asked.line(&end);
        });
        scene.get(&server, &["hello"]).ends(4);
        assert!(!scene.path("hello").exists(), "{tail:?}");
        // What was announced has come; an honest server completes it without sending it again.
        assert_eq!(scene.read("hello.part"), HELLO[0].1);
    }
}

#[test]
fn m7_fewer_bytes_than_announced_can_be_resumed() {
    let (scene, file) = (Scene::new(), noise(100_000));
    let sent = file.clone();
    let server = Server::new(move |mut asked| {
        let header = asked.header(&sent, "v1");
        asked.line(&header);
        asked.send(&sent[..60_000]);
        asked.cut();
    });
    scene.get(&server, &["a", "--retries", "0"]).ends(3);
    assert_eq!(scene.names(), ["a.part", "a.part.json"]);
    assert_eq!(scene.read("a.part"), &file[..60_000]);
    // An honest server takes over. It is another address, which the digest makes harmless.
    let sent = file.clone();
    let server = Server::new(move |mut asked| {
        assert_eq!((asked.offset(), &asked.request["digestFrom"]), (60_000, &json!(0)));
        assert_eq!(asked.request["version"], "v1");
        asked.answer(&sent, "v1");
    });
    scene.get(&server, &["a"]).ends(0);
    assert_eq!(scene.read("a"), file);
    assert_eq!(scene.names(), ["a"]);
}

#[test]
fn m8_a_wrong_digest_is_tried_once_more_and_then_reported() {
    let (scene, file) = (Scene::new(), noise(5_000));
    let sent = file.clone();
    let server = Server::new(move |mut asked| {
        assert_eq!(asked.offset(), 0);
        let header = asked.header(&sent, "v1");
        asked.line(&header);
        asked.send(&sent);
        asked.line(&json!({"type": "end", "crc32": crc32(b"something else")}));
    });
    scene.write("kept", "kept");
    scene.get(&server, &["a"]).ends(4).says("digest");
    assert_eq!(server.requests(), 2);
    assert_eq!(scene.names(), ["kept"]);
    scene.get(&server, &["a", "-o", "kept", "--force"]).ends(4);
    assert_eq!(scene.read("kept"), b"kept");
    let ran = scene.get(&server, &["a", "-o", "-"]);
    assert_eq!((ran.ends(4).stdout.len(), server.requests()), (5_000, 5));
}

#[test]
fn m8_a_part_that_rotted_is_found_out_and_begins_again() {
    let (scene, file) = (Scene::new(), noise(50_000));
    let sent = file.clone();
    let server = Server::new(move |mut asked| match asked.number {
        0 => {
            let header = asked.header(&sent, "v1");
            asked.line(&header);
            asked.send(&sent[..20_000]);
            asked.cut();
        }
        _ => asked.answer(&sent, "v1"),
    });
    scene.get(&server, &["a", "--retries", "0"]).ends(3);
    let mut part = scene.read("a.part");
    part[100] ^= 1;
    fs::write(scene.path("a.part"), part).expect("written");
    scene.get(&server, &["a"]).ends(0);
    assert_eq!(scene.read("a"), file);
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
        let (scene, shown) = (Scene::new(), end.to_string());
        let server = Server::new(move |mut asked| {
            let header = asked.header(HELLO[0].1, "v1");
            asked.line(&header);
            let offset = asked.offset();
            asked.send(&HELLO[0].1[offset..]);
            asked.line(&end);
        });
        let ran = scene.get(&server, &["hello"]);
        assert_eq!(ran.code, Some(4), "{shown}");
        assert!(!scene.path("hello").exists(), "{shown}");
    }
    let (scene, server) = (Scene::new(), Server::honest(HELLO));
    scene.get(&server, &["hello", "--digest", "none"]).ends(0);
    assert_eq!(scene.names(), ["hello"]);
}

#[test]
fn m10_lines_that_never_end_or_are_none() {
    let scene = Scene::new();
    type Script = fn(&mut Asked<'_>);
    let scripts: [(&str, Script); 6] = [
        ("10 MB of a string", |asked| {
            asked.send(r#"{"type":"file","fileName":""#);
            (0..160).for_each(|_| asked.send([b'x'; 65_536]));
        }),
        ("nested", |asked| asked.send(format!("{}\n", r#"{"type":"file","x":[[[[[[[[[[[[1]]]]]]]]]]]]}"#))),
        ("no JSON", |asked| asked.send("HTTP/1.1 400 Bad Request\r\n\r\n")),
        ("an array", |asked| asked.send("[1,2]\n")),
        ("no newline", |asked| {
            asked.send(format!("{} {}", asked.header(HELLO[0].1, "v1"), "x".repeat(2_000)));
        }),
        ("a doubled member", |asked| {
            let header = asked.header(HELLO[0].1, "v1").to_string();
            asked.send(format!("{},\"offset\":0}}\n", &header[..header.len() - 1]));
        }),
    ];
    for (what, script) in scripts {
        let server = Server::new(move |mut asked| script(&mut asked));
        let ran = scene.get(&server, &["hello"]);
        assert_eq!(ran.code, Some(4), "{what}: {}", ran.stderr);
        assert!(scene.names().is_empty(), "{what}");
    }
}

#[test]
fn m12_no_word_of_a_server_steers_the_terminal() {
    let scene = Scene::new();
    let server = Server::new(|mut asked| match asked.kind() {
        "list" => {
            asked.send("{\"type\":\"entry\",\"fileName\":\"gpj.\u{202e}exe\",\"fileSize\":1}\n");
            asked.line(&json!({"type": "end", "count": 1}));
        }
        _ => asked.send(
            "{\"type\":\"error\",\"code\":\"no\\u001b[2J\",\"message\":\"a\\u001b]0;x\\u0007\\r\\n\u{9b}2Jz\"}\n",
        ),
    });
    let ran = scene.get(&server, &["hello"]);
    ran.ends(1);
    let harmless = |text: &str| !text.trim_end().chars().any(|c| c.is_control() || c == '\u{202e}');
    assert!(harmless(&ran.stderr), "{:?}", ran.stderr);
    for option in ["-r", "--json", "-l"] {
        let ran = scene.run(&["ls", &server.address, option]);
        assert!(harmless(&ran.ends(0).out()), "{:?}", ran.out());
        assert!(ran.out().contains("gpj."));
    }
}

#[test]
fn m13_a_server_that_says_nothing_is_left() {
    let scene = Scene::new();
    let server = Server::new(|mut asked| {
        let header = asked.header(&[0; 1_000], "v1");
        asked.line(&header);
        let offset = asked.offset();
        asked.send(&[0; 10][..10 - offset.min(9)]);
        sleep(Duration::from_secs(120));
    });
    let begin = Instant::now();
    let ran = scene.get(&server, &["a", "--stall-timeout", "300ms", "--retries", "0"]);
    ran.ends(3).says("nothing for too long");
    // The default were 30 s.
    assert!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
    assert_eq!(scene.read("a.part").len(), 10);
}

#[test]
fn m15_a_server_that_closes_every_4_kib() {
    let (scene, file) = (Scene::new(), noise(10 * 4_096 + 5));
    let sent = file.clone();
    let server = Server::new(move |mut asked| {
        let header = asked.header(&sent, "v1");
        asked.line(&header);
        let from = asked.offset();
        let to = sent.len().min(from + 4_096);
        asked.send(&sent[from..to]);
        if to == sent.len() {
            let end = asked.end(&sent);
            asked.line(&end);
        } else {
            asked.cut();
        }
    });
    scene.get(&server, &["a"]).ends(0);
    assert_eq!((scene.read("a"), server.requests()), (file.clone(), 11));
    // Without progress there is an end.
    let begin = server.requests();
    let stuck = Server::new(|mut asked| asked.cut());
    scene.get(&stuck, &["b", "--retries", "2"]).ends(3);
    assert_eq!((stuck.requests(), server.requests()), (3, begin));
}

#[test]
fn m17_two_clients_never_share_a_part() {
    let (scene, file) = (Scene::new(), noise(400_000));
    let (sent, goes_on) = (file.clone(), Arc::new(AtomicBool::new(false)));
    let may_end = Arc::clone(&goes_on);
    let server = Server::new(move |mut asked| {
        let header = asked.header(&sent, "v1");
        asked.line(&header);
        let offset = asked.offset();
        for piece in sent[offset..].chunks(4_000) {
            asked.send(piece);
            sleep(Duration::from_millis(3));
        }
        wait_until("the end of the second client", || may_end.load(Ordering::SeqCst));
        let end = asked.end(&sent);
        asked.line(&end);
    });
    let first = scene.start(&["get", &server.address, "a"]);
    wait_until("a part", || scene.path("a.part").exists());
    scene.get(&server, &["a"]).ends(5).says("another coracle");
    goes_on.store(true, Ordering::SeqCst);
    finish(first).ends(0);
    assert_eq!(scene.read("a"), file);
    assert_eq!(scene.names(), ["a"]);
}
