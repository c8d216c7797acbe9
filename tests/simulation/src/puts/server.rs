//! The server's end of one connection over which a client writes, and the link to it.

use std::rc::Rc;

use coracle_core::exec::{ReadWrite, StoreExchange};
use coracle_core::{Action, Deferral, Instant, Reply, Request, ServerConfig, ServerEvent, ServerSession};

use super::job::Job;
use super::store::DiskStore;
use super::{Deferred, Scene};
use crate::context::trace;
use crate::link::Pipe;
use crate::server::is_reset;

/// Timeouts of the server, in milliseconds: for a request, and for bytes inside of one.
pub const IDLE_MS: u32 = 60_000;
pub const STALL_MS: u32 = 30_000;

/// A connection, from a client to the server.
#[derive(Debug)]
pub struct Connection<'c> {
    pub number: u64,
    pub up: Pipe,
    pub down: Pipe,
    /// What its client asks for, and what had the name when it did.
    pub job: Rc<Job>,
    pub mark: usize,
    pub has_client: bool,
    /// The server's end; `None` when the server has closed it, or has crashed.
    end: Option<Box<End<'c>>>,
    is_torn: bool,
    /// The client, or the server, has been told that the link is torn.
    pub client_knows: bool,
    server_knows: bool,
    /// How late the next deadline is handled.
    late_ms: u64,
    /// When the server's end last did something.
    moved_at: u64,
}

/// A session, and what its owner holds for it.
#[derive(Debug)]
struct End<'c> {
    session: ServerSession<'c, [u8; 768]>,
    exchange: StoreExchange<DiskStore, ReadWrite>,
    exchanges: u32,
}

impl<'c> Connection<'c> {
    pub fn new(config: &'c ServerConfig<'c>, job: &Rc<Job>, scene: &mut Scene) -> Self {
        let random = &mut scene.random;
        let (window, rest) = (scene.window, job.result().map_or(0, |contents| contents.len()));
        let told = if job.is_get() { scene.ledger.current(job.path).map_or(0, |contents| contents.len()) } else { 0 };
        let (mut up, mut down) = (Pipe::new(1 + random.below(window)), Pipe::new(1 + random.below(window)));
        if !scene.is_calm {
            if random.chance(450) {
                let (pipe, most) = if random.chance(if told > 0 { 100 } else { 900 }) {
                    (&mut up, rest + 300)
                } else {
                    (&mut down, told + 300)
                };
                pipe.tears_in = Some(1 + random.below(most));
            }
            if random.chance(200) {
                let (pipe, most) = if random.chance(if told > 0 { 200 } else { 800 }) {
                    (&mut up, rest + 300)
                } else {
                    (&mut down, told + 300)
                };
                pipe.stalls_in = Some((1 + random.below(most), random.one_of(&[10, 1_000, 2_500, 25_000, 31_000])));
            }
        }
        let session = ServerSession::new(config, [0; 768], Instant::from_millis(scene.now));
        scene.connections += 1;
        Self {
            number: scene.connections,
            up,
            down,
            job: job.clone(),
            mark: scene.ledger.mark(job.path),
            has_client: true,
            end: Some(Box::new(End { session, exchange: StoreExchange::writable(), exchanges: 0 })),
            is_torn: false,
            client_knows: false,
            server_knows: false,
            late_ms: 0,
            moved_at: scene.now,
        }
    }

    /// Whether the server's end has ended.
    pub const fn is_over(&self) -> bool {
        self.end.is_none()
    }

    /// When it has something to do by itself.
    pub fn next_event(&self, now: u64) -> Option<u64> {
        let deadline = self.end.as_ref().and_then(|end| end.session.deadline());
        let deadline = deadline.map(|(when, _)| when.as_millis() + self.late_ms);
        [deadline, self.up.resumes_at(now), self.down.resumes_at(now)].into_iter().flatten().min()
    }

