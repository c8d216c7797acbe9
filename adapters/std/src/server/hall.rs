//! Who is here: the listeners, the clients that are being served, and whether the server is to end.

use std::collections::{HashMap, VecDeque};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use coracle_core::Code;
use socket2::Socket;

use super::limits::Limits;
use super::listen::Listener;
use super::queue::{Called, Dismissed, Queue};
use super::seat::{Fate, Seat};
use super::shares::Shares;

/// A client that has asked nothing for this long may lose its place to a newcomer.
const SAFE_TIME: Duration = Duration::from_secs(1);

/// Shared by all threads of a server and its handles.
#[derive(Debug)]
pub(super) struct Hall {
    max_clients: usize,
    state: Mutex<State>,
    changed: Condvar,
    /// Somebody has begun to wait for a place, or the server is being stopped.
    queue_changed: Condvar,
    keeps_order: bool,
    /// A copy of the state's, so that a client's thread can look at each step.
    is_stopping: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    listeners: Vec<Arc<Listener>>,
    /// For the server's own thread.
    chores: VecDeque<Chore>,
    /// Clients by number.
    live: HashMap<u64, Arc<Seat>>,
    /// Clients in the order in which they came, with some that have left or asked since.
    silent: VecDeque<Weak<Seat>>,
    /// Clients without a place, where they may wait for one.
    queue: Option<Queue>,
    /// By address, who has a place or waits for one.
    shares: Shares,
    last_id: u64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    #[default]
    Open,
    /// Answers under way are finished.
    Stopping,
    /// Nothing is finished.
    Cut,
}

/// What the server's own thread has to do.
#[derive(Debug)]
pub(super) enum Chore {
    /// The clients of this listener are to be accepted.
    Accept(Arc<Listener>),
    /// Nobody can connect to this address any more.
    TellClosed(SocketAddr),
}

/// What becomes of somebody who connects.
#[derive(Debug)]
pub(super) enum Verdict {
    Served(Arc<Seat>),
    /// It waits; so many do now.
    Queued(usize),
    Refused {
        socket: Socket,
        code: Code,
        /// It is its address that may have no more places.
        is_over_share: bool,
    },
}

impl Hall {
    pub(super) fn new(limits: &Limits) -> Self {
        let queue = Queue::new(limits.admission);
        Self {
            max_clients: limits.max_clients.max(1),
            keeps_order: queue.is_some(),
            state: Mutex::new(State { queue, shares: Shares::new(limits.max_clients_per_address), ..State::default() }),
            changed: Condvar::new(),
            queue_changed: Condvar::new(),
            is_stopping: AtomicBool::new(false),
        }
    }

    /// Opens `listeners`, unless the server is being stopped.
    pub(super) fn open(&self, listeners: Vec<Listener>) -> bool {
        let mut state = self.state();
        if state.phase != Phase::Open {
            return false;
        }
        for listener in listeners.into_iter().map(Arc::new) {
            state.listeners.push(Arc::clone(&listener));
            state.chores.push_back(Chore::Accept(listener));
        }
        self.changed.notify_all();
        true
    }

    /// Closes all listeners; the clients stay.
    pub(super) fn close_listeners(&self) -> Vec<SocketAddr> {
        let mut state = self.state();
        let closed = state.listeners.drain(..).filter(|listener| listener.close());
        let closed: Vec<SocketAddr> = closed.map(|listener| listener.address).collect();
        state.chores.extend(closed.iter().map(|address| Chore::TellClosed(*address)));
        self.changed.notify_all();
        closed
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.state().listeners.iter().map(|listener| listener.address).collect()
    }

