//! Admission: whether a client that connects is served, queued or refused, or another connection is evicted for it.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

use coracle_core::Code;
use socket2::Socket;

use super::entry::{ConnectionEntry, ForcedClose};
use super::proxy::{Arriving, HeaderReader};
use super::queue::Dismissal;
use super::registry::{ConnectionRegistry, Phase, State};

/// A connection that has sent no request for this long may be evicted in favour of a new client.
const MIN_EVICTABLE_AGE: Duration = Duration::from_secs(1);
/// The same where connections are encrypted, before the handshake is made: strangers that leave theirs would hold all places for
/// that second. An honest client needs two round trips.
const MIN_STRANGER_AGE: Duration = Duration::from_millis(200);

/// Connections of proxies may wait for their header in any case.
const MIN_ARRIVING: usize = 64;

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
        let now = Instant::now();
        let is_full = |state: &State| state.live.len() >= self.max_clients;
        if !state.queue.is_for_all() && is_full(&state) && !state.evict_oldest(now) {
            // One newcomer at a time stands in a spare place, until it is worth that of a connection that waits.
            if state.live.len() <= self.max_clients && state.has_waiting() {
                let entry = state.insert(socket, address);
                entry.is_spare.store(true, Ordering::Relaxed);
                return AdmissionDecision::Admitted(entry);
            }
            if !state.retry_estimate.is_soon(state.queue.len(), now) {
                return refuse(socket, Code::Busy);
            }
        }
        let is_full = is_full(&state);
        if !is_full && state.queue.len() == 0 {
            return AdmissionDecision::Admitted(state.insert(socket, address));
        }
        // Where clients wait, a free place is the first one's, who is about to take it.
        match state.queue.push(socket, address) {
            Ok(waiting) => {
                if is_full && state.queue.is_for_all() {
                    state.displace_longest();
                }
                state.address_limits.acquire(address.ip());
                self.queue_changed.notify_one();
                AdmissionDecision::Queued(waiting)
            }
            Err(socket) => refuse(socket, Code::Busy),
        }
    }

    /// Counts a connection of a proxy at `address`, whose header `reader` has begun to read. Given back is one that is
    /// refused: as many wait for their header as clients are served at a time, or the server is being stopped.
    pub(super) fn begin_arrival(
        &self,
        socket: Socket,
        address: SocketAddr,
        reader: HeaderReader,
    ) -> Result<Arriving, (Socket, Code)> {
        let mut state = self.state();
        if state.phase != Phase::Running {
            return Err((socket, Code::ShuttingDown));
        }
        if state.arriving.len() >= self.max_clients.max(MIN_ARRIVING) {
            return Err((socket, Code::Busy));
        }
        let socket = Arc::new(socket);
        Ok(Arriving { id: state.arriving.insert(&socket), socket, address, reader })
    }

    /// Counts it no longer, and returns its socket: another descriptor of it, where the thread that accepted it holds it for a
    /// moment longer.
    pub(super) fn end_arrival(&self, arriving: Arriving) -> io::Result<Socket> {
        self.state().arriving.remove(arriving.id);
        Arc::try_unwrap(arriving.socket).or_else(|shared| shared.try_clone())
    }

    /// A request of the connection of `entry` begins to wait for a file to change.
    pub(super) fn note_waiting(&self, entry: &Arc<ConnectionEntry>) {
        let mut state = self.state();
        if state.waiting.len() > 2 * state.live.len() + 64 {
            state.waiting.retain(|(entry, wait)| entry.upgrade().is_some_and(|entry| entry.wait() == *wait));
        }
        state.last_wait += 1;
        let wait = state.last_wait;
        entry.set_wait(wait);
        state.waiting.push_back((Arc::downgrade(entry), wait));
    }

    /// Has the connection that has waited longest for a file give way, for a newcomer that has made its first request.
    pub(super) fn displace_waiting(&self) {
        self.state().displace_longest();
    }

    /// When a client comes again that is refused as busy.
    pub(super) fn retry_after(&self, is_over_address_limit: bool) -> Duration {
        let mut state = self.state();
        if let Some(limit) = state.address_limits.limit().filter(|_| is_over_address_limit) {
            return state.retry_estimate.share(limit);
        }
        let queued = state.queue.len();
        state.retry_estimate.book(queued, Instant::now())
    }

    /// Takes back an admission, since there is no thread for the client. Returned are the queued clients, where no
    /// connection is left after whose end they would be admitted.
    pub(super) fn withdraw(&self, entry: &ConnectionEntry) -> Vec<Dismissal> {
        let mut state = self.state();
        state.remove(entry);
        let is_last = state.live.is_empty();
        let dismissed = if is_last { state.queue.clear(Code::Busy) } else { Vec::new() };
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
        let client = state.queue.pop(&mut gone);
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
            let queue = &mut state.queue;
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
}

impl State {
    /// Whether a connection waits for a file.
    fn has_waiting(&mut self) -> bool {
        self.next_waiting().is_some()
    }

    /// The connection that has waited longest, of those that wait at this moment.
    fn next_waiting(&mut self) -> Option<Arc<ConnectionEntry>> {
        let of_wait = |(entry, wait): &(Weak<ConnectionEntry>, u64)| {
            entry.upgrade().filter(|entry| entry.wait() == *wait && !entry.is_displaced())
        };
        while self.waiting.front().is_some_and(|first| of_wait(first).is_none()) {
            self.waiting.pop_front();
        }
        self.waiting.iter().filter_map(of_wait).find(|entry| entry.is_waiting())
    }

