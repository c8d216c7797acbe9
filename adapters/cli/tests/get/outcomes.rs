//! `coracle get`, `ls` and `stat` in everyday use: what is written where, what is said, and the exit code.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Server, TestDirectory, finish, pseudo_random, unused_address, wait_until};

const HELLO: &[(&str, &[u8])] = &[("hello", b"Hello, world!\n"), ("d/b", b"b"), ("empty", b"")];

#[test]
fn fetches_and_leaves_nothing_else() {
    let (local, server) = (TestDirectory::new(), Server::honest(HELLO));
    let result = local.get(&server, &["hello"]);
    assert!(result.exits_with(0).stdout.is_empty(), "a pipe gets nothing but errors");
    assert_eq!(local.read("hello"), b"Hello, world!\n");
    local.get(&server, &["empty"]).exits_with(0);
    local.get(&server, &["d/b", "-o", "else"]).exits_with(0);
    assert_eq!(local.names(), ["else", "empty", "hello"]);
    let result = local.get(&server, &["hello", "d/b", "-o", "-"]);
    assert_eq!(result.exits_with(0).stdout, b"Hello, world!\nb");
    local.get(&server, &["nothing"]).exits_with(1).prints_error("coracle: nothing: no such file\n");
    local.get(&server, &["hello", "-o", "/dev/null"]).exits_with(0);
    local.get(&server, &["hello", "-o", "no/such/directory"]).exits_with(5);
    assert_eq!(local.names(), ["else", "empty", "hello"]);
    local.get(&server, &["hello", "-o", "new/hi"]).exits_with(0);
    assert_eq!((local.names().len(), local.read("new/hi")), (5, b"Hello, world!\n".to_vec()));
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let server = Server::honest(&HELLO[..1]);
    let address = &server.address;
    let commands = [
        "--help".to_owned(),
        "--version".to_owned(),
        "help get".to_owned(),
        "man".to_owned(),
        "completions bash".to_owned(),
        format!("get {address} hello -o -"),
        format!("ls {address}"),
        format!("stat {address} hello"),
    ];
    for command in commands {
        for redirect in [">&-", "1</dev/null", ">/dev/full"] {
            let line = format!("'{}' {command} {redirect}", env!("CARGO_BIN_EXE_coracle"));
            let output = Command::new("sh").args(["-c", &line]).output().expect("sh");
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(5), "{command} {redirect}: {error}");
            assert!(error.starts_with("coracle: "), "{command} {redirect}: {error}");
        }
        // What nobody wants to read is no failure.
        let line = format!("'{}' {command} >/dev/null", env!("CARGO_BIN_EXE_coracle"));
        assert!(Command::new("sh").args(["-c", &line]).status().expect("sh").success(), "{command}");
    }
}

#[test]
fn devices_and_fifos_are_written_to() {
    let (local, server) = (TestDirectory::new(), Server::honest(HELLO));
    let shell = |command: &str| {
        let program = env!("CARGO_BIN_EXE_coracle");
        let line = command.replace("GET", &format!("'{program}' get {}", server.address));
        let output = Command::new("sh").args(["-c", &line]).current_dir(local.root.path()).output().expect("sh");
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let into_file = format!("{{ printf 'begin '; GET hello -o {name}; printf end; }} > out");
        shell(&into_file);
        assert_eq!(local.read("out"), b"begin Hello, world!\nend", "{name}");
        assert_eq!(shell(&format!("GET hello d/b -o {name} | cat")), b"Hello, world!\nb", "{name}");
        local.get(&server, &["-r", "d", "-o", name]).exits_with(2);
    }
    shell("GET hello d/b -o /dev/null");
    shell("mkfifo fifo; cat fifo > out & GET hello d/b -o fifo; wait");
    assert_eq!(local.read("out"), b"Hello, world!\nb");
    assert_eq!(local.names(), ["fifo", "out"]);
}

#[test]
fn errors_say_what_to_do() {
    let local = TestDirectory::new();
    let server = Server::new(|mut exchange| match exchange.name() {
        "d" => exchange.refuse("notFile", "not a regular file: d"),
        _ => exchange.honest(HELLO),
    });
    let result = local.get(&server, &["d"]);
    assert_eq!(
        result.exits_with(1).stderr,
        "coracle: d: not a regular file\ncoracle: 'coracle get -r' fetches directories\n"
    );
    let result = local.run(&["get", &format!("http://{}/", server.address), "hello"]);
    result.exits_with(2).prints_error("without http:// and a path, as in board-7:8888");
    // In a directory that was removed.
    let line = format!(
        "mkdir gone && cd gone && rmdir ../gone && '{}' get {} hello",
        env!("CARGO_BIN_EXE_coracle"),
        server.address
    );
    let output = Command::new("sh").args(["-c", &line]).current_dir(local.root.path()).output().expect("sh");
    let words = "coracle: hello: cannot create ./.coracle-hello.part.json: its directory was removed, or cannot hold that name\n";
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(5), words));
}

