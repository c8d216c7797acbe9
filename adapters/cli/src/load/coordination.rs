//! A common start of all clients, and turns for one after the other.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Holds clients back until all are ready.
#[derive(Debug, Default)]
pub struct StartBarrier {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ready: usize,
    start: Start,
}

#[derive(Clone, Copy, Debug, Default)]
enum Start {
    #[default]
    NotYet,
    At(Instant),
    Cancelled,
}

impl StartBarrier {
    /// Waits for the others. Returns the time of the start; `None` where it was cancelled.
    pub fn wait(&self) -> Option<Instant> {
        let mut state = self.state();
        state.ready += 1;
        self.changed.notify_all();
        let waits = |state: &mut State| matches!(state.start, Start::NotYet);
        match self.changed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner).start {
            Start::At(start) => Some(start),
            Start::NotYet | Start::Cancelled => None,
        }
    }

    /// Starts as soon as `count` clients wait.
    pub fn start_when_ready(&self, count: usize) {
        let state = self.state();
        let waited = self.changed.wait_while(state, |state| state.ready < count);
        waited.unwrap_or_else(PoisonError::into_inner).start = Start::At(Instant::now());
        self.changed.notify_all();
    }

    /// Ends all waits without a start.
    pub fn cancel(&self) {
        self.state().start = Start::Cancelled;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets one client after the other, by their numbers.
#[derive(Debug, Default)]
pub struct TurnQueue {
    next: Mutex<usize>,
    changed: Condvar,
}

impl TurnQueue {
    /// Waits for the turn of client `number`, which lasts until the permit is dropped.
    pub fn wait_for(&self, number: usize) -> Permit<'_> {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(next, |next| *next < number).unwrap_or_else(PoisonError::into_inner));
        Permit(self)
    }
}

/// The turn of a client.
#[derive(Debug)]
pub struct Permit<'t>(&'t TurnQueue);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.next.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.changed.notify_all();
    }
}
