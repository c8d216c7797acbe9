//! `coracle get`, `ls` and `stat` against `coracle serve`: killed, resumed, with files that change, with many files and with
//! hostile names.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use crate::program::Serve;
use crate::support::{INDEX, TestDirectory, directory_in_memory, finish, pseudo_random, wait_until};

fn is_quick() -> bool {
    std::env::var_os("CORACLE_QUICK").is_some()
}

fn len(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Asserts that both trees have the same names and contents, but for those of the first that `is_skipped` names.
#[track_caller]
fn are_equal(served: &Path, fetched: &Path, is_skipped: &dyn Fn(&OsStr) -> bool) -> usize {
    let mut files = 0;
    let mut expected = 0;
    for entry in fs::read_dir(served).expect("a directory") {
        let name = entry.expect("an entry").file_name();
        if is_skipped(&name) {
            continue;
        }
        expected += 1;
        let (from, to) = (served.join(&name), fetched.join(&name));
        if from.is_dir() {
            files += are_equal(&from, &to, is_skipped);
        } else {
            assert!(fs::read(&from).expect("served") == fs::read(&to).expect("fetched"), "{name:?} differs");
            files += 1;
        }
    }
    let names = fs::read_dir(fetched).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    assert_eq!(names.filter(|name| name != INDEX).count(), expected, "in {}", fetched.display());
    files
}

#[test]
fn d1_killed_at_ten_moments_and_resumed() {
    let (local, serve) = (TestDirectory::new(), Serve::new());
    let file = pseudo_random(48 << 20);
    serve.write("big", &file);
    let part = local.path(".coracle-big.part");
    // Whether at least five kills came in time: on a busy machine a download can end before the kill.
    let killed_on_the_way = || {
        let mut kills = 0;
        for moment in 1..=10 {
            let mut child = local.start(&["get", &serve.address, "big"]);
            let wanted = moment * (file.len() as u64 / 11);
            wait_until("progress", || len(&part) >= wanted || local.path("big").exists());
            child.kill().expect("killed");
            kills += u32::from(child.wait().expect("waited for").signal() == Some(9));
            assert!(local.path("big").exists() || len(&part) >= wanted, "the part shrank");
        }
        if !local.path("big").exists() {
            serve.get(&local, &["big"]).exits_with(0);
        }
        assert!(local.read("big") == file);
        kills >= 5
    };
    let is_shown = (0..10).any(|round| {
        if round > 0 {
            fs::remove_file(local.path("big")).expect("removed");
        }
        killed_on_the_way()
    });
    assert!(is_shown, "too few kills came in time");
    assert_eq!(local.names(), ["big"]);
}

#[test]
fn ctrl_c_leaves_what_can_be_resumed() {
    let (local, serve) = (TestDirectory::new(), Serve::new());
    let file = pseudo_random(48 << 20);
    serve.write("big", &file);
    let interrupted = || {
        // The signal may be ignored here, as by a shell for a command in the background.
        let child = Command::new("env")
            .args(["--default-signal", env!("CARGO_BIN_EXE_coracle"), "get", &serve.address, "big"])
            .current_dir(local.root.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program");
        wait_until("progress", || len(&local.path(".coracle-big.part")) > 1 << 20 || local.path("big").exists());
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
        let status = child.wait_with_output().expect("waited for").status;
        if status.signal().is_none() {
            // The download ended before the signal.
            assert_eq!(status.code(), Some(0));
            fs::remove_file(local.path("big")).expect("removed");
        }
        status.signal()
    };
    assert_eq!((0..10).find_map(|_| interrupted()), Some(2));
    let before = len(&local.path(".coracle-big.part"));
    assert!(before > 1 << 20 && !local.path("big").exists());
    serve.get(&local, &["big"]).exits_with(0);
    assert!(local.read("big") == file);
}

#[test]
fn s6_changed_between_the_runs() {
    let (local, serve) = (TestDirectory::new(), Serve::new());
    let part = local.path(".coracle-f.part");
    let mut last = Vec::new();
    for round in 0..6_u8 {
        last = pseudo_random((16 << 20) + usize::from(round));
        last[0] = round;
        // Rewritten in place, or replaced by another file.
        if round % 2 == 0 {
            serve.write("f", &last);
        } else {
            serve.write("new", &last);
            fs::rename(serve.root.path().join("new"), serve.root.path().join("f")).expect("renamed");
        }
        let mut child = local.start(&["get", &serve.address, "f"]);
        wait_until("progress", || len(&part) >= 1 << 20 || local.path("f").exists());
        child.kill().expect("killed");
        child.wait().expect("waited for");
        if local.path("f").exists() {
            assert!(local.read("f") == last);
            fs::remove_file(local.path("f")).expect("removed");
        }
    }
    serve.get(&local, &["f"]).exits_with(0);
    assert!(local.read("f") == last, "spliced");
}

#[test]
fn s4_replaced_while_it_is_sent() {
    let (local, serve) = (TestDirectory::new(), Serve::new());
    let (old, new) = (pseudo_random(32 << 20), pseudo_random(1_000));
    // Whether it was replaced before the end of the fetch, which can come first on a busy machine.
    let replaced_on_the_way = || {
        serve.write("f", &old);
        let child = local.start(&["get", &serve.address, "f", "--force"]);
        wait_until("progress", || len(&local.path(".coracle-f.part")) >= 1 << 20 || local.path("f").exists());
        serve.write("new", &new);
        fs::rename(serve.root.path().join("new"), serve.root.path().join("f")).expect("renamed");
        let is_in_time = !local.path("f").exists();
        finish(child).exits_with(0);
        let got = local.read("f");
        assert!(got == old || got == new, "{} bytes", got.len());
        fs::remove_file(local.path("f")).expect("removed");
        is_in_time
    };
    assert!((0..10).any(|_| replaced_on_the_way()), "it was never replaced before the end");
}

#[test]
fn a_file_that_is_being_written_is_fetched_whole_or_refused() {
    let (local, serve) = (TestDirectory::new(), Serve::new());
    serve.write("log", pseudo_random(8 << 20));
    let path = serve.root.path().join("log");
    let result = thread::scope(|scope| {
        let child = local.start(&["get", &serve.address, "log", "--snapshot"]);
        let writer = scope.spawn(|| {
            let mut log = OpenOptions::new().append(true).open(&path).expect("open");
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_millis(1_500) {
                log.write_all(b"another line\n").expect("written");
                sleep(Duration::from_millis(1));
            }
        });
        let result = finish(child);
        writer.join().expect("written");
        result
    });
    assert!(result.code == Some(0) || result.code == Some(1), "{result:?}");
    let now = fs::read(&path).expect("read");
    if result.code == Some(0) {
        let got = local.read("log");
        assert!(got.len() >= 8 << 20 && now.starts_with(&got), "{} bytes", got.len());
    }
    serve.get(&local, &["log", "--force"]).exits_with(0);
    assert!(local.read("log") == now);
}

#[test]
fn a_server_that_dies_and_comes_back() {
    let (local, mut serve) = (TestDirectory::new(), Serve::new());
    let file = pseudo_random(32 << 20);
    serve.write("big", &file);
    let child = local.start(&["get", &serve.address, "big", "--retries", "8"]);
    for _ in 0..3 {
        let before = len(&local.path(".coracle-big.part"));
        wait_until("progress", || len(&local.path(".coracle-big.part")) > before || local.path("big").exists());
        serve.stop();
        sleep(Duration::from_millis(300));
        serve.restart();
    }
    finish(child).exits_with(0);
    assert!(local.read("big") == file);
}

#[test]
fn hostile_names() {
    let (local, serve) = (TestDirectory::new(), Serve::new());
    let root = serve.root.path();
    let good = [
        "plain",
        "plain.part",
        "plain.part.json",
        "-rf",
        "--help",
        "~",
        "$HOME",
        "*",
        "?",
        "a b",
        " ",
        "'",
        "\"",
        "\u{201c}",
        "%2e%2e%2f",
        "Makefile",
        "makefile",
        "caf\u{e9}",
        "cafe\u{301}",
        "\u{1f600}",
        "gpj.\u{202e}exe",
        "C:x",
        "nul.txt",
        "a.",
        "x.json",
    ];
    for (number, name) in good.iter().enumerate() {
        serve.write(name, format!("{number}"));
    }
    let long = ["x".repeat(255), "é".repeat(127), "y".repeat(254)];
    for name in &long {
        serve.write(name, name);
    }
    let deep = format!("{}/end", ["d"; 120].join("/"));
    fs::create_dir_all(root.join(&deep).parent().expect("a parent")).expect("directories");
    serve.write(&deep, "deep");
    fs::create_dir_all(root.join("empty/also empty")).expect("directories");
    // What has no valid name.
    let bad: [&[u8]; 7] = [b"\xff\xfe", b"a\nb", b"a\\b", b"\x1b[2J", b"a\\.part", b"\xc2\x9b", b".hidden"];
    for name in bad {
        fs::write(root.join(OsStr::from_bytes(name)), "bad").expect("written");
    }
    symlink("/etc/passwd", root.join("outside")).expect("a link");
    symlink("plain", root.join("inside")).expect("a link");
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("fifo"), rustix::fs::Mode::RWXU).expect("a fifo");
    let is_bad =
        |name: &OsStr| bad.contains(&name.as_bytes()) || [OsStr::new("outside"), OsStr::new("fifo")].contains(&name);
    for jobs in ["1", "4"] {
        let to = format!("to{jobs}");
        let result = serve.get(&local, &["-r", "-o", &to, "--jobs", jobs]);
        assert_eq!(
            are_equal(root, &local.path(&to), &is_bad),
            good.len() + long.len() + 2,
            "{}",
            result.exits_with(1).prints_error("/: 8 entries cannot be served").out()
        );
        let result = serve.get(&local, &["-r", "-o", &to, "--jobs", jobs]);
        assert!(
            result.exits_with(1).out().starts_with("0 fetched (0 bytes), 30 equal and skipped, 0 failed"),
            "{}",
            result.out()
        );
    }
    // Also by its own name; `--` ends the options.
    for name in good.iter().copied().chain(long.iter().map(String::as_str)) {
        let result = local.run(&["get", "-o", "one", &serve.address, "--", name]);
        assert_eq!(
            (result.exits_with(0), local.read("one")),
            (&result, fs::read(root.join(name)).expect("served")),
            "{name}"
        );
        fs::remove_file(local.path("one")).expect("removed");
    }
    let result = local.run(&["ls", &serve.address, "-r"]);
    assert!(result.out().lines().any(|line| line == deep) && !result.out().contains("outside"), "{}", result.out());
    for (name, code) in [("outside", 1), ("fifo", 1), (".hidden", 1), ("d", 1), ("nothing", 1), ("../x", 2)] {
        assert_eq!(serve.get(&local, &[name]).code, Some(code), "{name}");
    }
}

#[test]
fn many_files_in_one_directory() {
    let count = if is_quick() { 2_000 } else { 20_000 };
    let (local, serve) = (TestDirectory::in_memory(), Serve::of(directory_in_memory()));
    for number in 0..count {
        serve.write(&format!("file-{number:05}"), number.to_string());
    }
    let result = local.run(&["ls", &serve.address]);
    assert_eq!(result.exits_with(0).out().lines().count(), count);
    // Killed on the way, then run to the end.
    for part in [1, 3] {
        let mut child = local.start(&["get", "-r", &serve.address, "-o", "to", "--jobs", "4"]);
        wait_until("files", || fs::read_dir(local.path("to")).map_or(0, Iterator::count) > count * part / 10);
        child.kill().expect("killed");
        child.wait().expect("waited for");
    }
    let result = serve.get(&local, &["-r", "-o", "to", "--jobs", "4"]);
    assert!(result.exits_with(0).out().contains(" equal and skipped, 0 failed"), "{}", result.out());
    let leftovers = |name: &OsStr| name.as_bytes().starts_with(b".coracle-") && name != INDEX;
    assert!(
        !fs::read_dir(local.path("to")).expect("a directory").any(|entry| leftovers(&entry.expect("one").file_name()))
    );
    assert_eq!(are_equal(serve.root.path(), &local.path("to"), &|_| false), count);
    let result = serve.get(&local, &["-r", "-o", "to"]);
    assert!(result.exits_with(0).out().starts_with(&format!("0 fetched (0 bytes), {count} equal")), "{}", result.out());
}

#[test]
fn over_ipv6_and_by_a_name_with_several_addresses() {
    let local = TestDirectory::new();
    let root = tempfile::tempdir().expect("a directory");
    fs::write(root.path().join("f"), "six").expect("written");
    let (child, address) = Serve::start(root.path(), "[::1]:0");
    let mut serve = Serve { root, child, address };
    assert!(serve.address.starts_with("[::1]:"), "{}", serve.address);
    serve.get(&local, &["f"]).exits_with(0);
    assert_eq!(local.read("f"), b"six");
    serve.stop();
    // One of its addresses is served, in whatever order they are.
    let serve = Serve::new();
    serve.write("g", "four");
    let port = serve.address.rsplit(':').next().expect("a port");
    local.run(&["get", &format!("localhost:{port}"), "g", "--retries", "0"]).exits_with(0);
}

#[test]
fn times_sizes_and_digests_arrive() {
    let (local, serve) = (TestDirectory::new(), Serve::new());
    serve.write("f", b"123456789");
    let file = File::open(serve.root.path().join("f")).expect("open");
    let time = std::time::UNIX_EPOCH + Duration::from_secs(1_234_567_890);
    file.set_modified(time).expect("a time");
    for digest in ["crc32", "sha256", "none"] {
        serve.get(&local, &["f", "--digest", digest, "--force"]).exits_with(0);
        assert_eq!(local.read("f"), b"123456789");
        assert_eq!(fs::metadata(local.path("f")).and_then(|meta| meta.modified()).expect("a time"), time);
    }
    let result = local.run(&["ls", &serve.address, "-l"]);
    assert_eq!(result.exits_with(0).out(), "             9  2009-02-13T23:31:30Z  f\n");
    let result = local.run(&["stat", &serve.address, "f", "--digest", "crc32"]);
    assert!(result.exits_with(0).out().contains("crc32     cbf43926\n"), "{}", result.out());
    let result = local.run(&["stat", &serve.address, "f", "--digest", "sha256", "--json"]);
    assert!(
        result.exits_with(0).out().contains("15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
        "{}",
        result.out()
    );
}

/// On a terminal there is a bar, and a summary at the end; in a pipe there is neither.
#[test]
fn m12_a_person_sees_how_it_gets_on() {
    let (local, serve) = (TestDirectory::new(), Serve::new());
    serve.write("f", pseudo_random(8 << 20));
    let command = format!("{} get {} f", env!("CARGO_BIN_EXE_coracle"), serve.address);
    let mut script = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .current_dir(local.root.path())
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("script: {error}; 'apt-get install bsdutils' installs it"));
    let mut seen = String::new();
    script.stdout.take().expect("its output").read_to_string(&mut seen).expect("UTF-8");
    assert!(script.wait().expect("waited for").success(), "{seen}");
    assert!(seen.contains("f -> ./f: 8388608 bytes, crc32 "), "{seen:?}");
    assert!(seen.contains("8.00 MiB"), "no bar: {seen:?}");
}
