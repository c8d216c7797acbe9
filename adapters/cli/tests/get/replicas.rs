//! Downloads that go on at another server with a copy of the file.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::program::Serve;
use crate::support::TestDirectory;

/// More than a server hashes while the client waits for the first byte.
const LEN: usize = 9 << 20;
/// Bytes after which a connection is cut.
const CUT: usize = 2 << 20;

/// A balancer that cuts each connection inside of a body, and leads the next one to the next server. The last one is not cut.
struct Balancer {
    address: String,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
}

/// What was asked, and how many bytes of the body were passed on.
struct Exchange {
    asked: Value,
    body_len: u64,
}

impl Balancer {
    fn new(servers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let exchanges = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&exchanges);
        thread::spawn(move || {
            let last = servers.len() - 1;
            for (number, server) in servers.iter().enumerate() {
                let (client, _) = listener.accept().expect("a client");
                let limit = if number == last { u64::MAX } else { CUT as u64 };
                relay(&client, &TcpStream::connect(server).expect("the server"), limit, &noted);
                // Ends in order: what was passed on arrives.
                drop(client.shutdown(Shutdown::Both));
            }
        });
        Self { address, exchanges }
    }

    /// Offset and version of each request, and the bytes that came.
    fn asked(&self) -> Vec<(u64, bool, u64)> {
        let exchanges = self.exchanges.lock().expect("no panic");
        let told = |Exchange { asked, body_len }: &Exchange| {
            (asked["offset"].as_u64().unwrap_or(0), asked["version"].is_string(), *body_len)
        };
        exchanges.iter().map(told).collect()
    }
}

/// Passes requests on, and their answers, until a body has more than `limit` bytes.
fn relay(mut client: &TcpStream, mut server: &TcpStream, limit: u64, noted: &Mutex<Vec<Exchange>>) {
    let (mut requests, mut answers) = (BufReader::new(client), BufReader::new(server));
    let mut buf = vec![0; 1 << 16];
    loop {
        let mut request = String::new();
        if requests.read_line(&mut request).is_ok_and(|len| len == 0) {
            return;
        }
        server.write_all(request.as_bytes()).expect("sent");
        let mut header = Vec::new();
        answers.read_until(b'\n', &mut header).expect("a header");
        client.write_all(&header).expect("passed on");
        let header: Value = serde_json::from_slice(header.trim_ascii()).expect("JSON");
        let length = header["length"].as_u64();
        let (mut body_len, passed) = (0, length.unwrap_or(0).min(limit));
        while body_len < passed {
            let room = usize::try_from(passed - body_len).map_or(buf.len(), |rest| rest.min(buf.len()));
            let len = answers.read(&mut buf[..room]).expect("a body");
            client.write_all(&buf[..len]).expect("passed on");
            body_len += len as u64;
        }
        noted
            .lock()
            .expect("no panic")
            .push(Exchange { asked: serde_json::from_str(&request).expect("JSON"), body_len });
        match length {
            Some(length) if body_len < length => return,
            Some(_) => {
                let mut end = Vec::new();
                answers.read_until(b'\n', &mut end).expect("an end");
                client.write_all(&end).expect("passed on");
            }
            // It was refused.
            None => {}
        }
    }
}

fn contents(seed: usize) -> Vec<u8> {
    (0..LEN).map(|number| u8::try_from(number.wrapping_mul(seed) % 251).expect("small")).collect()
}

fn replica(bytes: &[u8], args: &[&str]) -> Serve {
    let root = tempfile::tempdir().expect("a directory");
    write(root.path(), bytes);
    let (child, address) = Serve::start_with(root.path(), "127.0.0.1:0", args);
    Serve { root, child, address }
}

fn write(directory: &Path, bytes: &[u8]) {
    fs::write(directory.join("image"), bytes).expect("written");
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_763_769_600, 123_456_789);
    File::options().write(true).open(directory.join("image")).and_then(|file| file.set_modified(time)).expect("set");
}

