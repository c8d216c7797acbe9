//! Many files over one connection, against a server of this crate and against one that counts every byte.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::path::Path;
use std::thread;
use std::time::Duration;

use coracle::client::{Client, Error, PutOptions, PutQueue, PutReplace, PutRequest, PutSummary, QueuedPut};
use coracle::store::{DirectoryStore, WritableDirectoryStore, WriteOptions};
use coracle::{FileName, Server};
use coracle_core::Code;
use serde_json::{Value, json};

/// Files that wait, and what became of the others.
struct Files<'a> {
    root: &'a Path,
    names: VecDeque<String>,
    done: Vec<(String, Result<PutSummary, Error>)>,
    /// After so many the queue ends.
    max: usize,
    is_deferred: bool,
    /// What was given back, to be sent once more.
    again: Vec<String>,
}

impl<'a> Files<'a> {
    fn new(root: &'a Path, names: &[&str]) -> Self {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Self { root, names, done: Vec::new(), max: usize::MAX, is_deferred: false, again: Vec::new() }
    }

    /// Lets the server store them many at a time.
    fn deferred(self) -> Self {
        Self { is_deferred: true, ..self }
    }

    fn codes(&self) -> Vec<(&str, Option<Code>)> {
        let code = |outcome: &Result<PutSummary, Error>| match outcome {
            Ok(_) => None,
            Err(Error::Refused { code, .. }) => *code,
            Err(error) => panic!("{error}"),
        };
        self.done.iter().map(|(name, outcome)| (name.as_str(), code(outcome))).collect()
    }
}

impl PutQueue for Files<'_> {
    type Tag = String;
    type Progress = ();

    fn next(&mut self) -> Option<QueuedPut<String, ()>> {
        let name = self.names.pop_front()?;
        let file = File::open(self.root.join(&name)).map_err(Error::Read);
        let replace = if name.starts_with("new") { PutReplace::Nothing } else { PutReplace::Anything };
        let is_deferred = self.is_deferred && !self.again.contains(&name);
        let options = PutOptions::new().with_parents(true).with_replace(replace).with_deferred(is_deferred);
        let request = file.map(|file| PutRequest::new(FileName::new(&name).expect("a name"), file, options, ()));
        Some((name, request))
    }

    fn again(&mut self, name: String, first: PutSummary) {
        assert!(first.version.is_none() && !first.was_there);
        self.names.push_front(name.clone());
        self.again.push(name);
    }

    fn done(&mut self, name: String, outcome: Result<PutSummary, Error>) -> ControlFlow<()> {
        self.done.push((name, outcome));
        if self.done.len() < self.max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// A client that gives up at once.
fn client(address: std::net::SocketAddr) -> Client {
    Client::new(address.into()).with_retries(0).with_stall_timeout(Some(Duration::from_secs(30)))
}

/// What a server makes of one connection.
fn served(listener: TcpListener, serve: impl FnOnce(BufReader<TcpStream>) + Send + 'static) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
        serve(BufReader::new(stream));
    })
}

fn request(stream: &mut BufReader<TcpStream>) -> Value {
    let mut line = String::new();
    stream.read_line(&mut line).expect("a line");
    serde_json::from_str(&line).expect("JSON")
}

fn answer(stream: &mut BufReader<TcpStream>, line: &Value) {
    stream.get_mut().write_all(format!("{line}\n").as_bytes()).expect("sent");
}

fn say_hello(stream: &mut BufReader<TcpStream>) {
    assert_eq!(request(stream)["type"], "hello");
    answer(
        stream,
        &json!({"type": "hello", "protocol": 1, "server": "x", "name": "", "maxRequest": 4096, "chunkSize": 1024,
            "idle_ms": 0, "request_ms": 0, "stall_ms": 0, "features": ["put"], "digests": ["crc32", "sha256"]}),
    );
}

fn ready(put: &Value) -> Value {
    let (name, size) = (&put["fileName"], &put["fileSize"]);
    json!({"type": "ready", "fileName": name, "fileSize": size, "offset": 0, "length": size, "chunkSize": 1024})
}

fn end(put: &Value) -> Value {
    json!({"type": "end", "fileName": put["fileName"], "version": "w1", "sha256": put["sha256"]})
}

#[test]
fn all_are_stored_whatever_becomes_of_the_others() {
    for is_deferred in [false, true] {
        all_are_stored(is_deferred);
    }
}

