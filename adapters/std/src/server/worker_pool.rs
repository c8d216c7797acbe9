//! Worker threads that have no client at the moment, and the hand-over of clients to them.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::seat::Seat;

/// More threads than these end when their client has left.
const MAX_IDLE: usize = 64;
/// A thread ends when it had no client for this long.
const MAX_IDLE_TIME: Duration = Duration::from_secs(10);

/// Idle worker threads. They stay for a while, since making a thread takes longer than serving a small file.
#[derive(Debug, Default)]
pub(super) struct WorkerPool {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Clients that were handed over, and not taken yet. Never more than there are idle threads.
    clients: VecDeque<Arc<Seat>>,
    idle: usize,
    is_closed: bool,
}

impl WorkerPool {
    /// Gives a client to an idle thread, or back where there is none.
    pub(super) fn hand_over(&self, client: Arc<Seat>) -> Result<(), Arc<Seat>> {
        let mut state = self.state();
        if state.idle <= state.clients.len() {
            return Err(client);
        }
        state.clients.push_back(client);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for the next client; `None` when the calling thread is to end.
    pub(super) fn next(&self) -> Option<Arc<Seat>> {
        let mut state = self.state();
        if state.is_closed || state.idle >= MAX_IDLE {
            return None;
        }
        state.idle += 1;
        let is_waiting = |state: &mut State| state.clients.is_empty() && !state.is_closed;
        let waited = self.changed.wait_timeout_while(state, MAX_IDLE_TIME, is_waiting);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.idle -= 1;
        state.clients.pop_front()
    }

    /// Lets all idle threads end, and others when their client has left.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
