//! Idle worker threads, and the hand-over of connections to them.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::entry::ConnectionEntry;

/// A thread that becomes idle beside so many ends.
const MAX_IDLE: usize = 64;
/// A thread that is idle for so long ends.
const MAX_IDLE_TIME: Duration = Duration::from_secs(10);

/// Worker threads stay for a while when their connection has ended, since making a thread takes longer than serving a small
/// file.
#[derive(Debug, Default)]
pub(super) struct WorkerPool {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Connections that were handed over and not taken yet; never more than there are idle threads.
    entries: VecDeque<Arc<ConnectionEntry>>,
    idle: usize,
    is_closed: bool,
}

impl WorkerPool {
    /// Gives a connection to an idle thread, or back where there is none.
    pub(super) fn hand_over(&self, entry: Arc<ConnectionEntry>) -> Result<(), Arc<ConnectionEntry>> {
        let mut state = self.state();
        if state.idle <= state.entries.len() {
            return Err(entry);
        }
        state.entries.push_back(entry);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for the next connection; `None` when the calling thread is to end.
    pub(super) fn next(&self) -> Option<Arc<ConnectionEntry>> {
        let mut state = self.state();
        if state.is_closed || state.idle >= MAX_IDLE {
            return None;
        }
        state.idle += 1;
        let is_idle = |state: &mut State| state.entries.is_empty() && !state.is_closed;
        let waited = self.changed.wait_timeout_while(state, MAX_IDLE_TIME, is_idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.idle -= 1;
        state.entries.pop_front()
    }

    /// Lets idle threads end, and the others when their connection has ended.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::thread;

    use super::{ConnectionEntry, MAX_IDLE, WorkerPool};

    fn entry() -> (Arc<ConnectionEntry>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("connected");
        let (socket, address) = listener.accept().expect("accepted");
        (Arc::new(ConnectionEntry::new(1, address, socket.into(), 1)), client)
    }

    #[test]
    fn each_idle_thread_is_handed_one_connection() {
        let pool = WorkerPool::default();
        let (entry, _client) = entry();
        assert!(pool.hand_over(Arc::clone(&entry)).is_err(), "there is no thread");
        thread::scope(|scope| {
            let threads = [(); 2].map(|()| scope.spawn(|| pool.next()));
            while pool.state().idle < threads.len() {
                thread::yield_now();
            }
            for _ in &threads {
                pool.hand_over(Arc::clone(&entry)).expect("an idle thread");
            }
            for thread in threads {
                assert!(thread.join().expect("no panic").is_some());
            }
            assert!(pool.hand_over(Arc::clone(&entry)).is_err(), "both are busy");
        });
    }

    #[test]
    fn idle_threads_end_with_the_pool_and_surplus_ones_at_once() {
        let pool = WorkerPool::default();
        thread::scope(|scope| {
            let threads = [(); MAX_IDLE].map(|()| scope.spawn(|| pool.next()));
            while pool.state().idle < threads.len() {
                thread::yield_now();
            }
            assert!(pool.next().is_none());
            pool.close();
            for thread in threads {
                assert!(thread.join().expect("no panic").is_none());
            }
        });
        assert!(pool.next().is_none());
    }
}
