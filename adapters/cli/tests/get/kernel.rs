//! `coracle get`, killed at each system call, and with system calls that fail. Needs `strace`.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::json;

use crate::support::{Exchange, ProgramResult, Server, TestDirectory, finish, pseudo_random, wait_until};

const LEN: usize = 300_000;

fn file() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| pseudo_random(LEN))
}

fn honest() -> Server {
    Server::new(|mut exchange: Exchange<'_>| {
        if exchange.kind() == "list" {
            exchange.line(&json!({"type": "entry", "fileName": "a", "fileSize": LEN}));
            return exchange.line(&json!({"type": "end", "count": 1}));
        }
        exchange.answer(file(), "v1");
    })
}

/// Runs `coracle get` under strace with `options`, and the output of strace to the file `strace.log`.
fn traced(local: &TestDirectory, server: &Server, options: &[&str], args: &[&str]) -> ProgramResult {
    let log = local.path("strace.log");
    let child = Command::new("strace")
        .args(["-f", "-o"])
        .arg(log)
        .args(options)
        .args([env!("CARGO_BIN_EXE_coracle"), "get", &server.address])
        .args(args)
        .current_dir(local.root.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("strace: {error}; 'apt-get install strace' installs it"));
    let result = finish(child);
    assert!(local.path("strace.log").exists(), "strace did not work: {}", result.stderr);
    result
}

/// The files beside strace's log.
fn names(local: &TestDirectory) -> Vec<String> {
    local.names().into_iter().filter(|name| name != "strace.log").collect()
}

const CALLS: [&str; 18] = [
    "openat",
    "openat2",
    "newfstatat",
    "fstat",
    "flock",
    "pwrite64",
    "fsync",
    "utimensat",
    "statx",
    "close",
    "renameat",
    "renameat2",
    "unlinkat",
    "ftruncate",
    "recvfrom",
    "sendto",
    "connect",
    "fstatfs",
];

/// How many times each call was made before the first access to the directory of the download, mostly by the loader.
fn calls_before(server: &Server) -> impl Fn(&str) -> usize + use<> {
    let local = TestDirectory::new();
    traced(&local, server, &["-e", &format!("trace={}", CALLS.join(","))], &["a"]).exits_with(0);
    let log = String::from_utf8(local.read("strace.log")).expect("UTF-8");
    let end = log.find(", \"a\",").expect("the first look");
    let before = log[..end].to_owned();
    move |call| before.lines().filter(|line| line.contains(&format!(" {call}("))).count()
}

#[test]
fn d1_killed_at_every_system_call() {
    let server = honest();
    let before = calls_before(&server);
    // Fewer rounds cover each call, too.
    let step = if std::env::var_os("CORACLE_QUICK").is_some() { 3 } else { 1 };
    let mut kills = 0;
    for call in CALLS {
        for args in [&["a"][..], &["a", "--force"]] {
            for number in (before(call).max(1)..).step_by(step) {
                let local = TestDirectory::new();
                if args.len() > 1 {
                    local.write("a", "old");
                }
                let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=KILL:when={number}"));
                let result = traced(&local, &server, &["-e", &trace, "-e", &inject], args);
                if result.code == Some(0) {
                    break;
                }
                assert_eq!(result.code, None, "{call} {number}: {}", result.stderr);
                kills += 1;
                is_recovered(&local, &server, args.len() > 1, &format!("{call} {number} {args:?}"));
            }
        }
    }
    assert!(kills > 60 / step, "only {kills} kills");
}

/// The file is complete or absent, and the next run resumes.
#[track_caller]
fn is_recovered(local: &TestDirectory, server: &Server, had_old: bool, what: &str) {
    match fs::read(local.path("a")) {
        Ok(bytes) if bytes == file() => {}
        Ok(bytes) => assert!(had_old && bytes == b"old", "{what}: {} bytes", bytes.len()),
        Err(_) => assert!(!had_old, "{what}: the old file is gone"),
    }
    let next = local.get(server, &["a", "--force"]);
    assert_eq!(next.code, Some(0), "{what}: {}", next.stderr);
    assert_eq!(local.read("a"), file(), "{what}");
    assert_eq!(names(local), ["a"], "{what}");
}

