//! Registry of connections and listeners, and the phase of the server.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use coracle_core::Code;
use socket2::Socket;

use super::address_limits::AddressLimits;
use super::entry::{ConnectionEntry, ForcedClose};
use super::limits::Limits;
use super::listener::Listener;
use super::queue::{Dismissal, Queue};

/// A connection that has sent no request for this long may be evicted in favour of a new client.
const MIN_EVICTABLE_AGE: Duration = Duration::from_secs(1);

/// Shared by all threads of a server and its handles.
#[derive(Debug)]
pub(super) struct ConnectionRegistry {
    max_clients: usize,
    state: Mutex<State>,
    changed: Condvar,
    /// A client was queued, or the server is being stopped.
    queue_changed: Condvar,
    has_queue: bool,
    /// Whether the phase is past [`Phase::Running`]; a worker thread looks at it at each step.
    is_stopping: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    listeners: Vec<Arc<Listener>>,
    commands: VecDeque<AcceptorCommand>,
    /// Connections by number.
    live: HashMap<u64, Arc<ConnectionEntry>>,
    /// Connections that may be evicted, the oldest first; some of them have left or become active since.
    evictable: VecDeque<Weak<ConnectionEntry>>,
    /// Clients that wait to be admitted, with [`Admission::Queue`](super::limits::Admission::Queue).
    queue: Option<Queue>,
    /// Connections and queued clients by address.
    address_limits: AddressLimits,
    last_id: u64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    #[default]
    Running,
    /// Responses under way are finished.
    Stopping,
    /// Connections are aborted.
    Aborting,
}

/// What the thread that called `run` has to do.
#[derive(Debug)]
pub(super) enum AcceptorCommand {
    /// Start an acceptor for this listener.
    Start(Arc<Listener>),
    /// Report that the listener of this address was closed.
    Closed(SocketAddr),
}

/// What happens to a new client.
#[derive(Debug)]
pub(super) enum AdmissionDecision {
    Admitted(Arc<ConnectionEntry>),
    /// It waits in the queue, which has so many clients now.
    Queued(usize),
    Refused {
        socket: Socket,
        code: Code,
        is_over_address_limit: bool,
    },
}

/// A client whose turn in the queue has come.
#[derive(Debug)]
pub(super) struct AdmittedFromQueue {
    pub entry: Arc<ConnectionEntry>,
    pub waited: Duration,
}

