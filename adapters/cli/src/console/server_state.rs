//! The state of the server as the console shows it, from the library's events alone.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use coracle::Escaped;
use coracle::server::{Event, RequestOutcome};

/// The interval over which throughput is measured: one column of the graph.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// More samples than a terminal has columns.
const MAX_SAMPLES: usize = 1024;
/// More lines of the log than a terminal has rows.
const MAX_LOG_LINES: usize = 512;

/// The server, its clients and its totals.
#[derive(Debug)]
pub struct ServerState {
    pub started: Instant,
    /// By id, which is the order of arrival.
    pub clients: BTreeMap<u64, Client>,
    pub listening: Vec<SocketAddr>,
    /// Clients in the queue. Negative for a moment, where the end of a wait is reported before its beginning.
    pub waiting: i64,
    pub stage: Stage,
    pub totals: Totals,
    /// The last lines of the log, oldest first, escaped.
    pub log_lines: VecDeque<String>,
    /// Bytes of bodies sent in each second, oldest first.
    pub samples: VecDeque<u64>,
    last_sampled: Instant,
    sampled_len: u64,
}

/// The stage of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Serving,
    Stopping,
    ClosingConnections,
}

/// Totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub clients: u64,
    pub refused: u64,
    pub answers: u64,
    /// Answers that were an error or not complete.
    pub failures: u64,
    /// Arrivals of plain text.
    pub texts: u64,
    /// Bytes of bodies that were sent.
    pub body_len: u64,
}

/// A connected client.
#[derive(Debug)]
pub struct Client {
    pub address: SocketAddr,
    pub thread: String,
    /// The current or last request, escaped; empty before the first one.
    pub request: String,
    /// The answer under way.
    pub answer: Option<AnswerProgress>,
    pub answers: u64,
    /// Bytes of bodies per second.
    pub rate: u64,
    body_len: u64,
    sampled_len: u64,
}

/// How much of an answer was sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnswerProgress {
    pub file_size: Option<u64>,
    pub body_len: u64,
}

impl ServerState {
    pub fn new(now: Instant) -> Self {
        Self {
            started: now,
            clients: BTreeMap::new(),
            listening: Vec::new(),
            waiting: 0,
            stage: Stage::Serving,
            totals: Totals::default(),
            log_lines: VecDeque::new(),
            samples: VecDeque::new(),
            last_sampled: now,
            sampled_len: 0,
        }
    }

    /// Applies an event.
    pub fn on_event(&mut self, event: &Event<'_>) {
        match event {
            Event::Listening { address } if !self.listening.contains(address) => self.listening.push(*address),
            Event::ListenerClosed { address } => self.listening.retain(|listening| listening != address),
            Event::Connected { peer, .. } => self.connected(peer.id(), peer.address(), peer.thread()),
            Event::Queued { .. } => self.waiting += 1,
            Event::Dequeued { .. } => self.waiting -= 1,
            Event::Refused { .. } => self.totals.refused += 1,
            Event::Requested { peer, request } => {
                let name = request.name().map_or("", |name| name.as_str());
                self.requested(peer.id(), request.kind().as_str(), name);
            }
            Event::Opened { peer, file_size } => self.opened(peer.id(), *file_size),
            Event::Progress { peer, body_len } => self.sent(peer.id(), *body_len),
            Event::Text { peer, .. } => self.text(peer.id()),
            Event::Finished { peer, summary } => {
                let kind = summary.kind.map_or("unreadable", |kind| kind.as_str());
                self.finished(peer.id(), kind, summary.name, summary.outcome == RequestOutcome::Done);
            }
            Event::Disconnected { peer, .. } => self.disconnected(peer.id()),
            Event::Stopping { .. } => {
                self.listening.clear();
                self.stage = Stage::Stopping;
            }
            Event::Aborting { .. } => self.stage = Stage::ClosingConnections,
            _ => {}
        }
    }

