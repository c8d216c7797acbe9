//! `coracle sync`: compared with rsync on random trees, with listings that fail, and with what it must not delete.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use crate::program::Serve;
use crate::support::{Exchange, ProgramResult, Server, TestDirectory, directory_in_memory};

/// Numbers without short periods.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// Fills `root` with files, directories and, where `has_links`, links. Few names, so that two trees have many in common.
    pub fn fill(&mut self, root: &Path, depth: u32, has_links: bool) {
        fs::create_dir_all(root).expect("created");
        for name in ["a", "b.tmp", ".c", "d e", "keep", "caf\u{e9}"] {
            let path = root.join(name);
            match self.below(8) {
                0 | 1 if depth > 0 => self.fill(&path, depth - 1, has_links),
                2..=4 => self.write(&path),
                5 if has_links => symlink("a", &path).expect("a link"),
                _ => {}
            }
        }
    }

    /// Of a few sizes, contents and times; what has the same size and time has the same contents.
    fn write(&mut self, path: &Path) {
        let kind = self.below(4);
        fs::write(path, kind.to_string().repeat(1 + usize::try_from(kind % 2).expect("small"))).expect("written");
        let file = File::options().write(true).open(path).expect("open");
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000 + kind)).expect("a time");
    }
}

/// What is beneath `root`: the contents and times of files, `/` for directories, `@` for links.
pub fn tree(root: &Path) -> BTreeMap<String, String> {
    fn walk(root: &Path, prefix: &str, tree: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(root).expect("a directory") {
            let entry = entry.expect("an entry");
            let leaf = entry.file_name().to_str().expect("UTF-8").to_owned();
            // The index of what was fetched, which is no part of the mirror.
            if leaf.starts_with(".coracle-") {
                continue;
            }
            let name = format!("{prefix}{leaf}");
            let metadata = entry.metadata().expect("metadata");
            let what = if metadata.is_dir() {
                walk(&entry.path(), &format!("{name}/"), tree);
                "/".to_owned()
            } else if metadata.is_symlink() {
                "@".to_owned()
            } else {
                let modified = metadata.modified().expect("a time").duration_since(UNIX_EPOCH).expect("later");
                format!("{} at {}", fs::read_to_string(entry.path()).expect("read"), modified.as_secs())
            };
            tree.insert(name, what);
        }
    }
    let mut tree = BTreeMap::new();
    walk(root, "", &mut tree);
    tree
}

pub fn sync(local: &TestDirectory, address: &str, args: &[&str]) -> ProgramResult {
    local.run(&[&["sync", address], args].concat())
}

