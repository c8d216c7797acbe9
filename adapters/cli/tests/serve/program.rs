//! The program: signals, exit codes, limits of the system, and outputs that are closed or full.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit, Signal, prlimit};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::fixture::{Client, HELLO, Program, code, wait_for};

#[test]
fn serves_and_stops_in_good_order_on_each_signal() {
    for signal in [Signal::INT, Signal::TERM] {
        // Some may be ignored here, as under nohup(1).
        let mut command = Command::new("env");
        command.args(["--default-signal", env!("CARGO_BIN_EXE_coracle"), "serve", "--name", "bench-7", "-v"]);
        let mut program = Program::start_as(command);
        let mut client = program.connect();
        assert!(client.hello().contains(r#""name":"bench-7""#));
        program.signal(signal);
        assert_eq!(code(&client.rest()), "shuttingDown");
        assert_eq!(program.wait().code(), Some(0));
        let log = program.log();
        assert!(log.contains(" client-1 hello 0 B ") && log.contains(" disconnected 1 answers "), "{log}");
    }
}

/// Both ends of a new terminal.
fn terminal() -> (OwnedFd, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("a terminal");
    let name = ptsname(&master, Vec::new()).expect("its name");
    let slave = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("its other end");
    (master, slave)
}

#[test]
fn c12_a_terminal_that_hangs_up_stops_it() {
    let (master, slave) = terminal();
    let mut program = Program::start_in_session(Some(slave), &[]);
    let mut client = program.connect();
    client.hello();
    drop(master);
    assert_eq!(code(&client.rest()), "shuttingDown");
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn c12_without_a_terminal_a_hangup_does_not_stop_it() {
    let mut program = Program::start_in_session(None, &[]);
    program.connect().hello();
    for _ in 0..2 {
        program.signal(Signal::HUP);
        program.connect().hello();
    }
    program.signal(Signal::TERM);
    let status = program.wait();
    assert_eq!((status.code(), status.signal()), (Some(0), None));
}

#[test]
fn sockets_of_a_service_manager_outlive_the_program() {
    let manager = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = manager.local_addr().expect("an address");
    let start = |args: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec 3<&0; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@""#, "sh", env!("CARGO_BIN_EXE_coracle")]);
        command.arg("serve").args(args).stdout(Stdio::piped()).stderr(Stdio::null());
        command.stdin(OwnedFd::from(manager.try_clone().expect("a clone")));
        command.spawn().expect("started")
    };
    for _ in 0..2 {
        let mut program = start(&[env!("CARGO_MANIFEST_DIR")]);
        let mut line = String::new();
        BufReader::new(program.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        assert_eq!(line, format!("listening on {address}\n"));
        // Idle threads are waked, too.
        (0..3).for_each(|_| drop(Client::new(address).hello()));
        rustix::process::kill_process(rustix::process::Pid::from_child(&program), Signal::TERM).expect("signalled");
        assert_eq!(program.wait().expect("a child").code(), Some(0));
    }
    // Nobody serves, and the client waits for who does next.
    let mut waiting = Client::new(address);
    let mut program = start(&[env!("CARGO_MANIFEST_DIR")]);
    waiting.hello();
    program.kill().expect("killed");
    program.wait().expect("a child");
}

#[test]
fn what_is_no_listening_socket_is_told() {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        r#"exec 3</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@""#,
        "sh",
        env!("CARGO_BIN_EXE_coracle"),
    ]);
    let output = command.arg("serve").stdin(Stdio::null()).output().expect("run");
    assert_eq!(output.status.code(), Some(3));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("socket 1 of the service manager is no listening TCP socket"), "{told}");
}

