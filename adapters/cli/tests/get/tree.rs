//! `coracle get -r`, `ls` and `stat` against a scripted server.

use std::collections::HashSet;
use std::fs;
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::support::{Exchange, Server, TestDirectory};

/// Files by their names, in which `/` separates directories.
type Files = &'static [(&'static str, &'static [u8])];

const TREE: Files = &[
    ("a", b"alpha"),
    ("a.part", b"a file like any other"),
    ("a.part.json", b"{}"),
    ("d/b", b"beta"),
    ("d/e/c", b"gamma"),
    ("d/e/empty", b""),
    ("caf\u{e9} \u{1f600} \"q\" 'q' $x *?", b"odd"),
    ("-rf", b"-rf"),
];

/// Serves a tree correctly.
fn tree(exchange: Exchange<'_>, files: Files) {
    tree_with_skipped(exchange, files, 0);
}

/// Serves a tree; of each directory, `skipped` entries cannot be served.
fn tree_with_skipped(mut exchange: Exchange<'_>, files: Files, skipped: u32) {
    if exchange.kind() != "list" {
        return exchange.honest(files);
    }
    let path = exchange.request["path"].as_str().map_or(String::new(), |path| format!("{path}/"));
    let (mut count, mut seen) = (0, Vec::new());
    for (name, bytes) in files {
        let Some(rest) = name.strip_prefix(&path) else { continue };
        let line = match rest.split_once('/') {
            None => json!({"type": "entry", "fileName": name, "fileSize": bytes.len(), "modified": 1_000_000_000}),
            Some((child, _)) if seen.contains(&child) => continue,
            Some((child, _)) => {
                seen.push(child);
                json!({"type": "entry", "fileName": format!("{path}{child}"), "directory": true})
            }
        };
        exchange.line(&line);
        count += 1;
    }
    if count == 0 && !path.is_empty() {
        let is_file = files.iter().any(|(name, _)| format!("{name}/") == path);
        return exchange.refuse(if is_file { "notDirectory" } else { "notFound" }, "no such directory");
    }
    exchange.line(&json!({"type": "end", "count": count, "skipped": skipped}));
}

fn server() -> Server {
    Server::new(|exchange| tree(exchange, TREE))
}

#[track_caller]
fn is_tree(local: &TestDirectory, under: &str) {
    let mut files = 0;
    for name in local.names() {
        let path = local.path(&name);
        let Some(rest) = name.strip_prefix(under) else { continue };
        if path.is_file() {
            let served = TREE.iter().find(|(name, _)| *name == rest).unwrap_or_else(|| panic!("{name} is not served"));
            assert_eq!(local.read(&name), served.1, "{name}");
            files += 1;
        }
    }
    assert_eq!(files, TREE.len());
}

#[test]
fn fetches_a_tree_and_then_only_what_is_new() {
    for jobs in ["1", "5"] {
        let (local, server) = (TestDirectory::new(), server());
        let result = local.get(&server, &["-r", "-o", "to", "--jobs", jobs]);
        let words = "8 fetched (43 bytes), 0 equal and skipped, 0 failed\n";
        assert_eq!(result.exits_with(0).out(), words);
        assert!(server.connections() <= jobs.parse().expect("a number"), "a connection for each file");
        is_tree(&local, "to/");
        fs::remove_file(local.path("to/d/b")).expect("removed");
        let result = local.get(&server, &["-r", "-o", "to", "--jobs", jobs]);
        assert!(
            result.exits_with(0).out().starts_with("1 fetched (4 bytes), 7 equal and skipped, 0 failed"),
            "{}",
            result.out()
        );
        is_tree(&local, "to/");
    }
}