fn all_are_stored(is_deferred: bool) {
    let (here, there) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let names: Vec<String> = (0..40).map(|at| format!("d{}/f{at}", at % 3)).collect();
    for (name, at) in names.iter().zip(0_usize..) {
        fs::create_dir_all(here.path().join(name).parent().expect("one")).expect("made");
        fs::write(here.path().join(name), vec![at as u8; at * 997]).expect("written");
    }
    fs::write(here.path().join("large"), vec![1; 5 << 20]).expect("written");
    for new in ["new-1", "new-2"] {
        fs::write(here.path().join(new), new).expect("written");
    }
    fs::write(there.path().join("new-1"), "another").expect("written");
    let store = DirectoryStore::open(there.path()).expect("a directory");
    let store = WritableDirectoryStore::new(store, WriteOptions::new()).expect("it can be read");
    let server = Server::writable(&store).with_address("127.0.0.1:0".parse().expect("an address"));
    let server = server.bind().expect("bound");
    let (address, handle) = (server.addresses()[0], server.handle());
    thread::scope(|scope| {
        let running = scope.spawn(|| server.run());
        let mut asked: Vec<&str> = names[..20].iter().map(String::as_str).collect();
        asked.extend(["gone", "new-1", "large", "new-2"]);
        asked.extend(names[20..].iter().map(String::as_str));
        let mut files = Files { is_deferred, ..Files::new(here.path(), &asked) };
        let gone = client(address).put_all(&mut files);
        handle.stop();
        running.join().expect("no panic").expect("served");
        assert_eq!(gone, None);
        assert_eq!(files.done.len(), asked.len());
        let failed: Vec<&str> =
            files.done.iter().filter(|(_, outcome)| outcome.is_err()).map(|(name, _)| name.as_str()).collect();
        assert_eq!(failed, ["gone", "new-1"]);
        let versioned =
            files.done.iter().filter(|(_, outcome)| outcome.as_ref().is_ok_and(|done| done.version.is_some()));
        let versioned: Vec<&str> = versioned.map(|(name, _)| name.as_str()).collect();
        // A large one is stored by itself.
        assert!(if is_deferred { versioned == ["large"] } else { versioned.len() == asked.len() - 2 }, "{versioned:?}");
        assert!(files.again.is_empty());
    });
    for name in names.iter().map(String::as_str).chain(["large", "new-2"]) {
        let contents = fs::read(there.path().join(name)).expect(name);
        assert!(contents == fs::read(here.path().join(name)).expect("written"), "{name}");
    }
    assert_eq!(fs::read(there.path().join("new-1")).expect("there"), b"another");
}

