//! `coracle get` of files that change, and with unfinished downloads of earlier runs: it never joins parts of two files.

use std::fs;
use std::sync::Mutex;

use serde_json::json;

use crate::support::{Exchange, Server, TestDirectory, crc32, pseudo_random};

/// Sends the header and `len` bytes from the offset on, then closes.
fn cut_after(exchange: &mut Exchange<'_>, file: &[u8], version: &str, len: usize) {
    let header = exchange.header(file, version);
    exchange.line(&header);
    let offset = exchange.offset();
    exchange.send(&file[offset..file.len().min(offset + len)]);
    exchange.cut();
}

/// Sends the whole body and the error that the file changed, with or without a digest.
fn changed_meanwhile(exchange: &mut Exchange<'_>, file: &[u8], version: &str, digest: Option<&str>) {
    let header = exchange.header(file, version);
    exchange.line(&header);
    let offset = exchange.offset();
    exchange.send(&file[offset..]);
    let mut error = json!({"type": "error", "code": "changed", "message": "the file changed"});
    if let Some(digest) = digest {
        error["crc32"] = digest.into();
    }
    exchange.line(&error);
}

#[test]
fn s6_another_version_starts_over() {
    let (old, new) = (pseudo_random(30_000), pseudo_random(70_000).split_off(30_000));
    let (local, old_sent, new_sent) = (TestDirectory::new(), old.clone(), new.clone());
    let server = Server::new(move |mut exchange| match exchange.number {
        0 => cut_after(&mut exchange, &old_sent, "old", 10_000),
        1 => {
            assert_eq!((exchange.offset(), exchange.request["version"].as_str()), (10_000, Some("old")));
            exchange.answer(&new_sent, "new");
        }
        _ => {
            assert_eq!((exchange.offset(), exchange.request.get("version")), (0, None));
            exchange.answer(&new_sent, "new");
        }
    });
    local.get(&server, &["a"]).exits_with(0);
    assert_eq!((local.read("a"), server.requests()), (new, 3));
    assert_eq!(local.names(), ["a"]);
}

/// Otherwise a large file that changed could never be fetched again on a nearly full disk.
#[test]
fn the_part_that_is_replaced_counts_as_free_space() {
    const TIB: u64 = 1 << 40;
    let local = TestDirectory::new();
    let server = Server::new(move |mut exchange| match exchange.number {
        0 => cut_after(&mut exchange, &pseudo_random(30_000), "v1", 10_000),
        number => {
            let size = if number < 3 { 9 * TIB } else { 1_000 * TIB };
            exchange.line(&json!({
                "type": "file", "fileName": "a", "fileSize": size, "offset": 0, "length": size, "chunkSize": TIB,
                "readCnt": size / TIB, "lastSize": TIB, "version": "v2", "digest": "crc32",
            }));
            exchange.send("x");
            exchange.cut();
        }
    });
    for _ in 0..2 {
        local.get(&server, &["a", "--retries", "0"]).exits_with(3);
        // It has holes, and so takes no space.
        let part = fs::OpenOptions::new().write(true).open(local.path(".coracle-a.part")).expect("a part");
        part.set_len(9 * TIB).expect("a file system of large files");
    }
    assert_eq!(server.requests(), 2);
    local.get(&server, &["a", "--retries", "0", "--no-resume"]).exits_with(3);
    local.get(&server, &["a", "--retries", "0", "--no-resume"]).exits_with(5).prints_error("no room");
}

#[test]
fn notes_are_printed_without_a_terminal() {
    for quiet in [false, true] {
        let (old, new) = (pseudo_random(30_000), pseudo_random(40_000));
        let local = TestDirectory::new();
        let server = Server::new(move |mut exchange| match exchange.number {
            0 => cut_after(&mut exchange, &old, "v1", 10_000),
            _ => exchange.answer(&new, "v2"),
        });
        local.write(".coracle-a.part", "unknown");
        local.write(".coracle-a.part.json", "unknown");
        let result = local.get(&server, if quiet { &["a", "-q"] } else { &["a"] });
        let lines: Vec<_> = result.exits_with(0).stderr.lines().collect();
        assert_eq!(local.read("a"), pseudo_random(40_000));
        if quiet {
            assert!(lines.is_empty(), "{lines:?}");
            continue;
        }
        let [part, sidecar, retry, changed] = lines[..] else { panic!("{lines:?}") };
        assert_eq!(part, "coracle: a: what was in the way lies at ./.coracle-a.part.old1 now");
        assert_eq!(sidecar, "coracle: a: what was in the way lies at ./.coracle-a.part.json.old1 now");
        assert!(retry.starts_with("coracle: a: ") && retry.contains("trying again in 0."), "{retry}");
        assert_eq!(changed, "coracle: a: the file changed at the server: starting over");
    }
}