/// The first process of a container gets only the signals that it catches.
#[test]
fn the_first_process_of_a_container_ends_on_signals() {
    let file = pseudo_random(100_000);
    let served = file.clone();
    let server = Server::new(move |mut exchange| match exchange.number {
        number if number < 2 => {
            let header = exchange.header(&served, "v1");
            exchange.line(&header);
            exchange.send(&served[exchange.offset()..][..10_000]);
        }
        _ => exchange.answer(&served, "v1"),
    });
    let local = TestDirectory::new();
    let user: &[&str] = if rustix::process::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    for (number, (signal, code)) in [(Signal::INT, 130), (Signal::TERM, 143)].into_iter().enumerate() {
        let container = Command::new("unshare")
            .args(user)
            .args(["--pid", "--fork", "--kill-child", env!("CARGO_BIN_EXE_coracle"), "get", &server.address, "a"])
            .current_dir(local.root.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare");
        let len = (number as u64 + 1) * 10_000;
        wait_until("a part", || fs::metadata(local.path(".coracle-a.part")).is_ok_and(|part| part.len() == len));
        let children = format!("/proc/{0}/task/{0}/children", container.id());
        let first = fs::read_to_string(children).expect("its children").trim().parse().ok().and_then(Pid::from_raw);
        kill_process(first.expect("a child"), signal).expect("a signal");
        assert_eq!(finish(container).code, Some(code), "{signal:?}");
    }
    local.get(&server, &["a"]).exits_with(0);
    assert!(local.read("a") == file);
}

#[test]
fn several_go_to_a_directory_and_the_first_failure_counts() {
    let (local, server) = (TestDirectory::new(), Server::honest(HELLO));
    local.write("b", "old");
    let result = local.get(&server, &["missing", "hello", "d/b", "-o", "."]);
    result.exits_with(1).prints_error("missing: no such file").prints_error("d/b: ./b exists already");
    assert_eq!((local.read("hello"), local.read("b")), (b"Hello, world!\n".to_vec(), b"old".to_vec()));
    local.get(&server, &["hello", "d/b", "-o", "new/"]).exits_with(0);
    assert_eq!(local.names(), ["b", "hello", "new", "new/b", "new/hello"]);
    local.get(&server, &["b", "d/b"]).exits_with(2).prints_error("two of these");
}

#[test]
fn what_cannot_be_asked_is_wrong_usage() {
    let (local, server) = (TestDirectory::new(), Server::honest(HELLO));
    for name in ["../x", "a/../b", "a/", "a\\b", "a\nb", ""] {
        local.get(&server, &[name]).exits_with(2);
    }
    assert_eq!(server.requests(), 0);
    for host in ["", "::1", "[::1", "host:0", "host:x", "http://host/"] {
        assert_eq!(local.run(&["get", host, "a"]).code, Some(2), "{host}");
    }
}

#[test]
fn nobody_there_is_network_trouble_after_the_retries() {
    let local = TestDirectory::new();
    let (_held, address) = unused_address();
    let begin = Instant::now();
    local.run(&["get", &address, "a", "--retries", "2"]).exits_with(3).prints_error("cannot connect");
    // Pauses of at least 150 and 450 ms.
    assert!(begin.elapsed() >= Duration::from_millis(600), "{:?}", begin.elapsed());
    local
        .run(&["get", "no.such.host.invalid", "a", "--retries", "0"])
        .exits_with(3)
        .prints_error("no.such.host.invalid");
    // Who is patient waits for it, whatever the number of retries.
    let patient = local.run(&["get", &address, "a", "--retries", "1", "--patience", "2s"]);
    patient.exits_with(3);
    assert!(patient.stderr.matches("trying again in").count() > 2, "{}", patient.stderr);
    assert!(local.names().is_empty());
}

#[test]
fn busy_and_shutting_down_are_tried_again() {
    for code in ["busy", "shuttingDown", "timeout"] {
        let local = TestDirectory::new();
        let server = Server::new(move |mut exchange| match exchange.number {
            0 | 1 => {
                exchange.refuse(code, "later");
                exchange.cut();
            }
            _ => exchange.honest(HELLO),
        });
        local.get(&server, &["hello"]).exits_with(0);
        assert_eq!(server.requests(), 3, "{code}");
        let never = Server::new(move |mut exchange| {
            exchange.refuse(code, "later");
            exchange.cut();
        });
        TestDirectory::new().get(&never, &["hello", "--retries", "1", "--patience", "1s"]).exits_with(3);
        // A busy server does not use the retries up: after pauses of at most 0.3 and 0.9 s it is asked for the last time.
        let expected = if code == "busy" { 3..=4 } else { 2..=2 };
        assert!(expected.contains(&never.requests()), "{code}: {}", never.requests());
    }
}

#[test]
fn what_is_replaced_keeps_its_mode_and_owner() {
    let server = Server::new(|mut exchange| {
        let header = exchange.header(b"new", "v1");
        exchange.line(&header);
        exchange.send(&b"new"[exchange.offset()..]);
        // The first attempt breaks off, and leaves a part.
        if exchange.number.is_multiple_of(2) {
            return exchange.cut();
        }
        let end = exchange.end(b"new");
        exchange.line(&end);
    });
    for (old, part, new) in
        [(0o600, 0o600, 0o600), (0o755, 0o755, 0o755), (0o6751, 0o751, 0o751), (0o440, 0o640, 0o440)]
    {
        let local = TestDirectory::new();
        local.write("a", "old");
        let path = local.path("a");
        // Root may give files away, and so may keep their owners.
        let owner = rustix::process::geteuid().is_root().then_some((1234, 5678));
        if let Some((uid, gid)) = owner {
            chown(&path, Some(uid), Some(gid)).expect("given away");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(old)).expect("a mode");
        let status = |name: &str| {
            let status = fs::metadata(local.path(name)).expect(name);
            (status.mode() & 0o7777, owner.map(|_| (status.uid(), status.gid())))
        };
        local.get(&server, &["a", "--force", "--retries", "0"]).exits_with(3);
        assert_eq!(status(".coracle-a.part"), (part, owner), "{old:o}");
        local.get(&server, &["a", "--force", "--retries", "0"]).exits_with(0);
        assert_eq!((status("a"), local.read("a")), ((new, owner), b"new".to_vec()), "{old:o}");
    }
}