    pub fn connected(&mut self, id: u64, address: SocketAddr, thread: &str) {
        self.totals.clients += 1;
        self.clients.insert(id, Client::new(address, thread));
    }

    pub fn requested(&mut self, id: u64, kind: &str, name: &str) {
        self.client(id, |client| {
            client.request = describe(kind, name);
            client.answer = Some(AnswerProgress::default());
        });
    }

    pub fn opened(&mut self, id: u64, file_size: u64) {
        self.client(id, |client| client.answer = Some(AnswerProgress { file_size: Some(file_size), body_len: 0 }));
    }

    pub fn sent(&mut self, id: u64, body_len: u64) {
        self.totals.body_len += body_len;
        self.client(id, |client| {
            client.body_len += body_len;
            if let Some(answer) = &mut client.answer {
                answer.body_len += body_len;
            }
        });
    }

    pub fn text(&mut self, id: u64) {
        self.totals.texts += 1;
        self.client(id, |client| client.request = "text".to_owned());
    }

    pub fn finished(&mut self, id: u64, kind: &str, name: &str, is_done: bool) {
        self.totals.answers += 1;
        self.totals.failures += u64::from(!is_done);
        self.client(id, |client| {
            client.request = describe(kind, name);
            client.answer = None;
            client.answers += 1;
        });
    }

    pub fn disconnected(&mut self, id: u64) {
        self.clients.remove(&id);
    }

    /// Adds a line of the log.
    pub fn push_log_line(&mut self, line: &str) {
        if self.log_lines.len() == MAX_LOG_LINES {
            self.log_lines.pop_front();
        }
        // Escaping twice changes nothing.
        self.log_lines.push_back(Escaped(line).to_string());
    }

    /// Measures throughput, once per interval.
    pub fn tick(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.last_sampled);
        if elapsed < SAMPLE_INTERVAL {
            return;
        }
        let rate = |len: u64| (len as f64 / elapsed.as_secs_f64()) as u64;
        for client in self.clients.values_mut() {
            client.rate = rate(client.body_len - client.sampled_len);
            client.sampled_len = client.body_len;
        }
        let sample = rate(self.totals.body_len - self.sampled_len);
        self.sampled_len = self.totals.body_len;
        // After a pause, as when the machine slept, its mean stands for each interval.
        let count = usize::try_from(elapsed.as_secs()).unwrap_or(MAX_SAMPLES).min(MAX_SAMPLES);
        self.samples.extend(std::iter::repeat_n(sample, count));
        let surplus = self.samples.len().saturating_sub(MAX_SAMPLES);
        self.samples.drain(..surplus);
        self.last_sampled = now;
    }

    /// Bytes of bodies in the last complete second.
    pub fn rate(&self) -> u64 {
        self.samples.back().copied().unwrap_or(0)
    }

    fn client(&mut self, id: u64, change: impl FnOnce(&mut Client)) {
        if let Some(client) = self.clients.get_mut(&id) {
            change(client);
        }
    }
}

impl Client {
    fn new(address: SocketAddr, thread: &str) -> Self {
        Self {
            address,
            thread: thread.to_owned(),
            request: String::new(),
            answer: None,
            answers: 0,
            rate: 0,
            body_len: 0,
            sampled_len: 0,
        }
    }
}

impl AnswerProgress {
    /// How much of the file was sent, from 0 to 1; `None` for an answer without a file.
    pub fn progress(&self) -> Option<f64> {
        let file_size = self.file_size?;
        Some(if file_size == 0 { 1.0 } else { (self.body_len as f64 / file_size as f64).min(1.0) })
    }
}

