//! Events, and observers that need only some of them.

use std::sync::{Arc, Mutex};
use std::thread;

use coracle::server::{Event, Limits, Observer, OnText, Server};
use coracle_core::{StaticFile, StaticStore};

use crate::fixture::Client;

static FILES: [StaticFile<'static>; 1] = [StaticFile::new("a", "1", b"alpha")];

/// Records the events that it receives.
#[derive(Clone, Default)]
struct Notes {
    sees_requests: bool,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Observer for Notes {
    fn event(&self, event: &Event<'_>) {
        let line = match event {
            Event::Requested { request, .. } => format!("requested {}", request.kind().as_str()),
            Event::Opened { file_size, .. } => format!("opened {file_size}"),
            Event::Progress { body_len, .. } => format!("progress {body_len}"),
            Event::Text { bytes, .. } => format!("text {}", bytes.len()),
            Event::Finished { summary, .. } => {
                format!("finished {} {} {}", summary.name, summary.body_len, summary.outcome)
            }
            Event::Disconnected { summary, .. } => {
                format!("left after {} answers, {} B", summary.requests, summary.body_len)
            }
            _ => return,
        };
        self.lines.lock().expect("no panic").push(line);
    }

    fn sees_requests(&self) -> bool {
        self.sees_requests
    }
}

#[test]
fn request_events_are_emitted_where_one_observer_sees_them() {
    let all = ["requested get", "opened 5", "progress 5", "finished a 5 ok", "text 4", "left after 1 answers, 5 B"];
    for (sees_requests, expected) in [([true, true], &all[..]), ([false, true], &all), ([false, false], &all[5..])] {
        let notes = sees_requests.map(|sees_requests| Notes { sees_requests, ..Notes::default() });
        let mut limits = Limits::default();
        limits.on_text = OnText::Echo;
        let server = Server::new(StaticStore::new(&FILES))
            .with_address("127.0.0.1:0".parse().expect("an address"))
            .with_limits(limits)
            .with_observer(notes[0].clone())
            .with_observer(notes[1].clone())
            .bind()
            .expect("bound");
        let (address, handle) = (server.addresses()[0], server.handle());
        let running = thread::spawn(move || server.run());
        let mut client = Client::new(address);
        client.send(r#"{"type":"get","fileName":"a","digest":"none"}"#).line();
        assert_eq!(client.bytes(5), b"alpha");
        client.line();
        client.send("ping");
        assert_eq!(client.bytes(4), b"ping");
        assert_eq!(client.half_close().rest(), "");
        handle.stop();
        running.join().expect("no panic").expect("no error");
        for note in notes {
            assert_eq!(*note.lines.lock().expect("no panic"), expected, "{sees_requests:?}");
        }
    }
}

/// As long as a program does not ignore it: those of Rust do, those of C that link the library need not.
#[test]
#[cfg(all(target_os = "linux", feature = "kernel-send"))]
fn threads_that_serve_get_no_signal_of_a_broken_pipe() {
    use std::sync::mpsc::{self, Sender};

    struct Blocked(Sender<String>);

    impl Observer for Blocked {
        fn event(&self, event: &Event<'_>) {
            if let Event::Finished { .. } = event {
                let status = std::fs::read_to_string("/proc/thread-self/status").expect("this thread's");
                // The test may have failed already.
                drop(self.0.send(status));
            }
        }
    }

    const SIGPIPE: u32 = 13;
    let (sender, receiver) = mpsc::channel();
    let server = Server::new(StaticStore::new(&FILES))
        .with_address("127.0.0.1:0".parse().expect("an address"))
        .with_observer(Blocked(sender))
        .bind()
        .expect("bound");
    let (address, handle) = (server.addresses()[0], server.handle());
    let running = thread::spawn(move || server.run());
    Client::new(address).send(r#"{"type":"get","fileName":"a","digest":"none"}"#).line();
    let status = receiver.recv().expect("a request has ended");
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("what is blocked");
    let blocked = u64::from_str_radix(blocked.trim(), 16).expect("a mask");
    assert_eq!(blocked, 1 << (SIGPIPE - 1), "{status}");
    handle.stop();
    running.join().expect("no panic").expect("no error");
}
