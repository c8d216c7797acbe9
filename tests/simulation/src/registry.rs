//! The server: its max_active, and every connection that was made to it.

use coracle_core::{Code, ServerConfig, ServerSession};

use crate::link::Pipe;
use crate::server::{Limits, Serving, is_reset};
use crate::world::{Context, trace};

/// How connections are, and what may happen to them.
#[derive(Clone, Copy, Debug)]
pub struct LinkConditions {
    pub piece: usize,
    pub window: usize,
    /// Links corrupt bytes: what a digest does not cover cannot be believed.
    pub corrupts: bool,
}

/// The server.
#[derive(Debug)]
pub struct ConnectionRegistry<'c> {
    config: &'c ServerConfig<'c>,
    limits: Limits,
    max_active: usize,
    conditions: LinkConditions,
    /// Connections whose clients have gone.
    pub abandoned: Vec<Connection<'c>>,
    active: usize,
    /// Until then nobody answers.
    pub is_down_until: u64,
    pub is_stopping: bool,
}

/// One connection, both directions and the server's end.
#[derive(Debug)]
pub struct Connection<'c> {
    serving: Serving<'c>,
    pub up: Pipe,
    pub down: Pipe,
    slot: usize,
    /// How often the file had changed when the client last asked for it.
    stamp: u32,
    /// The file changes after so many steps.
    changes_in: Option<usize>,
    is_admitted: bool,
    is_cut: bool,
    client_hears: bool,
    server_hears: bool,
}

impl<'c> ConnectionRegistry<'c> {
    pub const fn new(
        config: &'c ServerConfig<'c>,
        limits: Limits,
        max_active: usize,
        conditions: LinkConditions,
    ) -> Self {
        Self {
            config,
            limits,
            max_active,
            conditions,
            abandoned: Vec::new(),
            active: 0,
            is_down_until: 0,
            is_stopping: false,
        }
    }

    /// A client connects, to ask for a file of which about `rest` bytes are left; `None`: nobody answers.
    pub fn connect(
        &mut self,
        slot: usize,
        stamp: u32,
        rest: usize,
        context: &mut Context,
    ) -> Option<Box<Connection<'c>>> {
        if context.now < self.is_down_until {
            return None;
        }
        self.is_stopping = false;
        let is_busy = self.active >= self.max_active;
        self.active += usize::from(!is_busy);
        context.counts.sessions += u64::from(!is_busy);
        context.counts.busy += u64::from(is_busy);
        let LinkConditions { piece, window, corrupts, .. } = self.conditions;
        let refused = is_busy.then_some(Code::Busy);
        let random = &mut context.random;
        // Who is refused is not read from: what they ask has to find room, or they do not come to reading why.
        let mut up =
            Pipe::new(1 + random.below(window) + if is_busy { ServerSession::<[u8; 512]>::MIN_BUF_LEN } else { 0 });
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
        Some(Box::new(Connection {
            serving: Serving::new(self.config, self.limits, refused, piece, hash_ms, context.now),
            up,
            down,
            slot,
            stamp,
            changes_in,
            is_admitted: !is_busy,
            is_cut: false,
            client_hears: false,
            server_hears: false,
        }))
    }

    /// One step of a connection's server end.
    pub fn step(&mut self, connection: &mut Connection<'c>, context: &mut Context) -> bool {
        let was_over = connection.serving.end.is_some();
        let has_moved = connection.step(context);
        if !was_over && connection.serving.end.is_some() {
            self.active -= usize::from(connection.is_admitted);
        }
        has_moved
    }

    /// The client goes, and its machine says so, with a reset maybe; or it does not.
    pub fn leave(&mut self, mut connection: Box<Connection<'c>>, is_told: bool, context: &mut Context) {
        connection.down.is_dead = true;
        if connection.serving.end.is_some() {
            return connection.count(context);
        }
        if !is_told {
            connection.up.is_dead = true;
        } else if !connection.is_cut {
            connection.up.is_closed = true;
            connection.server_hears = !connection.down.arrived(context.now).is_empty() || context.random.chance(300);
        }
        self.abandoned.push(*connection);
    }

    /// Steps the connections that no client holds.
    pub fn step_abandoned(&mut self, context: &mut Context) -> bool {
        let mut has_moved = false;
        let mut abandoned = std::mem::take(&mut self.abandoned);
        for connection in &mut abandoned {
            has_moved |= self.step(connection, context);
        }
        abandoned.retain(|connection| {
            let is_over = connection.serving.end.is_some();
            if is_over {
                connection.count(context);
            }
            !is_over
        });
        self.abandoned = abandoned;
        has_moved
    }

    /// The server is told to stop, and started again later.
    pub fn stop<'a>(&mut self, connections: impl Iterator<Item = &'a mut Connection<'c>>, context: &mut Context)
    where
        'c: 'a,
    {
        trace!(context, "the server stops");
        context.counts.stops += 1;
        self.is_stopping = true;
        self.is_down_until = context.now + 500 + context.random.millis(3_000);
        connections.for_each(|connection| connection.stop(context.now));
        self.abandoned.iter_mut().for_each(|connection| connection.stop(context.now));
    }

    /// When something happens by itself.
    pub fn next_event(&self, now: u64) -> Option<u64> {
        self.abandoned.iter().filter_map(|connection| connection.next_event(now)).min()
    }
}

impl Connection<'_> {
    /// Whether the client has been told that the connection is broken.
    pub const fn is_broken_for_client(&self) -> bool {
        self.client_hears
    }

    /// When something happens here by itself.
    pub fn next_event(&self, now: u64) -> Option<u64> {
        let server = if self.serving.end.is_some() { None } else { self.serving.next_event(now) };
        [server, self.up.resumes_at(now), self.down.resumes_at(now)].into_iter().flatten().min()
    }

    /// Counts what became of it.
    pub fn count(&self, context: &mut Context) {
        if !self.is_admitted {
            return;
        }
        context.counts.cut += u64::from(self.is_cut);
        context.counts.met_change += u64::from(context.store.changes(self.slot) != self.stamp);
        context.counts.asked += u64::from(self.serving.has_asked);
    }

    fn stop(&mut self, now: u64) {
        if self.serving.end.is_none() {
            self.serving.stop(now);
        }
    }

    fn step(&mut self, context: &mut Context) -> bool {
        if self.serving.end.is_some() {
            return false;
        }
        let heard = std::mem::take(&mut self.server_hears);
        if heard {
            self.serving.send_failed(context.now);
        }
        let has_moved = self.serving.step(&mut self.up, &mut self.down, context) | heard;
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
        if let (Some(close), false) = (self.serving.end, self.is_cut) {
            trace!(context, "the server closes: {close:?}");
            self.down.is_closed = true;
            if is_reset(close) && context.random.chance(500) {
                self.down.lose();
            }
        }
        has_moved
    }

    /// Tears the link where it was to tear.
    pub fn tear(&mut self, context: &mut Context) {
        if self.is_cut || self.up.tears_in != Some(0) && self.down.tears_in != Some(0) {
            return;
        }
        let (client_hears, server_hears) =
            context.random.one_of(&[(true, true), (true, true), (true, false), (false, true), (false, false)]);
        trace!(context, "the link tears; client hears: {client_hears}, server hears: {server_hears}");
        self.is_cut = true;
        self.client_hears = client_hears;
        self.server_hears = server_hears;
        self.up.is_dead = true;
        self.down.is_dead = !client_hears;
        self.up.tear();
        self.down.tear();
        if context.random.chance(500) {
            self.down.lose();
        }
    }
}