#[test]
fn p23_what_a_listing_leaves_out_is_logged() {
    for (option, is_logged) in [("--verbose", true), ("--log-format=text", false)] {
        let mut program = Program::start(&[option]);
        fs::write(program.path("a\\b"), "").expect("written");
        let mut client = program.connect();
        assert!(client.send(r#"{"type":"list"}"#).line().contains(r#""fileName":"a""#));
        assert_eq!(client.line(), r#"{"type":"end","count":1,"skipped":1,"unnameable":1,"hidden":1}"#);
        program.signal(Signal::TERM);
        assert_eq!(program.wait().code(), Some(0));
        let log = program.log();
        let line = r" skipped a\b a name has no control character, no backslash";
        assert_eq!(log.contains(line), is_logged, "{log}");
    }
}

#[test]
fn c12_a_second_signal_stops_at_once() {
    let mut program = Program::start(&["--grace", "1m"]);
    fs::File::create(program.path("big")).expect("a file").set_len(1 << 30).expect("long");
    let mut client = program.connect();
    client.send(r#"{"type":"get","fileName":"big","digest":"none"}"#).line();
    program.signal(Signal::TERM);
    wait_for(|| program.log().contains("stopping").then_some(()));
    assert_eq!(program.child.try_wait().expect("a child"), None);
    program.signal(Signal::TERM);
    assert_eq!(program.wait().code(), Some(143));
    assert!(client.rest_or_reset().1);
}

#[test]
fn c12_no_broken_pipe_and_no_ignored_hangup_ends_it() {
    let mut command = Command::new("sh");
    command.args(["-c", r#"trap "" HUP; exec "$@""#, "sh", env!("CARGO_BIN_EXE_coracle"), "serve"]);
    let mut program = Program::start_as(command);
    program.connect().hello();
    program.signal(Signal::PIPE);
    program.signal(Signal::HUP);
    thread::sleep(Duration::from_millis(100));
    program.connect().hello();
    program.signal(Signal::TERM);
    let status = program.wait();
    assert_eq!((status.code(), status.signal()), (Some(0), None));
}

#[test]
fn c13_a_restart_finds_its_port_free() {
    let mut program = Program::start(&[]);
    let address = program.address;
    // The server closes first, which leaves its side in TIME_WAIT.
    let mut client = program.connect();
    client.hello();
    program.signal(Signal::TERM);
    assert_eq!(code(&client.rest()), "shuttingDown");
    assert!(program.wait().success());
    let mut again = Command::new(env!("CARGO_BIN_EXE_coracle"))
        .args(["serve", "--listen", &address.to_string()])
        .current_dir(program.directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let mut told = [0; 12];
    again.stdout.take().expect("piped").read_exact(&mut told).expect("it listens");
    assert_eq!(&told, b"listening on");
    Client::new(address).hello();
    again.kill().expect("killed");
    again.wait().expect("ended");
}

#[test]
fn k7_a_taken_address_and_other_mistakes_have_exit_codes() {
    let program = Program::start(&[]);
    let taken = program.address.to_string();
    for (args, exit, words) in [
        (vec!["--listen", &taken], 3, format!("cannot listen on {taken}: another program listens there already")),
        (vec!["-6", "--listen", "127.0.0.1:0"], 3, "it has no IPv6 address".to_owned()),
        (vec!["--listen", "192.0.2.7:0"], 3, "this machine does not have that address".to_owned()),
        (vec!["--listen", "no such host:1"], 3, "cannot listen on no such host:1".to_owned()),
        (vec!["/no/such"], 5, "cannot serve /no/such: there is no such directory".to_owned()),
        (vec!["/dev/null"], 5, "cannot serve /dev/null: it is not a regular file".to_owned()),
        (vec!["--idle-timeout", "10"], 2, "0 for never".to_owned()),
        (vec!["--chunk-size", "0"], 2, "at least 1 byte".to_owned()),
        (vec!["--max-clients", "0"], 2, "--max-clients".to_owned()),
        (vec!["--max-clients-per-address", "0"], 2, "--max-clients-per-address".to_owned()),
        (vec!["--name", "a\u{1b}b"], 2, "no control character".to_owned()),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_coracle")).arg("serve").args(&args).output().expect("run");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(exit), "{args:?}: {error}");
        assert!(error.contains(&words), "{args:?}: {error}");
        assert!(output.stdout.is_empty(), "it said that it listens");
    }
}

#[test]
fn listens_on_one_family_alone() {
    for (option, shown, other) in [("-4", "0.0.0.0:", "::1"), ("-6", "[::]:", "127.0.0.1")] {
        let mut command = Command::new("sh");
        // The address that is added is left out.
        let script = format!("exec \"$0\" serve {option} --listen '[::]:0'");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_coracle")]);
        let program = Program::start_as(command);
        assert!(program.address.to_string().starts_with(shown), "{option}: {}", program.address);
        program.connect().hello();
        let other = SocketAddr::new(other.parse().expect("an ip"), program.address.port());
        let refused = TcpStream::connect(other).expect_err("the other family is not served");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{option}");
    }
    let both = Command::new(env!("CARGO_BIN_EXE_coracle")).args(["serve", "-4", "-6"]).output().expect("run");
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn x1_without_descriptors_it_waits_and_recovers() {
    let program = Program::start(&["--max-clients", "1000"]);
    program.connect().hello();
    limit(&program, Resource::Nofile, 24);
    let mut clients: Vec<Client> = (0..40).map(|_| program.connect()).collect();
    wait_for(|| program.log().contains("trouble accepting a client Too many open files").then_some(()));
    thread::sleep(Duration::from_millis(500));
    let complaints = program.log().matches("trouble").count();
    assert!(complaints < 200, "it spins: {complaints} complaints");
    // Accepted clients are served, and the others once there are descriptors for them.
    clients[0].hello();
    clients.truncate(1);
    program.connect().hello();
    clients[0].hello();
}

/// A refused client has time to read the error, but not where that takes the descriptors of others.
#[test]
fn x1_who_is_turned_away_makes_room() {
    let program = Program::start(&["--max-clients", "4"]);
    let mut clients: Vec<Client> = (0..4).map(|_| program.connect()).collect();
    clients.iter_mut().for_each(|client| drop(client.hello()));
    limit(&program, Resource::Nofile, 40);
    let turned_away: Vec<Client> = (0..300).map(|_| program.connect()).collect();
    let started = Instant::now();
    assert_eq!(code(&program.connect().rest()), "busy");
    // 2 s for each of them, 20 at a time, would take 30 s.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    clients.iter_mut().for_each(|client| drop(client.hello()));
    drop(turned_away);
}

#[test]
fn x1_descriptors_of_clients_that_wait_are_counted() {
    let waits = "--admission queue --queue-length 600";
    for (options, warning) in [
        ("", "400 clients, and 512 that wait, may need 1344 open files, and the limit is 1100"),
        (
            "--proxy-protocol 127.0.0.1",
            "400 clients, and 912 that wait, may need 1744 open files, and the limit is 1100",
        ),
        (waits, "400 clients, and 600 that wait, may need 1432 open files, and the limit is 1100"),
    ] {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n 1100; exec \"$0\" serve --max-clients 400 {options} \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_coracle")]);
        let program = Program::start_as(command);
        assert!(program.log().contains(warning), "{options}: {}", program.log());
    }
}

#[test]
fn x2_without_threads_it_says_busy_and_goes_on() {
    let program = Program::start(&[]);
    let mut first = program.connect();
    first.hello();
    // One thread serves and one waits for the next client; both may still allocate memory.
    let size = wait_for(|| {
        let before = (resting_threads(&program), program.status("VmSize:"));
        thread::sleep(Duration::from_millis(100));
        let after = (resting_threads(&program), program.status("VmSize:"));
        (before == after && after.0 == 2).then_some(after.1 * 1024)
    });
    limit(&program, Resource::As, size + 64 * 1024);
    let mut second = program.connect();
    assert_eq!(code(&second.rest()), "busy");
    first.hello();
    limit(&program, Resource::As, size + (256 << 20));
    program.connect().hello();
    first.hello();
    wait_for(|| program.log().contains("trouble making a thread for a client").then_some(()));
}

/// Nor one of the files that they follow, before that changes.
#[test]
fn l6_followers_need_no_threads() {
    let program = Program::start(&["--append", "*", "-v"]);
    let mut followers: Vec<Client> = (0..150).map(|_| program.connect()).collect();
    for follower in &mut followers {
        follower.send(r#"{"type":"get","fileName":"a","offset":5,"digest":"none","wait_ms":60000}"#);
    }
    wait_for(|| (program.log().matches(" get a begins").count() == 150).then_some(()));
    // Some threads wait for the next clients.
    wait_for(|| (program.status("Threads:") < 100).then_some(()));
    let body = |follower: &mut Client, bytes: &str| {
        let header = follower.line();
        assert!(header.trim_start().starts_with(r#"{"type":"file""#), "{header}");
        assert_eq!(follower.line(), bytes);
        assert_eq!(follower.line(), r#"{"type":"end"}"#);
    };
    let mut file = fs::OpenOptions::new().append(true).open(program.path("a")).expect("opened");
    file.write_all(b"bet\n").expect("appended");
    followers.iter_mut().for_each(|follower| body(follower, "bet"));
    // Nor between two requests.
    wait_for(|| (program.status("Threads:") < 100).then_some(()));
    for follower in &mut followers {
        follower.send(r#"{"type":"get","fileName":"a","offset":0,"digest":"none"}"#);
        body(follower, "alphabet");
    }
}

#[test]
fn x10_outputs_that_nobody_takes_stop_nothing() {
    for redirection in ["2>/dev/full", "2>&-"] {
        let mut command = Command::new("sh");
        let script = format!(r#"exec "$@" {redirection}"#);
        command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_coracle"), "serve", "-v"]);
        let mut program = Program::start_as(command);
        for _ in 0..20 {
            program.connect().hello();
        }
        program.signal(Signal::TERM);
        assert_eq!(program.wait().code(), Some(0), "{redirection}");
    }
}

#[test]
fn the_log_is_json_on_request_and_quiet_on_request() {
    let mut program = Program::start(&["--log-format", "json"]);
    let mut client = program.connect();
    client.send(r#"{"type":"get","fileName":"a"}"#).half_close().rest();
    program.signal(Signal::TERM);
    program.wait();
    let lines: Vec<serde_json::Value> =
        program.log().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let finished: Vec<_> = lines.iter().filter(|line| line["event"] == "finished").collect();
    assert_eq!(finished.len(), 1);
    let finished = finished[0];
    assert_eq!((&finished["what"], &finished["fileName"], &finished["bytes"]), (&"get".into(), &"a".into(), &5.into()));
    assert_eq!((&finished["outcome"], &finished["thread"]), (&"ok".into(), &"client-1".into()));
    assert_eq!(finished["peer"], client.stream.local_addr().expect("an address").to_string());
    assert_eq!(lines.iter().filter(|line| line["event"] == "disconnected").count(), 1);

    let mut program = Program::start(&["-q"]);
    program.connect().send(HELLO).half_close().rest();
    program.signal(Signal::TERM);
    program.wait();
    assert_eq!(program.log(), "");
}

#[test]
fn the_default_takes_both_families() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
    command.args(["serve", "--listen", "[::]:0", "-v"]);
    let program = Program::start_as(command);
    // The first address is the dual-stack one.
    for host in ["127.0.0.1", "::1"] {
        let address = std::net::SocketAddr::new(host.parse().expect("a host"), program.address.port());
        let mut client = Client::new(address);
        client.hello();
        let peer = client.stream.local_addr().expect("an address").to_string();
        drop(client);
        wait_for(|| program.log().contains(&format!(" {peer} client-")).then_some(()));
    }
}

/// How many client threads sleep, by proc_pid_stat(5).
fn resting_threads(program: &Program) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", program.child.id())).expect("it runs").flatten();
    let stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    stats.filter(|stat| stat.contains(" (client-") && stat.contains(") S ")).count()
}

fn limit(program: &Program, resource: Resource, current: u64) {
    let before = prlimit(Some(program.pid()), resource, Rlimit { current: Some(current), maximum: None });
    // Without the privilege to raise the hard limit, keep it.
    if before.is_err() {
        let maximum = rustix::process::getrlimit(resource).maximum;
        prlimit(Some(program.pid()), resource, Rlimit { current: Some(current), maximum }).expect("limited");
    }
}