#[test]
fn d1_killed_at_every_write_and_resumed_each_time() {
    let server = honest();
    let local = TestDirectory::new();
    let mut last = 0;
    for _ in 0..20 {
        let result = traced(&local, &server, &["-e", "inject=pwrite64:signal=KILL:when=2"], &["a"]);
        if result.code == Some(0) {
            break;
        }
        let len = fs::metadata(local.path(".coracle-a.part")).map_or(0, |part| part.len());
        assert!(len >= last, "{len} after {last}");
        last = len;
    }
    local.get(&server, &["a", "--force"]).exits_with(0);
    assert_eq!((local.read("a"), names(&local)), (file().to_vec(), vec!["a".to_owned()]));
}

#[test]
fn d5_it_is_reported_only_when_it_is_durable() {
    const CALLS: [&str; 2] = ["-e", "trace=fsync,syncfs,renameat2,write,pwrite64"];
    for (fsync, sync) in [("file", "fsync"), ("batch", "syncfs")] {
        let (local, server) = (TestDirectory::new(), honest());
        traced(&local, &server, &CALLS, &["-r", "--fsync", fsync]).exits_with(0);
        let log = String::from_utf8(local.read("strace.log")).expect("UTF-8");
        let lines: Vec<_> = log.lines().collect();
        let all = |what: &str| -> Vec<_> { (0..lines.len()).filter(|at| lines[*at].contains(what)).collect() };
        let (mut syncs, renames, reports) = (all(sync), all("renameat2("), all("1 fetched"));
        // The calls that have come to their end.
        syncs.retain(|at| lines[*at].contains("= 0"));
        // After the second sync the index follows.
        let ([contents, name, ..], [renamed], [said]) = (&syncs[..], &renames[..], &reports[..]) else {
            panic!("{log}")
        };
        let last_write = all("pwrite64").into_iter().rfind(|write| write < name);
        assert!(last_write < Some(*contents) && contents < renamed && renamed < name && name < said, "{log}");
    }
    let (local, server) = (TestDirectory::new(), honest());
    traced(&local, &server, &CALLS, &["-r", "--fsync", "none"]).exits_with(0);
    let log = String::from_utf8(local.read("strace.log")).expect("UTF-8");
    assert!(!log.contains("sync") && log.contains("renameat2("), "{log}");
}

#[test]
fn k10_a_sync_that_fails_is_a_failure() {
    let (local, server) = (TestDirectory::new(), honest());
    traced(&local, &server, &["-e", "inject=fsync:error=EIO:when=1"], &["a"])
        .exits_with(5)
        .prints_error("Input/output error");
    assert!(names(&local).is_empty(), "what was read back may not be what is on the disk: {:?}", names(&local));
    let result = traced(&local, &server, &["-e", "inject=fsync:error=EIO:when=2"], &["a"]);
    result.exits_with(5).prints_error("may not survive a power cut");
    assert_eq!(names(&local), ["a"]);
}

#[test]
fn k10_a_sync_of_a_batch_that_fails_is_a_failure_of_its_files() {
    let files: &[(&str, &[u8])] = &[("a", b"alpha"), ("b", b"beta")];
    let (local, server) = (TestDirectory::new(), Server::honest(files));
    let result = traced(&local, &server, &["-e", "inject=syncfs:error=EIO:when=1"], &["-r"]);
    result.exits_with(5).prints_error("cannot write ./a: Input/output error").prints_error("cannot write ./b: ");
    assert!(names(&local).is_empty(), "{:?}", names(&local));
    let result = traced(&local, &server, &["-e", "inject=syncfs:error=EIO:when=2"], &["-r"]);
    result.exits_with(5).prints_error("./a is complete, but may not survive a power cut");
    assert_eq!(names(&local), ["a", "b"]);
}

#[test]
fn k11_a_batch_on_another_mount_is_fetched_beside_its_targets() {
    let files: &[(&str, &[u8])] = &[("a", b"alpha"), ("b", b"beta")];
    let (local, server) = (TestDirectory::new(), Server::honest(files));
    let staging = local.path(".coracle-batch-0");
    let options = ["-P", staging.to_str().expect("UTF-8"), "-e", "inject=renameat2:error=EXDEV"];
    let result = traced(&local, &server, &options, &["-r"]);
    assert!(result.exits_with(0).out().starts_with("2 fetched (9 bytes), 0 equal and skipped, 0 failed"), "{result:?}");
    assert_eq!((names(&local), local.read("b")), (vec!["a".to_owned(), "b".to_owned()], b"beta".to_vec()));
}