    /// Tells the session that the server stops.
    pub fn stop(&mut self, now: u64) {
        if let Some(end) = &mut self.end {
            end.session.stop(Instant::from_millis(now));
            self.moved_at = now;
        }
    }

    /// The server's process has ended without a word to its sessions; `is_told`: its system tells the client.
    pub fn crash(&mut self, is_told: bool, scene: &mut Scene) {
        self.end = None;
        self.cut((is_told, true), scene);
    }

    /// The client closes it, or its machine vanishes without a word (`is_told` is false).
    pub fn leave(&mut self, is_told: bool, scene: &mut Scene) {
        self.down.is_dead = true;
        if !is_told {
            self.up.is_dead = true;
        } else if !self.is_torn {
            self.up.is_closed = true;
            self.server_knows = scene.random.chance(300);
        }
    }

    /// Steps the server's end; false where there is nothing to do.
    pub fn step(&mut self, store: &mut DiskStore, deferred: &mut Vec<Deferred>, scene: &mut Scene) -> bool {
        let Some(mut end) = self.end.take() else { return false };
        let now = Instant::from_millis(scene.now);
        let mut has_moved = std::mem::take(&mut self.server_knows);
        if has_moved {
            end.session.send_failed();
        }
        if end.session.deadline().is_some_and(|(when, _)| when.after(self.late_ms) <= now) {
            end.session.handle_timeout(now);
            self.late_ms = scene.random.millis(scene.lateness);
            has_moved = true;
        }
        has_moved |= self.act(&mut end, store, deferred, scene);
        self.up.check();
        self.down.check();
        let close = if let Action::Close(close) = end.session.action() { Some(close) } else { None };
        if end.session.exchanges() != end.exchanges || close.is_some() {
            end.exchanges = end.session.exchanges();
            end.exchange.end(store);
        }
        if has_moved {
            self.moved_at = scene.now;
        }
        let waited = scene.now - self.moved_at;
        assert!(
            waited <= u64::from(IDLE_MS) + scene.lateness,
            "a session has waited for {waited} ms: {:?}",
            end.session.action()
        );
        let Some(close) = close else {
            self.end = Some(end);
            if self.up.tears_in == Some(0) || self.down.tears_in == Some(0) {
                self.tear(scene);
            }
            return has_moved;
        };
        trace!(scene, "connection {}: the server closes: {close:?}", self.number);
        self.client_knows |= !self.is_torn;
        self.down.is_closed = true;
        if is_reset(close) && scene.random.chance(500) {
            self.down.lose();
        }
        true
    }

    /// Tears the link where that is planned.
    pub fn tear(&mut self, scene: &mut Scene) {
        if !self.is_torn && (self.up.tears_in == Some(0) || self.down.tears_in == Some(0)) {
            let told = scene.random.one_of(&[(true, true), (true, true), (true, false), (false, true), (false, false)]);
            trace!(scene, "connection {} tears; client and server are told: {told:?}", self.number);
            scene.counts.cut += 1;
            self.cut(told, scene);
        }
    }

    fn cut(&mut self, (client_knows, server_knows): (bool, bool), scene: &mut Scene) {
        self.is_torn = true;
        self.client_knows |= client_knows;
        self.server_knows |= server_knows;
        self.up.is_dead = true;
        self.down.is_dead |= !client_knows;
        self.up.tear();
        self.down.tear();
        if scene.random.chance(500) {
            self.down.lose();
        }
    }