#[test]
fn s10_a_file_that_shrank_below_the_offset_starts_over() {
    for code in ["changed", "badRange"] {
        let local = TestDirectory::new();
        let server = Server::new(move |mut exchange| match exchange.number {
            0 => cut_after(&mut exchange, &[7; 9_000], "v1", 5_000),
            1 => exchange.refuse(code, "shorter now"),
            _ => exchange.answer(b"short", "v2"),
        });
        local.get(&server, &["a"]).exits_with(0);
        assert_eq!((local.read("a"), server.requests()), (b"short".to_vec(), 3), "{code}");
    }
}

#[test]
fn a_resume_with_another_version_in_the_header_is_refused() {
    let local = TestDirectory::new();
    let server = Server::new(move |mut exchange| match exchange.number {
        0 => cut_after(&mut exchange, &[7; 9_000], "v1", 5_000),
        _ => {
            let header = exchange.header(&[8; 9_000], "v2");
            exchange.line(&header);
            exchange.send([8; 4_000]);
            let end = exchange.end(&[8; 9_000]);
            exchange.line(&end);
        }
    });
    local.get(&server, &["a"]).exits_with(4);
    assert_eq!(local.names(), [".coracle-a.part", ".coracle-a.part.json"]);
}

#[test]
fn a_file_that_changes_is_fetched_again_at_most_three_times() {
    for tail in [2, 3, 4, 9] {
        let local = TestDirectory::new();
        let server = Server::new(move |mut exchange| {
            let file = vec![u8::try_from(exchange.number).expect("few"); 5_000];
            let version = format!("v{}", exchange.number);
            if exchange.number < tail {
                changed_meanwhile(&mut exchange, &file, &version, Some(&crc32(&file)));
            } else {
                exchange.answer(&file, &version);
            }
        });
        let result = local.get(&server, &["a"]);
        if tail <= 3 {
            result.exits_with(0);
            assert_eq!(local.read("a"), vec![u8::try_from(tail).expect("few"); 5_000]);
        } else {
            result.exits_with(1).prints_error("changed");
            assert_eq!(server.requests(), 4);
            assert!(!local.path("a").exists());
        }
    }
}

#[test]
fn a_snapshot_is_kept_on_request_if_its_digest_is_right() {
    let file = pseudo_random(9_000);
    for (digest, is_kept) in [(Some(crc32(&file)), true), (Some(crc32(b"x")), false), (None, false)] {
        let (local, sent, shown) = (TestDirectory::new(), file.clone(), format!("{digest:?}"));
        let server = Server::new(move |mut exchange| changed_meanwhile(&mut exchange, &sent, "v1", digest.as_deref()));
        let result = local.get(&server, &["a", "--snapshot"]);
        if is_kept {
            result.exits_with(0);
            assert_eq!((local.read("a"), server.requests()), (file.clone(), 1));
        } else {
            result.exits_with(1);
            assert!(!local.path("a").exists(), "{shown}");
        }
        let result = local.get(&server, &["a", "--snapshot", "-o", "-"]);
        assert_eq!(result.code, Some(i32::from(!is_kept)), "{shown}");
    }
}

#[test]
fn a_resume_without_a_digest_stays_with_its_server() {
    let (local, file) = (TestDirectory::new(), pseudo_random(20_000));
    let sent = file.clone();
    let first = Server::new(move |mut exchange| cut_after(&mut exchange, &sent, "v1", 8_000));
    local.get(&first, &["a", "--digest", "none", "--retries", "0"]).exits_with(3);
    // Another server, whose file has the same version by coincidence.
    let second = Server::new(|mut exchange| {
        assert_eq!(exchange.offset(), 0, "nothing would have told the difference");
        exchange.answer(&[1; 20_000], "v1");
    });
    local.get(&second, &["a", "--digest", "none"]).exits_with(0);
    assert_eq!(local.read("a"), [1; 20_000]);
}