impl ConnectionRegistry {
    pub(super) fn new(limits: &Limits) -> Self {
        let queue = Queue::new(limits.admission);
        let address_limits = AddressLimits::new(limits.max_clients_per_address);
        Self {
            max_clients: limits.max_clients.max(1),
            has_queue: queue.is_some(),
            state: Mutex::new(State { queue, address_limits, ..State::default() }),
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

    /// Decides about a client that has connected.
    pub(super) fn admit(&self, socket: Socket, address: SocketAddr) -> AdmissionDecision {
        let refuse = |socket, code| AdmissionDecision::Refused { socket, code, is_over_address_limit: false };
        let mut state = self.state();
        if state.phase != Phase::Running {
            return refuse(socket, Code::ShuttingDown);
        }
        // Before anything else: no connection is evicted for an address that has enough of them.
        if state.address_limits.is_exhausted(address.ip()) {
            return AdmissionDecision::Refused { socket, code: Code::Busy, is_over_address_limit: true };
        }
        let is_full = state.live.len() >= self.max_clients;
        if let Some(queue) = &mut state.queue {
            // Where clients wait, a free place is the first one's, who is about to take it.
            if is_full || queue.len() > 0 {
                return match queue.push(socket, address) {
                    Ok(waiting) => {
                        state.address_limits.acquire(address.ip());
                        self.queue_changed.notify_one();
                        AdmissionDecision::Queued(waiting)
                    }
                    Err(socket) => refuse(socket, Code::Busy),
                };
            }
        } else if is_full && !state.evict_oldest() {
            return refuse(socket, Code::Busy);
        }
        AdmissionDecision::Admitted(state.insert(socket, address))
    }

    /// Takes back an admission, since there is no thread for the client. Returned are the queued clients, where no
    /// connection is left after whose end they would be admitted.
    pub(super) fn withdraw(&self, entry: &ConnectionEntry) -> Vec<Dismissal> {
        let mut state = self.state();
        state.remove(entry);
        let is_last = state.live.is_empty();
        let dismissed = state.queue.as_mut().filter(|_| is_last).map_or_else(Vec::new, |queue| queue.clear(Code::Busy));
        state.release_dismissed(&dismissed);
        dismissed
    }

    /// Admits the next client of the queue, if there is one and a place for it. Returned too are those that are gone.
    pub(super) fn admit_queued(&self) -> (Option<AdmittedFromQueue>, Vec<Dismissal>) {
        let mut gone = Vec::new();
        let mut state = self.state();
        if state.phase != Phase::Running || state.live.len() >= self.max_clients {
            return (None, gone);
        }
        let client = state.queue.as_mut().and_then(|queue| queue.pop(&mut gone));
        state.release_dismissed(&gone);
        let Some(client) = client else { return (None, gone) };
        state.address_limits.release(client.address.ip());
        let waited = client.since.elapsed();
        let entry = state.insert(client.socket, client.address);
        (Some(AdmittedFromQueue { entry, waited }), gone)
    }

    /// Waits until clients have to leave the queue unserved; `None` when none ever will again.
    pub(super) fn next_dismissals(&self) -> Option<Vec<Dismissal>> {
        let mut state = self.state();
        loop {
            let is_running = state.phase == Phase::Running;
            let queue = state.queue.as_mut()?;
            let dismissed = if is_running { queue.sweep() } else { queue.clear(Code::ShuttingDown) };
            if !dismissed.is_empty() {
                state.release_dismissed(&dismissed);
                return Some(dismissed);
            }
            if !is_running {
                return None;
            }
            state = if queue.len() == 0 {
                self.queue_changed.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                let pause = queue.sweep_interval();
                self.queue_changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0
            };
        }
    }

    pub(super) const fn has_queue(&self) -> bool {
        self.has_queue
    }

    /// Clients in the queue.
    pub(super) fn queued(&self) -> usize {
        self.state().queue.as_ref().map_or(0, Queue::len)
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

    /// Closes the listeners and enters `phase`, unless it is as far already: [`Phase::Stopping`] wakes all connections,
    /// [`Phase::Aborting`] closes them.
    pub(super) fn stop(&self, phase: Phase) {
        let mut state = self.state();
        if state.phase >= phase {
            return;
        }
        state.phase = phase;
        self.is_stopping.store(true, Ordering::Release);
        for listener in &state.listeners {
            listener.close();
        }
        let why = if phase == Phase::Aborting { ForcedClose::Aborted } else { ForcedClose::Stopping };
        state.live.values().for_each(|entry| entry.force_close(why));
        self.changed.notify_all();
        self.queue_changed.notify_all();
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, socket: Socket, address: SocketAddr) -> Arc<ConnectionEntry> {
        self.last_id += 1;
        self.address_limits.acquire(address.ip());
        let entry = Arc::new(ConnectionEntry::new(self.last_id, address, socket, self.live.len() + 1));
        self.live.insert(self.last_id, Arc::clone(&entry));
        self.track_evictable(&entry);
        entry
    }

    fn remove(&mut self, entry: &ConnectionEntry) {
        if self.live.remove(&entry.id).is_some() {
            self.address_limits.release(entry.address.ip());
        }
    }

    fn release_dismissed(&mut self, dismissed: &[Dismissal]) {
        dismissed.iter().for_each(|one| self.address_limits.release(one.address().ip()));
    }

    fn track_evictable(&mut self, entry: &Arc<ConnectionEntry>) {
        // Cleared often enough to stay in proportion, and seldom enough to cost nothing.
        if self.evictable.len() > 2 * self.live.len() + 64 {
            self.evictable.retain(|entry| entry.upgrade().is_some_and(|entry| !entry.is_active()));
        }
        self.evictable.push_back(Arc::downgrade(entry));
    }

    /// Closes the oldest connection that may be evicted; false where there is none.
    fn evict_oldest(&mut self) -> bool {
        while let Some(oldest) = self.evictable.front() {
            match oldest.upgrade() {
                Some(entry) if !entry.is_active() && self.live.contains_key(&entry.id) => {
                    if entry.admitted.elapsed() < MIN_EVICTABLE_AGE {
                        return false;
                    }
                    self.evictable.pop_front();
                    self.remove(&entry);
                    entry.force_close(ForcedClose::Evicted);
                    return true;
                }
                _ => drop(self.evictable.pop_front()),
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    use super::{AcceptorCommand, AdmissionDecision, ConnectionRegistry};
    use crate::server::limits::{Admission, Limits};
    use crate::server::listener::{Listener, SocketTimeouts};

    /// Between the end of one connection and the admission of the next queued client, a new client finds a free place that
    /// is not for it.
    #[test]
    fn a_new_client_does_not_overtake_queued_ones() {
        let admission = Admission::Queue { length: 8, timeout: None };
        let limits = Limits { max_clients: 1, admission, ..Limits::default() };
        let registry = ConnectionRegistry::new(&limits);
        let timeouts = SocketTimeouts { read: Duration::from_secs(20), write: Duration::from_secs(20) };
        let listener = Listener::bind("127.0.0.1:0".parse().expect("an address"), false, timeouts).expect("bound");
        let address = listener.address;
        assert!(registry.open_listeners(vec![listener]));
        let Some(AcceptorCommand::Start(listener)) = registry.next_command() else { panic!("there is a listener") };
        let arrive = || {
            let client = TcpStream::connect(address).expect("connected");
            let (socket, address) = listener.accept().expect("accepted");
            (client, registry.admit(socket, address))
        };
        let (_first, AdmissionDecision::Admitted(entry)) = arrive() else { panic!("there is a place") };
        let (second, AdmissionDecision::Queued(1)) = arrive() else { panic!("there is none") };
        assert!(registry.admit_queued().0.is_none(), "there is no place yet");
        registry.remove(&entry);
        let (_third, AdmissionDecision::Queued(2)) = arrive() else { panic!("the second one comes first") };
        let admitted = registry.admit_queued().0.expect("a place");
        assert_eq!(admitted.entry.address, second.local_addr().expect("an address"));
        assert!(registry.admit_queued().0.is_none());
        assert_eq!((registry.live(), registry.queued()), (1, 1));
    }
}
