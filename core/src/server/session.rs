//! The server's state machine, without its buffer: actions, received bytes, and time.
//!
//! [`State`] defines the states and transitions, [`Timers`] the deadlines; every transition goes through [`Session::enter`],
//! which starts the timers of the new state.
//!
//! `#[inline(never)]` is used, here and in what this calls, where tests/footprint shows that inlined copies cost a board
//! more flash than the calls.

use super::action::{Action, Close, CloseHow, CloseReason, Exchange};
use super::config::ServerConfig;
use super::line_ending::LineEnding;
#[cfg(feature = "classic")]
use super::selection::Selection;
use super::state::State;
use super::timers::Timers;
#[cfg(feature = "write")]
use super::upload_state::{Stage, Upload};
#[cfg(feature = "wait")]
use super::watch_state::Watch;
use crate::types::time::{Instant, Timer};
use crate::wire::code::Code;
use crate::wire::line_kind::LineKind;
use crate::wire::message::Message;
use crate::wire::request_kinds::RequestKind;
#[cfg(feature = "rights")]
use crate::wire::request_kinds::RequestKinds;
use crate::wire::request_reader::ParsedRequest;
use crate::wire::response_writer::{LineWriter, ResponseContext};
use crate::wire::scanner::{ScanError, Scanned, Scanner};

/// Laid out in the order of its fields, bytes first: a Cortex-M reads a byte within the first 32 of a structure, or a word within
/// the first 128, by an instruction of two bytes instead of four. So are the structures in it that are used most.
#[derive(Debug)]
#[cfg_attr(any(feature = "write", feature = "classic"), repr(C))]
pub(super) struct Session<'c> {
    pub(super) state: State,
    /// The state after the current line.
    pub(super) next: State,
    #[cfg(feature = "write")]
    pub(super) upload: Upload,
    /// White space or part of a request has arrived since the last exchange.
    pub(super) has_begun: bool,
    /// Which line ending may follow that belongs to the previous request.
    pub(super) line_ending: LineEnding,
    pub(super) eof: bool,
    pub(super) stopping: bool,
    /// The store knew the digest, so nothing is hashed.
    pub(super) is_digest_known: bool,
    /// How the session ended; valid in [`State::Closed`].
    pub(super) close: Close,
    pub(super) context: ResponseContext<'c>,
    /// Bytes of the current request in the buffer; those of a `put` until its line is complete.
    pub(super) used: usize,
    pub(super) line: LineWriter,
    /// Where the bytes that are ready to be sent are in the buffer.
    pub(super) ready: core::ops::Range<usize>,
    pub(super) exchanges: u32,
    pub(super) scanner: Scanner,
    /// The next byte of the file to send or hash.
    pub(super) position: u64,
    /// The latest time that was reported.
    pub(super) now: Instant,
    pub(super) last: Exchange,
    pub(super) timers: Timers,
    /// When sending the response began, and how many bytes of it were sent: the minimum rate is checked by them.
    pub(super) answer_began: Instant,
    pub(super) answer_len: u64,
    /// When the request was complete, or bytes were sent last: a heartbeat is due some time after that.
    #[cfg(any(feature = "write", feature = "wait"))]
    pub(super) quiet_since: Instant,
    /// When bytes of the body last arrived, or were last offered to the store.
    #[cfg(feature = "write")]
    pub(super) received: Instant,
    #[cfg(feature = "classic")]
    pub(super) selection: Selection,
    #[cfg(feature = "wait")]
    pub(super) watch: Watch,
}

