//! The server's registry of connections: admits up to a maximum, refuses the rest as busy.

use coracle_core::{Code, ServerConfig};

use crate::connection::{Connection, LinkConditions};
use crate::context::{Context, trace};
use crate::server::{Limits, ServerEnd};

/// The server and the connections that it has accepted. Clients hold theirs until they leave.
#[derive(Debug)]
pub struct ConnectionRegistry<'c> {
    config: &'c ServerConfig<'c>,
    limits: Limits,
    conditions: LinkConditions,
    max_active: usize,
    active: usize,
    /// Connections whose clients have left.
    pub abandoned: Vec<Connection<'c>>,
    /// Connections are not accepted until then.
    down_until: u64,
    pub is_stopping: bool,
}

impl<'c> ConnectionRegistry<'c> {
    /// A server of at most `max_active` connections at a time.
    pub const fn new(
        config: &'c ServerConfig<'c>,
        limits: Limits,
        max_active: usize,
        conditions: LinkConditions,
    ) -> Self {
        Self {
            config,
            limits,
            conditions,
            max_active,
            active: 0,
            abandoned: Vec::new(),
            down_until: 0,
            is_stopping: false,
        }
    }

    /// A client connects, to fetch a file of which about `rest` bytes are missing; `None` while the server is down.
    pub fn connect(
        &mut self,
        slot: usize,
        changes_seen: u32,
        rest: usize,
        context: &mut Context,
    ) -> Option<Box<Connection<'c>>> {
        if context.now < self.down_until {
            return None;
        }
        self.is_stopping = false;
        let is_admitted = self.active < self.max_active;
        self.active += usize::from(is_admitted);
        context.counts.sessions += u64::from(is_admitted);
        context.counts.busy += u64::from(!is_admitted);
        let new_server = |hash_ms, now| {
            let refused = (!is_admitted).then_some(Code::Busy);
            ServerEnd::new(self.config, self.limits, refused, self.conditions.piece, hash_ms, now)
        };
        let file = (slot, changes_seen);
        Some(Box::new(Connection::new(file, rest, is_admitted, self.conditions, context, new_server)))
    }

    /// Steps the server's end of a connection; false where there is nothing to do.
    pub fn step(&mut self, connection: &mut Connection<'c>, context: &mut Context) -> bool {
        let was_over = connection.is_over();
        let has_moved = connection.step(context);
        if !was_over && connection.is_over() {
            self.active -= usize::from(connection.is_admitted());
        }
        has_moved
    }

    /// A client closes its connection, or its machine vanishes without a word (`is_told` is false).
    pub fn leave(&mut self, mut connection: Box<Connection<'c>>, is_told: bool, context: &mut Context) {
        if connection.close_by_client(is_told, context) {
            self.abandoned.push(*connection);
        }
    }

    /// Steps the connections that no client holds; false where there is nothing to do.
    pub fn step_abandoned(&mut self, context: &mut Context) -> bool {
        let mut has_moved = false;
        let mut abandoned = std::mem::take(&mut self.abandoned);
        for connection in &mut abandoned {
            has_moved |= self.step(connection, context);
        }
        abandoned.retain(|connection| {
            let is_over = connection.is_over();
            if is_over {
                connection.count(context);
            }
            !is_over
        });
        self.abandoned = abandoned;
        has_moved
    }

    /// Tells the server to stop; it is started again later.
    pub fn stop<'a>(&mut self, connections: impl Iterator<Item = &'a mut Connection<'c>>, context: &mut Context)
    where
        'c: 'a,
    {
        trace!(context, "the server stops");
        context.counts.stops += 1;
        self.is_stopping = true;
        self.down_until = context.now + 500 + context.random.millis(3_000);
        connections.for_each(|connection| connection.stop(context.now));
        self.abandoned.iter_mut().for_each(|connection| connection.stop(context.now));
    }

    /// When an abandoned connection has something to do.
    pub fn next_event(&self, now: u64) -> Option<u64> {
        self.abandoned.iter().filter_map(|connection| connection.next_event(now)).min()
    }
}
