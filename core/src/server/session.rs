//! The server's state machine, apart from its buffer: what it wants, what arrives, and time.

mod answer;
#[cfg(feature = "classic")]
mod text;

use super::action::{Action, Close, CloseHow, CloseReason, Deadline, Exchange};
use super::config::ServerConfig;
use crate::digest::Digest;
use crate::error::Code;
use crate::reply::{Content, Detail, Line};
use crate::request::{self, Kind, Question, Refusal};
use crate::scan::{ScanError, Scanned, Scanner};
use crate::time::Instant;

const SERVER: &str = concat!("coracle/", env!("CARGO_PKG_VERSION"));
const HEARTBEAT_MS: u64 = 10_000;
/// Where the stall deadline is off, the lowest rate counts after this start.
const RATE_START_MS: u64 = 30_000;

#[derive(Debug)]
pub(super) struct Session<'c> {
    config: &'c ServerConfig<'c>,
    state: State,
    /// The latest moment that was told.
    now: Instant,
    /// When the armed deadline's time began: the end of an exchange, a request's first byte, the last progress.
    since: Instant,
    /// When sending the answer began, and how much was sent of it.
    started: Instant,
    answered: u64,
    /// White space or a request has arrived.
    begun: bool,
    /// A line ending may follow that belongs to the request before.
    line_ending: LineEnding,
    eof: bool,
    stopping: bool,
    scanner: Scanner,
    /// Bytes of a request in the buffer.
    used: usize,
    question: Question,
    size: u64,
    /// The body, or for `stat` what is hashed: its end, and how far it came.
    end: u64,
    position: u64,
    modified: Option<u64>,
    digest: Option<Digest>,
    /// The digest was known before a byte was read.
    known: bool,
    count: u64,
    skipped: u64,
    line: Line,
    /// Bytes of the line that are ready, in the buffer.
    ready: core::ops::Range<usize>,
    exchanges: u32,
    last: Exchange,
    #[cfg(feature = "classic")]
    text: text::Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Receiving,
    Asked,
    Line(After),
    Entries,
    Hashing,
    Body,
    Finishing,
    /// A sign of life, and then back.
    Heartbeat(Working),
    /// Bytes that are no request stand in the buffer, and the owner looks at them.
    #[cfg(feature = "classic")]
    Text,
    /// The text policy's reply is sent.
    #[cfg(feature = "classic")]
    FixedReply,
    Closed(Close),
}

/// What follows a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// The end of the exchange.
    End,
    Entries,
    Body,
    /// Back to receiving, without an exchange.
    #[cfg(feature = "classic")]
    Rest,
    Close(CloseReason),
}

/// What may still come of a line ending: `\n`, `\r` or `\r\n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineEnding {
    Any,
    LineFeed,
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Working {
    Hashing,
    Finishing,
}

impl<'c> Session<'c> {
    pub(super) fn new(config: &'c ServerConfig<'c>, now: Instant) -> Self {
        Self {
            config,
            state: State::Receiving,
            now,
            since: now,
            started: now,
            answered: 0,
            begun: false,
            line_ending: LineEnding::Nothing,
            eof: false,
            stopping: false,
            scanner: Scanner::new(),
            used: 0,
            question: Question {
                kind: Kind::Hello,
                name_len: 0,
                offset: 0,
                length: None,
                digest_from: None,
                digest: None,
                version: None,
                has_impossible_version: false,
                #[cfg(feature = "classic")]
                is_classic: false,
            },
            size: 0,
            end: 0,
            position: 0,
            modified: None,
            digest: None,
            known: false,
            count: 0,
            skipped: 0,
            line: Line::new(Content::Hello),
            ready: 0..0,
            exchanges: 0,
            last: Exchange { kind: None, error: None, body_len: 0 },
            #[cfg(feature = "classic")]
            text: text::Text::new(),
        }
    }

