//! Connections without a thread that something has happened for.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::{Registry, Token, Waker};

/// Of the events by which the thread that looks after them is woken. No connection has this number.
const TOKEN: Token = Token(usize::MAX);

/// The connections, by number, that are to go on: any thread adds to it.
#[derive(Debug)]
pub struct WakeList {
    state: Mutex<State>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct State {
    connections: Vec<u64>,
    is_signalled: bool,
}

/// Wakes one connection.
#[derive(Clone, Debug)]
pub struct ConnectionWaker {
    list: Arc<WakeList>,
    connection: u64,
}

impl WakeList {
    pub(super) fn new(registry: &Registry) -> io::Result<Self> {
        Ok(Self { state: Mutex::default(), waker: Waker::new(registry, TOKEN)? })
    }

    /// Has the connection with this number go on, if it has no thread.
    pub(super) fn add(&self, connection: u64) {
        let mut state = self.state();
        state.connections.push(connection);
        self.wake(state);
    }

    /// Wakes the thread that looks after the connections.
    pub(super) fn signal(&self) {
        self.wake(self.state());
    }

    /// Takes the connections that were added.
    pub(super) fn take(&self) -> Vec<u64> {
        let mut state = self.state();
        state.is_signalled = false;
        std::mem::take(&mut state.connections)
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let was_signalled = std::mem::replace(&mut state.is_signalled, true);
        drop(state);
        if !was_signalled {
            // Fails in no way that could be helped: it writes to a counter of the kernel.
            drop(self.waker.wake());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionWaker {
    pub(super) const fn new(list: Arc<WakeList>, connection: u64) -> Self {
        Self { list, connection }
    }

    pub(super) fn wake(&self) {
        self.list.add(self.connection);
    }
}
