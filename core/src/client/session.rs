//! The client's state machine: sends requests, and checks every response.

use super::expectation::{AwaitedLine, Expectation};
use super::request::ClientRequest;
use crate::types::digest::Hasher;
use crate::types::time::{Instant, Timer};
use crate::wire::request_writer;
use crate::wire::response_reader::ErrorResponse;

use super::error::{Failure, StartError};
use super::event::{ClientAction, ClientEvent, Refusal};
use super::line_buffer::{LINE_MAX, LineBuffer, Pushed};

/// `maxRequest` of a server that has not sent it: the protocol's minimum.
const MAX_REQUEST: usize = 512;

/// The default of [`ClientSession::with_stall_ms`].
const STALL_MS: u32 = 30_000;

/// The client's side of one connection, for any number of requests, one after the other. Those that are sent ahead are no
/// concern of the session until their response is the next one; see [`ClientSession::start_sent`].
///
/// It does no I/O of its own: [`ClientSession::action`] says what to do next; the owner of the connection does that one thing,
/// reports how far it came, and asks again. The action stays the same until something is reported.
///
/// ```
/// use coracle_core::{ClientRequest, ClientAction, ClientSession, End, ClientEvent, FileName, GetRequest, Instant};
///
/// let now = Instant::from_millis(0); // a board asks its timer
/// let mut session = ClientSession::new([0; 1024]);
/// session.start(ClientRequest::Get(GetRequest::new(FileName::from_static("motd"))), now).unwrap();
/// while let ClientAction::SendBytes { bytes } = session.action() {
///     let sent = bytes.len(); // or as many as the transport took
///     session.sent(sent, now);
/// }
///
/// let mut rest: &[u8] = b"{\"type\":\"file\",\"fileName\":\"motd\",\"fileSize\":15,\"offset\":0,\"length\":15,\"chunkSize\":1024,\
///     \"readCnt\":1,\"lastSize\":15,\"version\":\"b17\",\"digest\":\"crc32\"}\nMind the step.\n{\"type\":\"end\",\"crc32\":\"e7e0539f\"}\n";
/// let mut file = Vec::new();
/// let mut is_whole = false;
/// while session.action() == ClientAction::Receive {
///     let (taken, event) = session.receive(rest, now);
///     match event {
///         Some(ClientEvent::Body { bytes, .. }) => file.extend_from_slice(bytes),
///         Some(ClientEvent::End(End::Verified(verified))) => is_whole = verified.is_whole(),
///         _ => {}
///     }
///     rest = &rest[taken..];
/// }
/// assert!(is_whole && file == b"Mind the step.\n" && session.action() == ClientAction::Idle);
/// ```
///
/// `B` is the buffer for the request and for each line of the response, of at least [`ClientSession::MIN_BUF_LEN`] bytes. The
/// bytes of a body never pass through it.
#[derive(Debug)]
pub struct ClientSession<B> {
    pub(super) buf: B,
    pub(super) state: State,
    pub(super) line: LineBuffer,
    pub(super) expectation: Expectation,
    pub(super) hasher: Option<Hasher>,
    /// The last `error` line, as long as `buf` contains it.
    pub(super) refusal: Option<ErrorResponse>,
    pub(super) max_request: usize,
    pub(super) has_send_failed: bool,
    pub(super) stall_ms: u32,
    pub(super) stall_at: Option<Instant>,
    pub(super) latest: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Idle,
    /// The next byte to hash is that at `offset`.
    Rehash {
        offset: u64,
    },
    /// The request is at the front of the buffer.
    Send {
        sent: usize,
    },
    Line(AwaitedLine),
    Body {
        offset: u64,
        end: u64,
        size: u64,
    },
    /// The next byte to send of a file that is put is that at `offset`.
    #[cfg(feature = "write")]
    SendBody {
        offset: u64,
    },
    Closed(Failure),
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> ClientSession<B> {
    /// The minimum length of the buffer, in bytes: the longest line. With a shorter one the session is closed from the start,
    /// with [`Failure::BufTooShort`].
    pub const MIN_BUF_LEN: usize = LINE_MAX;

    /// A session for a connection that exists, or that is made after the first request has been started.
    #[must_use]
    pub fn new(buf: B) -> Self {
        let is_long = buf.as_ref().len() >= Self::MIN_BUF_LEN;
        Self {
            buf,
            state: if is_long { State::Idle } else { State::Closed(Failure::BufTooShort) },
            line: LineBuffer::default(),
            expectation: Expectation::nothing(),
            hasher: None,
            refusal: None,
            max_request: MAX_REQUEST,
            has_send_failed: false,
            stall_ms: STALL_MS,
            stall_at: None,
            latest: Instant::default(),
        }
    }

    /// Sets after how many milliseconds without a byte transferred a request fails; 0: never. Default: 30,000, which is three
    /// times the interval between the heartbeats of a server that computes a digest.
    #[must_use]
    pub fn with_stall_ms(self, stall_ms: u32) -> Self {
        Self { stall_ms, ..self }
    }

    /// The buffer, for the next session.
    #[must_use]
    pub fn into_buf(self) -> B {
        self.buf
    }

    /// Starts a request. The session has to be [`ClientAction::Idle`].
    ///
    /// # Errors
    ///
    /// Why nothing was started; the session is unchanged.
    pub fn start(&mut self, request: ClientRequest<'_>, now: Instant) -> Result<(), StartError> {
        if self.state != State::Idle {
            return Err(StartError::NotIdle);
        }
        let mut expectation = Expectation::new(&request)?;
        // The digest of a stat is received, not computed.
        let computed = expectation.digest.filter(|_| expectation.awaited == AwaitedLine::Header);
        let hasher = match computed {
            Some(kind) => Some(Hasher::new(kind).ok_or(StartError::DigestUnsupported)?),
            None => None,
        };
        self.refusal = None;
        #[cfg(feature = "write")]
        if let ClientRequest::Write(request) = &request {
            request.check()?;
        }
        let max_request = self.max_request_of(&request);
        let buf = self.buf.as_mut();
        let len =
            request_writer::write(&request, buf).filter(|len| *len <= max_request).ok_or(StartError::NameDoesNotFit)?;
        // The server needs no newline: it makes a log of the connection readable.
        *buf.get_mut(len).ok_or(StartError::NameDoesNotFit)? = b'\n';
        expectation.request_len = len.saturating_add(1);
        self.state = if hasher.is_some() && expectation.digest_from < expectation.offset {
            State::Rehash { offset: expectation.digest_from }
        } else {
            State::Send { sent: 0 }
        };
        self.expectation = expectation;
        self.hasher = hasher;
        self.line = LineBuffer::default();
        self.has_send_failed = false;
        self.arm(now);
        Ok(())
    }

    /// What to do next.
    #[must_use]
    pub fn action(&self) -> ClientAction<'_> {
        match self.state {
            State::Idle => ClientAction::Idle,
            State::Rehash { offset } => {
                ClientAction::Rehash { offset, len: self.expectation.offset.saturating_sub(offset) }
            }
            State::Send { sent } => {
                let bytes = self.buf.as_ref().get(sent..self.expectation.request_len).unwrap_or_default();
                ClientAction::SendBytes { bytes }
            }
            State::Line(_) | State::Body { .. } => ClientAction::Receive,
            #[cfg(feature = "write")]
            State::SendBody { offset } => {
                ClientAction::SendFile { offset, len: self.expectation.length.unwrap_or(0).saturating_sub(offset) }
            }
            State::Closed(why) => ClientAction::Close(why),
        }
    }

