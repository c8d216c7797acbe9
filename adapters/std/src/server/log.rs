//! Log of a server: an observer that writes a line for each request and each connection.

use std::fmt::{Display, Write as _};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::event::{DequeueReason, Event, RequestOutcome};
use super::observer::Observer;
use crate::Escaped;
use crate::store::SkippedEntry;

/// Bytes of lines that wait for the writer.
const MAX_PENDING: usize = 1 << 20;
/// Pause of the writer between two writes: waking it for each of many lines would cost their clients more than the lines
/// themselves.
const WRITE_INTERVAL: Duration = Duration::from_millis(20);
/// How long dropping a log waits for its last lines to be written.
const DROP_TIMEOUT: Duration = Duration::from_secs(1);

/// Format of a log's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// For people: time, peer, thread, event, bytes, duration, outcome.
    #[default]
    Text,
    /// A JSON object in each line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LogLevel {
    /// Failures of the server itself.
    Quiet,
    /// A line for each response, for each connection that ends or is refused, and for text.
    #[default]
    Normal,
    /// A line for each new connection and each request, too.
    Verbose,
}

/// An [`Observer`] that writes lines.
///
/// A thread of its own writes them, so that a terminal that was stopped or a full disk does not stop the service: lines
/// that cannot be written are dropped, and counted in a line once writing works again. Control characters are escaped.
///
/// Dropping the log writes what is left, for at most a second.
#[derive(Debug)]
pub struct Log {
    format: LogFormat,
    level: LogLevel,
    pending: Arc<Pending>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Pending {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    dropped: u64,
    /// The writer waits for a line.
    is_awaited: bool,
    is_ended: bool,
    /// All that was pending when the end came is written.
    is_written: bool,
}

impl Log {
    /// A log that is written to `sink`; each line whole, perhaps together with others.
    ///
    /// # Errors
    ///
    /// No thread can be spawned for it.
    pub fn new(sink: impl Write + Send + 'static, format: LogFormat, level: LogLevel) -> io::Result<Self> {
        let pending = Arc::new(Pending::default());
        let taken = Arc::clone(&pending);
        let writer = thread::Builder::new().name("log".to_owned()).spawn(move || taken.write_to(sink))?;
        Ok(Self { format, level, pending, writer: Some(writer) })
    }

    /// What a store calls for entries that it skips
    /// ([`DirectoryStore::with_skip_observer`](crate::store::DirectoryStore::with_skip_observer)): they have a line in a
    /// verbose log.
    pub fn skip_observer(&self) -> impl Fn(&SkippedEntry<'_>) + Send + Sync + 'static {
        let (format, level, pending) = (self.format, self.level, Arc::clone(&self.pending));
        move |skipped| {
            if level >= LogLevel::Verbose {
                let path = skipped.path.to_string_lossy();
                let text = Some(skipped.reason.to_string());
                let line = Line { time: now(), event: "skipped", file_name: Some(&path), text, ..Line::default() };
                pending.push(&line.formatted(format));
            }
        }
    }
}

impl Observer for Log {
    fn event(&self, event: &Event<'_>) {
        // Looked at first, since most events have no line in most logs.
        if level_of(event).is_some_and(|level| level <= self.level)
            && let Some(line) = describe(event)
        {
            self.pending.push(&line.formatted(self.format));
        }
    }

    fn sees_requests(&self) -> bool {
        self.level > LogLevel::Quiet
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let mut state = self.pending.state();
        state.is_ended = true;
        self.pending.changed.notify_all();
        let is_writing = |state: &mut State| !state.is_written;
        let waited = self.pending.changed.wait_timeout_while(state, DROP_TIMEOUT, is_writing);
        let is_written = waited.unwrap_or_else(PoisonError::into_inner).0.is_written;
        // A writer that is blocked ends with the process.
        if let Some(writer) = self.writer.take().filter(|_| is_written) {
            drop(writer.join());
        }
    }
}

impl Pending {
    fn push(&self, line: &[u8]) {
        let mut state = self.state();
        if state.lines.len() + line.len() > MAX_PENDING {
            state.dropped += 1;
            return;
        }
        state.lines.extend_from_slice(line);
        if state.is_awaited {
            state.is_awaited = false;
            self.changed.notify_all();
        }
    }

