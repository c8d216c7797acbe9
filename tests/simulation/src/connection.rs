//! One connection: both directions of its link, the server's end, and the faults that are planned for it.

use coracle_core::ServerSession;

use crate::context::{Context, trace};
use crate::link::Pipe;
use crate::server::{ServerEnd, is_reset};

/// What all links of a run have in common.
#[derive(Clone, Copy, Debug)]
pub struct LinkConditions {
    /// The most bytes that are moved at once.
    pub piece: usize,
    /// The most bytes that are on their way in one direction.
    pub window: usize,
    /// Links corrupt bytes: what a digest does not cover cannot be believed.
    pub corrupts: bool,
}

/// A connection, from a client to the server.
#[derive(Debug)]
pub struct Connection<'c> {
    server: ServerEnd<'c>,
    pub up: Pipe,
    pub down: Pipe,
    slot: usize,
    /// How often the file had changed when the client last asked for it.
    changes_seen: u32,
    /// The file changes after so many steps.
    changes_in: Option<usize>,
    is_admitted: bool,
    is_torn: bool,
    /// The client, or the server, has been told that the link is torn.
    client_knows: bool,
    server_knows: bool,
}

impl<'c> Connection<'c> {
    /// A connection over which about `rest` bytes of file `slot` are to be fetched. `new_server` makes the server's
    /// end, from how long it takes to hash a piece at most, and the time.
    pub fn new(
        (slot, changes_seen): (usize, u32),
        rest: usize,
        is_admitted: bool,
        conditions: LinkConditions,
        context: &mut Context,
        new_server: impl FnOnce(u64, u64) -> ServerEnd<'c>,
    ) -> Self {
        let LinkConditions { piece, window, corrupts } = conditions;
        let random = &mut context.random;
        // The server does not read from a client that it refuses: the request has to find room, so that the client
        // comes to reading why.
        let spare = if is_admitted { 0 } else { ServerSession::<[u8; 512]>::MIN_BUF_LEN };
        let mut up = Pipe::new(1 + random.below(window) + spare);
        let mut down = Pipe::new(1 + random.below(window));
        let mut changes_in = None;
        let mut hash_ms = 0;
        if !context.is_calm {
            if random.chance(600) {
                let pipe = if random.chance(850) { &mut down } else { &mut up };
                pipe.tears_in = Some(1 + random.below(rest + 280));
            }
            if random.chance(200) {
                let millis = random.one_of(&[10, 1_000, 9_000, 25_000, 31_000, 70_000]);
                let pipe = if random.chance(800) { &mut down } else { &mut up };
                pipe.stalls_in = Some((1 + random.below(rest + 200), millis));
            }
            if corrupts && random.chance(500) {
                let pipe = if random.chance(800) { &mut down } else { &mut up };
                pipe.corrupts_in = Some(random.below(rest + 300));
            }
            changes_in = random.chance(350).then(|| random.below(2 * (rest + 300) / piece + 3));
            hash_ms = if random.chance(60) { 13_000 } else { 0 };
        }
        Self {
            server: new_server(hash_ms, context.now),
            up,
            down,
            slot,
            changes_seen,
            changes_in,
            is_admitted,
            is_torn: false,
            client_knows: false,
            server_knows: false,
        }
    }

    /// Whether the server accepted it, and did not refuse it as busy.
    pub const fn is_admitted(&self) -> bool {
        self.is_admitted
    }

    /// Whether the client has been told that the link is torn.
    pub const fn is_broken_for_client(&self) -> bool {
        self.client_knows
    }

    /// Whether the server has closed it.
    pub const fn is_over(&self) -> bool {
        self.server.end.is_some()
    }

    /// When it has something to do by itself.
    pub fn next_event(&self, now: u64) -> Option<u64> {
        let server = if self.is_over() { None } else { self.server.next_event(now) };
        [server, self.up.resumes_at(now), self.down.resumes_at(now)].into_iter().flatten().min()
    }

    /// Adds it to the counts, when it is over.
    pub fn count(&self, context: &mut Context) {
        if self.is_admitted {
            context.counts.cut += u64::from(self.is_torn);
            context.counts.met_change += u64::from(context.store.changes(self.slot) != self.changes_seen);
            context.counts.asked += u64::from(self.server.has_asked);
        }
    }

    /// Tells the server's end to stop.
    pub fn stop(&mut self, now: u64) {
        if !self.is_over() {
            self.server.stop(now);
        }
    }

    /// The client closes it, or vanishes without a word (`is_told` is false); false where it is over by that.
    pub fn close_by_client(&mut self, is_told: bool, context: &mut Context) -> bool {
        self.down.is_dead = true;
        if self.is_over() {
            self.count(context);
            return false;
        }
        if !is_told {
            self.up.is_dead = true;
        } else if !self.is_torn {
            self.up.is_closed = true;
            // Bytes that were not read make it a reset.
            self.server_knows = !self.down.arrived(context.now).is_empty() || context.random.chance(300);
        }
        true
    }

    /// Steps the server's end; false where there is nothing to do.
    pub fn step(&mut self, context: &mut Context) -> bool {
        if self.is_over() {
            return false;
        }
        let was_told = std::mem::take(&mut self.server_knows);
        if was_told {
            self.server.send_failed(context.now);
        }
        let has_moved = self.server.step(&mut self.up, &mut self.down, context) | was_told;
        self.up.check();
        self.down.check();
        if has_moved && !context.is_calm && self.changes_in.is_some() {
            self.changes_in = self.changes_in.and_then(|steps| steps.checked_sub(1));
            if self.changes_in.is_none() {
                let what = context.store.change(self.slot, &mut context.random);
                trace!(context, "file {} {what}", self.slot);
            }
        }
        self.tear(context);
        if let (Some(close), false) = (self.server.end, self.is_torn) {
            trace!(context, "the server closes: {close:?}");
            self.down.is_closed = true;
            if is_reset(close) && context.random.chance(500) {
                self.down.lose();
            }
        }
        has_moved
    }

    /// Tears the link where that is planned.
    pub fn tear(&mut self, context: &mut Context) {
        if self.is_torn || self.up.tears_in != Some(0) && self.down.tears_in != Some(0) {
            return;
        }
        let (client_knows, server_knows) =
            context.random.one_of(&[(true, true), (true, true), (true, false), (false, true), (false, false)]);
        trace!(context, "the link tears; the client is told: {client_knows}, the server: {server_knows}");
        self.is_torn = true;
        self.client_knows = client_knows;
        self.server_knows = server_knows;
        self.up.is_dead = true;
        self.down.is_dead = !client_knows;
        self.up.tear();
        self.down.tear();
        if context.random.chance(500) {
            self.down.lose();
        }
    }
}