    /// Restarts the stall timer, for a connection that was made after the request had been started.
    pub fn connected(&mut self, now: Instant) {
        self.arm(now);
    }

    /// Passes the next bytes of an earlier attempt, as [`ClientAction::Rehash`] requests them. More bytes than that are ignored.
    pub fn rehashed(&mut self, bytes: &[u8], now: Instant) {
        let State::Rehash { offset } = self.state else { return self.misuse() };
        let (bytes, next) = advance(offset, self.expectation.offset, bytes);
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.state =
            if next < self.expectation.offset { State::Rehash { offset: next } } else { State::Send { sent: 0 } };
        self.arm(now);
    }

    /// The next `n` bytes of [`ClientAction::SendBytes`] (or `SendFile`) were sent.
    pub fn sent(&mut self, n: usize, now: Instant) {
        #[cfg(feature = "write")]
        if let State::SendBody { offset } = self.state {
            return self.body_sent(offset, n, now);
        }
        let State::Send { sent } = self.state else { return self.misuse() };
        let sent = sent.saturating_add(n);
        if n > 0 {
            self.arm(now);
        }
        self.state = if sent < self.expectation.request_len {
            State::Send { sent }
        } else {
            State::Line(self.expectation.awaited)
        };
    }

    /// The connection accepts no more bytes. What the server sent before it closed can still be received.
    pub fn send_failed(&mut self) {
        #[cfg(feature = "write")]
        if matches!(self.state, State::SendBody { .. }) {
            self.has_send_failed = true;
            self.state = State::Line(AwaitedLine::BodyError);
            return;
        }
        if !matches!(self.state, State::Send { .. }) {
            return self.misuse();
        }
        self.has_send_failed = true;
        self.state = State::Line(self.expectation.awaited);
    }