    fn write_to(&self, mut sink: impl Write) {
        let mut lines = Vec::new();
        loop {
            let (dropped, is_ended) = {
                let is_idle = |state: &mut State| {
                    state.is_awaited = state.lines.is_empty() && !state.is_ended;
                    state.is_awaited
                };
                let waited = self.changed.wait_while(self.state(), is_idle);
                let mut state = waited.unwrap_or_else(PoisonError::into_inner);
                lines.clear();
                std::mem::swap(&mut lines, &mut state.lines);
                (std::mem::take(&mut state.dropped), state.is_ended && lines.is_empty())
            };
            if dropped > 0 {
                lines.extend_from_slice(format!("{dropped} lines of this log are lost\n").as_bytes());
            }
            // There is no place left to report it to; the service continues.
            drop(sink.write_all(&lines).and_then(|()| sink.flush()));
            if is_ended {
                self.state().is_written = true;
                self.changed.notify_all();
                return;
            }
            let is_open = |state: &mut State| !state.is_ended;
            drop(self.changed.wait_timeout_while(self.state(), WRITE_INTERVAL, is_open));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    time: String,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<usize>,
    #[serde(rename = "duration_ms", skip_serializing_if = "Option::is_none")]
    duration_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
}

impl Line<'_> {
    fn formatted(&self, format: LogFormat) -> Vec<u8> {
        let mut text = match format {
            LogFormat::Text => self.to_text(),
            // Nothing in a line can fail to be JSON.
            LogFormat::Json => crate::escape_json(&serde_json::to_string(self).unwrap_or_default()),
        };
        text.push('\n');
        text.into_bytes()
    }

    fn to_text(&self) -> String {
        let mut text = self.time.clone();
        // Writing to a string does not fail.
        let mut put = |piece: &dyn Display| write!(text, " {piece}").unwrap_or_default();
        if let Some(peer) = self.peer {
            put(&peer);
            put(&self.thread.unwrap_or("-"));
        }
        put(&self.what.unwrap_or(self.event));
        if let Some(name) = self.file_name {
            put(&Escaped(if name.is_empty() { "/" } else { name }));
        }
        if let Some(name) = self.to {
            put(&format_args!("to {}", Escaped(name)));
        }
        if let Some(words) = &self.text {
            put(&Escaped(words));
        }
        if let Some(answers) = self.answers {
            put(&format_args!("{answers} answers"));
        }
        if let Some(bytes) = self.bytes {
            put(&format_args!("{bytes} B"));
        }
        if let Some(duration_ms) = self.duration_ms {
            put(&format_args!("{duration_ms} ms"));
        }
        if let Some(version) = self.expected {
            put(&format_args!("expected {}", Escaped(version)));
        }
        if let Some(version) = self.version {
            put(&format_args!("version {}", Escaped(version)));
        }
        if let Some(live) = self.live {
            put(&format_args!("{live} live"));
        }
        if let Some(outcome) = &self.outcome {
            put(&outcome);
        }
        text
    }
}

/// The time of a line.
fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

/// The lowest level that has a line for an event.
const fn level_of(event: &Event<'_>) -> Option<LogLevel> {
    match event {
        Event::Warning { .. } | Event::Aborting { .. } => Some(LogLevel::Quiet),
        Event::Refused { .. }
        | Event::Dequeued { reason: DequeueReason::Gone, .. }
        | Event::Text { .. }
        | Event::Finished { .. }
        | Event::Disconnected { .. }
        | Event::Stopping { .. } => Some(LogLevel::Normal),
        Event::Listening { .. }
        | Event::ListenerClosed { .. }
        | Event::Connected { .. }
        | Event::Queued { .. }
        | Event::Requested { .. } => Some(LogLevel::Verbose),
        // Clients that are served or refused have other lines that say so.
        Event::Dequeued { .. } | Event::Opened { .. } | Event::Progress { .. } => None,
    }
}

/// The line of an event, if it has one.
fn describe<'a>(event: &'a Event<'a>) -> Option<Line<'a>> {
    let line = Line { time: now(), ..Line::default() };
    let at = |peer: &'a super::Peer| (Some(peer.address()), Some(peer.thread()));
    Some(match *event {
        Event::Listening { address } => Line { event: "listening", text: Some(address.to_string()), ..line },
        Event::ListenerClosed { address } => Line { event: "unlistened", text: Some(address.to_string()), ..line },
        Event::Connected { peer, live } => {
            let (peer, thread) = at(peer);
            Line { event: "connected", peer, thread, live: Some(live), ..line }
        }
        Event::Refused { address, code, is_over_address_limit } => {
            let outcome = Some(code.to_string());
            let text = is_over_address_limit.then(|| "its address has its share of places".to_owned());
            Line { event: "refused", peer: Some(address), outcome, text, ..line }
        }
        Event::Queued { address, waiting } => {
            let text = Some(format!("with {waiting} in the queue"));
            Line { event: "queued", peer: Some(address), text, ..line }
        }
        Event::Dequeued { address, reason: DequeueReason::Gone, waited } => {
            let (duration_ms, outcome) = (Some(rounded_ms(waited)), Some("gone".to_owned()));
            Line { event: "queued", peer: Some(address), duration_ms, outcome, ..line }
        }
        Event::Requested { peer, request } => {
            let (peer, thread) = at(peer);
            let what = Some(request.kind().as_str());
            let file_name = Some(request.name().map_or("", |name| name.as_str()));
            let text = Some("begins".to_owned());
            Line { event: "requested", peer, thread, what, file_name, text, ..line }
        }
        Event::Text { peer, bytes } => {
            let (peer, thread) = at(peer);
            let text = Some(String::from_utf8_lossy(bytes).into_owned());
            Line { event: "text", peer, thread, text, ..line }
        }
        Event::Finished { peer, summary } => {
            let (peer, thread) = at(peer);
            let what = Some(summary.kind.map_or("unreadable", |kind| kind.as_str()));
            let is_named = summary.kind.is_some_and(|kind| kind != coracle_core::RequestKind::Hello);
            Line {
                event: "finished",
                peer,
                thread,
                what,
                file_name: Some(summary.name).filter(|_| is_named),
                to: summary.to,
                expected: summary.expected,
                version: summary.version,
                bytes: Some(summary.body_len),
                duration_ms: Some(rounded_ms(summary.duration)),
                outcome: Some(match summary.outcome {
                    RequestOutcome::CutShort(reason) => format!("cut short: {reason}"),
                    outcome => outcome.to_string(),
                }),
                ..line
            }
        }
        Event::Disconnected { peer, summary, live } => {
            let (peer, thread) = at(peer);
            Line {
                event: "disconnected",
                peer,
                thread,
                bytes: Some(summary.body_len),
                answers: Some(summary.requests),
                duration_ms: Some(rounded_ms(summary.duration)),
                live: Some(live),
                outcome: Some(summary.reason.to_string()),
                ..line
            }
        }
        Event::Warning { what, error } => {
            let outcome = Some(error.to_string());
            Line { event: "trouble", text: Some(what.to_owned()), outcome, ..line }
        }
        Event::Stopping { live } => Line { event: "stopping", live: Some(live), ..line },
        Event::Aborting { live } => Line { event: "cutting", live: Some(live), ..line },
        Event::Opened { .. } | Event::Progress { .. } | Event::Dequeued { .. } => return None,
    })
}

/// Milliseconds with three decimals.
fn rounded_ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use coracle_core::RequestKind;