/// Three replicas, one after the other: no byte is asked for twice.
#[test]
fn b1_a_download_goes_on_at_a_replica_where_it_was_cut_off() {
    for by in ["mtime", "content"] {
        let bytes = contents(7);
        let servers = [(); 3].map(|()| replica(&bytes, &["--version-by", by]));
        let addresses = [0, 1, 2, 0].map(|number: usize| servers[number].address.clone()).to_vec();
        let balancer = Balancer::new(addresses);
        let local = TestDirectory::new();
        local.run(&["get", &balancer.address, "image", "--retries", "5"]).exits_with(0);
        assert!(local.read("image") == bytes, "{by}: other contents");
        let cut = CUT as u64;
        let expected = [(0, false, cut), (cut, true, cut), (2 * cut, true, cut), (3 * cut, true, LEN as u64 - 3 * cut)];
        assert_eq!(balancer.asked(), expected, "{by}: offset, version, and bytes that came");
    }
}

/// A replica with other contents: `changed`, and the whole of its file.
#[test]
fn b1_a_replica_with_other_contents_is_noticed() {
    let (one, other) = (contents(7), contents(11));
    let servers = [replica(&one, &["--version-by", "content"]), replica(&other, &["--version-by", "content"])];
    let [first, second] = [0, 1].map(|number: usize| servers[number].address.clone());
    let balancer = Balancer::new(vec![first, second]);
    let local = TestDirectory::new();
    let fetched = local.run(&["get", &balancer.address, "image", "--retries", "5"]);
    assert_eq!(fetched.code, Some(0), "{}", fetched.stderr);
    assert!(local.read("image") == other, "a mixture");
    assert!(fetched.stderr.contains("starting over"), "{}", fetched.stderr);
    let cut = CUT as u64;
    assert_eq!(balancer.asked(), [(0, false, cut), (cut, true, 0), (0, false, LEN as u64)]);
}

/// The manifest of one replica is copied with the files: the others hash nothing.
#[test]
fn b1_a_copied_manifest_makes_versions_by_content() {
    let bytes = contents(7);
    let (one, two) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    write(one.path(), &bytes);
    let run = |program: &str, args: &[&str]| {
        let status = Command::new(program).args(args).status().unwrap_or_else(|error| {
            panic!("{program}: {error} ('apt-get install rsync' installs it where it is missing)")
        });
        assert!(status.success(), "{program} {args:?}");
    };
    let path = |directory: &tempfile::TempDir| directory.path().to_str().expect("text").to_owned();
    run(env!("CARGO_BIN_EXE_coracle"), &["index", "-q", &path(&one)]);
    run("rsync", &["-a", &format!("{}/", path(&one)), &path(&two)]);
    let server = Serve::of(one);
    let version = |address: &str| {
        let shown = TestDirectory::new().run(&["stat", "--json", address, "image", "--digest", "sha256"]).out();
        let shown: Value = serde_json::from_str(&shown).expect("JSON");
        (shown["version"].as_str().expect("a version").to_owned(), shown["sha256"].as_str().expect("one").to_owned())
    };
    let (child, address) = Serve::start_with(two.path(), "127.0.0.1:0", &["--version-by", "content"]);
    let copy = Serve { root: two, child, address };
    let (by_content, digest) = version(&copy.address);
    assert_eq!(by_content, digest);
    let (by_inode, same) = version(&server.address);
    assert_eq!((same, by_inode.len()), (digest, 32));
    assert_eq!(fs::read_to_string(copy.root.path().join(".coracle-digests")).expect("read").lines().count(), 1);
}

#[test]
fn says_which_arguments_of_a_replica_do_not_fit() {
    let local = TestDirectory::new();
    for (args, words) in [
        (&["--version-by", "mtime", "--write", "--allow-plain-writes"][..], "--version-by can only be 'inode'"),
        (&["--digests", "d"], "--digests keeps what '--version-by content' computes"),
        (&["--version-by", "size"], "invalid value 'size'"),
    ] {
        local.run(&[&["serve", "--listen", "127.0.0.1:0"], args].concat()).exits_with(2).prints_error(words);
    }
    local.write("notes", "notes\n");
    for (args, words) in [
        (&["--manifest", "none"][..], "none: there is no such file; 'coracle index' writes it"),
        (&["--version-by", "content", "--digests", "notes"], "notes: it holds something else than digests"),
    ] {
        local.run(&[&["serve", "--listen", "127.0.0.1:0"], args].concat()).exits_with(5).prints_error(words);
    }
    assert_eq!(local.read("notes"), b"notes\n");
}