    /// Executes the session's action, as far as the link allows; false where there is nothing to do.
    fn act(
        &mut self,
        end: &mut End<'_>,
        store: &mut DiskStore,
        deferred: &mut Vec<Deferred>,
        scene: &mut Scene,
    ) -> bool {
        let now = Instant::from_millis(scene.now);
        let End { session, exchange, .. } = end;
        match session.action() {
            Action::Receive | Action::Wait => return self.receive(end, store, scene),
            Action::Reply(request) => {
                let is_change = matches!(request, Request::Put(_) | Request::Delete(_) | Request::Sync { .. });
                let is_delete = matches!(request, Request::Delete(_));
                let reply = exchange.answer(store, &request, now);
                let is_done = matches!(reply, Reply::Done | Reply::Stored { .. });
                assert!(!is_done || is_change, "nothing was asked to be done");
                session.reply(reply, now);
                let has_changed = scene.ledger.observe(&scene.disk, &self.job);
                assert!(is_delete || !has_changed, "a 'put' has changed its name before it was complete");
                self.report(is_done, scene);
            }
            Action::Commit(put) => {
                if !scene.is_calm && scene.random.chance(100) {
                    scene.disk.stop_after(Some(scene.random.below(9)));
                }
                let reply = exchange.commit(store, &put, now);
                let is_done = matches!(reply, Reply::Stored { .. });
                if let Reply::Deferred(Deferral { number, .. }) = reply {
                    deferred.push(Deferred { number, job: self.job.clone() });
                    scene.counts.deferred += 1;
                }
                session.reply(reply, now);
                let has_changed = scene.ledger.observe(&scene.disk, &self.job);
                scene.counts.named += u64::from(has_changed);
                self.report(is_done, scene);
            }
            Action::SendBytes { bytes, .. } => {
                let most = self.down.room().min(scene.piece);
                if most == 0 {
                    return false;
                }
                let len = 1 + scene.random.below(bytes.len().min(most));
                self.down.put(&bytes[..len], scene.now);
                session.sent(len, now);
            }
            Action::SendFile { offset, len, hash, .. } => {
                let most = self.down.room().min(scene.piece).min(scene.buf.len());
                if most == 0 {
                    return false;
                }
                let len = 1 + scene.random.below(len.min(most));
                match exchange.read(store, offset, &mut scene.buf[..len], hash) {
                    Ok(len) => {
                        self.down.put(&scene.buf[..len], scene.now);
                        session.sent(len, now);
                    }
                    Err(_) => session.file_fault(now),
                }
            }
            Action::Hash { offset, len } => {
                let len = 1 + scene.random.below(len.min(scene.buf.len()));
                match exchange.hash(store, offset, &mut scene.buf[..len], now) {
                    Ok(len) => session.hashed(len, now),
                    Err(error) => session.store_failed(error, now),
                }
            }
            Action::Finish { from, to } => match exchange.finish(store, from, to) {
                Ok(finished) => session.finished(finished, now),
                Err(_) => session.file_fault(now),
            },
            Action::Close(_) => return false,
            other => panic!("{other:?}: nobody asked for that"),
        }
        true
    }

    /// The session is about to tell its client that it is done, unless the process has ended.
    fn report(&self, is_done: bool, scene: &mut Scene) {
        if is_done && !scene.disk.is_stopped() {
            scene.ledger.reported(&scene.disk, &self.job, self.mark);
        }
    }

    fn receive(&mut self, end: &mut End<'_>, store: &mut DiskStore, scene: &mut Scene) -> bool {
        let now = Instant::from_millis(scene.now);
        let End { session, exchange, .. } = end;
        let arrived = self.up.arrived(scene.now);
        if arrived.is_empty() {
            let is_at_end = self.up.is_at_end(scene.now) && session.action() == Action::Receive;
            if is_at_end {
                session.receive_eof(now);
            }
            return is_at_end;
        }
        let len = 1 + scene.random.below(arrived.len().min(scene.piece));
        let (mut taken, event) = session.receive(&arrived[..len], now);
        if let Some(ServerEvent::Body { offset, bytes }) = event {
            match exchange.write(store, offset, bytes, now) {
                Ok(len) => {
                    taken += len;
                    session.stored(len, now);
                }
                Err(error) => session.store_failed(error, now),
            }
            let has_changed = scene.ledger.observe(&scene.disk, &self.job);
            assert!(!has_changed, "a body has changed its name before it was complete");
        }
        self.up.take(taken);
        taken > 0 || !matches!(session.action(), Action::Wait)
    }
}