    pub(super) fn action<'a>(&'a self, buf: &'a [u8]) -> Action<'a> {
        match self.state {
            State::Receiving => Action::Receive,
            State::Asked => self.request(buf).map_or(Action::Receive, Action::Reply),
            State::Line(after) => Action::SendBytes {
                bytes: buf.get(self.ready.clone()).unwrap_or_default(),
                more: !self.line.is_done() || matches!(after, After::Entries | After::Body),
            },
            State::Entries => Action::Entry,
            State::Hashing => Action::Hash { offset: self.position, len: self.span() },
            State::Body => {
                let len = self.span();
                // Only a classic body has nothing behind it.
                let more = self.has_trailer() || self.position.saturating_add(wide(len)) < self.end;
                Action::SendFile { offset: self.position, len, more, hash: self.wants_hashing() }
            }
            State::Finishing => {
                let from = match self.question.kind {
                    Kind::Get => self.question.digest_from.unwrap_or(self.question.offset),
                    _ => 0,
                };
                Action::Finish { from, to: self.end }
            }
            State::Heartbeat(_) => Action::SendBytes { bytes: b" ", more: false },
            #[cfg(feature = "classic")]
            State::Text => Action::Text(buf.get(self.ready.clone()).unwrap_or_default()),
            #[cfg(feature = "classic")]
            State::FixedReply => {
                Action::SendBytes { bytes: self.fixed_reply().get(self.ready.clone()).unwrap_or_default(), more: false }
            }
            State::Closed(close) => Action::Close(close),
        }
    }

    pub(super) fn receive(&mut self, buf: &mut [u8], bytes: &[u8], now: Instant) -> usize {
        self.see(now);
        if self.state != State::Receiving {
            return 0;
        }
        #[cfg(feature = "classic")]
        let bytes = self.arrive(bytes);
        let taken = self.receive_some(buf, bytes);
        #[cfg(feature = "classic")]
        self.took(taken);
        taken
    }

    fn receive_some(&mut self, buf: &mut [u8], bytes: &[u8]) -> usize {
        let mut taken = 0;
        if self.used == 0 {
            if !self.is_in_text() {
                taken = self.skip_white_space(bytes);
            }
            let rest = bytes.get(taken..).unwrap_or_default();
            match rest.first() {
                None => return taken,
                Some(b'{') if !self.is_held() => {}
                Some(_) => return taken.saturating_add(self.receive_text(buf, rest)),
            }
        }
        self.begin();
        let rest = bytes.get(taken..).unwrap_or_default();
        let room = buf.len().saturating_sub(self.used);
        let piece = rest.get(..room.min(rest.len())).unwrap_or_default();
        let (len, is_complete) = match self.scanner.scan(piece) {
            Ok(Scanned::More) => (piece.len(), false),
            Ok(Scanned::Complete { len }) => (len, true),
            Err(error) => {
                self.refuse_and_close(buf, Code::BadRequest, scan_text(error));
                return taken + piece.len();
            }
        };
        let place = buf.get_mut(self.used..).and_then(|free| free.get_mut(..len));
        if let (Some(place), Some(piece)) = (place, piece.get(..len)) {
            place.copy_from_slice(piece);
        }
        self.used = self.used.saturating_add(len);
        if is_complete {
            self.ask(buf);
        } else if self.used >= buf.len() {
            self.refuse_and_close(buf, Code::TooLong, "the request is longer than maxRequest");
        }
        taken.saturating_add(len)
    }

    pub(super) fn receive_eof(&mut self, buf: &mut [u8], now: Instant) {
        self.see(now);
        self.eof = true;
        if self.state != State::Receiving {
            return;
        }
        if self.used > 0 {
            self.refuse_and_close(buf, Code::BadRequest, "the input ended inside a request");
        } else if self.is_held() {
            self.release_held(buf);
        } else {
            self.close(CloseHow::Finish, CloseReason::Done);
        }
    }

