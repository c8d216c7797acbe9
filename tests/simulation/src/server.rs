//! The server's end of one connection: does what its session asks for, and watches that it keeps its deadlines.

use coracle_core::{
    Action, Close, CloseHow, CloseReason, Code, Entry, EntryKind, FileInfo, FileName, Finished, Hasher, Instant,
    Listed, Reply, Request, ServerConfig, ServerSession, StoreError, Timer,
};

use crate::link::Pipe;
use crate::store::{Handle, NAMES, Refused};
use crate::world::{Context, LATEST};

/// The deadlines of a server, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub idle: u64,
    pub request: u64,
    pub stall: u64,
}

/// A session and what its owner holds for it. Its buffer is 512 bytes, and there is no other.
#[derive(Debug)]
pub struct Serving<'c> {
    session: ServerSession<'c, [u8; 512]>,
    limits: Limits,
    /// The most bytes that are moved at once.
    piece: usize,
    /// How long a piece takes to be hashed, at most.
    hash_ms: u64,
    busy_until: Option<u64>,
    file: Option<(Handle, FileInfo)>,
    hasher: Option<Hasher>,
    hashed: u64,
    listed: usize,
    /// How late the next deadline is handled.
    late: u64,
    in_request: bool,
    waits_for: Waits,
    since: u64,
    pub end: Option<Close>,
    pub has_asked: bool,
}

/// What a session waits for, as an onlooker would say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    ARequest,
    TheRestOfARequest,
    RoomToSend,
    Owner,
    Nothing,
}

