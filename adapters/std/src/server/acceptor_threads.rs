//! Threads of one listener that have nothing to serve.
//!
//! The kernel wakes the one that has waited longest for a client. Were all of them to wait there, each client would be served
//! by another one, with cold caches, and a crowd would wake them all where two or three can serve it. So a few accept; the
//! others rest, and the one that has rested for the shortest time is called first.

use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Threads that accept for each processor: one that serves what it has accepted, and one that waits meanwhile.
const ACCEPTING_EACH: usize = 2;
/// A thread that would rest beside so many ends.
const MAX_RESTING: usize = 64;

#[derive(Debug)]
pub(super) struct AcceptorThreads {
    state: Mutex<State>,
    /// A thread that would accept beside so many rests instead.
    max_accepting: usize,
    /// How long a thread rests before it ends.
    timeout: Duration,
}

#[derive(Debug, Default)]
struct State {
    /// Threads that wait for a client, or will when they have spawned others. A thread that is not counted does not accept.
    accepting: usize,
    /// The one that has rested for the shortest time is the last.
    resting: Vec<Arc<RestingThread>>,
    is_closed: bool,
}

#[derive(Debug, Default)]
struct RestingThread {
    /// Whether it has been counted as one that accepts.
    is_called: Mutex<bool>,
    called: Condvar,
}

impl AcceptorThreads {
    pub(super) fn new(timeout: Duration) -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { state: Mutex::default(), max_accepting: processors.saturating_mul(ACCEPTING_EACH), timeout }
    }

    /// Counts the calling thread as one that accepts, at once or when it has rested; false where it is not needed. Making a
    /// thread takes longer than serving a small file, so some stay when their connection has ended.
    pub(super) fn enter(&self) -> bool {
        let thread = {
            let mut state = self.state();
            if state.accepting < self.max_accepting {
                state.accepting += 1;
                return true;
            }
            if state.is_closed || state.resting.len() >= MAX_RESTING {
                return false;
            }
            let thread = Arc::new(RestingThread::default());
            state.resting.push(Arc::clone(&thread));
            thread
        };
        thread.wait(self.timeout);
        let mut state = self.state();
        match state.resting.iter().position(|resting| Arc::ptr_eq(resting, &thread)) {
            // Not called, so not counted.
            Some(place) => {
                state.resting.remove(place);
                false
            }
            None => !state.is_closed,
        }
    }

    /// Counts the calling thread no longer as one that accepts; false where no other one does, nor rests: then it has to go on.
    pub(super) fn leave(&self) -> bool {
        let mut state = self.state();
        if state.accepting > 1 {
            state.accepting -= 1;
            return true;
        }
        let called = state.resting.pop();
        drop(state);
        if let Some(thread) = &called {
            thread.call();
        }
        called.is_some()
    }

    /// Calls `accept`, for the thread that alone accepts. Where another one does, it may take the client that is there.
    pub(super) fn accept_alone(&self, accept: impl FnOnce()) {
        // Held, so that no thread begins to accept meanwhile.
        let state = self.state();
        if state.accepting <= 1 {
            accept();
        }
    }

    /// Lets all threads that rest end.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.resting.drain(..).for_each(|thread| thread.call());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RestingThread {
    fn wait(&self, timeout: Duration) {
        let is_called = self.is_called.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = self.called.wait_timeout_while(is_called, timeout, |is_called| !*is_called);
        drop(wait.unwrap_or_else(PoisonError::into_inner));
    }

    fn call(&self) {
        *self.is_called.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.called.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::{AcceptorThreads, MAX_RESTING};

    const LONG: Duration = Duration::from_secs(600);

    fn wait_for_resting(threads: &AcceptorThreads, count: usize) {
        while threads.state().resting.len() != count {
            thread::yield_now();
        }
    }

    #[test]
    fn one_thread_always_accepts() {
        let threads = AcceptorThreads::new(LONG);
        assert!(threads.enter());
        assert!(!threads.leave());
        assert!(threads.enter());
        assert!(threads.leave() && !threads.leave());
    }

    #[test]
    fn threads_that_are_not_needed_rest_and_a_bounded_number_stays() {
        let threads = AcceptorThreads::new(LONG);
        assert!((0..threads.max_accepting).all(|_| threads.enter()));
        thread::scope(|scope| {
            let resting: Vec<_> = (0..MAX_RESTING).map(|_| scope.spawn(|| threads.enter())).collect();
            wait_for_resting(&threads, MAX_RESTING);
            assert!(!threads.enter(), "there are enough");
            assert!((1..threads.max_accepting).all(|_| threads.leave()));
            wait_for_resting(&threads, MAX_RESTING);
            assert!(threads.leave(), "one that rests is called");
            wait_for_resting(&threads, MAX_RESTING - 1);
            threads.close();
            let called = resting.into_iter().filter_map(|thread| thread.join().expect("no panic").then_some(()));
            assert!(called.count() <= 1, "the others end");
        });
    }

    #[test]
    fn the_last_one_that_rests_is_called_first() {
        let threads = AcceptorThreads::new(LONG);
        assert!((0..threads.max_accepting).all(|_| threads.enter()));
        thread::scope(|scope| {
            let first = scope.spawn(|| threads.enter());
            wait_for_resting(&threads, 1);
            let last = scope.spawn(|| threads.enter());
            wait_for_resting(&threads, 2);
            assert!((0..threads.max_accepting).all(|_| threads.leave()));
            assert!(last.join().expect("no panic"));
            assert!(!first.is_finished());
            assert!(threads.leave(), "the first is called then");
            assert!(first.join().expect("no panic"));
            assert!(!threads.leave(), "no other one accepts");
        });
    }

    #[test]
    fn a_thread_that_rests_for_long_ends() {
        let threads = AcceptorThreads::new(Duration::from_millis(1));
        assert!((0..threads.max_accepting).all(|_| threads.enter()));
        assert!(!threads.enter());
        assert!(threads.state().resting.is_empty());
    }
}