    use super::{Log, LogFormat, LogLevel};
    use crate::server::{Event, Observer, Peer, RequestOutcome, RequestSummary};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("a sink").extend_from_slice(buf);
            Ok(buf.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("a sink").clone()).expect("UTF-8")
        }
    }

    fn peer() -> Peer {
        Peer::new(7, "[::1]:4711".parse().expect("an address"), "client-3".into())
    }

    fn written(format: LogFormat, level: LogLevel) -> String {
        let sink = Sink::default();
        let log = Log::new(sink.clone(), format, level).expect("a thread");
        let summary = RequestSummary {
            file_size: Some(9),
            body_len: 5,
            duration: Duration::from_micros(1234),
            ..RequestSummary::new(Some(RequestKind::Get), "a \u{202e}b", RequestOutcome::Done)
        };
        let renamed = RequestSummary {
            to: Some("c\u{202e}d"),
            expected: Some("v1"),
            version: Some("v2"),
            ..RequestSummary::new(Some(RequestKind::Rename), "a", RequestOutcome::Done)
        };
        log.event(&Event::Connected { peer: &peer(), live: 1 });
        for summary in [&summary, &renamed] {
            log.event(&Event::Finished { peer: &peer(), summary });
        }
        log.event(&Event::Text { peer: &peer(), bytes: b"\x1b[2J\xff" });
        log.event(&Event::Warning { what: "accepting a client", error: &io::Error::other("no more") });
        drop(log);
        sink.text()
    }

