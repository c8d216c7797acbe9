//! Registry of connections and listeners, and the phase of the server.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use socket2::Socket;

use super::address_limits::AddressLimits;
use super::entry::{ConnectionEntry, ForcedClose};
use super::limits::Limits;
use super::listener::Listener;
use super::proxy::ArrivingSockets;
use super::queue::{Dismissal, Queue};
use super::retry_estimate::RetryEstimate;

/// Shared by all threads of a server and its handles.
#[derive(Debug)]
pub(super) struct ConnectionRegistry {
    pub(super) max_clients: usize,
    state: Mutex<State>,
    changed: Condvar,
    /// A client was queued, or the server is being stopped.
    pub(super) queue_changed: Condvar,
    /// Whether the phase is past [`Phase::Running`]; a worker thread looks at it at each step.
    is_stopping: AtomicBool,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) listeners: Vec<Arc<Listener>>,
    pub(super) commands: VecDeque<AcceptorCommand>,
    /// Connections by number.
    pub(super) live: HashMap<u64, Arc<ConnectionEntry>>,
    /// Connections of proxies whose client is not known yet.
    pub(super) arriving: ArrivingSockets,
    /// Connections that may be evicted, the oldest first; some of them have left or become active since.
    pub(super) evictable: VecDeque<Weak<ConnectionEntry>>,
    /// Connections whose request waits for a file to change, the longest first, and the numbers of their waits; some of them have
    /// gone on since.
    pub(super) waiting: VecDeque<(Weak<ConnectionEntry>, u64)>,
    pub(super) last_wait: u64,
    /// Clients that wait to be admitted.
    pub(super) queue: Queue,
    /// Connections and queued clients by address.
    pub(super) address_limits: AddressLimits,
    pub(super) retry_estimate: RetryEstimate,
    pub(super) last_id: u64,
    /// Connections begin with a handshake.
    pub(super) has_keys: bool,
    pub(super) phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Running,
    /// Responses under way are finished.
    Stopping,
    /// Connections are aborted.
    Aborting,
}

/// What the thread that called `run` has to do.
#[derive(Debug)]
pub(super) enum AcceptorCommand {
    /// Start a thread that accepts the clients of this listener.
    Start(Arc<Listener>),
    /// Report that the listener of this address was closed.
    Closed(SocketAddr),
}

impl ConnectionRegistry {
    pub(super) fn new(limits: &Limits, has_keys: bool) -> Self {
        let queue = Queue::new(limits.admission);
        Self {
            max_clients: limits.max_clients.max(1),
            state: Mutex::new(State {
                listeners: Vec::new(),
                commands: VecDeque::new(),
                live: HashMap::new(),
                arriving: ArrivingSockets::default(),
                evictable: VecDeque::new(),
                waiting: VecDeque::new(),
                last_wait: 0,
                queue,
                address_limits: AddressLimits::new(limits.max_clients_per_address),
                retry_estimate: RetryEstimate::new(limits.max_clients, Instant::now()),
                last_id: 0,
                has_keys,
                phase: Phase::Running,
            }),
            changed: Condvar::new(),
            queue_changed: Condvar::new(),
            is_stopping: AtomicBool::new(false),
        }
    }

    /// Adds `listeners`; false when the server is being stopped.
    pub(super) fn open_listeners(&self, listeners: Vec<Listener>) -> bool {
        let mut state = self.state();
        if state.phase != Phase::Running {
            return false;
        }
        for listener in listeners.into_iter().map(Arc::new) {
            state.listeners.push(Arc::clone(&listener));
            state.commands.push_back(AcceptorCommand::Start(listener));
        }
        self.changed.notify_all();
        true
    }

    /// Closes all listeners; the connections stay.
    pub(super) fn close_listeners(&self) -> Vec<SocketAddr> {
        let mut state = self.state();
        let closed = state.listeners.drain(..).filter(|listener| listener.close());
        let closed: Vec<SocketAddr> = closed.map(|listener| listener.address).collect();
        state.commands.extend(closed.iter().map(|address| AcceptorCommand::Closed(*address)));
        self.changed.notify_all();
        closed
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.state().listeners.iter().map(|listener| listener.address).collect()
    }