#[test]
fn a_mirror_is_what_rsync_makes() {
    let rounds = if std::env::var_os("CORACLE_QUICK").is_some() { 4 } else { 24 };
    for seed in 1..=rounds {
        let mut random = Random(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let (local, root) = (TestDirectory::in_memory(), directory_in_memory());
        random.fill(&root.path().join("top"), 3, false);
        // Never nothing at all.
        fs::write(root.path().join("top/always"), "there").expect("written");
        random.fill(&local.path("by-rsync"), 3, true);
        let from = local.path("by-rsync/.");
        assert!(Command::new("cp").arg("-a").args([&from, &local.path("by-coracle")]).status().expect("cp").success());
        let filters: &[&str] = match seed % 4 {
            0 => &["--exclude", "*.tmp"],
            1 => &["--include", "/a/keep", "--exclude", "keep", "--exclude", "/a/b.tmp"],
            2 => &["--exclude", ".c", "--exclude", "d e/**"],
            _ => &[],
        };
        let rsync = Command::new("rsync")
            .args(["-a", "--delete"])
            .args(filters)
            .args([root.path().join("top/"), local.path("by-rsync/")])
            .output()
            .unwrap_or_else(|error| panic!("rsync: {error}; 'apt-get install rsync' installs it"));
        // 23: what is excluded is in the way of what is not.
        let is_whole = rsync.status.success();
        assert!(is_whole || rsync.status.code() == Some(23), "seed {seed}: {rsync:?}");
        let serve = Serve::of_all(root);
        let args = [&["top", "by-coracle", "--delete", "--max-delete", "100%"], filters].concat();
        let result = sync(&local, &serve.address, &args);
        assert_eq!(result.code, Some(if is_whole { 0 } else { 5 }), "seed {seed}: {result:?}");
        assert_eq!(tree(&local.path("by-coracle")), tree(&local.path("by-rsync")), "seed {seed}: {}", result.out());
        // There is nothing to do then.
        let again = sync(&local, &serve.address, &args);
        assert!(
            again.exits_with(if is_whole { 0 } else { 5 }).out().starts_with("0 fetched (0 bytes), "),
            "seed {seed}: {}",
            again.out()
        );
    }
}

/// Serves the files `a` and `d/b`; a listing goes to `list` first, which says whether it answered.
fn server(list: impl Fn(&mut Exchange<'_>, &str) -> bool + Send + Sync + 'static) -> Server {
    Server::new(move |mut exchange| {
        if exchange.kind() != "list" {
            return exchange.honest(&[("a", b"alpha"), ("d/b", b"beta")]);
        }
        let path = exchange.request["path"].as_str().unwrap_or("").to_owned();
        if list(&mut exchange, &path) {
            return;
        }
        if path == "d" {
            exchange.line(&json!({"type": "entry", "fileName": "d/b", "fileSize": 4}));
            return exchange.line(&json!({"type": "end", "count": 1}));
        }
        exchange.line(&json!({"type": "entry", "fileName": "a", "fileSize": 5}));
        exchange.line(&json!({"type": "entry", "fileName": "d", "directory": true}));
        exchange.line(&json!({"type": "end", "count": 2}));
    })
}

/// A local directory with things that the server does not have.
fn with_extras() -> TestDirectory {
    let local = TestDirectory::new();
    fs::create_dir_all(local.path("to/d/gone")).expect("created");
    for name in ["to/extra", "to/d/extra", "to/d/gone/extra"] {
        local.write(name, "not at the server");
    }
    local
}

const EXTRAS: [&str; 3] = ["to/extra", "to/d/extra", "to/d/gone/extra"];

#[test]
fn tells_before_and_after_what_it_deletes() {
    let (local, server) = (with_extras(), server(|_, _| false));
    let result = sync(&local, &server.address, &["/", "to"]);
    assert!(result.exits_with(0).out().starts_with("2 fetched (9 bytes)"), "{}", result.out());
    assert!(EXTRAS.iter().all(|name| local.path(name).exists()), "without --delete nothing is deleted");
    let result = sync(&local, &server.address, &["/", "to", "--delete"]);
    let words = "3 files and 1 directory not at the server: deleting\n3 files and 1 directory deleted\n0 fetched";
    assert!(result.exits_with(0).out().starts_with(words), "{}", result.out());
    assert_eq!(local.names(), ["to", "to/a", "to/d", "to/d/b"]);
    // Where there is nothing yet.
    let result = sync(&local, &server.address, &["d", "new", "--delete"]);
    assert!(result.exits_with(0).out().starts_with("1 fetched"), "{}", result.out());
    assert_eq!(local.read("new/b"), b"beta");
    let result = sync(&local, &server.address, &["/", "to", "--delete", "-q"]);
    assert!(result.exits_with(0).stdout.is_empty());
}

/// What was listed for the deletions is fetched without another listing; what was not is listed again.
#[test]
fn a_mirror_that_deletes_lists_each_directory_once() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let server = server(move |_, path| {
        seen.lock().expect("no panic").push(path.to_owned());
        false
    });
    let local = with_extras();
    let result = sync(&local, &server.address, &["/", "to", "--delete"]);
    assert!(
        result.exits_with(0).out().ends_with("2 fetched (9 bytes), 0 equal and skipped, 0 failed\n"),
        "{}",
        result.out()
    );
    assert_eq!(local.names(), ["to", "to/a", "to/d", "to/d/b"]);
    assert_eq!(*asked.lock().expect("no panic"), ["", "d"]);
    assert_eq!(sync(&local, &server.address, &["d", "to/d", "--delete"]).exits_with(0).code, Some(0));
    assert_eq!(local.names(), ["to", "to/a", "to/d", "to/d/b"]);
}

#[test]
fn d21_nothing_is_deleted_unless_all_was_listed() {
    type List = fn(&mut Exchange<'_>, &str) -> bool;
    let cases: [(&str, i32, List); 7] = [
        ("fails half-way", 1, |exchange, path| {
            if path == "d" {
                exchange.line(&json!({"type": "entry", "fileName": "d/b", "fileSize": 4}));
                exchange.refuse("io", "the disk failed");
            }
            path == "d"
        }),
        ("is not allowed", 1, |exchange, path| {
            if path == "d" {
                exchange.refuse("denied", "permission denied");
            }
            path == "d"
        }),
        ("breaks each time", 3, |exchange, path| {
            if path == "d" {
                exchange.line(&json!({"type": "entry", "fileName": "d/b", "fileSize": 4}));
                exchange.cut();
            }
            path == "d"
        }),
        ("counts wrong", 4, |exchange, path| {
            if path == "d" {
                exchange.line(&json!({"type": "end", "count": 1}));
            }
            path == "d"
        }),
        ("cannot serve all", 1, |exchange, path| {
            if path == "d" {
                exchange.line(&json!({"type": "entry", "fileName": "d/b", "fileSize": 4}));
                exchange.line(&json!({"type": "end", "count": 1, "skipped": 2, "unnameable": 1}));
            }
            path == "d"
        }),
        ("does not say what it cannot serve", 1, |exchange, path| {
            if path == "d" {
                exchange.line(&json!({"type": "entry", "fileName": "d/b", "fileSize": 4}));
                exchange.line(&json!({"type": "end", "count": 1, "skipped": 1}));
            }
            path == "d"
        }),
        ("does not exist", 1, |exchange, _| {
            exchange.refuse("notFound", "no such directory");
            true
        }),
    ];
    for (what, code, list) in cases {
        let (local, server) = (with_extras(), server(list));
        let result = sync(&local, &server.address, &["/", "to", "--delete", "--retries", "1"]);
        assert_eq!(result.code, Some(code), "{what}: {result:?}");
        assert!(EXTRAS.iter().all(|name| local.path(name).exists()), "{what}: {result:?}");
        assert!(!result.out().contains("deleted"), "{what}: {result:?}");
    }
}

/// A socket or a device there is nothing that could be missing here.
#[test]
fn what_is_no_file_at_the_server_keeps_nothing() {
    let (local, server) = (
        with_extras(),
        server(|exchange, path| {
            if path == "d" {
                exchange.line(&json!({"type": "entry", "fileName": "d/b", "fileSize": 4}));
                exchange.line(&json!({"type": "end", "count": 1, "skipped": 1, "unnameable": 0}));
            }
            path == "d"
        }),
    );
    let result = sync(&local, &server.address, &["/", "to", "--delete"]);
    assert_eq!(result.code, Some(0), "{result:?}");
    assert_eq!(local.names(), ["to", "to/a", "to/d", "to/d/b"]);
}

/// An unmounted disk looks like this.
#[test]
fn d21_an_empty_source_deletes_nothing() {
    let local = with_extras();
    let server = server(|exchange, _| {
        exchange.line(&json!({"type": "end", "count": 0}));
        true
    });
    let result = sync(&local, &server.address, &["/", "to", "--delete", "--max-delete", "100%"]);
    result.exits_with(5).prints_error("/: there is nothing in it, so nothing is deleted");
    assert!(EXTRAS.iter().all(|name| local.path(name).exists()));
}

#[test]
fn d21_more_than_allowed_is_not_begun() {
    let server = server(|_, _| false);
    for (limit, is_allowed) in [("3", false), ("4", true), ("79%", false), ("80%", true), ("0", false), ("100%", true)]
    {
        let local = with_extras();
        let result = sync(&local, &server.address, &["/", "to", "--delete", "--max-delete", limit]);
        if is_allowed {
            result.exits_with(0);
            assert_eq!(local.names(), ["to", "to/a", "to/d", "to/d/b"]);
        } else {
            let words = format!(
                "4 of 5 entries of to are not at the server, more than --max-delete {limit}: nothing is changed"
            );
            result.exits_with(5).prints_error(&words);
            assert!(EXTRAS.iter().all(|name| local.path(name).exists()) && !local.path("to/a").exists(), "{limit}");
        }
    }
    // By default half of them, and ten in any case.
    let local = with_extras();
    for number in 0..7 {
        local.write(&format!("to/more-{number}"), "");
    }
    sync(&local, &server.address, &["/", "to", "--delete"]).exits_with(5).prints_error("11 of 12");
    sync(&local, &server.address, &["/", "to", "--max-delete", "1"]).exits_with(2).prints_error("--delete");
    sync(&local, &server.address, &["/", "to", "--delete", "--max-delete", "x"]).exits_with(2).prints_error("10%");
}

#[test]
fn d22_what_is_not_the_mirrors_stays() {
    let (local, server) = (
        with_extras(),
        server(|exchange, path| {
            if path == "d" {
                exchange.line(&json!({"type": "entry", "fileName": "d/b", "fileSize": 4}));
                exchange.line(&json!({"type": "end", "count": 1, "hidden": 1}));
            }
            path == "d"
        }),
    );
    fs::create_dir(local.path("outside")).expect("created");
    local.write("outside/secret", "");
    fs::create_dir_all(local.path("to/gone")).expect("created");
    for name in ["to/.coracle-x.part", "to/gone/kept.me", "to/gone/extra", "to/.extra", "to/d/.may-be-there"] {
        local.write(name, "");
    }
    symlink(local.path("outside"), local.path("to/link")).expect("a link");
    let args = ["/", "to", "--delete", "--max-delete", "100%", "--exclude", "*.me"];
    sync(&local, &server.address, &args).exits_with(0);
    let left = ["to/.coracle-x.part", "to/a", "to/d", "to/d/.may-be-there", "to/d/b", "to/gone", "to/gone/kept.me"];
    assert_eq!(local.names(), [&["outside", "outside/secret", "to"], &left[..]].concat());
}

/// What was changed or replaced here is as at the server afterwards.
#[test]
fn other_contents_and_other_kinds_are_replaced() {
    let (local, server) = (TestDirectory::new(), server(|_, _| false));
    local.write("d", "a file in the place of a directory");
    fs::create_dir(local.path("a")).expect("created");
    local.write("a/extra", "");
    sync(&local, &server.address, &["/", "."]).exits_with(5);
    assert!(local.path("a/extra").exists() && local.path("d").is_file(), "nothing makes room without --delete");
    sync(&local, &server.address, &["/", ".", "--delete", "--max-delete", "100%"]).exits_with(0);
    assert_eq!((local.read("a"), local.read("d/b")), (b"alpha".to_vec(), b"beta".to_vec()));
    local.write("a", "mine!");
    sync(&local, &server.address, &["/", "."]).exits_with(0);
    assert_eq!(local.read("a"), b"alpha");
}
