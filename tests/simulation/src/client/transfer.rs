//! Executes one attempt: reads back what is there, connects, and moves bytes between the session and the link.

use coracle_core::{ClientAction, ClientEvent, ClientRequest, ClientSession, Failure, Instant};

use super::attempt::{Attempt, Outcome, Request, get, name};
use super::{Client, State, stop_within};
use crate::context::{Context, LATEST};
use crate::registry::ConnectionRegistry;

/// How long a client waits for a byte.
const STALL_MS: u64 = 30_000;

impl<'c> Client<'c> {
    /// Begins an attempt.
    pub(super) fn begin_attempt(&mut self, registry: &mut ConnectionRegistry<'c>, context: &mut Context) {
        let random = &mut context.random;
        let offset = self.storage.offset();
        // About as many steps as the attempt takes, so that most processes outlive it.
        let rest = 100 + 5_000 / context.piece + 2 * self.storage.len() as usize / context.piece;
        self.attempt = Attempt {
            offset,
            other_requests: if random.chance(200) { 1 + random.below(2) } else { 0 },
            changes_at_start: context.store.changes(self.slot),
            late_ms: random.millis(context.lateness),
            slow_ms: if !context.is_calm && random.chance(30) { random.one_of(&[100, 1_000, 20_000]) } else { 0 },
            dies_in: random.chance(110).then(|| random.below(rest)),
            piece: context.piece,
            ..Attempt::new()
        };
        let stops = !context.is_calm && random.chance(110);
        self.storage.disk.stop_after(stops.then(|| random.below(rest)));
        let kept = self.connection.take();
        if offset == 0 && kept.is_some() {
            self.attempt.is_reused = true;
            self.attempt.moved_at = context.now;
            self.connection = kept;
            self.state = State::Transferring;
            return;
        }
        if let Some(connection) = kept {
            registry.leave(connection, true, context);
        }
        let mut session = ClientSession::new([0; 1024]);
        self.state = State::Connecting;
        if offset > 0 {
            context.counts.resumes += 1;
            let version = self.storage.origin().map(|origin| origin.version.clone());
            let request = get(self.slot, self.kind, offset, version.as_ref());
            session.start(request, Instant::from_millis(context.now)).expect("a fresh session is idle");
            self.attempt.request = Request::Get;
            self.state = State::Rehashing;
        }
        self.session = Some(session);
    }

    /// Reads back the part, for the digest.
    pub(super) fn rehash(&mut self, registry: &mut ConnectionRegistry<'c>, context: &mut Context) {
        let session = self.session.as_mut().expect("a session");
        let ClientAction::Rehash { offset, len } = session.action() else {
            self.state = State::Connecting;
            return;
        };
        let len = usize::try_from(len).map_or(self.buf.len(), |len| len.min(self.buf.len()));
        let len = 1 + context.random.below(len);
        match self.storage.read_at(&mut self.buf[..len], offset) {
            Ok(len) => {
                assert!(len > 0, "a part is shorter than it was");
                session.rehashed(&self.buf[..len], Instant::from_millis(context.now));
            }
            Err(error) => self.fail(&error, registry, context),
        }
    }

    pub(super) fn connect(&mut self, registry: &mut ConnectionRegistry<'c>, context: &mut Context) {
        let rest = context.store.size(self.slot).saturating_sub(self.storage.len() as usize);
        let changes_seen =
            if self.attempt.offset > 0 { self.storage.changes_seen } else { self.attempt.changes_at_start };
        match registry.connect(self.slot, changes_seen, rest, context) {
            Some(connection) => {
                self.connection = Some(connection);
                self.attempt.moved_at = context.now;
                if let Some(session) = &mut self.session {
                    session.connected(Instant::from_millis(context.now));
                }
                self.state = State::Transferring;
            }
            None => {
                self.attempt.outcome = Some(Outcome::Unreachable);
                self.finish_attempt(registry, context);
            }
        }
    }