/// The next request stands directly behind a body, and nothing behind it before its answer; also where the server refuses what
/// came before.
#[test]
fn u9_the_next_request_follows_a_body() {
    let here = tempfile::tempdir().expect("a directory");
    for name in ["a", "b", "c", "d"] {
        fs::write(here.path().join(name), name.repeat(5)).expect("written");
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    let server = served(listener, |mut stream| {
        say_hello(&mut stream);
        let mut put = request(&mut stream);
        for (name, next) in [("a", Some("b")), ("b", Some("c")), ("c", Some("d")), ("d", None)] {
            assert_eq!((put["type"].as_str(), put["fileName"].as_str()), (Some("put"), Some(name)));
            assert!(stream.buffer().is_empty(), "nothing is sent behind it");
            answer(&mut stream, &ready(&put));
            let mut body = [0; 5];
            stream.read_exact(&mut body).expect("a body");
            assert_eq!(body.as_slice(), name.repeat(5).as_bytes());
            // The next request is here before the answer.
            let following = next.map(|_| request(&mut stream));
            if name == "b" {
                answer(&mut stream, &json!({"type": "error", "code": "exists", "message": "it is there"}));
            } else {
                answer(&mut stream, &end(&put));
            }
            match following {
                Some(following) => put = following,
                None => break,
            }
        }
        assert_eq!(stream.read(&mut [0; 1]).expect("the end"), 0);
    });
    let mut files = Files::new(here.path(), &["a", "b", "c", "d"]);
    assert_eq!(client(address).put_all(&mut files), None);
    server.join().expect("the server saw what it expected");
    assert_eq!(files.codes(), [("a", None), ("b", Some(Code::Exists)), ("c", None), ("d", None)]);
}

/// A file that is there already has no body, so that nothing can follow one: the next request is made by itself.
#[test]
fn u4_what_ends_without_a_body_is_followed_by_a_request_of_its_own() {
    let here = tempfile::tempdir().expect("a directory");
    for name in ["a", "b"] {
        fs::write(here.path().join(name), name).expect("written");
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    let server = served(listener, |mut stream| {
        say_hello(&mut stream);
        for _ in 0..2 {
            let put = request(&mut stream);
            answer(&mut stream, &end(&put));
        }
    });
    let mut files = Files::new(here.path(), &["a", "b"]);
    client(address).put_all(&mut files);
    server.join().expect("the server saw what it expected");
    assert!(files.done.iter().all(|(_, outcome)| outcome.as_ref().is_ok_and(|summary| summary.was_there)));
}

/// The queue ends while a request is under way already: the client is used again, on another connection.
#[test]
fn a_queue_that_ends_gives_back_what_was_asked() {
    let here = tempfile::tempdir().expect("a directory");
    for name in ["a", "b"] {
        fs::write(here.path().join(name), name).expect("written");
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    let server = served(listener, |mut stream| {
        say_hello(&mut stream);
        let put = request(&mut stream);
        answer(&mut stream, &ready(&put));
        stream.read_exact(&mut [0; 1]).expect("a body");
        assert_eq!(request(&mut stream)["fileName"], "b");
        answer(&mut stream, &end(&put));
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0, "nothing more on this connection");
    });
    let mut files = Files { max: 1, ..Files::new(here.path(), &["a", "b"]) };
    assert_eq!(client(address).put_all(&mut files), Some("b".to_owned()));
    server.join().expect("the server saw what it expected");
}

/// Takes a file that is put, and answers that it is stored later.
fn take_deferred(stream: &mut BufReader<TcpStream>, name: &str) {
    let put = request(stream);
    assert_eq!((put["fileName"].as_str(), &put["deferred"]), (Some(name), &json!(true)));
    answer(stream, &ready(&put));
    let mut body = vec![0; name.len()];
    stream.read_exact(&mut body).expect("a body");
    answer(stream, &json!({"type": "end", "fileName": name, "sha256": put["sha256"]}));
}

/// Nothing is told of a file that is stored later before the server has said that it is; and where it does not, each is sent once
/// more.
#[test]
fn u18_what_is_deferred_is_done_when_it_is_durable() {
    let here = tempfile::tempdir().expect("a directory");
    for name in ["a", "b", "c"] {
        fs::write(here.path().join(name), name).expect("written");
    }
    for synced in [Some("end"), Some("error"), None] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("an address");
        let other = listener.try_clone().expect("the same");
        let server = served(listener, move |mut stream| {
            say_hello(&mut stream);
            for name in ["a", "b", "c"] {
                take_deferred(&mut stream, name);
            }
            assert_eq!(request(&mut stream), json!({"type": "sync"}));
            match synced {
                Some("end") => return answer(&mut stream, &json!({"type": "end"})),
                Some(_) => answer(&mut stream, &json!({"type": "error", "code": "io", "message": "it failed"})),
                // The connection breaks.
                None => {
                    drop(stream);
                    stream = BufReader::new(other.accept().expect("a client").0);
                }
            }
            for _ in 0..3 {
                let put = request(&mut stream);
                assert_eq!(put.get("deferred"), None);
                answer(&mut stream, &end(&put));
            }
        });
        let mut files = Files::new(here.path(), &["a", "b", "c"]).deferred();
        assert_eq!(client(address).put_all(&mut files), None);
        server.join().expect("the server saw what it expected");
        let mut names: Vec<&str> = files.codes().into_iter().map(|(name, code)| (code, name).1).collect();
        names.sort_unstable();
        assert_eq!(names, ["a", "b", "c"], "{synced:?}");
        assert_eq!(files.again.len(), if synced == Some("end") { 0 } else { 3 });
        assert!(files.done.iter().all(|(_, outcome)| outcome.is_ok()));
    }
}

/// What was deferred over a connection that broke is not made durable by a sync of the next one.
#[test]
fn u18_a_sync_over_another_connection_says_nothing() {
    let here = tempfile::tempdir().expect("a directory");
    for name in ["a", "b"] {
        fs::write(here.path().join(name), name).expect("written");
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    let other = listener.try_clone().expect("the same");
    let server = served(listener, move |mut stream| {
        say_hello(&mut stream);
        take_deferred(&mut stream, "a");
        drop(stream);
        let mut stream = BufReader::new(other.accept().expect("a client").0);
        take_deferred(&mut stream, "b");
        assert_eq!(request(&mut stream), json!({"type": "sync"}));
        answer(&mut stream, &json!({"type": "end"}));
        let put = request(&mut stream);
        assert_eq!((put["fileName"].as_str(), put.get("deferred")), (Some("a"), None));
        answer(&mut stream, &end(&put));
    });
    let mut files = Files::new(here.path(), &["a", "b"]).deferred();
    assert_eq!(client(address).with_retries(3).put_all(&mut files), None);
    server.join().expect("the server saw what it expected");
    assert_eq!(files.codes(), [("b", None), ("a", None)]);
    assert_eq!(files.again, ["a"]);
}

/// A version may be missing only where the client allowed it.
#[test]
fn a_server_that_defers_by_itself_breaks_the_protocol() {
    let here = tempfile::tempdir().expect("a directory");
    fs::write(here.path().join("a"), "a").expect("written");
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    let server = served(listener, |mut stream| {
        say_hello(&mut stream);
        let put = request(&mut stream);
        answer(&mut stream, &json!({"type": "end", "fileName": "a", "sha256": put["sha256"]}));
    });
    let mut files = Files::new(here.path(), &["a"]);
    client(address).put_all(&mut files);
    server.join().expect("the server saw what it expected");
    assert!(matches!(files.done.as_slice(), [(_, Err(Error::Violation(_)))]), "{:?}", files.done);
}