    pub(super) fn sent(&mut self, buf: &mut [u8], len: usize, now: Instant) {
        self.see(now);
        if len == 0 {
            return;
        }
        match self.state {
            State::Line(after) => {
                let len = len.min(self.ready.len());
                self.ready.start += len;
                self.moved(len);
                if self.ready.is_empty() && !self.fill(buf) {
                    self.after_line(buf, after);
                }
            }
            State::Body => {
                let len = len.min(self.span());
                self.position = self.position.saturating_add(wide(len));
                self.last.body_len = self.last.body_len.saturating_add(wide(len));
                self.moved(len);
                if self.position >= self.end {
                    self.end_body(buf);
                }
            }
            State::Heartbeat(working) => {
                self.since = self.now;
                self.state = match working {
                    Working::Hashing => State::Hashing,
                    Working::Finishing => State::Finishing,
                };
            }
            #[cfg(feature = "classic")]
            State::FixedReply => {
                let len = len.min(self.ready.len());
                self.ready.start += len;
                self.moved(len);
                if self.ready.is_empty() {
                    self.after_line(buf, After::Rest);
                }
            }
            _ => misuse("sent"),
        }
    }

    pub(super) fn progress(&mut self, now: Instant) {
        self.see(now);
        if self.is_sending() {
            self.since = self.now;
        }
    }

    pub(super) fn hashed(&mut self, buf: &mut [u8], len: usize, now: Instant) {
        self.see(now);
        if self.state != State::Hashing {
            return misuse("hashed");
        }
        self.position = self.position.saturating_add(wide(len.min(self.span())));
        if self.position >= self.hash_end() {
            match self.question.kind {
                Kind::Stat => self.state = State::Finishing,
                _ => self.write_header(buf),
            }
        } else {
            self.keep_alive(Working::Hashing);
        }
    }

    pub(super) fn working(&mut self, now: Instant) {
        self.see(now);
        match self.state {
            State::Finishing => self.keep_alive(Working::Finishing),
            _ => misuse("working"),
        }
    }