#[test]
fn what_the_server_cannot_serve_is_a_failure() {
    let local = TestDirectory::new();
    let server = Server::new(|exchange| tree_with_skipped(exchange, TREE, 2));
    let result = local.get(&server, &["-r", "-o", "to"]);
    for directory in ["/", "d", "d/e"] {
        result.exits_with(1).prints_error(&format!("coracle: {directory}: 2 entries cannot be served"));
    }
    let words = "8 fetched (43 bytes), 0 equal and skipped, 0 failed, 6 that the server cannot serve\n";
    assert_eq!(result.out(), words);
    is_tree(&local, "to/");
}

/// A server that tells files whose names cannot be asked for from sockets and the like: only the former are missing here.
#[test]
fn m31_only_what_is_missing_is_a_failure() {
    for (unnameable, code) in [(0, 0), (1, 1)] {
        let (local, quiet) = (TestDirectory::new(), TestDirectory::new());
        let server = Server::new(move |mut exchange| match exchange.kind() {
            "list" => {
                exchange.line(&json!({"type": "entry", "fileName": "a", "fileSize": 5}));
                exchange.line(&json!({"type": "end", "count": 1, "skipped": 3, "unnameable": unnameable}));
            }
            _ => exchange.honest(&[("a", b"alpha")]),
        });
        let result = local.get(&server, &["-r", "-o", "to"]);
        result.prints_error(&format!("/: {} entries are neither files nor directories", 3 - unnameable));
        let is_missing = result.stderr.contains("cannot be served");
        assert_eq!((result.code, is_missing), (Some(code), unnameable > 0), "{}", result.stderr);
        assert_eq!(local.read("to/a"), b"alpha");
        let result = quiet.get(&server, &["-r", "-o", "to", "-q"]);
        assert_eq!((result.code, result.stderr.is_empty()), (Some(code), unnameable == 0), "{}", result.stderr);
    }
}

#[test]
fn what_differs_is_replaced_only_by_force() {
    let (local, server) = (TestDirectory::new(), server());
    fs::create_dir_all(local.path("d/e")).expect("directories");
    local.write("d/b", "BETA");
    local.write("d/e/c", "longer than gamma");
    let result = local.get(&server, &["-r", "d"]);
    result.exits_with(5).prints_error("coracle: ./d/b exists already").prints_error("coracle: ./d/e/c exists already");
    assert!(result.out().starts_with("1 fetched (0 bytes), 0 equal and skipped, 2 failed"), "{}", result.out());
    assert_eq!((local.read("d/b"), local.read("d/e/c")), (b"BETA".to_vec(), b"longer than gamma".to_vec()));
    local.get(&server, &["-r", "d", "--force"]).exits_with(0);
    assert_eq!((local.read("d/b"), local.read("d/e/c")), (b"beta".to_vec(), b"gamma".to_vec()));
}

#[test]
fn where_named_things_go() {
    let (local, server) = (TestDirectory::new(), server());
    local.get(&server, &["-r", "d/e", "a", "-o", "x"]).exits_with(0);
    assert_eq!(local.names(), ["x", "x/a", "x/e", "x/e/c", "x/e/empty"]);
    local.get(&server, &["-r", "d/", "-o", "y"]).exits_with(0);
    assert_eq!(local.names()[5..], ["y", "y/b", "y/e", "y/e/c", "y/e/empty"]);
    local.get(&server, &["-r", ".", "-o", "z"]).exits_with(0);
    is_tree(&local, "z/");
    local.get(&server, &["-r", "missing", "a"]).exits_with(1).prints_error("missing");
    assert_eq!(local.read("a"), b"alpha");
    local.get(&server, &["-r", "d", "-o", "-"]).exits_with(2);
    local.get(&server, &["-r", "d", "-o", "no/such/place"]).exits_with(5);
    local.get(&server, &["-r", "-o", "a"]).exits_with(5);
}

#[test]
fn a_file_where_a_directory_has_to_be_fails_alone() {
    let (local, server) = (TestDirectory::new(), server());
    local.write("d", "in the way");
    local.get(&server, &["-r"]).exits_with(5).prints_error("coracle: cannot open directory ./d: ");
    assert_eq!((local.read("d"), local.read("a")), (b"in the way".to_vec(), b"alpha".to_vec()));
}