fn describe(kind: &str, name: &str) -> String {
    match (kind, name) {
        ("hello" | "unreadable", _) => kind.to_owned(),
        (_, "") => format!("{kind} /"),
        _ => format!("{kind} {}", Escaped(name)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use coracle::server::DequeueReason;

    use super::{Event, MAX_LOG_LINES, MAX_SAMPLES, ServerState, Stage, Totals};

    #[test]
    fn follows_a_client_from_its_coming_to_its_going() {
        let mut state = ServerState::new(Instant::now());
        state.connected(1, "[::1]:4711".parse().expect("an address"), "client-1");
        assert_eq!(state.clients[&1].request, "");
        state.requested(1, "get", "boot\u{202e}.log");
        state.opened(1, 4000);
        state.sent(1, 1000);
        let client = &state.clients[&1];
        assert_eq!((client.request.as_str(), client.answers), ("get boot\\u{202e}.log", 0));
        assert_eq!(client.answer.and_then(|answer| answer.progress()), Some(0.25));
        state.finished(1, "get", "boot.log", true);
        assert!(state.clients[&1].answer.is_none());
        state.requested(1, "list", "");
        state.finished(1, "list", "", false);
        assert_eq!((state.clients[&1].request.as_str(), state.clients[&1].answers), ("list /", 2));
        state.text(1);
        state.disconnected(1);
        assert!(state.clients.is_empty());
        let totals = Totals { clients: 1, answers: 2, failures: 1, texts: 1, body_len: 1000, ..Totals::default() };
        assert_eq!(state.totals, totals);
    }

    #[test]
    fn knows_where_clients_can_connect() {
        let mut state = ServerState::new(Instant::now());
        let (one, other) = ("127.0.0.1:1".parse().expect("an address"), "[::1]:2".parse().expect("an address"));
        for address in [one, one, other] {
            state.on_event(&Event::Listening { address });
        }
        state.on_event(&Event::ListenerClosed { address: one });
        assert_eq!((state.listening.as_slice(), state.stage), ([other].as_slice(), Stage::Serving));
        state.on_event(&Event::Stopping { live: 0 });
        assert_eq!((state.listening.as_slice(), state.stage), ([].as_slice(), Stage::Stopping));
        state.on_event(&Event::Aborting { live: 1 });
        assert_eq!(state.stage, Stage::ClosingConnections);
    }

    #[test]
    fn counts_who_waits_in_whatever_order_it_is_told() {
        let mut state = ServerState::new(Instant::now());
        let address = "127.0.0.1:1".parse().expect("an address");
        let queued = Event::Queued { address, waiting: 1 };
        let dequeued = Event::Dequeued { address, reason: DequeueReason::Gone, waited: Duration::ZERO };
        for (event, waiting) in [(&dequeued, -1), (&queued, 0), (&queued, 1), (&queued, 2), (&dequeued, 1)] {
            state.on_event(event);
            assert_eq!(state.waiting, waiting);
        }
    }

    #[test]
    fn measures_by_the_second() {
        let began = Instant::now();
        let mut state = ServerState::new(began);
        state.connected(1, "[::1]:4711".parse().expect("an address"), "client-1");
        state.sent(1, 3000);
        state.tick(began + Duration::from_millis(900));
        assert_eq!((state.rate(), state.samples.len()), (0, 0), "it is too early");
        state.tick(began + Duration::from_millis(1500));
        assert_eq!((state.rate(), state.clients[&1].rate), (2000, 2000));
        state.tick(began + Duration::from_millis(4500));
        assert_eq!(state.samples, [2000, 0, 0, 0]);
        state.tick(began + Duration::from_secs(1 << 20));
        assert_eq!(state.samples.len(), MAX_SAMPLES);
    }

    #[test]
    fn is_bounded_and_escapes() {
        let mut state = ServerState::new(Instant::now());
        for number in 0..2 * MAX_LOG_LINES {
            state.push_log_line(&format!("{number}\x1b[2J"));
        }
        assert_eq!((state.log_lines.len(), state.log_lines[0].as_str()), (MAX_LOG_LINES, "512\\x1b[2J"));
        // These concern a client that is gone.
        state.sent(9, 1);
        state.opened(9, 1);
        state.disconnected(9);
        assert!(state.clients.is_empty());
    }
}