    pub(super) fn transfer(&mut self, registry: &mut ConnectionRegistry<'c>, context: &mut Context) -> bool {
        let now = Instant::from_millis(context.now);
        let connection = self.connection.as_mut().expect("talks on a connection");
        let session = self.session.as_mut().expect("a session");
        let attempt = &mut self.attempt;
        let mut has_moved = false;
        let waited = context.now - attempt.moved_at;
        if session.deadline().is_some_and(|(when, _)| when.after(attempt.late_ms) <= now) || context.random.chance(10) {
            let was_closed = matches!(session.action(), ClientAction::Close(_));
            session.handle_timeout(now);
            if !was_closed && session.action() == ClientAction::Close(Failure::Stalled) {
                assert!(waited >= STALL_MS, "a client gave up after {waited} ms");
                context.counts.timeouts += 1;
                has_moved = true;
            }
            attempt.late_ms = context.random.millis(context.lateness);
        }
        match session.action() {
            ClientAction::SendBytes { .. } if connection.is_broken_for_client() => session.send_failed(),
            ClientAction::SendBytes { bytes } => {
                let most = connection.up.room().min(attempt.piece).min(bytes.len());
                let is_slow = attempt.slow_ms > 0 && !context.is_calm && context.now < self.wakes_at;
                if most == 0 || is_slow {
                    assert!(waited <= STALL_MS + LATEST, "a client has waited to send for {waited} ms");
                    return has_moved;
                }
                let len = 1 + context.random.below(most);
                connection.up.put(&bytes[..len], context.now);
                session.sent(len, now);
                connection.tear(context);
                self.wakes_at = context.now + attempt.slow_ms;
                attempt.moved_at = context.now;
            }
            ClientAction::Receive => {
                let arrived = connection.down.arrived(context.now);
                if arrived.is_empty() {
                    if !connection.down.is_at_end(context.now) {
                        assert!(waited <= STALL_MS + LATEST, "a client has waited to receive for {waited} ms");
                        return has_moved;
                    }
                    session.receive_eof();
                    return true;
                }
                let len = 1 + context.random.below(arrived.len().min(attempt.piece));
                let (taken, event) = session.receive(&arrived[..len], now);
                assert!(taken > 0 && taken <= len, "a client that receives took {taken} of {len} bytes");
                attempt.moved_at = context.now;
                if matches!((&event, attempt.request), (Some(ClientEvent::Header(_)), Request::Get))
                    && let Some(operations) = stop_within(12, context)
                {
                    self.storage.disk.stop_after(Some(operations));
                }
                let handled = event
                    .map_or(Ok(()), |event| attempt.handle(event, &mut self.storage, self.slot, self.kind, context));
                connection.down.take(taken);
                if let Err(error) = handled {
                    self.fail(&error, registry, context);
                }
            }
            ClientAction::Idle if attempt.outcome.is_some() => self.finish_attempt(registry, context),
            ClientAction::Idle => {
                attempt.request = if attempt.other_requests > 0 {
                    attempt.other_requests -= 1;
                    context.random.one_of(&[Request::Hello, Request::Stat, Request::List])
                } else {
                    Request::Get
                };
                let request = match attempt.request {
                    Request::Hello => ClientRequest::Hello,
                    Request::List => ClientRequest::List { path: None },
                    Request::Stat => ClientRequest::Stat { name: name(self.slot), digest: Some(self.kind) },
                    Request::Get | Request::None => get(self.slot, self.kind, 0, None),
                };
                session.start(request, now).expect("an idle session starts");
                attempt.moved_at = context.now;
            }
            ClientAction::Close(failure) => {
                if attempt.outcome.is_none() {
                    attempt.outcome = Some(Outcome::Failed(failure));
                }
                self.finish_attempt(registry, context);
            }
            other => panic!("a client that is connected wants {other:?}"),
        }
        true
    }
}
