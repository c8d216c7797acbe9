//! A follower against a server that waits, and whose log drops its head.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use coracle::client::{Client, FollowEvent, FollowFrom, FollowOptions, Follower};
use coracle_core::{DigestKind, FileName, Hasher};
use serde_json::{Value, json};

/// A board with a log in a ring, which waits for what is appended.
#[derive(Clone)]
struct Board {
    log: Arc<(Mutex<Ring>, Condvar)>,
    address: SocketAddr,
}

#[derive(Default)]
struct Ring {
    version: String,
    /// The first byte that is still there.
    first: usize,
    bytes: Vec<u8>,
    /// The log that was there before, while it is kept for who reads it.
    replaced: Option<Box<Ring>>,
    requests: Vec<Value>,
    /// Answers nothing, and closes connections.
    is_down: bool,
}

impl Ring {
    fn end(&self) -> usize {
        self.first + self.bytes.len()
    }
}

impl Board {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let ring = Ring { version: "boot-1".to_owned(), ..Ring::default() };
        let board = Self { log: Arc::new((Mutex::new(ring), Condvar::new())), address };
        let server = board.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                thread::spawn(move || server.serve(&stream));
            }
        });
        board
    }

    fn change<A>(&self, change: impl FnOnce(&mut Ring) -> A) -> A {
        let changed = change(&mut self.log.0.lock().expect("the log"));
        self.log.1.notify_all();
        changed
    }

    fn append(&self, text: &str) {
        self.change(|ring| ring.bytes.extend_from_slice(text.as_bytes()));
    }

    /// Appends `text`, and drops all before the last `kept` bytes.
    fn append_and_drop(&self, text: &str, kept: usize) {
        self.change(|ring| {
            ring.bytes.extend_from_slice(text.as_bytes());
            let dropped = ring.bytes.len() - kept;
            ring.bytes.drain(..dropped);
            ring.first += dropped;
        });
    }

    fn restart(&self, version: &str, first: usize, text: &str) {
        self.change(|ring| (ring.version, ring.first, ring.bytes) = (version.into(), first, text.into()));
    }

    fn serve(&self, mut stream: &TcpStream) {
        let requests = serde_json::Deserializer::from_reader(stream.try_clone().expect("a clone")).into_iter::<Value>();
        for request in requests.map_while(Result::ok) {
            if self.answer(&request).and_then(|answer| stream.write_all(&answer)).is_err() {
                return;
            }
        }
    }

    fn answer(&self, request: &Value) -> io::Result<Vec<u8>> {
        let (ring, changed) = &*self.log;
        let mut ring = ring.lock().expect("the log");
        ring.requests.push(request.clone());
        if ring.is_down {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if request["type"] == "hello" {
            let hello = json!({
                "type": "hello", "protocol": 1, "server": "test", "name": "", "maxRequest": 512, "chunkSize": 1024, "idle_ms": 0,
                "request_ms": 0, "stall_ms": 0, "features": ["stat", "get", "wait", "absolute"], "digests": ["crc32"],
            });
            return Ok(format!("{hello}\n").into_bytes());
        }
        assert_eq!(request["absolute"], true, "{request}");
        let number = |name: &str| request[name].as_u64().map(|number| usize::try_from(number).expect("small"));
        let is_get = request["type"] == "get";
        let offset = number("offset").unwrap_or(if is_get { 0 } else { ring.first });
        let is_other = |ring: &Ring| request["version"].as_str().is_some_and(|version| version != ring.version);
        let waits = offset == ring.end() && !is_other(&ring);
        if let Some(wait_ms) = number("wait_ms").filter(|_| waits) {
            let version = ring.version.clone();
            let is_same = |ring: &mut Ring| ring.end() == offset && ring.version == version && !ring.is_down;
            let limit = Duration::from_millis(wait_ms as u64);
            ring = changed.wait_timeout_while(ring, limit, is_same).expect("the log").0;
            if ring.is_down {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
        let error = |code: &str| {
            let error = json!({ "type": "error", "code": code, "message": "refused", "first": ring.first });
            Ok(format!("{error}\n").into_bytes())
        };
        let replaced = ring.replaced.as_deref().filter(|replaced| !is_other(replaced) && request["wait_ms"].is_null());
        let ring = match replaced {
            Some(replaced) if is_other(&ring) => replaced,
            _ if is_other(&ring) => return error("changed"),
            _ => &*ring,
        };
        let from = number("digestFrom").unwrap_or(offset);
        if from < ring.first || offset > ring.end() {
            return error("badRange");
        }
        let rest = ring.end() - offset;
        let length = number("length").map_or(rest, |length| length.min(rest));
        let (length, told_offset) = if is_get { (length, offset) } else { (ring.end(), 0) };
        let last = if length == 0 { 0 } else { (length - 1) % 1024 + 1 };
        let header = json!({
            "type": "file", "fileName": request["fileName"], "fileSize": ring.end(), "offset": told_offset, "length": length,
            "chunkSize": 1024, "readCnt": length.div_ceil(1024), "lastSize": last, "version": ring.version,
            "digest": if is_get { "crc32" } else { "none" }, "first": ring.first,
        });
        let mut answer = format!("{header}\n").into_bytes();
        if is_get {
            let at = |place: usize| place - ring.first;
            answer.extend_from_slice(&ring.bytes[at(offset)..at(offset + length)]);
            let mut hasher = Hasher::new(DigestKind::Crc32).expect("a digest");
            hasher.update(&ring.bytes[at(from)..at(offset + length)]);
            let end = json!({ "type": "end", "crc32": hasher.finish().to_hex().as_str() });
            answer.extend_from_slice(format!("{end}\n").as_bytes());
        }
        Ok(answer)
    }

    fn follow(&self, from: FollowFrom) -> Follower {
        let client = Client::new(self.address.to_string().parse().expect("an address"));
        client.follow(FileName::from_static("boot.log"), FollowOptions::new().with_from(from))
    }
}

/// What comes next, as text.
fn next(follower: &mut Follower) -> String {
    match follower.next_event().expect("an event").expect("no end") {
        FollowEvent::Bytes(bytes) => String::from_utf8(bytes.to_vec()).expect("UTF-8"),
        FollowEvent::BeginsAnew { known_to: Some(bytes) } => format!("begins anew, known to {bytes}"),
        FollowEvent::BeginsAnew { known_to: None } => "begins anew".to_owned(),
        FollowEvent::Dropped { bytes } => format!("dropped {bytes}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn nobody_asks_again_while_the_server_waits() {
    let board = Board::new();
    board.append("one\n");
    let mut follower = board.follow(FollowFrom::Lines(10));
    assert_eq!(next(&mut follower), "one\n");
    let begin = board.change(|ring| ring.requests.len());
    for number in 0..3 {
        let line = format!("line {number}\n");
        let writer = board.clone();
        let text = line.clone();
        let count = begin + number + 1;
        let appended = thread::spawn(move || {
            while writer.change(|ring| ring.requests.len()) < count {
                thread::sleep(Duration::from_millis(1));
            }
            writer.append(&text);
        });
        assert_eq!(next(&mut follower), line);
        appended.join().expect("appended");
    }
    let asked = board.change(|ring| ring.requests.split_off(begin));
    assert!(asked.len() == 3 && asked.iter().all(|request| request["wait_ms"].as_u64() > Some(10_000)), "{asked:?}");
}

#[test]
fn l1_what_a_log_has_dropped_is_told_to_the_byte() {
    let board = Board::new();
    board.append_and_drop(&"x".repeat(5_000), 4_500);
    let mut follower = board.follow(FollowFrom::Beginning);
    assert_eq!(next(&mut follower), "x".repeat(4_500));
    // A part of what is compared is gone.
    board.append_and_drop("two\n", 100);
    assert_eq!(next(&mut follower), "two\n");
    // All of it, and nothing else.
    board.append_and_drop("three\n", 6);
    assert_eq!(next(&mut follower), "three\n");
    // And more than that.
    board.append_and_drop("lost\nfour\n", 5);
    assert_eq!((next(&mut follower), next(&mut follower)), ("dropped 5".to_owned(), "four\n".to_owned()));
    board.append("five\n");
    assert_eq!(next(&mut follower), "five\n");
}

#[test]
fn l4_a_board_that_restarts_begins_anew() {
    let board = Board::new();
    board.append("one\ntwo\n");
    let mut follower = board.follow(FollowFrom::Lines(1));
    assert_eq!(next(&mut follower), "two\n");
    // Shorter than before.
    board.restart("boot-2", 0, "new\n");
    assert_eq!((next(&mut follower), next(&mut follower)), ("begins anew, known to 8".to_owned(), "new\n".to_owned()));
    // Of the same length, with other bytes.
    board.restart("boot-3", 0, "NEW\n");
    assert_eq!((next(&mut follower), next(&mut follower)), ("begins anew, known to 4".to_owned(), "NEW\n".to_owned()));
    // So much longer that its head is gone already: none of that was read before.
    board.restart("boot-4", 1_000, "later\n");
    let told = [(); 3].map(|()| next(&mut follower));
    assert_eq!(told, ["begins anew, known to 4", "dropped 1000", "later\n"]);
}

/// A restart closes what was kept, maybe before it was read to its end: then the rest is told to be lost.
#[test]
fn l1_l4_a_replaced_file_that_is_no_longer_kept_is_not_known() {
    let board = Board::new();
    board.append("one\n");
    let mut follower = board.follow(FollowFrom::Lines(1));
    assert_eq!(next(&mut follower), "one\n");
    board.change(|ring| {
        let mut bytes = b"one\n".to_vec();
        bytes.resize(1 << 20, b'x');
        let before = Ring { version: "boot-1".to_owned(), bytes, ..Ring::default() };
        *ring = Ring {
            version: "boot-2".to_owned(),
            bytes: b"new\n".to_vec(),
            replaced: Some(before.into()),
            ..Ring::default()
        };
    });
    // One piece of it, from the last byte on that is known.
    assert_eq!(next(&mut follower), "x".repeat((256 << 10) - 1));
    board.change(|ring| ring.replaced = None);
    let told = [(); 2].map(|()| next(&mut follower));
    assert_eq!(told, ["begins anew, known to 262147", "new\n"]);
}

/// One that is found by its name is looked for again, once it does not answer.
#[test]
fn l4_a_board_that_comes_back_at_another_address_is_followed_there() {
    let boards = [Board::new(), Board::new()];
    boards[0].append("one\n");
    let (asked, place) = (Arc::new(AtomicUsize::new(0)), boards[1].address);
    let count = Arc::clone(&asked);
    let client = Client::new(boards[0].address.to_string().parse().expect("an address"));
    let client = client.with_locator(move || {
        // It has not announced itself yet at first.
        (count.fetch_add(1, Ordering::SeqCst) > 1).then(|| vec![place])
    });
    let mut follower = client.follow(FileName::from_static("boot.log"), FollowOptions::new());
    assert_eq!(next(&mut follower), "one\n");
    boards[0].append("two\n");
    assert_eq!((next(&mut follower), asked.load(Ordering::SeqCst)), ("two\n".to_owned(), 0));
    boards[1].append("one\ntwo\nthree\n");
    boards[0].change(|ring| ring.is_down = true);
    let told = [(); 3].map(|()| next(&mut follower));
    assert!(told[0].starts_with("Waiting"), "{told:?}");
    assert_eq!(told[1], format!("Resumed {{ moved_to: Some({place}) }}"));
    assert_eq!((told[2].as_str(), asked.load(Ordering::SeqCst)), ("three\n", 3));
}

#[test]
fn lines_are_counted_in_what_is_there() {
    let board = Board::new();
    board.append_and_drop("gone\nhalf of this\nb\nc\n", 13);
    for (lines, expected) in [(1, "c\n"), (2, "b\nc\n"), (9, " of this\nb\nc\n")] {
        assert_eq!(next(&mut board.follow(FollowFrom::Lines(lines))), expected);
    }
}