#[test]
fn k11_a_rename_that_fails_keeps_the_part() {
    for error in ["EXDEV", "EACCES", "EROFS", "EIO"] {
        let (local, server) = (TestDirectory::new(), honest());
        let inject = format!("inject=renameat2:error={error}");
        traced(&local, &server, &["-e", &inject], &["a"]).exits_with(5).prints_error(".coracle-a.part");
        assert_eq!(names(&local), [".coracle-a.part", ".coracle-a.part.json"], "{error}");
        assert_eq!(local.read(".coracle-a.part"), file());
        local.get(&server, &["a"]).exits_with(0);
        assert_eq!(names(&local), ["a"], "{error}");
    }
    // A file system without renames that do not replace.
    for error in ["EINVAL", "ENOSYS"] {
        let (local, server) = (TestDirectory::new(), honest());
        let inject = format!("inject=renameat2:error={error}");
        traced(&local, &server, &["-e", &inject], &["a"]).exits_with(0);
        assert_eq!((local.read("a"), names(&local)), (file().to_vec(), vec!["a".to_owned()]));
        fs::write(local.path("a"), "old").expect("written");
        traced(&local, &server, &["-e", &inject], &["a"]).exits_with(5);
        assert_eq!(local.read("a"), b"old");
    }
}

/// FAT makes up a new inode number when a stick is plugged in again.
#[test]
fn a_part_is_resumed_where_inode_numbers_do_not_last() {
    let (local, part) = (TestDirectory::new(), ".coracle-a.part");
    let cut = Server::new(|mut exchange| {
        let header = exchange.header(file(), "v1");
        exchange.line(&header);
        exchange.send(&file()[..100_000]);
        exchange.cut();
    });
    local.get(&cut, &["a", "--retries", "0"]).exits_with(3);
    fs::copy(local.path(part), local.path("copy")).expect("copied");
    fs::rename(local.path("copy"), local.path(part)).expect("renamed");
    let rest = Server::new(|mut exchange| {
        assert_eq!(exchange.offset(), 100_000);
        exchange.answer(file(), "v1");
    });
    local.get(&rest, &["a"]).exits_with(5).prints_error("is in the way");
    // The kind of the file system is the first member of what fstatfs(2) returns: FAT.
    let fat = "inject=fstatfs:poke_exit=@arg2=444d000000000000";
    traced(&local, &rest, &["-e", fat], &["a"]).exits_with(0);
    assert_eq!((local.read("a"), names(&local)), (file().to_vec(), vec!["a".to_owned()]));
}

/// FAT through FUSE has neither, and is asked only when the whole file is there.
#[test]
fn file_systems_without_links_and_such_renames_do() {
    for error in ["EPERM", "EOPNOTSUPP"] {
        let (local, link) = (TestDirectory::new(), format!("inject=linkat:error={error}"));
        let options = ["-e", "inject=renameat2:error=EINVAL", "-e", &link];
        traced(&local, &honest(), &options, &["a"]).exits_with(0);
        assert_eq!((local.read("a"), names(&local)), (file().to_vec(), vec!["a".to_owned()]), "{error}");
        fs::remove_file(local.path("a")).expect("removed");
        let path = local.path("a");
        let server = Server::new(move |mut exchange| {
            fs::write(&path, "created meanwhile").expect("written");
            exchange.answer(file(), "v1");
        });
        traced(&local, &server, &options, &["a"]).exits_with(5).prints_error("./a exists already");
        assert_eq!(local.read("a"), b"created meanwhile", "{error}");
    }
}

#[test]
fn a_name_that_the_file_system_cannot_hold_fails_alone() {
    let local = TestDirectory::new();
    let server = Server::new(|mut exchange: Exchange<'_>| {
        exchange.honest(&[("a", b"alpha"), ("b:c", b"beta"), ("d", b"delta")])
    });
    let by_itself =
        ["EINVAL", "EILSEQ", "ENAMETOOLONG"].map(|error| ("file", error, "openat", ".coracle-b:c.part.json"));
    let in_a_batch = ["EILSEQ", "ENAMETOOLONG"].map(|error| ("batch", error, "renameat2", "b:c"));
    for (fsync, error, call, path) in by_itself.into_iter().chain(in_a_batch) {
        let inject = format!("inject={call}:error={error}");
        let options = ["-P", path, "-e", &inject];
        let result = traced(&local, &server, &options, &["-r", "-o", "to", "--fsync", fsync]);
        let words = "coracle: b:c cannot be saved under its name: the file system cannot hold it\n";
        assert_eq!((result.code, result.stderr.as_str()), (Some(5), words), "{error}");
        assert_eq!(names(&local), ["to", "to/a", "to/d"], "{error}");
    }
}