#[test]
fn links_are_entered_only_on_request_and_not_in_circles() {
    let served = |mut exchange: Exchange<'_>| {
        let path = exchange.request["path"].as_str().map_or(String::new(), |path| format!("{path}/"));
        if exchange.kind() == "list" {
            exchange.line(&json!({"type": "entry", "fileName": format!("{path}f"), "fileSize": 1}));
            exchange.line(&json!({"type": "entry", "fileName": format!("{path}l"), "directory": true, "link": true}));
            exchange.line(&json!({"type": "end", "count": 2}));
        } else {
            exchange.answer(b"x", "v1");
        }
    };
    let (local, server) = (TestDirectory::new(), Server::new(served));
    let result = local.get(&server, &["-r", "-o", "to"]);
    assert!(result.exits_with(0).out().contains("1 links to directories not followed"), "{}", result.out());
    assert_eq!(local.names(), ["to", "to/f"]);
    let result = local.get(&server, &["-r", "-o", "to", "--follow-links"]);
    assert!(result.exits_with(0).out().starts_with("8 fetched (8 bytes), 1 equal"), "{}", result.out());
    assert_eq!(local.run(&["ls", &server.address, "-r"]).exits_with(0).out(), "f\nl/@\n");
}

#[test]
fn a_server_that_is_gone_is_not_asked_for_everything() {
    let local = TestDirectory::new();
    let server = Server::new(|mut exchange| match (exchange.kind(), exchange.name()) {
        ("list", _) | (_, "a") => tree(exchange, TREE),
        _ => exchange.cut(),
    });
    let result = local.get(&server, &["-r", "--retries", "0", "-o", "to"]);
    assert!(
        result.exits_with(3).out().contains("1 fetched (5 bytes), 0 equal and skipped, 1 failed"),
        "{}",
        result.out()
    );
    assert!(result.out().contains("4 not tried"), "{}", result.out());
}

/// A server with fewer places than this client has connections.
#[test]
fn a_connection_that_the_server_has_no_place_for_is_given_up() {
    for places in [0, 1, 2] {
        let local = TestDirectory::new();
        let admitted = Mutex::new(HashSet::new());
        let server = Server::new(move |mut exchange| {
            let peer = exchange.out.peer_addr().expect("a peer");
            let mut admitted = admitted.lock().expect("no panic");
            if admitted.len() < places {
                admitted.insert(peer);
            }
            if admitted.contains(&peer) {
                return tree(exchange, TREE);
            }
            exchange.refuse("busy", "no place");
            exchange.cut();
        });
        let result = local.get(&server, &["-r", "-o", "to", "--jobs", "4", "--retries", "0"]);
        if places == 0 {
            result.exits_with(3).prints_error("busy");
            continue;
        }
        assert!(result.exits_with(0).out().starts_with("8 fetched (43 bytes)"), "{}", result.out());
        is_tree(&local, "to/");
    }
}

#[test]
fn a_listing_that_is_cut_begins_again_or_is_reported() {
    let local = TestDirectory::new();
    let server = Server::new(|mut exchange| match exchange.number {
        // The first one comes over a connection that was used before, which a server may close at any time.
        0 | 1 => {
            exchange.line(&json!({"type": "entry", "fileName": "gone", "fileSize": 1}));
            exchange.cut();
        }
        _ => tree(exchange, TREE),
    });
    let result = local.get(&server, &["-r", "-o", "to"]);
    result.exits_with(0).prints_error("coracle: ").prints_error("; trying again in ");
    is_tree(&local, "to/");
    let server = Server::new(|mut exchange| {
        exchange.line(&json!({"type": "entry", "fileName": "shown", "fileSize": 1}));
        exchange.cut();
    });
    let result = local.run(&["ls", &server.address]);
    assert_eq!((result.exits_with(3).out().as_str(), server.requests()), ("shown\n", 1));
    let failing = Server::new(|mut exchange| {
        exchange.line(&json!({"type": "entry", "fileName": "shown", "fileSize": 1}));
        exchange.refuse("io", "the disk failed");
    });
    assert_eq!(local.run(&["ls", &failing.address]).exits_with(1).out(), "shown\n");
}