    fn displace_longest(&mut self) {
        if let Some(entry) = self.next_waiting() {
            self.remove(&entry);
            entry.displace();
        }
    }

    /// Closes the oldest connection that may be evicted at `now`; false where there is none.
    fn evict_oldest(&mut self, now: Instant) -> bool {
        while let Some(oldest) = self.evictable.front() {
            match oldest.upgrade() {
                Some(entry) if !entry.is_active() && self.live.contains_key(&entry.id) => {
                    let is_stranger = self.has_keys && !entry.is_introduced();
                    let min_age = if is_stranger { MIN_STRANGER_AGE } else { MIN_EVICTABLE_AGE };
                    if now.saturating_duration_since(entry.admitted) < min_age {
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
    use std::net::{SocketAddr, TcpStream};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use coracle_core::Code;
    use socket2::{Domain, Socket, Type};

    #[cfg(feature = "channel")]
    use super::MIN_STRANGER_AGE;
    use super::{AdmissionDecision, MIN_EVICTABLE_AGE};
    use crate::server::entry::{ConnectionEntry, ForcedClose};
    use crate::server::limits::{Admission, Limits};
    use crate::server::listener::{Listener, SocketTimeouts};
    use crate::server::registry::{AcceptorCommand, ConnectionRegistry, Phase};
    use crate::server::retry_estimate::HELD;

    /// A registry with one place, and the connection that has it.
    fn full(has_keys: bool) -> (ConnectionRegistry, Arc<ConnectionEntry>) {
        let registry = ConnectionRegistry::new(&Limits { max_clients: 1, ..Limits::default() }, has_keys);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let address = SocketAddr::from(([192, 0, 2, 1], 50_000));
        let AdmissionDecision::Admitted(entry) = registry.admit(socket, address) else { panic!("there is a place") };
        (registry, entry)
    }

    /// Whether its place is given away at this age, and not a millisecond before.
    fn is_evicted_at(age: Duration, registry: &ConnectionRegistry, entry: &ConnectionEntry) -> bool {
        let mut state = registry.state();
        let is_early = state.evict_oldest(entry.admitted + age - Duration::from_millis(1));
        !is_early && state.evict_oldest(entry.admitted + age) && entry.forced_close() == Some(ForcedClose::Evicted)
    }

    #[test]
    fn a_silent_client_keeps_its_place_for_a_second() {
        let (registry, entry) = full(false);
        assert!(is_evicted_at(MIN_EVICTABLE_AGE, &registry, &entry));
        let (registry, entry) = full(false);
        entry.mark_active();
        assert!(!is_evicted_at(MIN_EVICTABLE_AGE, &registry, &entry));
    }

    /// Strangers who begin 1,000 handshakes a second and leave them would otherwise hold the usual 256 places all the time.
    #[cfg(feature = "channel")]
    #[test]
    fn e7_a_handshake_that_is_left_keeps_its_place_for_200_ms() {
        assert_eq!(MIN_STRANGER_AGE, Duration::from_millis(200));
        let (registry, entry) = full(true);
        assert!(is_evicted_at(MIN_STRANGER_AGE, &registry, &entry));
        let (registry, entry) = full(true);
        entry.mark_introduced();
        assert!(is_evicted_at(MIN_EVICTABLE_AGE, &registry, &entry));
    }

    /// While places change hands, a newcomer is held; where they do not, or would not in time, it is refused.
    #[test]
    fn c20_a_client_is_held_for_a_place_that_is_about_to_become_free() {
        let limits = Limits { max_clients: 4, ..Limits::default() };
        let arrive = |registry: &ConnectionRegistry| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            registry.admit(socket, SocketAddr::from(([192, 0, 2, 1], 50_000)))
        };
        let taken = |registry: &ConnectionRegistry| match arrive(registry) {
            AdmissionDecision::Admitted(entry) => entry,
            other => panic!("there is a place: {other:?}"),
        };
        // On a machine that is busy for half of that in between, it is tried again.
        let held = (0..100).find_map(|_| {
            let registry = ConnectionRegistry::new(&limits, false);
            let entries = [(); 4].map(|()| taken(&registry));
            let AdmissionDecision::Refused { code: Code::Busy, .. } = arrive(&registry) else { panic!("none is free") };
            let began = Instant::now();
            registry.remove(&entries[0]);
            let _last = taken(&registry);
            // Mostly by the first guess one becomes free each fifth of a second.
            let decisions = [(); 6].map(|()| arrive(&registry));
            (began.elapsed() < HELD / 2).then_some((registry, decisions, entries))
        });
        let (registry, decisions, entries) = held.expect("in time once");
        let is_refused = |decision: &AdmissionDecision| matches!(decision, AdmissionDecision::Refused { .. });
        assert!(matches!(decisions[0], AdmissionDecision::Queued(1)), "{decisions:?}");
        assert!(is_refused(&decisions[5]), "{decisions:?}");
        registry.remove(&entries[1]);
        assert!(matches!(arrive(&registry), AdmissionDecision::Queued(_)), "the place is for the first one");
        registry.stop(Phase::Stopping);
        let dismissed = registry.next_dismissals().expect("they would wait for ever");
        assert!(dismissed.len() >= 2);
    }

    /// Between the end of one connection and the admission of the next queued client, a new client finds a free place that
    /// is not for it.
    #[test]
    fn a_new_client_does_not_overtake_queued_ones() {
        let admission = Admission::Queue { length: 8, timeout: None };
        let limits = Limits { max_clients: 1, admission, ..Limits::default() };
        let registry = ConnectionRegistry::new(&limits, false);
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