    /// Takes received bytes. Returns how many were taken, and the event that they complete, if any: at most one for each call.
    /// The rest has to be offered again, unless the session has closed. Takes nothing while another action is due.
    ///
    /// Bytes may be passed to an idle session too: they can only be an error that ends the connection.
    pub fn receive<'e>(&'e mut self, bytes: &'e [u8], now: Instant) -> (usize, Option<ClientEvent<'e>>) {
        if bytes.is_empty() {
            return (0, None);
        }
        match self.state {
            State::Rehash { .. } | State::Send { .. } | State::Closed(_) => (0, None),
            State::Body { offset, end, size } => {
                self.arm(now);
                let (bytes, next) = advance(offset, end, bytes);
                if let Some(hasher) = &mut self.hasher {
                    hasher.update(bytes);
                }
                self.state = State::after_body_byte(next, end, size);
                (bytes.len(), Some(ClientEvent::Body { offset, bytes }))
            }
            State::Idle => {
                self.refusal = None;
                self.line = LineBuffer::default();
                self.state = State::Line(AwaitedLine::Nothing);
                self.receive_line(AwaitedLine::Nothing, bytes, now)
            }
            State::Line(awaited) => self.receive_line(awaited, bytes, now),
            #[cfg(feature = "write")]
            State::SendBody { .. } => self.receive_line(AwaitedLine::BodyError, bytes, now),
        }
    }

    /// The server will send no more.
    pub fn receive_eof(&mut self) {
        if !matches!(self.state, State::Closed(_)) {
            self.state = State::Closed(if self.has_send_failed { Failure::SendFailed } else { Failure::Closed });
        }
    }

    /// When [`ClientSession::handle_timeout`] has to be called, and the timer that expires then; `None` while no timer is
    /// running.
    #[must_use]
    pub fn deadline(&self) -> Option<(Instant, Timer)> {
        match self.state {
            State::Send { .. } | State::Line(_) | State::Body { .. } => self.stall_at.map(|at| (at, Timer::Stall)),
            #[cfg(feature = "write")]
            State::SendBody { .. } => self.stall_at.map(|at| (at, Timer::Stall)),
            State::Idle | State::Rehash { .. } | State::Closed(_) => None,
        }
    }

    /// Closes the session if its timer has expired.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline().is_some_and(|(at, _)| at <= now) {
            self.state = State::Closed(Failure::Stalled);
        }
    }

    /// Abandons the request under way. The session is idle again if no byte of the request was sent; otherwise it closes.
    pub fn abandon(&mut self) {
        self.state = match self.state {
            State::Idle | State::Rehash { .. } | State::Send { sent: 0 } => State::Idle,
            State::Closed(why) => State::Closed(why),
            _ => State::Closed(Failure::Abandoned),
        };
    }

    /// The contents of the last `error` line, until the next request.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal<'_>> {
        self.refusal.as_ref().map(|answer| answer.refusal(self.buf.as_ref()))
    }

    /// The longest that `request` may be, in bytes.
    pub(super) fn max_request_of(&self, request: &ClientRequest<'_>) -> usize {
        match request {
            #[cfg(feature = "write")]
            ClientRequest::Write(request) => request.max_request().max(self.max_request),
            _ => self.max_request,
        }
    }

    /// Closes after a report that does not match the action, since later reports could not be trusted.
    fn misuse(&mut self) {
        if !matches!(self.state, State::Closed(_)) {
            self.state = State::Closed(Failure::Misuse);
        }
    }

    /// Restarts the stall timer.
    pub(super) fn arm(&mut self, now: Instant) {
        self.latest = self.latest.max(now);
        self.stall_at = (self.stall_ms > 0).then(|| self.latest.after(u64::from(self.stall_ms)));
    }

    fn receive_line<'e>(
        &'e mut self,
        awaited: AwaitedLine,
        bytes: &[u8],
        now: Instant,
    ) -> (usize, Option<ClientEvent<'e>>) {
        self.arm(now);
        let is_awaited = awaited != AwaitedLine::Nothing;
        // A space before a line is a heartbeat.
        let skipped = if is_awaited && self.line.is_empty() { spaces(bytes) } else { 0 };
        let rest = bytes.get(skipped..).unwrap_or_default();
        if rest.is_empty() {
            return (skipped, None);
        }
        match self.line.push(self.buf.as_mut(), rest) {
            Ok(Pushed::More) => (bytes.len(), None),
            Ok(Pushed::Complete { taken, len }) => (skipped.saturating_add(taken), self.read_line(awaited, len)),
            Err(violation) => {
                self.state = State::Closed(Failure::Violation(violation));
                (bytes.len(), None)
            }
        }
    }
}

impl State {
    /// The state inside a body whose next byte is at `offset`, or after it.
    pub(super) const fn after_body_byte(offset: u64, end: u64, size: u64) -> Self {
        if offset < end { Self::Body { offset, end, size } } else { Self::Line(AwaitedLine::Trailer { end, size }) }
    }
}

/// The part of `bytes`, which begin at `offset`, that lies before `end`; and the offset after it.
fn advance(offset: u64, end: u64, bytes: &[u8]) -> (&[u8], u64) {
    let left = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
    let bytes = bytes.get(..left).unwrap_or(bytes);
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    (bytes, offset.saturating_add(len))
}

fn spaces(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| **byte == b' ').count()
}
