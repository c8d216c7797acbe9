//! Target: a server that clients write to, from any bytes to its output and its files.

use coracle_core::exec::StoreExchange;
use coracle_core::{Action, ActionWords, FileName, Instant, Reply, Request, RequestKind, ServerConfig, ServerSession};

use crate::memory::{Exchange, Memory, perform, receive};
use crate::{judge, pieces};

/// Maximum number of actions between two arrivals.
const MOST_STEPS: usize = 40_000;
/// Between two arrivals.
const STEP_MS: u64 = 900;

/// Whatever arrives, in whatever pieces: a bounded number of actions; lines of JSON with heartbeats in front; and in the store
/// only files that have the announced size and digest, which the store asserts.
pub fn target(data: &[u8]) {
    let [seed, choice, input @ ..] = data else { return };
    let actions = ActionWords::new("confirm restart").expect("good words");
    let config = ServerConfig::new()
        .with_offered(RequestKind::Put)
        .with_offered(RequestKind::Delete)
        .with_offered(RequestKind::Rename)
        .with_offered(RequestKind::MakeDir)
        .with_offered(RequestKind::Space)
        .with_actions(actions);
    let mut store = Memory { reads_back: choice & 1 != 0, write_max: usize::from(choice >> 4), ..Memory::default() };
    store.set(FileName::from_static("there"), b"0123456789");
    // The second connection goes on where the first broke off.
    let half = input.len() / if choice & 2 == 0 { 1 } else { 2 };
    let mut clock = 0;
    for part in [&input[..half], &input[half..]] {
        Connection::new(&config, clock).run(&mut store, &pieces(part, *seed), &mut clock);
    }
}

struct Connection<'c> {
    session: ServerSession<'c, [u8; 768]>,
    exchange: Exchange,
    exchanges: u32,
    /// What was sent of the current line, and the file's bytes that a `get` sends.
    line: Vec<u8>,
}

impl<'c> Connection<'c> {
    fn new(config: &'c ServerConfig<'c>, clock: u64) -> Self {
        let session = ServerSession::new(config, [0; 768], Instant::from_millis(clock));
        Self { session, exchange: StoreExchange::writable(), exchanges: 0, line: Vec::new() }
    }

    fn run(mut self, store: &mut Memory, pieces: &[&[u8]], clock: &mut u64) {
        for piece in pieces {
            *clock += STEP_MS;
            let mut rest = *piece;
            while !rest.is_empty() && !self.is_closed() {
                let now = Instant::from_millis(*clock);
                let (taken, is_body) = receive(&mut self.session, &mut self.exchange, store, rest, now);
                assert!(taken > 0 || is_body || self.is_waiting(), "a session that receives took nothing");
                rest = &rest[taken..];
                self.work(store, clock);
            }
        }
        let now = Instant::from_millis(*clock);
        self.session.receive_eof(now);
        self.work(store, clock);
        assert!(self.is_closed(), "the input has ended, and the session has not: {:?}", self.session.action());
        self.exchange.end(store);
    }

    fn is_closed(&self) -> bool {
        matches!(self.session.action(), Action::Close(_))
    }

    fn is_waiting(&self) -> bool {
        matches!(self.session.action(), Action::Wait)
    }

    fn work(&mut self, store: &mut Memory, clock: &mut u64) {
        for _ in 0..MOST_STEPS {
            let now = Instant::from_millis(*clock);
            if self.session.deadline().is_some_and(|(at, _)| at <= now) {
                self.session.handle_timeout(now);
            }
            let is_idle = !self.step(store, now);
            if self.session.exchanges() != self.exchanges {
                self.exchanges = self.session.exchanges();
                self.exchange.end(store);
            }
            if is_idle {
                return;
            }
        }
        panic!("no end of what the session wants");
    }

    /// Performs one action; false where there is nothing to do.
    fn step(&mut self, store: &mut Memory, now: Instant) -> bool {
        match self.session.action() {
            Action::Receive | Action::Wait | Action::Close(_) => return false,
            Action::Reply(Request::Do { .. }) => self.session.reply(Reply::Done, now),
            Action::Entry => {
                let entry = self.exchange.entry(store);
                self.session.entry(entry, now);
            }
            Action::SendBytes { bytes, .. } => {
                assert!(!bytes.is_empty(), "nothing to send");
                self.line.extend_from_slice(bytes);
                if self.line.ends_with(b"\n") {
                    judge::line(self.line.trim_ascii_start());
                    self.line.clear();
                }
                let len = bytes.len();
                self.session.sent(len, now);
            }
            Action::SendFile { offset, len, hash, .. } => {
                let mut buf = [0; 4_096];
                let len =
                    self.exchange.read(store, offset, &mut buf[..len.min(4_096)], hash).expect("a file in memory");
                self.session.sent(len, now);
            }
            _ => assert!(perform(&mut self.session, &mut self.exchange, store, 4_096, now), "not known here"),
        }
        true
    }
}
