//! A client: a program that fetches one file after the other, on a machine of its own, and is now and then killed.

mod attempt;
mod program;
mod transfer;

use coracle_core::{ClientSession, DigestKind};

use self::attempt::{Attempt, Run};
use crate::connection::Connection;
use crate::context::{Context, trace};
use crate::registry::ConnectionRegistry;
use crate::storage::Storage;

/// A client and its machine.
#[derive(Debug)]
pub struct Client<'c> {
    number: usize,
    pub storage: Storage,
    state: State,
    /// When it goes on, in milliseconds.
    wakes_at: u64,
    session: Option<ClientSession<[u8; 1024]>>,
    /// Buffer for what is read back.
    buf: Vec<u8>,
    pub connection: Option<Box<Connection<'c>>>,
    slot: usize,
    kind: DigestKind,
    files_left: u32,
    calm_runs: u32,
    run: Run,
    attempt: Attempt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Off,
    Pausing,
    Rehashing,
    Connecting,
    Transferring,
    Promoting,
    Done,
}

impl<'c> Client<'c> {
    /// A client that fetches `files_left` files.
    pub fn new(number: usize, files_left: u32, context: &mut Context) -> Self {
        let mut client = Self {
            number,
            storage: Storage::new(&mut context.random),
            state: State::Off,
            wakes_at: context.random.millis(3_000),
            session: None,
            buf: vec![0; 65_536],
            connection: None,
            slot: 0,
            kind: DigestKind::Crc32,
            files_left,
            calm_runs: 0,
            run: Run::default(),
            attempt: Attempt::new(),
        };
        client.choose(context);
        client
    }

    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// When it has something to do by itself.
    pub fn next_event(&self, now: u64) -> Option<u64> {
        let own = match self.state {
            State::Off | State::Pausing => Some(self.wakes_at),
            State::Transferring => {
                let deadline = self.session.as_ref().and_then(ClientSession::deadline);
                let deadline = deadline.map(|(when, _)| when.as_millis() + self.attempt.late_ms);
                let sends_at = Some(self.wakes_at).filter(|when| self.attempt.slow_ms > 0 && *when > now);
                [deadline, sends_at].into_iter().flatten().min()
            }
            _ => None,
        };
        let link = self.connection.as_ref().and_then(|connection| connection.next_event(now));
        [own, link].into_iter().flatten().min()
    }

    /// Does one step; false where there is nothing to do.
    pub fn step(&mut self, registry: &mut ConnectionRegistry<'c>, context: &mut Context) -> bool {
        if !matches!(self.state, State::Off | State::Done) && self.dies(context) {
            self.die(registry, context);
            return true;
        }
        let has_moved = self.connection.as_mut().is_some_and(|connection| registry.step(connection, context));
        match self.state {
            State::Done => return has_moved,
            State::Off | State::Pausing if context.now < self.wakes_at => return has_moved,
            State::Off => self.start_program(registry, context),
            State::Pausing => self.begin_attempt(registry, context),
            State::Rehashing => self.rehash(registry, context),
            State::Connecting => self.connect(registry, context),
            State::Transferring => return self.transfer(registry, context) | has_moved,
            State::Promoting => self.promote(registry, context),
        }
        true
    }

    fn choose(&mut self, context: &mut Context) {
        self.slot = context.random.below(context.store.len());
        self.kind = if context.random.chance(850) { DigestKind::Crc32 } else { DigestKind::Sha256 };
    }

    fn dies(&mut self, context: &Context) -> bool {
        if context.is_calm {
            return false;
        }
        match &mut self.attempt.dies_in {
            None => false,
            Some(0) => true,
            Some(steps) => {
                *steps -= 1;
                false
            }
        }
    }

    /// Kills the process, or cuts the power of its machine.
    fn die(&mut self, registry: &mut ConnectionRegistry<'c>, context: &mut Context) {
        let is_power = context.random.chance(500);
        self.session = None;
        if let Some(connection) = self.connection.take() {
            registry.leave(connection, !is_power, context);
        }
        if is_power {
            context.counts.power_cuts += 1;
        } else {
            context.counts.kills += 1;
        }
        trace!(context, "client {} dies{}", self.number, if is_power { ", and its machine" } else { "" });
        self.storage.die(is_power);
        self.pause(State::Off, 200, context);
    }

    fn pause(&mut self, state: State, most_ms: u64, context: &mut Context) {
        self.state = state;
        self.wakes_at = context.now + context.random.millis(most_ms + 1);
    }
}

/// Plans the end of the process within the next `operations` of its disk, sometimes.
fn stop_within(operations: usize, context: &mut Context) -> Option<usize> {
    let stops = !context.is_calm && context.random.chance(40);
    stops.then(|| context.random.below(operations))
}