impl<'c> Session<'c> {
    #[inline(never)]
    pub(super) fn new(config: &'c ServerConfig<'c>, max_request: usize, now: Instant) -> Self {
        let mut this = Self {
            state: State::Receive,
            next: State::Receive,
            close: Close::new(CloseHow::Finish, CloseReason::Done),
            now,
            timers: Timers::new(),
            answer_began: now,
            answer_len: 0,
            #[cfg(any(feature = "write", feature = "wait"))]
            quiet_since: now,
            has_begun: false,
            line_ending: LineEnding::Nothing,
            eof: false,
            stopping: false,
            scanner: Scanner::new(),
            used: 0,
            context: ResponseContext {
                config,
                max_request,
                request: ParsedRequest::new(),
                size: 0,
                end: 0,
                modified: None,
                digest: None,
                count: 0,
                skipped: 0,
                hidden: 0,
                unnameable: 0,
                #[cfg(feature = "absolute")]
                first: None,
                #[cfg(feature = "replaced")]
                next: None,
                code: Code::BadRequest,
                message: Message::Json,
                #[cfg(feature = "rights")]
                kinds: RequestKinds::ALL,
                #[cfg(feature = "rights")]
                actions: u8::MAX,
            },
            position: 0,
            is_digest_known: false,
            line: LineWriter::new(LineKind::Hello),
            ready: 0..0,
            exchanges: 0,
            last: Exchange::new(None, None, 0),
            #[cfg(feature = "classic")]
            selection: Selection::new(),
            #[cfg(feature = "write")]
            upload: Upload::new(),
            #[cfg(feature = "write")]
            received: now,
            #[cfg(feature = "wait")]
            watch: Watch::new(now),
        };
        this.timers.start(Timer::Idle, now, config.idle_ms);
        this
    }

    pub(super) fn action<'a>(&'a self, buf: &'a [u8]) -> Action<'a> {
        match self.state {
            State::Receive => Action::Receive,
            #[cfg(feature = "rights")]
            State::Permit => Action::Permit(self.demand(buf)),
            #[cfg(feature = "write")]
            State::AwaitReply | State::Commit if self.context.request.kind.writes() => self.write_action(buf),
            #[cfg(feature = "write")]
            State::Commit => Action::Receive,
            State::AwaitReply => self.request(buf).map_or(Action::Receive, Action::Reply),
            #[cfg(feature = "wait")]
            State::Watch | State::AwaitStore => self.watch_action(buf),
            State::SendLine => Action::SendBytes {
                bytes: buf.get(self.ready.clone()).unwrap_or_default(),
                more: !self.line.is_done() || matches!(self.next, State::SelectEntry | State::SendBody),
            },
            State::SelectEntry => Action::Entry,
            State::Hash => Action::Hash { offset: self.position, len: self.span() },
            State::SendBody => {
                let len = self.span();
                // Only a classic body has no trailer.
                let more = self.has_trailer() || self.position_after(len) < self.context.end;
                Action::SendFile { offset: self.position, len, more, hash: self.wants_hashing() }
            }
            #[cfg(feature = "write")]
            State::ReceiveBody => Action::Receive,
            #[cfg(feature = "write")]
            State::AwaitTurn => Action::Wait,
            State::Finish => {
                let from = match self.context.request.kind {
                    #[cfg(feature = "write")]
                    RequestKind::Put => 0,
                    _ => self.context.request.digest_from,
                };
                Action::Finish { from, to: self.context.end }
            }
            #[cfg(feature = "classic")]
            State::ShowText => Action::Text(buf.get(self.ready.clone()).unwrap_or_default()),
            #[cfg(feature = "classic")]
            State::SendFixedReply => {
                Action::SendBytes { bytes: self.fixed_reply().get(self.ready.clone()).unwrap_or_default(), more: false }
            }
            State::Closed => Action::Close(self.close),
        }
    }

    /// Takes some of `bytes`. Returns how many, and whether they complete a valid request.
    pub(super) fn receive(&mut self, buf: &mut [u8], bytes: &[u8]) -> (usize, bool) {
        #[cfg(feature = "write")]
        if !bytes.is_empty() && self.receive_early(buf) {
            return (bytes.len(), false);
        }
        if self.state != State::Receive {
            return (0, false);
        }
        #[cfg(feature = "classic")]
        let bytes = self.arrive(bytes);
        self.last.kind = None;
        let taken = self.receive_some(buf, bytes);
        #[cfg(feature = "classic")]
        self.took(taken);
        (taken, self.last.kind.is_some())
    }

    #[inline(never)]
    pub(super) fn receive_some(&mut self, buf: &mut [u8], bytes: &[u8]) -> usize {
        #[cfg(feature = "write")]
        if self.upload.unended.is_some() {
            return self.receive_line_end(buf, bytes);
        }
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
        self.begin_request();
        let rest = bytes.get(taken..).unwrap_or_default();
        let place = buf.get_mut(self.used..).unwrap_or_default();
        let piece = rest.get(..place.len()).unwrap_or(rest);
        let (len, is_complete) = match self.scanner.scan_into(piece, place) {
            Ok(Scanned::More) => (piece.len(), false),
            Ok(Scanned::Complete { len }) => (len, true),
            Err(error) => {
                self.refuse_and_close(buf, Code::BadRequest, scan_message(error));
                return taken.saturating_add(piece.len());
            }
        };
        self.used = self.used.saturating_add(len);
        if is_complete {
            self.handle_request(buf);
        } else if self.used >= buf.len() {
            self.refuse_and_close(buf, Code::TooLong, Message::TooLong);
        }
        taken.saturating_add(len)
    }

