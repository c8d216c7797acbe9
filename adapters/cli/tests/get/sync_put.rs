//! `coracle sync --put`: compared with rsync on random trees, and with what it must not delete.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::program::Serve;
use crate::support::{Exchange, Server, TestDirectory, directory_in_memory};
use crate::sync::{Random, sync, tree};

#[test]
fn a_mirror_at_the_server_is_what_rsync_makes() {
    let rounds = if std::env::var_os("CORACLE_QUICK").is_some() { 4 } else { 16 };
    for seed in 1..=rounds {
        let mut random = Random(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let (local, root) = (TestDirectory::in_memory(), directory_in_memory());
        random.fill(&local.path("from"), 3, false);
        // Never nothing at all.
        local.write("from/always", "here");
        random.fill(&local.path("by-rsync"), 3, false);
        let from = local.path("by-rsync/.");
        assert!(Command::new("cp").arg("-a").args([&from, &root.path().join("top")]).status().expect("cp").success());
        let filters: &[&str] = match seed % 4 {
            0 => &["--exclude", "*.tmp"],
            1 => &["--include", "/a/keep", "--exclude", "keep", "--exclude", "/a/b.tmp"],
            2 => &["--exclude", ".c", "--exclude", "d e/**"],
            _ => &[],
        };
        let rsync = Command::new("rsync")
            .args(["-a", "--delete"])
            .args(filters)
            .args([local.path("from/"), local.path("by-rsync/")])
            .output()
            .unwrap_or_else(|error| panic!("rsync: {error}; 'apt-get install rsync' installs it"));
        // 23: what is excluded is in the way of what is not.
        let is_whole = rsync.status.success();
        assert!(is_whole || rsync.status.code() == Some(23), "seed {seed}: {rsync:?}");
        let serve = Serve::writable(root, &["--hidden"]);
        let args = [&["--put", "from", "top", "--delete", "--max-delete", "100%"], filters].concat();
        let before = tree(&serve.root.path().join("top"));
        sync(&local, &serve.address, &[&args[..], &["--dry-run"]].concat());
        assert_eq!(tree(&serve.root.path().join("top")), before, "seed {seed}: a dry run changes nothing");
        let result = sync(&local, &serve.address, &args);
        assert_eq!(result.code, Some(if is_whole { 0 } else { 1 }), "seed {seed}: {result:?}");
        let made = tree(&serve.root.path().join("top"));
        assert_eq!(made, tree(&local.path("by-rsync")), "seed {seed}: {}", result.out());
        // There is nothing to do then.
        let again = sync(&local, &serve.address, &args);
        let again = again.exits_with(if is_whole { 0 } else { 1 }).out();
        assert!(again.starts_with("0 sent (0 bytes), "), "seed {seed}: {again}");
    }
}

/// A directory with the file `a`, and a server with more than that.
fn with_extras(options: &[&str]) -> (TestDirectory, Serve) {
    let (local, root) = (TestDirectory::new(), tempfile::tempdir().expect("a directory"));
    fs::create_dir(local.path("from")).expect("made");
    local.write("from/a", "alpha");
    fs::create_dir_all(root.path().join("to/d/e")).expect("made");
    for name in ["to/extra", "to/d/extra", "to/d/e/extra"] {
        fs::write(root.path().join(name), "not here").expect("written");
    }
    (local, Serve::writable(root, options))
}

fn has_extras(serve: &Serve) -> bool {
    ["to/extra", "to/d/extra", "to/d/e/extra"].iter().all(|name| serve.root.path().join(name).exists())
}

#[test]
fn tells_before_and_after_what_it_deletes_at_the_server() {
    let (local, serve) = with_extras(&[]);
    let result = sync(&local, &serve.address, &["--put", "from", "to"]);
    assert!(result.exits_with(0).out().starts_with("1 sent (5 bytes)"), "{}", result.out());
    assert!(has_extras(&serve), "without --delete nothing is deleted");
    let dry = sync(&local, &serve.address, &["--put", "from", "to", "--delete", "--dry-run"]);
    assert!(dry.exits_with(0).out().starts_with("delete to/d/\ndelete to/d/e/"), "{}", dry.out());
    assert!(has_extras(&serve));
    let result = sync(&local, &serve.address, &["--put", "from", "to", "--delete"]);
    let words = "3 files and 2 directories not in from: deleting\n3 files and 2 directories deleted\n0 sent";
    assert!(result.exits_with(0).out().starts_with(words), "{}", result.out());
    assert_eq!(fs::read_dir(serve.root.path().join("to")).expect("listed").count(), 1);
    // To where there is nothing yet, and empty directories.
    fs::create_dir_all(local.path("from/empty/inner")).expect("made");
    let result = sync(&local, &serve.address, &["--put", "from", "new/er", "--delete", "--json"]);
    let out = result.exits_with(0).out();
    assert!(out.contains(r#""outcome":"sent""#) && out.contains(r#""exitCode":0"#), "{out}");
    assert!(serve.root.path().join("new/er/empty/inner").is_dir());
}

#[test]
fn d22_nothing_is_deleted_at_the_server_without_reason() {
    // The source is empty.
    let (local, serve) = with_extras(&[]);
    fs::create_dir(local.path("empty")).expect("made");
    let result = sync(&local, &serve.address, &["--put", "empty", "to", "--delete", "--max-delete", "100%"]);
    result.exits_with(5).prints_error("there is nothing in it, so nothing is deleted");
    assert!(has_extras(&serve));
    // It is not there, or cannot be read.
    let result = sync(&local, &serve.address, &["--put", "missing", "to", "--delete", "--max-delete", "100%"]);
    result.exits_with(5).prints_error("cannot read missing");
    assert!(has_extras(&serve));
    // It would be too much.
    let result = sync(&local, &serve.address, &["--put", "from", "to", "--delete", "--max-delete", "2"]);
    result.exits_with(5).prints_error("more than --max-delete 2: nothing is changed");
    assert!(has_extras(&serve) && !serve.root.path().join("to/a").exists());
    // What is excluded, what the server hides, and what a link of the server's leads to.
    symlink("d", serve.root.path().join("to/link")).expect("a link");
    fs::write(serve.root.path().join("to/d/e/.hidden"), "").expect("written");
    fs::create_dir_all(local.path("from/link")).expect("made");
    local.write("from/link/x", "not through the link");
    let args = ["--put", "from", "to", "--delete", "--max-delete", "100%", "--exclude", "/extra"];
    let result = sync(&local, &serve.address, &args);
    result.exits_with(1).prints_error("a link at the server");
    let there = tree(&serve.root.path().join("to"));
    let names: Vec<&str> = there.keys().map(String::as_str).collect();
    assert_eq!(names, ["a", "d", "d/e", "d/e/.hidden", "extra", "link"], "{result:?}");
}

#[test]
fn d21_nothing_is_deleted_at_a_server_unless_all_was_listed() {
    type List = fn(&mut Exchange<'_>);
    let cases: [(&str, List); 4] = [
        ("fails half-way", |exchange| {
            exchange.line(&json!({"type": "entry", "fileName": "d/extra", "fileSize": 4}));
            exchange.refuse("io", "the disk failed");
        }),
        ("is not allowed", |exchange| exchange.refuse("denied", "permission denied")),
        ("cannot serve all", |exchange| {
            exchange.line(&json!({"type": "entry", "fileName": "d/extra", "fileSize": 4}));
            exchange.line(&json!({"type": "end", "count": 1, "skipped": 2, "unnameable": 1}));
        }),
        ("breaks", |exchange| {
            exchange.line(&json!({"type": "entry", "fileName": "d/extra", "fileSize": 4}));
            exchange.cut();
        }),
    ];
    for (what, list) in cases {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let server = Server::new(move |mut exchange| {
            seen.lock().expect("no panic").push(exchange.kind().to_owned());
            match (exchange.kind(), exchange.request["path"].as_str()) {
                ("list", Some("d")) => list(&mut exchange),
                ("list", _) => {
                    exchange.line(&json!({"type": "entry", "fileName": "extra", "fileSize": 5}));
                    exchange.line(&json!({"type": "entry", "fileName": "d", "directory": true}));
                    exchange.line(&json!({"type": "end", "count": 2}));
                }
                _ => exchange.refuse("denied", "permission denied"),
            }
        });
        let local = TestDirectory::new();
        fs::create_dir(local.path("from")).expect("made");
        local.write("from/a", "alpha");
        let args = ["--put", "from", "/", "--delete", "--max-delete", "100%", "--retries", "1"];
        let result = sync(&local, &server.address, &args);
        assert_ne!(result.code, Some(0), "{what}: {result:?}");
        let asked = asked.lock().expect("no panic");
        assert!(!asked.iter().any(|kind| kind == "delete"), "{what}: {asked:?}");
    }
}

#[test]
fn by_contents_where_asked() {
    let (local, serve) = with_extras(&[]);
    let args = ["--put", "from", "to"];
    sync(&local, &serve.address, &args).exits_with(0);
    // Other contents of the same size and time.
    let file = fs::File::options().write(true).open(local.path("from/a")).expect("open");
    let time = file.metadata().expect("there").modified().expect("a time");
    fs::write(local.path("from/a"), "ALPHA").expect("written");
    file.set_modified(time).expect("set");
    let same = sync(&local, &serve.address, &args);
    assert!(same.exits_with(0).out().starts_with("0 sent (0 bytes), 1 equal"), "{}", same.out());
    let other = sync(&local, &serve.address, &[&args[..], &["--checksum"]].concat());
    assert!(other.exits_with(0).out().starts_with("1 sent (5 bytes), 0 equal"), "{}", other.out());
    let equal = sync(&local, &serve.address, &[&args[..], &["--checksum"]].concat());
    assert!(equal.exits_with(0).out().starts_with("0 sent (0 bytes), 1 equal"), "{}", equal.out());
    assert_eq!(fs::read(serve.root.path().join("to/a")).expect("there"), b"ALPHA");
}