    pub(super) fn deadline(&self) -> Option<(Instant, Deadline)> {
        let after = |ms: u32| (ms > 0).then(|| self.since.after(u64::from(ms)));
        match self.state {
            #[cfg(feature = "classic")]
            State::Receiving if self.is_held() => Some((self.hold_deadline(), Deadline::Hold)),
            State::Receiving if self.begun => Some((after(self.config.request_ms)?, Deadline::Request)),
            State::Receiving => Some((after(self.config.idle_ms)?, Deadline::Idle)),
            _ if self.is_sending() => {
                let stall = after(self.config.stall_ms);
                let when = match (stall, self.rate_deadline()) {
                    (Some(stall), Some(rate)) => stall.min(rate),
                    (stall, rate) => stall.or(rate)?,
                };
                Some((when, Deadline::Stall))
            }
            State::Hashing | State::Finishing => Some((self.since.after(HEARTBEAT_MS), Deadline::Heartbeat)),
            _ => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, buf: &mut [u8], now: Instant) {
        self.see(now);
        let Some((when, deadline)) = self.deadline() else { return };
        if self.now < when {
            return;
        }
        match deadline {
            Deadline::Idle => self.close(CloseHow::Finish, CloseReason::Idle),
            Deadline::Request => self.refuse_and_close(buf, Code::Timeout, "the request did not arrive in time"),
            Deadline::Stall => self.close(CloseHow::Abort, CloseReason::Stalled),
            #[cfg(feature = "classic")]
            Deadline::Hold => self.release_held(buf),
            Deadline::Heartbeat => self.keep_alive(match self.state {
                State::Hashing => Working::Hashing,
                _ => Working::Finishing,
            }),
        }
    }

    pub(super) fn stop(&mut self, buf: &mut [u8], now: Instant) {
        self.see(now);
        self.stopping = true;
        if self.state == State::Receiving {
            self.refuse_and_close(buf, Code::ShuttingDown, "the server is being stopped");
        }
    }

    pub(super) fn close(&mut self, how: CloseHow, why: CloseReason) {
        if !matches!(self.state, State::Closed(_)) {
            self.state = State::Closed(Close { how, why });
        }
    }

    pub(super) const fn exchanges(&self) -> u32 {
        self.exchanges
    }

    pub(super) const fn last_exchange(&self) -> Exchange {
        self.last
    }

    fn see(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Arms the request deadline, once.
    fn begin(&mut self) {
        if !self.begun {
            self.begun = true;
            self.since = self.now;
        }
    }

    /// Takes white space in front of a request. One line ending right behind the request before belongs to that.
    fn skip_white_space(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        for byte in bytes {
            match (byte, self.line_ending) {
                (b'\r', LineEnding::Any) => self.line_ending = LineEnding::LineFeed,
                (b'\n', LineEnding::Any | LineEnding::LineFeed) => self.line_ending = LineEnding::Nothing,
                (b' ' | b'\t' | b'\r' | b'\n', _) => {
                    self.line_ending = LineEnding::Nothing;
                    self.begin();
                }
                _ => break,
            }
            taken += 1;
        }
        taken
    }

    /// A request is complete in the buffer.
    fn ask(&mut self, buf: &mut [u8]) {
        let read = request::read(buf, self.used);
        self.scanner = Scanner::new();
        self.used = 0;
        self.begun = false;
        self.line_ending = LineEnding::Any;
        #[cfg(feature = "classic")]
        self.end_text();
        self.begin_answer();
        self.last = Exchange { kind: None, error: None, body_len: 0 };
        match read {
            Ok(question) => {
                self.last.kind = Some(question.kind);
                self.question = question;
                match self.question.kind {
                    Kind::Hello => self.write(buf, Content::Hello, After::End),
                    #[cfg(feature = "classic")]
                    Kind::Select if self.question.name_len == 0 => self.refuse_select(buf, Code::BadName),
                    _ => self.state = State::Asked,
                }
            }
            Err(Refusal { code, text, member }) => {
                self.refuse(buf, code, text, Detail::Member(member), After::End);
            }
        }
    }

    fn is_sending(&self) -> bool {
        match self.state {
            State::Line(_) | State::Body | State::Heartbeat(_) => true,
            #[cfg(feature = "classic")]
            State::FixedReply => true,
            _ => false,
        }
    }

    fn keep_alive(&mut self, working: Working) {
        if self.now.since(self.since) >= HEARTBEAT_MS {
            self.since = self.now;
            self.state = State::Heartbeat(working);
        }
    }

    fn moved(&mut self, len: usize) {
        self.since = self.now;
        self.answered = self.answered.saturating_add(wide(len));
    }

    fn rate_deadline(&self) -> Option<Instant> {
        let rate = u64::from(self.config.min_rate);
        let earned_ms = self.answered.saturating_mul(1000).checked_div(rate)?;
        let start_ms = match self.config.stall_ms {
            0 => RATE_START_MS,
            stall_ms => u64::from(stall_ms),
        };
        Some(self.started.after(start_ms).after(earned_ms))
    }

    /// What the next action asks for at most, in bytes.
    fn span(&self) -> usize {
        let end = if self.state == State::Hashing { self.hash_end() } else { self.end };
        let rest = end.saturating_sub(self.position).min(u64::from(self.config.span()));
        usize::try_from(rest).unwrap_or(usize::MAX)
    }
}

const fn scan_text(error: ScanError) -> &'static str {
    match error {
        ScanError::Syntax => "not JSON",
        ScanError::Utf8 => "not UTF-8",
        ScanError::Depth => "nested more than 8 levels deep",
    }
}

/// A report that does not fit the action.
fn misuse(report: &str) {
    debug_assert!(false, "{report} does not answer the action");
    let _ = report;
}

/// Lengths of slices fit 64 bits on every target that there is.
fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// A build without the classic dialect knows no text.
#[cfg(not(feature = "classic"))]
impl Session<'_> {
    const fn is_in_text(&self) -> bool {
        false
    }

    const fn is_held(&self) -> bool {
        false
    }

    fn release_held(&mut self, _: &mut [u8]) {}

    fn receive_text(&mut self, buf: &mut [u8], _: &[u8]) -> usize {
        self.refuse_and_close(buf, Code::BadRequest, "a request begins with '{'");
        1
    }
}
