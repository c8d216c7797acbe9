//! The board's log is followed.

use std::io::{Read, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::Client;
use super::emulator::{Board, TIMEOUT, programs};

/// The log's header, with offsets that count from the start of the board.
fn log(client: &mut Client) -> Value {
    let header = client.ask(&json!({"type": "stat", "fileName": "boot.log", "absolute": true}));
    assert_eq!(header["type"], "file", "{header}");
    header
}

/// What of the log is there, and where it begins.
fn rest(client: &mut Client) -> (u64, String) {
    let first = log(client)["first"].as_u64().expect("a number");
    let (_, bytes) = client.get(&json!({"type": "get", "fileName": "boot.log", "offset": first, "absolute": true}));
    (first, String::from_utf8(bytes).expect("text"))
}

/// Has the board log more than its log has room for. Returns when it has.
fn lap(client: &mut Client) {
    let end = log(client)["fileSize"].as_u64().expect("a number");
    while log(client)["first"].as_u64().expect("a number") < end {
        client.send(br#"{"type":"hello"}"#.repeat(20).as_slice());
        (0..20).for_each(|_| drop(client.line()));
    }
}

/// A client waits for a line that another one causes; what it asks of the log itself causes none.
#[test]
fn l9_the_boards_log_is_followed_without_feedback() {
    let board = Board::start(&["config=none"]);
    let mut follower = Client::connect(&board);
    let before = log(&mut follower);
    assert_eq!((log(&mut follower), &before["first"]), (before.clone(), &json!(0)));
    let end = &before["fileSize"];
    let ask = json!({"type": "get", "fileName": "boot.log", "offset": end, "absolute": true, "wait_ms": 60_000});
    follower.send(ask.to_string().as_bytes());
    let mut other = Client::connect(&board);
    let header = follower.line();
    assert_eq!((&header["type"], &header["offset"]), (&json!("file"), end), "{header}");
    let body = follower.body(header["length"].as_u64().expect("a length"));
    let text = String::from_utf8(body).expect("text");
    assert!(text.contains(" connected from ") && text.lines().count() == 1, "{text}");
    assert_eq!(follower.line()["type"], "end");
    assert_eq!(log(&mut other)["fileSize"].as_u64(), end.as_u64().map(|end| end + text.len() as u64));
}

/// A log that is full drops whole lines; offsets stay, and what is before the first line is refused with its place.
#[test]
fn l1_the_boards_log_drops_whole_lines() {
    let board = Board::start(&["config=none"]);
    let mut client = Client::connect(&board);
    let (version, (first, mut text)) = (log(&mut client)["version"].clone(), rest(&mut client));
    assert_eq!(first, 0);
    for _ in 0..3 {
        let position = text.len();
        lap(&mut client);
        let (first, now) = rest(&mut client);
        let first = usize::try_from(first).expect("small");
        assert!(first > position && now.len() > 4_000 && now.ends_with('\n'), "{first}: {now}");
        let time = now.split(' ').next().expect("a line");
        assert!(time.parse::<f64>().is_ok() && time.len() >= 5, "it begins with a part of a line: {now}");
        let ask = json!({"type": "get", "fileName": "boot.log", "offset": first - 1, "absolute": true});
        let refused = client.ask(&ask);
        assert_eq!((&refused["code"], &refused["first"]), (&json!("badRange"), &json!(first)), "{refused}");
        text = " ".repeat(first) + &now;
    }
    assert_eq!(log(&mut client)["version"], version);
}

/// `coracle tail -f` prints each line once and tells to the byte what it missed, whether the log drops lines or the board loses power.
#[test]
fn l1_l4_the_program_follows_the_boards_log_through_laps_and_a_power_cut() {
    let board = Board::start(&["config=none"]);
    let mut tail = Tail::start(&["-f", "-n", "all", &board.address(), "boot.log"]);
    let mut client = Client::connect(&board);
    lap(&mut client);
    let printed = tail.prints_all(&mut client);
    // It reads nothing while the log is lapped.
    tail.signal("-STOP");
    lap(&mut client);
    lap(&mut client);
    tail.signal("-CONT");
    tail.tells(" bytes dropped before they could be read --");
    let all = tail.prints_all(&mut client);
    let dropped = tail.dropped();
    assert!(dropped > 0 && all > printed, "{}", tail.err());
    let before = tail.out().len();
    assert!(!tail.err().contains("begins anew"), "{}", tail.err());
    let board = board.restart(&["config=none"]);
    tail.tells("-- boot.log begins anew --");
    let mut client = Client::connect(&board);
    let end = Instant::now() + TIMEOUT;
    while tail.out().get(before..) != Some(rest(&mut client).1.as_bytes()) {
        assert!(Instant::now() < end, "{}", String::from_utf8_lossy(&tail.out()));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(tail.dropped(), dropped);
}

/// `coracle tail`, and what it has printed until now.
struct Tail {
    child: Child,
    out: Arc<Mutex<Vec<u8>>>,
    err: Arc<Mutex<Vec<u8>>>,
}

impl Tail {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(&programs().coracle)
            .arg("tail")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let (out, err) = (collect(child.stdout.take()), collect(child.stderr.take()));
        Self { child, out, err }
    }

    fn out(&self) -> Vec<u8> {
        self.out.lock().expect("what was printed").clone()
    }

    fn err(&self) -> String {
        String::from_utf8_lossy(&self.err.lock().expect("what was told")).into_owned()
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(status.success());
    }

    /// How many bytes it has told to have missed.
    fn dropped(&self) -> usize {
        let err = self.err();
        let told = err.lines().filter_map(|line| line.strip_suffix(" bytes dropped before they could be read --"));
        told.map(|line| line.trim_start_matches("-- ").replace(',', "").parse::<usize>().expect("a number")).sum()
    }

    /// Waits until it has printed all of the log, but for what it tells to have missed; returns how much that is.
    fn prints_all(&mut self, client: &mut Client) -> usize {
        let end = Instant::now() + TIMEOUT;
        loop {
            let (first, text) = rest(client);
            let written = usize::try_from(first).expect("small") + text.len();
            let (out, dropped) = (self.out(), self.dropped());
            if out.len() + dropped == written {
                assert!(out.ends_with(text.as_bytes()), "it printed something else");
                return out.len();
            }
            assert!(out.len() + dropped < written, "a line came twice");
            assert!(Instant::now() < end, "{} of {written} bytes; {}", out.len(), self.err());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn tells(&self, what: &str) {
        let end = Instant::now() + TIMEOUT;
        while !self.err().contains(what) {
            assert!(Instant::now() < end, "{what:?} is not in {:?}", self.err());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> Arc<Mutex<Vec<u8>>> {
    let collected = Arc::new(Mutex::new(Vec::new()));
    let (mut pipe, shared) = (pipe.expect("a pipe"), Arc::clone(&collected));
    std::thread::spawn(move || {
        let mut buf = [0; 4_096];
        while let Ok(len @ 1..) = pipe.read(&mut buf) {
            shared.lock().expect("not poisoned").write_all(&buf[..len]).expect("memory");
        }
    });
    collected
}