impl<'c> Serving<'c> {
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
        let mut serving = Self {
            session,
            limits,
            piece,
            hash_ms,
            busy_until: None,
            file: None,
            hasher: None,
            hashed: 0,
            listed: 0,
            late: 0,
            in_request: false,
            waits_for: Waits::Nothing,
            since: now,
            end: None,
            has_asked: false,
        };
        serving.look(now, false);
        serving
    }

    /// When something happens here by itself.
    pub fn next_event(&self, now: u64) -> Option<u64> {
        let deadline = self.session.deadline().map(|(when, _)| when.as_millis() + self.late);
        [deadline, self.busy_until.filter(|until| *until > now)].into_iter().flatten().min()
    }

    /// The server is to stop.
    pub fn stop(&mut self, now: u64) {
        self.session.stop(Instant::from_millis(now));
        self.in_request = false;
        self.look(now, false);
    }

    /// The transport is broken.
    pub fn send_failed(&mut self, now: u64) {
        self.session.send_failed();
        self.look(now, false);
    }

    /// Does one thing, if there is one to do.
    pub fn step(&mut self, up: &mut Pipe, down: &mut Pipe, context: &mut Context) -> bool {
        if self.end.is_some() {
            return false;
        }
        let now = context.now;
        let mut has_moved = self.keep_time(context);
        if self.session.action() == Action::Receive {
            has_moved |= self.receive(up, context);
        } else {
            has_moved |= self.act(down, context);
        }
        self.look(now, false);
        if let Action::Close(close) = self.session.action() {
            self.end = Some(close);
        }
        has_moved
    }

    /// Handles the deadline when it has passed, and now and then when it has not.
    fn keep_time(&mut self, context: &mut Context) -> bool {
        let now = Instant::from_millis(context.now);
        let Some((when, deadline)) = self.session.deadline() else { return false };
        let is_due = when.after(self.late) <= now;
        if is_due {
            self.late = context.random.millis(context.lateness);
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

    /// Does what the session wants done, as far as the link lets it.
    fn act(&mut self, down: &mut Pipe, context: &mut Context) -> bool {
        let now = Instant::from_millis(context.now);
        let most = down.room().min(self.piece);
        if matches!(self.session.action(), Action::Hash { .. } | Action::Finish { .. }) && self.is_busy(context) {
            return false;
        }
        match self.session.action() {
            Action::Reply(request) => {
                let reply = open(&mut self.file, request, context);
                self.hasher = request.digest().and_then(Hasher::new);
                self.hashed = 0;
                self.listed = 0;
                match reply {
                    Ok(known) => {
                        let info = self.file.as_ref().map(|(_, info)| info.clone());
                        let reply = match &info {
                            Some(info) => Reply::File { info, known },
                            None => Reply::Listing,
                        };
                        self.session.reply(reply, now);
                    }
                    Err(Refused::NotFound) => self.session.reply(Reply::Refuse(Code::NotFound), now),
                    Err(Refused::Io) => self.session.reply(Reply::Refuse(Code::Io), now),
                }
                true
            }
            Action::Entry => {
                self.listed += 1;
                self.session.entry(listed(self.listed - 1, context), now);
                true
            }
            Action::SendBytes { .. } | Action::SendFile { .. } if most == 0 => false,
            Action::SendBytes { bytes, .. } => {
                let len = 1 + context.random.below(bytes.len().min(most));
                down.put(&bytes[..len], context.now);
                self.session.sent(len, now);
                self.look(context.now, true);
                true
            }
            Action::SendFile { offset, len, hash, .. } => {
                let len = 1 + context.random.below(len.min(most));
                let (handle, _) = self.file.as_ref().expect("a body without a file");
                let inode = handle.borrow();
                let bytes = range(&inode.bytes, offset, len);
                if bytes.is_empty() || context.random.chance(context.store.faults / 20) {
                    drop(inode);
                    self.session.file_fault(now);
                    context.counts.broken_bodies += 1;
                    return true;
                }
                if let (true, Some(hasher)) = (hash, &mut self.hasher) {
                    hasher.update(bytes);
                    self.hashed += bytes.len() as u64;
                }
                down.put(bytes, context.now);
                let len = bytes.len();
                drop(inode);
                self.session.sent(len, now);
                self.look(context.now, true);
                true
            }
            Action::Hash { offset, len } => {
                let len = 1 + context.random.below(len);
                let (handle, _) = self.file.as_ref().expect("hashing without a file");
                let inode = handle.borrow();
                let bytes = range(&inode.bytes, offset, len);
                let hashed = bytes.len();
                if let Some(hasher) = &mut self.hasher {
                    hasher.update(bytes);
                }
                drop(inode);
                if hashed == 0 {
                    self.session.file_fault(now);
                } else {
                    self.hashed += hashed as u64;
                    self.session.hashed(hashed, now);
                }
                true
            }
            Action::Finish { from, to } => {
                let (handle, info) = self.file.as_ref().expect("an end without a file");
                let same_version = context.store.info(handle).version == info.version;
                let is_hashed = self.hashed == to - from;
                let digest = self.hasher.take().filter(|_| is_hashed).map(Hasher::finish);
                if let (true, 0, Some(digest)) = (same_version && to == info.size, from, digest) {
                    context.store.remember_digest(handle, info.size, digest);
                }
                self.session.finished(Finished::new(digest, same_version), now);
                true
            }
            Action::Receive | Action::Close(_) => false,
            other => panic!("{other:?}: nothing here sends text"),
        }
    }

    /// Whether hashing takes a while longer.
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

    /// Notes since when the session waits for what, and checks that it has not waited too long.
    fn look(&mut self, now: u64, has_sent: bool) {
        let waits_for = match self.session.action() {
            Action::Receive if self.in_request => Waits::TheRestOfARequest,
            Action::Receive => Waits::ARequest,
            Action::SendBytes { .. } | Action::SendFile { .. } => Waits::RoomToSend,
            Action::Close(_) => Waits::Nothing,
            _ => Waits::Owner,
        };
        if waits_for != self.waits_for || has_sent {
            self.waits_for = waits_for;
            self.since = now;
        }
        let limit = match waits_for {
            Waits::ARequest => self.limits.idle,
            Waits::TheRestOfARequest => self.limits.request,
            Waits::RoomToSend => self.limits.stall,
            Waits::Owner | Waits::Nothing => return,
        };
        let passed = now - self.since;
        assert!(passed <= limit + LATEST, "a server session has waited for {waits_for:?} for {passed} ms");
    }
}

/// Whether the client is to see a clean end.
pub fn is_reset(close: Close) -> bool {
    matches!(close, Close { how: CloseHow::Abort, .. } | Close { why: CloseReason::Transport, .. })
}

fn open(
    file: &mut Option<(Handle, FileInfo)>,
    request: Request<'_>,
    context: &mut Context,
) -> Result<Option<coracle_core::Digest>, Refused> {
    *file = None;
    let (Request::Get { name, .. } | Request::Stat { name, .. }) = request else { return Ok(None) };
    let handle = context.store.open(name.as_str(), &mut context.random)?;
    let info = context.store.info(&handle);
    let known = request.digest().and_then(|kind| context.store.known_digest(&handle, kind));
    *file = Some((handle, info));
    Ok(known)
}

fn listed(index: usize, context: &mut Context) -> Result<Listed<'static>, StoreError> {
    if context.random.chance(context.store.faults / 4) {
        return Err(StoreError::Io);
    }
    let Some(name) = NAMES.get(index) else { return Ok(Listed::End) };
    Ok(match name.split_once('/') {
        Some((directory, _)) => {
            Listed::Entry(Entry::new(FileName::from_static(directory), EntryKind::Directory { link: false }))
        }
        None if context.store.len() > index && context.store.exists(index) => {
            let kind = EntryKind::File { size: index as u64, modified: None };
            Listed::Entry(Entry::new(FileName::from_static(name), kind))
        }
        None => Listed::Skipped,
    })
}

fn range(bytes: &[u8], offset: u64, len: usize) -> &[u8] {
    let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
    &rest[..rest.len().min(len)]
}
