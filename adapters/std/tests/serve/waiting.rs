//! Clients that wait for a file to grow.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use coracle::server::Limits;
use coracle::store::{DirectoryStore, VersionBy};
#[cfg(all(target_os = "linux", not(target_arch = "arm")))]
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use serde_json::Value;

use super::fixture::{Client, Running, TIMEOUT, code};

/// Every file is only appended to.
fn logs(path: &Path) -> io::Result<DirectoryStore> {
    Ok(DirectoryStore::open(path)?.with_append_only(|_| true))
}

fn json(line: &str) -> Value {
    // Behind heartbeats, if it took so long.
    serde_json::from_str(line.trim_start()).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

/// Asks for what `log` has from `offset` on.
fn ask(client: &mut Client, offset: usize, version: Option<&str>) {
    let version = version.map(|version| format!(r#","version":"{version}""#)).unwrap_or_default();
    client.send(format!(
        r#"{{"type":"get","fileName":"log","offset":{offset},"digest":"none","wait_ms":60000{version}}}"#
    ));
}

/// A body with its version.
fn answer(client: &mut Client) -> (Vec<u8>, String) {
    let header = json(&client.line());
    assert_eq!(header["type"], "file", "{header}");
    let len = header["length"].as_u64().and_then(|len| usize::try_from(len).ok()).expect("a length");
    let body = client.bytes(len);
    assert_eq!(client.line(), r#"{"type":"end"}"#);
    (body, header["version"].as_str().expect("a version").to_owned())
}

/// Whether nothing comes for a moment.
fn is_quiet(client: &Client) -> bool {
    client.stream.set_read_timeout(Some(Duration::from_millis(200))).expect("an option");
    let seen = client.stream.peek(&mut [0]);
    client.stream.set_read_timeout(Some(TIMEOUT)).expect("an option");
    seen.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(text.as_bytes())).expect("appended");
}

#[test]
fn an_append_is_sent_to_all_who_wait_for_it() {
    let server = Running::with_store(logs, |_| {});
    let log = server.directory.path().join("log");
    fs::write(&log, "1\n").expect("written");
    let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for client in &mut clients {
        ask(client, 2, None);
    }
    assert!(is_quiet(&clients[19]));
    append(&log, "2\n");
    let answers: Vec<_> = clients.iter_mut().map(answer).collect();
    assert!(answers.iter().all(|(body, version)| body == b"2\n" && *version == answers[0].1), "{answers:?}");
    // The next one goes on from there, in the same version.
    for client in &mut clients {
        ask(client, 4, Some(&answers[0].1));
    }
    append(&log, "3\n");
    assert!(clients.iter_mut().all(|client| answer(client) == (b"3\n".to_vec(), answers[0].1.clone())));
}

/// Its version takes a while to compute, so the store is not ready at each look of the watcher.
#[test]
fn a_large_file_that_is_versioned_by_content_has_another_version() {
    let by_content = |path: &Path| Ok(DirectoryStore::open(path)?.with_version_by(VersionBy::Content));
    let server = Running::with_store(by_content, |_| {});
    let log = server.directory.path().join("log");
    let len = 5 << 20;
    fs::write(&log, vec![b'x'; len]).expect("written");
    let mut client = server.connect();
    client.send(r#"{"type":"stat","fileName":"log","digest":"sha256"}"#);
    let header = json(&client.line());
    let version = header["version"].as_str().expect("a version").to_owned();
    assert_eq!(header["sha256"], version.as_str());
    ask(&mut client, len, Some(&version));
    assert!(is_quiet(&client));
    append(&log, "more");
    assert_eq!(code(&client.line()), "changed");
}

#[test]
fn a_file_that_nobody_promised_to_append_to_has_another_version() {
    let server = Running::new();
    let log = server.directory.path().join("log");
    fs::write(&log, "1\n").expect("written");
    let (mut unversioned, mut versioned) = (server.connect(), server.connect());
    versioned.send(r#"{"type":"stat","fileName":"log"}"#);
    let version = json(&versioned.line())["version"].as_str().expect("a version").to_owned();
    ask(&mut unversioned, 2, None);
    ask(&mut versioned, 2, Some(&version));
    assert!(is_quiet(&versioned) && is_quiet(&unversioned));
    append(&log, "2\n");
    let (body, later) = answer(&mut unversioned);
    assert!(body == b"2\n" && later != version);
    assert_eq!(code(versioned.line().trim_start()), "changed");
}

/// Rotation as logrotate does it: what the writer still adds to the file under its old name arrives, until another file has that.
#[test]
fn l1_a_renamed_file_is_read_to_its_end() {
    let server = Running::with_store(logs, |_| {});
    let log = server.directory.path().join("log");
    let mut writer = File::create(&log).expect("a file");
    writer.write_all(b"1\n").expect("written");
    let mut client = server.connect();
    ask(&mut client, 0, None);
    let (_, version) = answer(&mut client);
    ask(&mut client, 2, Some(&version));
    assert!(is_quiet(&client));
    fs::rename(&log, server.directory.path().join("log.1")).expect("renamed");
    // That the name is gone ends the wait, and nobody waits for that file any more.
    for _ in 0..3 {
        assert_eq!(answer(&mut client), (Vec::new(), version.clone()));
        ask(&mut client, 2, Some(&version));
    }
    assert_eq!(answer(&mut client), (Vec::new(), version.clone()));
    let mut unversioned = server.connect();
    ask(&mut unversioned, 2, None);
    assert_eq!(code(&unversioned.line()), "notFound");
    writer.write_all(b"2\n").expect("written");
    ask(&mut client, 2, Some(&version));
    assert_eq!(answer(&mut client), (b"2\n".to_vec(), version.clone()));
    fs::write(&log, "new\n").expect("written");
    ask(&mut client, 4, Some(&version));
    assert_eq!(code(client.line().trim_start()), "changed");
    // What was added before the server or the client knew of the new file is still to be had.
    writer.write_all(b"3\n").expect("written");
    ask(&mut client, 4, Some(&version));
    assert_eq!(answer(&mut client), (b"3\n".to_vec(), version.clone()));
    ask(&mut client, 6, Some(&version));
    assert_eq!(code(client.line().trim_start()), "changed");
    ask(&mut client, 0, None);
    let (body, other) = answer(&mut client);
    assert!(body == b"new\n" && other != version);
}

#[test]
fn l4_a_server_that_stops_ends_all_waits() {
    let server = Running::with_store(logs, |_| {});
    fs::write(server.directory.path().join("log"), "1\n").expect("written");
    let mut client = server.connect();
    ask(&mut client, 2, None);
    assert!(is_quiet(&client));
    server.handle.stop();
    assert_eq!(answer(&mut client).0, b"");
    assert_eq!(code(client.rest().trim_end()), "shuttingDown");
    assert_eq!(server.join().aborted, 0);
}

#[test]
fn l4_a_server_that_stops_at_once_resets_who_waits() {
    let server = Running::with_store(logs, |_| {});
    fs::write(server.directory.path().join("log"), "1\n").expect("written");
    let mut client = server.connect();
    ask(&mut client, 2, None);
    assert!(is_quiet(&client));
    server.handle.stop_now();
    assert_eq!(client.rest_or_reset().0, b"");
    server.join();
}

/// Where the system gives no watch, the file is looked at each second. seccompiler does not know ARM of 32 bits.
#[cfg(all(target_os = "linux", not(target_arch = "arm")))]
#[test]
fn l7_without_inotify_a_follower_is_not_deaf() {
    let blind = |path: &Path| {
        let architecture = std::env::consts::ARCH.try_into().expect("an architecture that seccompiler knows");
        let errno = SeccompAction::Errno(libc::EMFILE.cast_unsigned());
        let rules = [(libc::SYS_inotify_init1, vec![])].into_iter().collect();
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, errno, architecture).expect("a filter");
        let program: BpfProgram = filter.try_into().expect("a program");
        seccompiler::apply_filter(&program).expect("the filter is applied to the server's threads");
        logs(path)
    };
    let server = Running::with_store(blind, |_| {});
    let log = server.directory.path().join("log");
    fs::write(&log, "1\n").expect("written");
    let mut client = server.connect();
    ask(&mut client, 2, None);
    assert!(is_quiet(&client));
    append(&log, "2\n");
    assert_eq!(answer(&mut client).0, b"2\n");
}

/// The one that has waited longest gives way, when the newcomer has made a request that is worth it.
#[test]
fn l8_a_newcomer_is_served_where_followers_have_all_places() {
    let server = Running::with_store(logs, |limits: &mut Limits| limits.max_clients = 2);
    fs::write(server.directory.path().join("log"), "1\n").expect("written");
    let mut followers = [server.connect_admitted(), server.connect_admitted()];
    for follower in &mut followers {
        ask(follower, 2, None);
        assert!(is_quiet(follower));
    }
    let mut newcomer = server.connect_admitted();
    newcomer.hello();
    assert!(followers.iter().all(is_quiet));
    // One is enough as long as it has shown nothing.
    assert_eq!(code(&server.connect().line()), "busy");
    newcomer.send(r#"{"type":"stat","fileName":"log"}"#);
    assert_eq!(json(&newcomer.line())["fileSize"], 2);
    let [first, second] = &mut followers;
    assert_eq!(answer(first).0, b"");
    let busy = first.rest();
    assert_eq!(code(busy.trim_end()), "busy");
    assert!(json(&busy)["retry_ms"].is_u64(), "{busy}");
    assert!(is_quiet(second));
}

/// What comes while a request waits is answered after it.
#[test]
fn a_request_behind_one_that_waits_is_kept() {
    let server = Running::with_store(logs, |_| {});
    let log = server.directory.path().join("log");
    fs::write(&log, "1\n").expect("written");
    let mut client = server.connect();
    client.send(concat!(
        r#"{"type":"get","fileName":"log","offset":2,"digest":"none","wait_ms":60000}"#,
        r#"{"type":"stat","fileName":"log"}"#
    ));
    assert!(is_quiet(&client));
    append(&log, "2\n");
    assert_eq!(answer(&mut client).0, b"2\n");
    assert_eq!(json(&client.line())["fileSize"], 4);
    server.events.wait_for("stat log 0 ok", 1);
    assert_eq!(server.events.count("get "), 1);
}