#[test]
fn no_resume_begins_again() {
    let (local, file) = (TestDirectory::new(), pseudo_random(20_000));
    let sent = file.clone();
    let server = Server::new(move |mut exchange| match exchange.number {
        0 => cut_after(&mut exchange, &sent, "v1", 8_000),
        1 => {
            assert_eq!(exchange.offset(), 0);
            cut_after(&mut exchange, &sent, "v1", 4_000);
        }
        _ => {
            // The bytes that this run has received are not fetched again.
            assert_eq!(exchange.offset(), 4_000);
            exchange.answer(&sent, "v1");
        }
    });
    local.get(&server, &["a", "--retries", "0"]).exits_with(3);
    local.get(&server, &["a", "--no-resume"]).exits_with(0);
    assert_eq!(local.read("a"), file);
}

#[test]
fn a_writer_gets_the_file_in_pieces_and_it_is_verified() {
    let file = pseudo_random(30_000);
    for (last, code) in [("v1", 0), ("v2", 1)] {
        let (local, sent) = (TestDirectory::new(), file.clone());
        let server = Server::new(move |mut exchange| match (exchange.kind(), exchange.number) {
            ("get", 0 | 1) => cut_after(&mut exchange, &sent, "v1", 10_000),
            ("get", _) => exchange.answer(&sent, "v1"),
            _ => exchange.answer(&sent, last),
        });
        let result = local.get(&server, &["a", "-o", "-"]);
        assert_eq!(result.exits_with(code).stdout, file);
    }
    // A part that was cut off has no digest, only the whole file has one.
    let local = TestDirectory::new();
    let server = Server::new(move |mut exchange| match (exchange.kind(), exchange.number) {
        ("get", 0) => {
            let mut wrong = file.clone();
            wrong[5] ^= 1;
            cut_after(&mut exchange, &wrong, "v1", 10_000);
        }
        _ => exchange.answer(&file, "v1"),
    });
    local.get(&server, &["a", "-o", "-"]).exits_with(4);
}

#[test]
fn d6_whatever_lies_in_the_sidecar_the_file_is_right() {
    let file = pseudo_random(20_000);
    let local = TestDirectory::new();
    let sent = file.clone();
    let cut = Server::new(move |mut exchange| cut_after(&mut exchange, &sent, "v1", 8_000));
    let note = || String::from_utf8(local.read(".coracle-a.part.json")).expect("UTF-8");
    let edit = |from: &str, to: &str| {
        assert!(note().contains(from));
        local.write(".coracle-a.part.json", note().replace(from, to));
    };
    let damages: [(&str, &dyn Fn()); 8] = [
        ("nothing", &|| {}),
        ("half a sidecar", &|| local.write(".coracle-a.part.json", &note()[..1_000])),
        ("an empty sidecar", &|| local.write(".coracle-a.part.json", "")),
        ("zeros", &|| local.write(".coracle-a.part.json", [0; 2_048])),
        ("another file's sidecar", &|| edit("\"fileName\":\"a\"", "\"fileName\":\"b\"")),
        ("another version", &|| edit("\"v1\"", "\"v2\"")),
        ("a shorter part", &|| fs::write(local.path(".coracle-a.part"), &file[..100]).expect("written")),
        ("a longer part", &|| fs::write(local.path(".coracle-a.part"), [3; 30_000]).expect("written")),
    ];
    for (what, damage) in damages {
        local.get(&cut, &["a", "--retries", "0"]).exits_with(3);
        damage();
        let sent = file.clone();
        let server = Server::new(move |mut exchange| exchange.answer(&sent, "v1"));
        let result = local.get(&server, &["a"]);
        assert_eq!((result.code, local.path("a").exists()), (Some(0), true), "{what}: {}", result.stderr);
        assert_eq!(local.read("a"), file, "{what}");
        for name in local.names() {
            assert!(name == "a" || name.contains(".old"), "{what}: {name}");
            fs::remove_file(local.path(&name)).expect("removed");
        }
    }
}

