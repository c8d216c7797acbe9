//! How the clients begin together, and how they take turns.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Holds back who is ready until all are.
#[derive(Debug, Default)]
pub struct Gate {
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
    Never,
}

impl Gate {
    /// Waits for the others. Returns when it began; `None`: it never will.
    pub fn pass(&self) -> Option<Instant> {
        let mut state = self.state();
        state.ready += 1;
        self.changed.notify_all();
        let waits = |state: &mut State| matches!(state.start, Start::NotYet);
        match self.changed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner).start {
            Start::At(start) => Some(start),
            Start::NotYet | Start::Never => None,
        }
    }

    /// Lets all through as soon as `count` are ready.
    pub fn open(&self, count: usize) {
        let state = self.state();
        let waited = self.changed.wait_while(state, |state| state.ready < count);
        waited.unwrap_or_else(PoisonError::into_inner).start = Start::At(Instant::now());
        self.changed.notify_all();
    }

    /// Sends all away.
    pub fn cancel(&self) {
        self.state().start = Start::Never;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose turn it is.
#[derive(Debug, Default)]
pub struct Turns {
    next: Mutex<usize>,
    changed: Condvar,
}

impl Turns {
    /// Waits for the turn of client `number`; it ends when what is returned is dropped.
    pub fn wait_for(&self, number: usize) -> Turn<'_> {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(next, |next| *next < number).unwrap_or_else(PoisonError::into_inner));
        Turn(self)
    }
}

/// A client's turn.
#[derive(Debug)]
pub struct Turn<'t>(&'t Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.next.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.changed.notify_all();
    }
}