    /// Waits for a command; `None` when the server is being stopped.
    pub(super) fn next_command(&self) -> Option<AcceptorCommand> {
        let mut state = self.state();
        loop {
            if state.phase != Phase::Running {
                return None;
            }
            if let Some(command) = state.commands.pop_front() {
                return Some(command);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Clients in the queue.
    pub(super) fn queued(&self) -> usize {
        self.state().queue.len()
    }

    /// Removes a connection, unless it was evicted before. Returns how many are left.
    pub(super) fn remove(&self, entry: &ConnectionEntry) -> usize {
        let mut state = self.state();
        state.remove(entry);
        if state.phase != Phase::Running {
            self.changed.notify_all();
        }
        state.live.len()
    }

    /// Connections that can be admitted now.
    pub(super) fn free(&self) -> usize {
        self.max_clients.saturating_sub(self.live())
    }

    /// Waits for `pause`, or until the server is being stopped.
    pub(super) fn pause(&self, pause: Duration) {
        let state = self.state();
        let is_running = |state: &mut State| state.phase == Phase::Running;
        drop(self.changed.wait_timeout_while(state, pause, is_running).unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    pub(super) fn phase(&self) -> Phase {
        self.state().phase
    }

    pub(super) fn live(&self) -> usize {
        self.state().live.len()
    }

    /// Enters `phase`, unless it is as far already: [`Phase::Stopping`] wakes all connections, and newcomers are told;
    /// [`Phase::Aborting`] closes the connections and the listeners.
    pub(super) fn stop(&self, phase: Phase) {
        let mut state = self.state();
        if state.phase >= phase {
            return;
        }
        state.phase = phase;
        self.is_stopping.store(true, Ordering::Release);
        if phase == Phase::Aborting {
            state.close_listeners();
        }
        state.arriving.wake();
        let why = if phase == Phase::Aborting { ForcedClose::Aborted } else { ForcedClose::Stopping };
        state.live.values().for_each(|entry| entry.force_close(why));
        self.changed.notify_all();
        self.queue_changed.notify_all();
    }

    /// Closes all listeners of a server that is being stopped.
    pub(super) fn close_for_good(&self) {
        self.state().close_listeners();
    }

    /// Waits until no connection is left; false when the phase becomes [`Phase::Aborting`], or `limit` passes, before.
    pub(super) fn wait_until_empty(&self, limit: Option<Duration>) -> bool {
        let started = Instant::now();
        let mut state = self.state();
        let was_aborting = state.phase == Phase::Aborting;
        loop {
            if state.live.is_empty() {
                return true;
            }
            let rest = limit.map(|limit| limit.saturating_sub(started.elapsed()));
            if rest == Some(Duration::ZERO) || (state.phase == Phase::Aborting && !was_aborting) {
                return false;
            }
            state = match rest {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(rest) => self.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close_listeners(&self) {
        for listener in &self.listeners {
            listener.close();
        }
    }

    pub(super) fn insert(&mut self, socket: Socket, address: SocketAddr) -> Arc<ConnectionEntry> {
        self.last_id += 1;
        self.address_limits.acquire(address.ip());
        let entry = Arc::new(ConnectionEntry::new(self.last_id, address, socket, self.live.len() + 1));
        self.live.insert(self.last_id, Arc::clone(&entry));
        self.track_evictable(&entry);
        self.retry_estimate.taken(entry.admitted);
        entry
    }

    pub(super) fn remove(&mut self, entry: &ConnectionEntry) {
        if self.live.remove(&entry.id).is_some() {
            self.address_limits.release(entry.address.ip());
            let now = Instant::now();
            self.retry_estimate.freed(now.saturating_duration_since(entry.admitted), now);
        }
    }

    pub(super) fn release_dismissed(&mut self, dismissed: &[Dismissal]) {
        dismissed.iter().for_each(|one| self.address_limits.release(one.address().ip()));
    }

    fn track_evictable(&mut self, entry: &Arc<ConnectionEntry>) {
        // Cleared often enough to stay in proportion, and seldom enough to cost nothing.
        if self.evictable.len() > 2 * self.live.len() + 64 {
            self.evictable.retain(|entry| entry.upgrade().is_some_and(|entry| !entry.is_active()));
        }
        self.evictable.push_back(Arc::downgrade(entry));
    }
}