#[test]
fn a_foreign_file_at_the_temporary_name_is_never_touched() {
    let local = TestDirectory::new();
    local.write(".coracle-a.part", "precious");
    let server = Server::new(|mut exchange| exchange.answer(b"new", "v1"));
    local.get(&server, &["a", "--force"]).exits_with(5).prints_error(".coracle-a.part is in the way");
    assert_eq!(local.names(), [".coracle-a.part"]);
    assert_eq!(local.read(".coracle-a.part"), b"precious");
    // A file may have such a name at the server.
    let words = ".coracle-a.part cannot be saved under its name: unfinished downloads have such names";
    local.get(&server, &[".coracle-a.part", "--force"]).exits_with(5).prints_error(words);
    assert_eq!(local.read(".coracle-a.part"), b"precious");
    local.get(&server, &[".coracle-a.part", "-o", "else"]).exits_with(0);
    assert_eq!(local.read("else"), b"new");
}

#[test]
fn a_part_is_found_however_the_file_is_asked_for() {
    // Smaller ones are fetched in batches, and do not outlive the program.
    const LARGE: &[u8] = &[1; 1_100_000];
    let server = Server::new(|mut exchange| match (exchange.kind(), exchange.name()) {
        ("get", "a") if exchange.offset() == 0 => cut_after(&mut exchange, LARGE, "v1", 2_000),
        _ => exchange.honest(&[("a", LARGE), ("b", b"b")]),
    });
    for first in [&["a"][..], &["-r"], &["b", "a"], &["a", "-o", "./a"]] {
        for second in [&["a"][..], &["-r"], &["a", "c"], &["a", "-o", "a"]] {
            let local = TestDirectory::new();
            local.get(&server, &[first, &["--retries", "0"]].concat()).exits_with(3);
            assert_eq!(local.read(".coracle-a.part"), [1; 2_000], "{first:?}");
            local.get(&server, &[second, &["--retries", "0"]].concat());
            assert_eq!(local.read("a"), LARGE, "{first:?} {second:?}");
            assert!(!local.names().iter().any(|name| name.starts_with('.')), "{first:?} {second:?}");
        }
    }
}

#[test]
fn names_as_long_as_they_get() {
    let local = TestDirectory::new();
    let server = Server::new(|mut exchange| {
        if exchange.number % 2 == 0 {
            cut_after(&mut exchange, &[1; 5_000], "v1", 2_000);
        } else {
            assert_eq!(exchange.offset(), 2_000);
            exchange.answer(&[1; 5_000], "v1");
        }
    });
    for name in ["x".repeat(255), "é".repeat(127), "収".repeat(85), "\u{1f600}".repeat(63) + "abc"] {
        local.get(&server, &[&name, "--retries", "0"]).exits_with(3);
        local.get(&server, &[&name]).exits_with(0);
        assert_eq!(local.names(), [name.as_str()]);
        fs::remove_file(local.path(&name)).expect("removed");
    }
}

#[test]
fn the_time_of_modification_is_set() {
    for modified in [0, 1_000_000_000, u64::MAX] {
        let local = TestDirectory::new();
        let server = Server::new(move |mut exchange| {
            let mut header = exchange.header(b"x", "v1");
            header["modified"] = modified.into();
            exchange.line(&header);
            exchange.send("x");
            let end = exchange.end(b"x");
            exchange.line(&end);
        });
        local.get(&server, &["a"]).exits_with(0);
        let set = fs::metadata(local.path("a")).and_then(|metadata| metadata.modified()).expect("a time");
        let set = set.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
        assert!(set == modified || modified == u64::MAX, "{set}");
    }
}

#[test]
fn a_connection_that_was_kept_may_be_closed_meanwhile() {
    let local = TestDirectory::new();
    let order = Mutex::new(());
    let server = Server::new(move |mut exchange| {
        let _one_at_a_time = order.lock();
        exchange.answer(b"x", "v1");
        exchange.cut();
    });
    local.get(&server, &["a", "b", "c", "--retries", "0"]).exits_with(0);
    assert_eq!((local.names().len(), server.connections()), (3, 3));
}
