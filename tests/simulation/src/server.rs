//! The server's end of one connection: executes the actions of its session, and checks its deadlines.

use coracle_core::exec::StoreExchange;
use coracle_core::{Action, Close, CloseHow, CloseReason, Code, Instant, Reply, ServerConfig, ServerSession, Timer};

use crate::context::{Context, LATEST};
use crate::link::Pipe;
use crate::store::Store;

/// Timeouts of the server, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub idle: u64,
    pub request: u64,
    pub stall: u64,
}

/// A session, and what its owner holds for it. The session's buffer of 512 bytes is the only one.
#[derive(Debug)]
pub struct ServerEnd<'c> {
    session: ServerSession<'c, [u8; 512]>,
    limits: Limits,
    /// The most bytes that are moved at once.
    piece: usize,
    /// How long hashing a piece takes at most.
    hash_ms: u64,
    busy_until: Option<u64>,
    exchange: StoreExchange<Store>,
    /// How late the next deadline is handled.
    late_ms: u64,
    in_request: bool,
    waits_for: Wait,
    since: u64,
    pub end: Option<Close>,
    pub has_asked: bool,
}

/// What the session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Request,
    RestOfRequest,
    RoomToSend,
    Owner,
    Nothing,
}

impl<'c> ServerEnd<'c> {
    pub fn new(
        config: &'c ServerConfig<'c>,
        limits: Limits,
        refused: Option<Code>,
        piece: usize,
        hash_ms: u64,
        now: u64,
    ) -> Self {
        let at = Instant::from_millis(now);
        let session = match refused {
            Some(code) => ServerSession::refusing(code, config, [0; 512], at),
            None => ServerSession::new(config, [0; 512], at),
        };
        let mut end = Self {
            session,
            limits,
            piece,
            hash_ms,
            busy_until: None,
            exchange: StoreExchange::new(),
            late_ms: 0,
            in_request: false,
            waits_for: Wait::Nothing,
            since: now,
            end: None,
            has_asked: false,
        };
        end.track_wait(now, false);
        end
    }

    /// When it has something to do by itself.
    pub fn next_event(&self, now: u64) -> Option<u64> {
        let deadline = self.session.deadline().map(|(when, _)| when.as_millis() + self.late_ms);
        [deadline, self.busy_until.filter(|until| *until > now)].into_iter().flatten().min()
    }

    /// Tells the session to stop.
    pub fn stop(&mut self, now: u64) {
        self.session.stop(Instant::from_millis(now));
        self.in_request = false;
        self.track_wait(now, false);
    }

    /// Tells the session that the transport is broken.
    pub fn send_failed(&mut self, now: u64) {
        self.session.send_failed();
        self.track_wait(now, false);
    }

    /// Executes one action; false where there is nothing to do.
    pub fn step(&mut self, up: &mut Pipe, down: &mut Pipe, context: &mut Context) -> bool {
        if self.end.is_some() {
            return false;
        }
        let now = context.now;
        let mut has_moved = self.handle_deadline(context);
        if self.session.action() == Action::Receive {
            has_moved |= self.receive(up, context);
        } else {
            has_moved |= self.act(down, context);
        }
        self.track_wait(now, false);
        if let Action::Close(close) = self.session.action() {
            self.end = Some(close);
        }
        has_moved
    }

    /// Handles the deadline when it has passed, and sometimes when it has not.
    fn handle_deadline(&mut self, context: &mut Context) -> bool {
        let now = Instant::from_millis(context.now);
        let Some((when, deadline)) = self.session.deadline() else { return false };
        let is_due = when.after(self.late_ms) <= now;
        if is_due {
            self.late_ms = context.random.millis(context.lateness);
        } else if !context.random.chance(20) {
            return false;
        }
        let was_received = self.session.action() == Action::Receive;
        let passed = context.now - self.since;
        self.session.handle_timeout(now);
        if now < when {
            let receives = self.session.action() == Action::Receive;
            assert_eq!(was_received, receives, "a deadline was kept before it had passed");
            return false;
        }
        let limit = match deadline {
            Timer::Idle => self.limits.idle,
            Timer::Request => self.limits.request,
            Timer::Stall => self.limits.stall,
            _ => return true,
        };
        assert!(passed >= limit, "closed for {deadline:?} after {passed} ms, not {limit}");
        context.counts.timeouts += 1;
        self.in_request = false;
        true
    }