    #[test]
    fn text_lines() {
        let text = written(LogFormat::Text, LogLevel::Normal);
        let lines: Vec<&str> = text.lines().map(|line| line.split_once(' ').expect("a time").1).collect();
        assert_eq!(
            lines,
            [
                "[::1]:4711 client-3 get a \\u{202e}b 5 B 1.234 ms ok",
                "[::1]:4711 client-3 rename a to c\\u{202e}d 0 B 0 ms expected v1 version v2 ok",
                "[::1]:4711 client-3 text \\x1b[2J\u{fffd}",
                "trouble accepting a client no more"
            ]
        );
        assert_eq!(written(LogFormat::Text, LogLevel::Quiet).lines().count(), 1);
        assert_eq!(written(LogFormat::Text, LogLevel::Verbose).lines().count(), 5);
    }

    #[test]
    fn json_lines() {
        let text = written(LogFormat::Json, LogLevel::Normal);
        assert!(text.is_ascii() || !text.contains(['\u{202e}', '\x1b']), "{text}");
        let line: serde_json::Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
        assert_eq!(line["event"], "finished");
        assert_eq!(line["peer"], "[::1]:4711");
        assert_eq!(line["what"], "get");
        assert_eq!(line["fileName"], "a \u{202e}b");
        assert_eq!(line["bytes"], 5);
        assert_eq!(line["duration_ms"], 1.234);
        assert_eq!(line["outcome"], "ok");
        assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    }

    struct BlockedSink(Arc<Mutex<()>>);

    impl Write for BlockedSink {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            drop(self.0.lock());
            Ok(buf.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    #[test]
    fn x10_a_log_that_cannot_be_written_blocks_no_observer() {
        let blocked = Arc::new(Mutex::new(()));
        let held = blocked.lock().expect("a lock");
        let log = Log::new(BlockedSink(Arc::clone(&blocked)), LogFormat::Text, LogLevel::Normal).expect("a thread");
        let started = Instant::now();
        for _ in 0..50_000 {
            log.event(&Event::Stopping { live: 1 });
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert!(log.pending.state().lines.len() <= super::MAX_PENDING);
        assert!(log.pending.state().dropped > 0);
        drop(log);
        drop(held);
    }
}