    /// The server's own thread waits here until there is something to do, or the server is being stopped: then `None`.
    pub(super) fn next_chore(&self) -> Option<Chore> {
        let mut state = self.state();
        loop {
            if state.phase != Phase::Open {
                return None;
            }
            if let Some(chore) = state.chores.pop_front() {
                return Some(chore);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A client has connected.
    pub(super) fn admit(&self, socket: Socket, address: SocketAddr) -> Verdict {
        let mut state = self.state();
        if state.phase != Phase::Open {
            return refused(socket, Code::ShuttingDown);
        }
        // Before anything else: nobody loses a place to an address that has enough.
        if state.shares.is_used_up(address.ip()) {
            return Verdict::Refused { socket, code: Code::Busy, is_over_share: true };
        }
        let is_full = state.live.len() >= self.max_clients;
        if let Some(queue) = &mut state.queue {
            // A place that is free while somebody waits is about to be taken by who has waited for longest.
            if is_full || queue.len() > 0 {
                return match queue.push(socket, address) {
                    Ok(waiting) => {
                        state.shares.take(address.ip());
                        self.queue_changed.notify_one();
                        Verdict::Queued(waiting)
                    }
                    Err(socket) => refused(socket, Code::Busy),
                };
            }
        } else if is_full && !state.drop_silent() {
            return refused(socket, Code::Busy);
        }
        Verdict::Served(state.seat(socket, address))
    }

    /// There is no thread for a client: it is refused, and those that wait, too, where there is no client left after
    /// whom their turn would come.
    pub(super) fn take_back(&self, seat: &Seat) -> Vec<Dismissed> {
        let mut state = self.state();
        state.unseat(seat);
        let is_last = state.live.is_empty();
        let dismissed = state.queue.as_mut().filter(|_| is_last).map_or_else(Vec::new, |queue| queue.clear(Code::Busy));
        state.forget(&dismissed);
        dismissed
    }

    /// A thread whose client has left asks who is next: it serves that one. Returned too is who was found to be gone.
    pub(super) fn next_queued(&self) -> (Option<Called>, Vec<Dismissed>) {
        let mut gone = Vec::new();
        let mut state = self.state();
        if state.phase != Phase::Open || state.live.len() >= self.max_clients {
            return (None, gone);
        }
        let client = state.queue.as_mut().and_then(|queue| queue.pop(&mut gone));
        state.forget(&gone);
        let Some(client) = client else { return (None, gone) };
        state.shares.give_back(client.address.ip());
        let waited = client.since.elapsed();
        let seat = state.seat(client.socket, client.address);
        (Some(Called { seat, waited }), gone)
    }

    /// Waits until somebody is not to wait for a place any longer; `None` when nobody ever will again.
    pub(super) fn next_dismissed(&self) -> Option<Vec<Dismissed>> {
        let mut state = self.state();
        loop {
            let is_open = state.phase == Phase::Open;
            let queue = state.queue.as_mut()?;
            let dismissed = if is_open { queue.sweep() } else { queue.clear(Code::ShuttingDown) };
            if !dismissed.is_empty() {
                state.forget(&dismissed);
                return Some(dismissed);
            }
            if !is_open {
                return None;
            }
            state = if queue.len() == 0 {
                self.queue_changed.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                let pause = queue.pause();
                self.queue_changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0
            };
        }
    }

    /// Whether clients have to be admitted in the order in which they were accepted.
    pub(super) const fn keeps_order(&self) -> bool {
        self.keeps_order
    }

    /// How many clients wait for a place.
    pub(super) fn queued(&self) -> usize {
        self.state().queue.as_ref().map_or(0, Queue::len)
    }

    /// A client has left. Returns how many are here.
    pub(super) fn leave(&self, seat: &Seat) -> usize {
        let mut state = self.state();
        state.unseat(seat);
        if state.phase != Phase::Open {
            self.changed.notify_all();
        }
        state.live.len()
    }

    /// Places that are free.
    pub(super) fn free(&self) -> usize {
        self.max_clients.saturating_sub(self.live())
    }

    /// Waits, at most for `pause`; returns early when the server is being stopped.
    pub(super) fn pause(&self, pause: Duration) {
        let state = self.state();
        let is_open = |state: &mut State| state.phase == Phase::Open;
        drop(self.changed.wait_timeout_while(state, pause, is_open).unwrap_or_else(PoisonError::into_inner));
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

    /// Accepts nobody any more and tells every client; [`Phase::Cut`] cuts them off.
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
        for seat in state.live.values() {
            match phase {
                Phase::Cut => seat.end(Fate::Cut, Shutdown::Both),
                _ => seat.end(Fate::Told, Shutdown::Read),
            }
        }
        self.changed.notify_all();
        self.queue_changed.notify_all();
    }

    /// Waits until no client is here. Returns false when the phase becomes [`Phase::Cut`], or `limit` passes, before.
    pub(super) fn wait_until_empty(&self, limit: Option<Duration>) -> bool {
        let started = Instant::now();
        let mut state = self.state();
        let was_cut = state.phase == Phase::Cut;
        loop {
            if state.live.is_empty() {
                return true;
            }
            let rest = limit.map(|limit| limit.saturating_sub(started.elapsed()));
            if rest == Some(Duration::ZERO) || (state.phase == Phase::Cut && !was_cut) {
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
    /// Gives a client a place.
    fn seat(&mut self, socket: Socket, address: SocketAddr) -> Arc<Seat> {
        self.last_id += 1;
        self.shares.take(address.ip());
        let seat = Arc::new(Seat::new(self.last_id, address, socket, self.live.len() + 1));
        self.live.insert(self.last_id, Arc::clone(&seat));
        self.note_silent(&seat);
        seat
    }

    /// Takes a client's place, unless that was done before.
    fn unseat(&mut self, seat: &Seat) {
        if self.live.remove(&seat.id).is_some() {
            self.shares.give_back(seat.address.ip());
        }
    }

    /// Clients that waited do so no longer.
    fn forget(&mut self, dismissed: &[Dismissed]) {
        dismissed.iter().for_each(|one| self.shares.give_back(one.address().ip()));
    }

    fn note_silent(&mut self, seat: &Arc<Seat>) {
        // Cleared often enough that it stays in proportion, and seldom enough that it costs nothing.
        if self.silent.len() > 2 * self.live.len() + 64 {
            self.silent.retain(|seat| seat.upgrade().is_some_and(|seat| seat.is_silent()));
        }
        self.silent.push_back(Arc::downgrade(seat));
    }

    /// Drops the oldest client that may be dropped; false where there is none.
    fn drop_silent(&mut self) -> bool {
        while let Some(oldest) = self.silent.front() {
            match oldest.upgrade() {
                Some(seat) if seat.is_silent() && self.live.contains_key(&seat.id) => {
                    if seat.since.elapsed() < SAFE_TIME {
                        return false;
                    }
                    self.silent.pop_front();
                    self.unseat(&seat);
                    seat.end(Fate::Dropped, Shutdown::Both);
                    return true;
                }
                _ => drop(self.silent.pop_front()),
            }
        }
        false
    }
}

fn refused(socket: Socket, code: Code) -> Verdict {
    Verdict::Refused { socket, code, is_over_share: false }
}