    pub(super) fn receive_eof(&mut self, buf: &mut [u8]) {
        self.eof = true;
        #[cfg(feature = "write")]
        if self.end_of_input() {
            return;
        }
        if self.state != State::Receive {
            return;
        }
        if self.used > 0 {
            return self.refuse_and_close(buf, Code::BadRequest, Message::EndOfInput);
        }
        #[cfg(feature = "classic")]
        if self.is_held() {
            return self.release_held(buf);
        }
        self.close(CloseHow::Finish, CloseReason::Done);
    }

    pub(super) fn sent(&mut self, buf: &mut [u8], len: usize) {
        if len == 0 {
            return;
        }
        match self.state {
            State::SendBody => {
                self.advance(len.min(self.span()));
                if self.position >= self.context.end {
                    self.end_body(buf);
                }
            }
            _ if self.state.is_sending() => {
                let len = len.min(self.ready.len());
                self.moved(len);
                self.ready.start = self.ready.start.saturating_add(len);
                if self.ready.is_empty() && !(self.state == State::SendLine && self.fill(buf)) {
                    self.after_line(buf);
                }
            }
            _ => self.misuse(),
        }
    }

    pub(super) fn progress(&mut self) {
        if self.state.is_sending() {
            self.start_send_timers();
        }
    }

    pub(super) fn hashed(&mut self, buf: &mut [u8], len: usize) {
        if self.state != State::Hash {
            return self.misuse();
        }
        self.position = self.position_after(len.min(self.span()));
        self.hash_or_header(buf);
        self.send_heartbeat_when_due(buf);
    }

    pub(super) fn working(&mut self, buf: &mut [u8]) {
        match self.state {
            State::Finish => self.send_heartbeat_when_due(buf),
            _ => self.misuse(),
        }
    }

    pub(super) fn deadline(&self) -> Option<(Instant, Timer)> {
        self.timers.next()
    }

    pub(super) fn handle_timeout(&mut self, buf: &mut [u8]) {
        let Some((when, timer)) = self.deadline() else { return };
        if self.now < when {
            return;
        }
        match timer {
            #[cfg(feature = "write")]
            Timer::Stall | Timer::Rate if self.state == State::ReceiveBody => {
                self.refuse_and_close(buf, Code::Timeout, Message::Timeout);
            }
            #[cfg(feature = "write")]
            Timer::Retry => self.enter_permitted(State::AwaitReply),
            #[cfg(feature = "wait")]
            Timer::Wait => self.look_again(),
            Timer::Idle => self.close(CloseHow::Finish, CloseReason::Idle),
            Timer::Request => self.refuse_and_close(buf, Code::Timeout, Message::Timeout),
            Timer::Stall | Timer::Rate => self.close(CloseHow::Abort, CloseReason::Stalled),
            #[cfg(feature = "classic")]
            Timer::Hold => self.release_held(buf),
            Timer::Heartbeat => self.send_heartbeat_when_due(buf),
        }
    }

    pub(super) fn stop(&mut self, buf: &mut [u8]) {
        self.stopping = true;
        #[cfg(feature = "write")]
        if self.state == State::AwaitTurn {
            return self.refuse_and_close(buf, Code::ShuttingDown, Message::Stopping);
        }
        #[cfg(feature = "wait")]
        self.end_wait();
        if self.state == State::Receive {
            self.say_why_it_ends(buf);
        }
    }

    /// Tells the client that the session ends, though it did nothing wrong.
    pub(super) fn say_why_it_ends(&mut self, buf: &mut [u8]) {
        #[cfg(feature = "wait")]
        if self.watch.gives_way {
            return self.refuse_and_close(buf, Code::Busy, Message::Busy);
        }
        self.refuse_and_close(buf, Code::ShuttingDown, Message::Stopping);
    }

    /// Enters `state`; where there are rights, only when the owner permits it.
    #[cfg(all(any(feature = "write", feature = "wait"), not(feature = "rights")))]
    pub(super) fn enter_permitted(&mut self, state: State) {
        self.enter(state);
    }