#[test]
fn ls_in_its_forms() {
    let local = TestDirectory::new();
    let server = Server::new(|exchange| tree_with_skipped(exchange, TREE, 2));
    let ls = |args: &[&str]| {
        let result = local.run(&[&["ls", server.address.as_str()], args].concat());
        assert!(
            result.code == Some(0) && result.stderr.contains("more cannot be served") || args.contains(&"d/b"),
            "{result:?}"
        );
        result.out()
    };
    assert_eq!(ls(&["d"]), "d/b\nd/e/\n");
    assert_eq!(ls(&["d/"]), "d/b\nd/e/\n");
    assert_eq!(ls(&["d/b"]), "d/b\n");
    assert_eq!(ls(&["d", "-r"]), "d/b\nd/e/\nd/e/c\nd/e/empty\n");
    let long = "             4  2001-09-09T01:46:40Z  d/b\n             -  -                     d/e/\n";
    assert_eq!(ls(&["d", "-l"]), long);
    let lines = ls(&["-r", "--json"]);
    let objects: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(objects.len(), 10);
    assert!(objects.contains(&json!({"fileName": "d/e/c", "fileSize": 5, "modified": 1_000_000_000})));
    assert!(objects.contains(&json!({"fileName": "d/e", "directory": true})));
    assert_eq!(local.run(&["ls", &server.address, "missing"]).code, Some(1));
    assert_eq!(local.run(&["ls", &server.address, "../x"]).code, Some(2));
}

#[test]
fn stat_in_its_forms() {
    let (local, server) = (TestDirectory::new(), server());
    let result = local.run(&["stat", &server.address, "d/b", "--digest", "crc32"]);
    let crc = crate::support::crc32(b"beta");
    assert_eq!(
        result.exits_with(0).out(),
        format!("d/b\n  size      4 bytes\n  modified  -\n  version   v1\n  crc32     {crc}\n")
    );
    let result = local.run(&["stat", &server.address, "d/b", "--json"]);
    let object: Value = serde_json::from_str(&result.exits_with(0).out()).expect("JSON");
    assert_eq!(object, json!({"fileName": "d/b", "fileSize": 4, "version": "v1"}));
    let result = local.run(&["stat", &server.address, "d/b", "--json", "--digest", "crc32"]);
    let object: Value = serde_json::from_str(&result.exits_with(0).out()).expect("JSON");
    assert_eq!((&object["digest"], object["crc32"].as_str()), (&json!("crc32"), Some(crc.as_str())));
    local.run(&["stat", &server.address, "missing"]).exits_with(1);
}

/// The client needs as much memory for 120,000 entries as for one.
#[test]
fn x7_a_long_listing_takes_no_more_memory_than_a_short_one() {
    const COUNT: usize = 120_000;
    let local = TestDirectory::new();
    let server = Server::new(|mut exchange| {
        for block in 0..COUNT / 100 {
            let entry = |number| {
                format!("{{\"type\":\"entry\",\"fileName\":\"{}-{block}-{number}\",\"fileSize\":1}}\n", "x".repeat(200))
            };
            exchange.send((0..100).map(entry).collect::<String>());
        }
        exchange.line(&json!({"type": "end", "count": COUNT}));
    });
    // 25 MB of names do not fit into the limit of memory, of which the program itself takes three quarters.
    let command = format!("ulimit -v 40000 && {} ls {} -l | wc -l", env!("CARGO_BIN_EXE_coracle"), server.address);
    let output =
        std::process::Command::new("sh").args(["-c", &command]).current_dir(local.root.path()).output().expect("sh");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.trim(), COUNT.to_string(), "{}", String::from_utf8_lossy(&output.stderr));
}