#[test]
fn file_systems_without_locks_or_synced_directories_do_and_that_is_told() {
    let (locks, directories) = ("file locking is not to be had here", "directories cannot be synced here");
    for (fault, words) in [
        ("flock:error=ENOLCK", format!("{locks} (ENOLCK): ")),
        ("flock:error=ENOSYS", format!("{locks} (ENOSYS): ")),
        ("flock:error=EOPNOTSUPP", format!("{locks} (EOPNOTSUPP): ")),
        ("fsync:error=EINVAL", format!("{directories} (EINVAL): ")),
    ] {
        let server = honest();
        for (args, expected) in [
            (&["a", "b", "--fsync=file", "-v"][..], vec!["a", "b"]),
            (&["-r", "-o", "to", "-v"], vec!["to", "to/a"]),
            (&["a"], vec!["a"]),
        ] {
            let local = TestDirectory::new();
            let inject = format!("inject={fault}");
            let mut options = vec!["-e", &inject];
            let root = local.root.path().to_str().expect("UTF-8");
            if fault.starts_with("fsync") {
                options.extend(["-P", root]);
            }
            let result = traced(&local, &server, &options, args);
            let told = result.stderr.lines().filter(|line| line.contains(&words)).count();
            assert_eq!(told, usize::from(args.contains(&"-v")), "{fault}: {}", result.stderr);
            assert_eq!((result.code, result.stderr.lines().count()), (Some(0), told), "{fault}: {}", result.stderr);
            assert_eq!(names(&local), expected, "{fault}");
            assert_eq!(local.read(expected.last().expect("a file")), file(), "{fault}");
        }
    }
}

#[test]
fn k12_a_close_that_fails_is_a_failure() {
    let (local, server) = (TestDirectory::new(), honest());
    let path = local.path(".coracle-a.part");
    let path = path.to_str().expect("UTF-8");
    let result = traced(&local, &server, &["-P", path, "-e", "inject=close:error=EIO"], &["a"]);
    result.exits_with(5).prints_error("Input/output error");
    assert!(!local.path("a").exists());
    local.get(&server, &["a"]).exits_with(0);
}

#[test]
fn d8_a_full_disk_keeps_the_part_and_the_old_file() {
    for error in ["ENOSPC", "EDQUOT", "EIO", "EFBIG"] {
        let (local, server) = (TestDirectory::new(), honest());
        local.write("a", "old");
        // The first three writes are two of the sidecar and one of the body.
        let inject = format!("inject=pwrite64:error={error}:when=4+");
        let part = local.path(".coracle-a.part");
        let slow = Server::new(move |mut exchange| {
            let header = exchange.header(file(), "v1");
            exchange.line(&header);
            exchange.send(&file()[..1_000]);
            wait_until("the first write", || fs::metadata(&part).is_ok_and(|part| part.len() == 1_000));
            exchange.send(&file()[1_000..]);
            let end = exchange.end(file());
            exchange.line(&end);
        });
        traced(&local, &slow, &["-e", &inject], &["a", "--force"])
            .exits_with(5)
            .prints_error("cannot write ./.coracle-a.part");
        assert_eq!(
            (local.read("a"), local.read(".coracle-a.part")),
            (b"old".to_vec(), file()[..1_000].to_vec()),
            "{error}"
        );
        local.get(&server, &["a", "--force"]).exits_with(0);
        assert_eq!((local.read("a"), names(&local)), (file().to_vec(), vec!["a".to_owned()]), "{error}");
    }
}

#[test]
fn k1_interrupted_calls_are_made_again() {
    for call in ["recvfrom", "sendto", "pwrite64", "fsync"] {
        let (local, server) = (TestDirectory::new(), honest());
        let inject = format!("inject={call}:error=EINTR:when=1+2");
        traced(&local, &server, &["-e", &inject], &["a"]).exits_with(0);
        assert_eq!(local.read("a"), file(), "{call}");
    }
}

#[test]
fn k4_a_connection_that_breaks_is_resumed() {
    for error in ["ECONNRESET", "ETIMEDOUT", "EHOSTUNREACH", "ENETDOWN", "EPIPE"] {
        for call in ["recvfrom:when=2", "sendto:when=1"] {
            let (local, server) = (TestDirectory::new(), honest());
            let (name, when) = call.split_once(':').expect("two parts");
            let inject = format!("inject={name}:error={error}:{when}");
            traced(&local, &server, &["-e", &inject], &["a", "--stall-timeout", "300ms"]).exits_with(0);
            assert_eq!((local.read("a"), names(&local)), (file().to_vec(), vec!["a".to_owned()]), "{call} {error}");
        }
    }
}