    /// Changes to `state` and starts its timers.
    #[inline(never)]
    pub(super) fn enter(&mut self, state: State) {
        debug_assert!(self.state.may_become(state), "{:?} is not followed by {state:?}", self.state);
        self.state = state;
        self.timers.stop_all();
        match state {
            State::Receive => self.timers.start(Timer::Idle, self.now, self.context.config.idle_ms),
            _ if state.is_sending() => self.start_send_timers(),
            _ if state.is_computing() => self.start_computing_timers(state),
            _ => {}
        }
    }

    #[inline(never)]
    pub(super) fn close(&mut self, how: CloseHow, why: CloseReason) {
        if self.state != State::Closed {
            self.enter(State::Closed);
            self.close = Close::new(how, why);
        }
    }

    /// Closes after a report that does not match the action, since later reports could not be trusted.
    pub(super) fn misuse(&mut self) {
        self.close(CloseHow::Abort, CloseReason::Misuse);
    }

    pub(super) const fn exchanges(&self) -> u32 {
        self.exchanges
    }

    pub(super) const fn last_exchange(&self) -> Exchange {
        self.last
    }

    /// Updates the time; called before everything else.
    #[inline(never)]
    pub(super) fn see(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Starts the request timer at the first byte.
    #[inline(never)]
    pub(super) fn begin_request(&mut self) {
        if !self.has_begun {
            self.has_begun = true;
            self.timers.stop_all();
            self.timers.start(Timer::Request, self.now, self.context.config.request_ms);
        }
    }

    /// Handles the complete request in the buffer.
    pub(super) fn handle_request(&mut self, buf: &mut [u8]) {
        let read = self.context.request.read(
            buf,
            self.used,
            #[cfg(feature = "classic")]
            self.context.config.is_classic,
            #[cfg(feature = "absolute")]
            self.context.config.is_absolute,
            #[cfg(feature = "write")]
            self.context.config.offered,
        );
        #[cfg(any(feature = "write", feature = "wait"))]
        {
            self.quiet_since = self.now;
        }
        #[cfg(feature = "wait")]
        self.begin_wait();
        self.scanner = Scanner::new();
        #[cfg(not(feature = "write"))]
        self.end_request();
        self.line_ending = LineEnding::Any;
        #[cfg(feature = "classic")]
        self.end_text();
        self.begin_answer();
        self.last = Exchange::new(None, None, 0);
        if let Err(refusal) = &read {
            self.put_name(buf, refusal.name());
        }
        let read = read.map_err(|refusal| (refusal.code, refusal.message));
        #[cfg(feature = "write")]
        if self.is_put() {
            self.upload.stage = Stage::Compare;
            self.upload.unended = Some(read);
            return;
        }
        self.dispatch(buf, read);
    }

    /// Forgets that a request is under way.
    fn end_request(&mut self) {
        self.used = 0;
        self.has_begun = false;
    }

    /// Begins the exchange of a complete request, whose name is in the buffer.
    pub(super) fn dispatch(&mut self, buf: &mut [u8], read: Result<(), (Code, Message)>) {
        // Not before the line of a `put` has ended.
        #[cfg(feature = "write")]
        self.end_request();
        #[cfg(feature = "rights")]
        if self.context.config.asks_permits {
            return self.await_permit(read);
        }
        if let Err((code, message)) = read {
            return self.refuse(buf, code, message);
        }
        self.last.kind = Some(self.context.request.kind);
        self.begin_exchange(buf);
    }

    /// Begins the exchange of a request that is neither refused nor denied.
    pub(super) fn begin_exchange(&mut self, buf: &mut [u8]) {
        let kind = self.context.request.kind;
        #[cfg(feature = "write")]
        if self.answer_without_store(buf) {
            return;
        }
        match kind {
            RequestKind::Hello => self.write(buf, LineKind::Hello, State::Receive),
            #[cfg(feature = "classic")]
            RequestKind::Select if self.context.request.name_len == 0 => self.refuse_select(buf, Code::BadName),
            _ => self.enter(State::AwaitReply),
        }
    }
}

const fn scan_message(error: ScanError) -> Message {
    match error {
        ScanError::Syntax => Message::Json,
        ScanError::Utf8 => Message::Utf8,
        ScanError::Depth => Message::Depth,
    }
}
