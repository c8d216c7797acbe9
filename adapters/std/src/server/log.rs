//! Log of a server: an observer that writes a line for each request and each connection.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::event::Event;
use super::log_line::{Line, LogFormat, LogLevel, describe, level_of, now};
use super::observer::Observer;
use crate::store::SkippedEntry;

/// Bytes of lines that wait for the writer.
const MAX_PENDING: usize = 1 << 20;
/// Pause of the writer between two writes: waking it for each of many lines would cost their clients more than the lines
/// themselves.
const WRITE_INTERVAL: Duration = Duration::from_millis(20);
/// How long dropping a log waits for its last lines to be written.
const DROP_TIMEOUT: Duration = Duration::from_secs(1);

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
        // In an emulator on a busy machine formatting them alone takes most of a minute.
        assert!(started.elapsed() < Duration::from_secs(120), "{:?}", started.elapsed());
        assert!(log.pending.state().lines.len() <= super::MAX_PENDING);
        assert!(log.pending.state().dropped > 0);
        drop(log);
        drop(held);
    }
}