    fn receive(&mut self, up: &mut Pipe, context: &mut Context) -> bool {
        let now = Instant::from_millis(context.now);
        let arrived = up.arrived(context.now);
        if arrived.is_empty() {
            if up.is_at_end(context.now) {
                self.session.receive_eof(now);
                self.in_request = false;
                return true;
            }
            return false;
        }
        let len = 1 + context.random.below(arrived.len().min(self.piece));
        let (taken, _) = self.session.receive(&arrived[..len], now);
        assert!(taken > 0, "a session that receives took nothing");
        self.in_request |= arrived[..taken].contains(&b'{');
        if self.session.action() != Action::Receive {
            self.has_asked = true;
            self.in_request = false;
        }
        up.take(taken);
        true
    }

    /// Executes the session's action, as far as the link takes bytes.
    fn act(&mut self, down: &mut Pipe, context: &mut Context) -> bool {
        let now = Instant::from_millis(context.now);
        let most = down.room().min(self.piece);
        if matches!(self.session.action(), Action::Hash { .. } | Action::Finish { .. }) && self.is_busy(context) {
            return false;
        }
        match self.session.action() {
            Action::Reply(request) => {
                let reply = self.exchange.open(&mut context.store, &request);
                if let Reply::Refuse(code) = reply {
                    assert!(matches!(code, Code::NotFound | Code::Io), "refused: {code:?}");
                }
                self.session.reply(reply, now);
                true
            }
            Action::Entry => {
                self.session.entry(self.exchange.entry(&mut context.store), now);
                true
            }
            Action::SendBytes { .. } | Action::SendFile { .. } if most == 0 => false,
            Action::SendBytes { bytes, .. } => {
                let len = 1 + context.random.below(bytes.len().min(most));
                down.put(&bytes[..len], context.now);
                self.session.sent(len, now);
                self.track_wait(context.now, true);
                true
            }
            Action::SendFile { offset, len, hash, .. } => {
                let len = 1 + context.random.below(len.min(most));
                match self.exchange.read(&mut context.store, offset, &mut context.buf[..len], hash) {
                    Ok(len) => {
                        down.put(&context.buf[..len], context.now);
                        self.session.sent(len, now);
                        self.track_wait(context.now, true);
                    }
                    Err(_) => {
                        self.session.file_fault(now);
                        context.counts.broken_bodies += 1;
                    }
                }
                true
            }
            Action::Hash { offset, len } => {
                let len = 1 + context.random.below(len.min(context.buf.len()));
                match self.exchange.read(&mut context.store, offset, &mut context.buf[..len], true) {
                    Ok(len) => self.session.hashed(len, now),
                    Err(_) => self.session.file_fault(now),
                }
                true
            }
            Action::Finish { from, to } => {
                match self.exchange.finish(&mut context.store, from, to) {
                    Ok(finished) => self.session.finished(finished, now),
                    Err(_) => self.session.file_fault(now),
                }
                true
            }
            Action::Receive | Action::Close(_) => false,
            other => panic!("{other:?}: nothing here sends text"),
        }
    }

    /// Whether hashing takes longer still.
    fn is_busy(&mut self, context: &mut Context) -> bool {
        match self.busy_until {
            _ if context.is_calm => {
                self.busy_until = None;
                false
            }
            None if self.hash_ms > 0 => {
                self.busy_until = Some(context.now + context.random.millis(self.hash_ms));
                true
            }
            Some(until) if until > context.now => {
                if matches!(self.session.action(), Action::Finish { .. }) && context.random.chance(100) {
                    self.session.working(Instant::from_millis(context.now));
                }
                true
            }
            _ => {
                self.busy_until = None;
                false
            }
        }
    }

    /// Records since when the session waits, and checks that it has not waited for longer than its timeout.
    fn track_wait(&mut self, now: u64, has_sent: bool) {
        let waits_for = match self.session.action() {
            Action::Receive if self.in_request => Wait::RestOfRequest,
            Action::Receive => Wait::Request,
            Action::SendBytes { .. } | Action::SendFile { .. } => Wait::RoomToSend,
            Action::Close(_) => Wait::Nothing,
            _ => Wait::Owner,
        };
        if waits_for != self.waits_for || has_sent {
            self.waits_for = waits_for;
            self.since = now;
        }
        let limit = match waits_for {
            Wait::Request => self.limits.idle,
            Wait::RestOfRequest => self.limits.request,
            Wait::RoomToSend => self.limits.stall,
            Wait::Owner | Wait::Nothing => return,
        };
        let passed = now - self.since;
        assert!(passed <= limit + LATEST, "a server session has waited for {waits_for:?} for {passed} ms");
    }
}

/// Whether the connection ends with a reset.
pub fn is_reset(close: Close) -> bool {
    matches!(close, Close { how: CloseHow::Abort, .. } | Close { why: CloseReason::Transport, .. })
}
