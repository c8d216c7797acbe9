//! Connections that wait without a thread: for a file to change or, where they did so before, for their client's next request.
//!
//! One thread looks after all of them. It sends their heartbeats, and has those that are to go on taken over by threads that
//! serve them, of which there are as many as are needed.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{self, Duration};

use coracle_core::Instant;
use mio::{Events, Poll, Registry, Token};

use super::connection::Connection;
use super::context::ServerContext;
use super::event::Event;
use super::wake_list::WakeList;
use crate::sys;

/// Between two looks at what is due: what comes a little late is done together.
const LOOK_INTERVAL_MS: u64 = 20;
/// So many threads are started as soon as there is something to do for them.
const USUAL_THREADS: usize = 4;
/// When so long no thread has taken over a connection that is to go on, all of them are busy with slow clients, and there are
/// to be twice as many.
const STUCK: Duration = Duration::from_millis(LOOK_INTERVAL_MS);
/// After a thread could not be started.
const SPAWN_PAUSE: Duration = Duration::from_millis(200);
/// How long a thread waits for something to do before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// The connections of a server that have no thread.
pub(super) struct Parking<'c> {
    /// Of the sockets whose clients are waited for.
    sockets: Registry,
    wake_list: Arc<WakeList>,
    state: Mutex<State<'c>>,
    /// A connection is to go on, or none will be any more.
    changed: Condvar,
}

struct State<'c> {
    /// By number.
    waiting: HashMap<u64, Box<Connection<'c>>>,
    /// Their deadlines.
    deadlines: BTreeSet<(Instant, u64)>,
    /// When the thread that looks after them wakes whatever happens; `None`: not before it is woken.
    wakes: Option<Instant>,
    /// Those that are to go on, in this order.
    ready: VecDeque<Box<Connection<'c>>>,
    threads: Threads,
    is_closed: bool,
}

/// The threads that take over connections.
struct Threads {
    all: usize,
    /// Of these, how many wait for something to do.
    idle: usize,
    /// How many connections have been taken over since the server was started.
    taken: u64,
    /// What that was at the last look.
    seen: u64,
    /// Since when there has been a connection to take over, and none was.
    stuck: Option<time::Instant>,
    failed: Option<time::Instant>,
}

impl<'c> Parking<'c> {
    /// With what the thread that calls [`Parking::run`] waits for.
    pub(super) fn new() -> io::Result<(Self, Poll)> {
        let poll = Poll::new()?;
        let sockets = poll.registry().try_clone()?;
        let wake_list = Arc::new(WakeList::new(&sockets)?);
        let threads = Threads::new();
        let state = State {
            waiting: HashMap::new(),
            deadlines: BTreeSet::new(),
            wakes: None,
            ready: VecDeque::new(),
            threads,
            is_closed: false,
        };
        Ok((Self { sockets, wake_list, state: Mutex::new(state), changed: Condvar::new() }, poll))
    }

    pub(super) const fn wake_list(&self) -> &Arc<WakeList> {
        &self.wake_list
    }

    /// Has a connection wait. Returns it where it has to go on at once.
    pub(super) fn park(&self, mut connection: Box<Connection<'c>>) -> Option<Box<Connection<'c>>> {
        let list = connection.is_watching().then(|| Arc::clone(&self.wake_list));
        connection.entry().set_waiting(list);
        let mut state = self.state();
        // Who wants something of it from now on adds it to the list, and then it is found here.
        if state.is_closed || connection.is_wanted() || !self.listen(&mut connection) {
            connection.entry().set_waiting(None);
            return Some(connection);
        }
        let id = connection.entry().id;
        if let Some(deadline) = connection.deadline() {
            state.deadlines.insert((deadline, id));
            if state.wakes.is_none_or(|wakes| deadline < wakes) {
                state.wakes = Some(deadline);
                self.wake_list.signal();
            }
        }
        state.waiting.insert(id, connection);
        None
    }

    /// Waits for a connection that is to go on; `None` when the calling thread is to end.
    pub(super) fn next(&self) -> Option<Box<Connection<'c>>> {
        let mut state = self.state();
        let mut has_waited = false;
        loop {
            if let Some(connection) = state.ready.pop_front() {
                state.threads.taken += 1;
                drop(state);
                return Some(self.stop_listening(connection));
            }
            if has_waited || state.is_closed {
                state.threads.all -= 1;
                return None;
            }
            state.threads.idle += 1;
            let (woken, timeout) = self.changed.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.threads.idle -= 1;
            has_waited = timeout.timed_out();
        }
    }

    /// Lets [`Parking::run`] return when no connection is left, and has all that come be served on by their threads.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_all();
        self.wake_list.signal();
    }

    /// Looks after the connections, until [`Parking::close`] is called. `spawn` starts a thread that calls [`Parking::next`]
    /// until that returns `None`.
    pub(super) fn run(&self, context: &ServerContext<'_>, mut poll: Poll, spawn: &dyn Fn() -> io::Result<()>) {
        let mut events = Events::with_capacity(256);
        loop {
            let timeout = self.state().next_look(context.now());
            if let Err(error) = poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                context.emit(&Event::Warning { what: "waiting for connections without a thread", error: &error });
                thread::sleep(SPAWN_PAUSE);
            }
            let now = context.now();
            let due = {
                let mut state = self.state();
                for id in self.wake_list.take() {
                    state.make_ready(id);
                }
                for id in events.iter().filter_map(|event| u64::try_from(event.token().0).ok()) {
                    state.make_ready(id);
                }
                state.take_due(now)
            };
            for mut connection in due {
                let is_waiting = connection.send_heartbeat(now);
                let unparked = if is_waiting { self.park(connection) } else { Some(connection) };
                if let Some(connection) = unparked {
                    self.state().pass_on(connection);
                }
            }
            if !self.provide_threads(context, spawn) {
                return;
            }
        }
    }

    /// Has threads take over the connections that are to go on. Returns whether there may be more of them.
    fn provide_threads(&self, context: &ServerContext<'_>, spawn: &dyn Fn() -> io::Result<()>) -> bool {
        let mut state = self.state();
        if state.is_closed && state.waiting.is_empty() && state.ready.is_empty() {
            return false;
        }
        let (ready, idle) = (state.ready.len(), state.threads.idle);
        let missing = state.threads.missing(ready, time::Instant::now());
        state.threads.all += missing;
        drop(state);
        (0..ready.min(idle)).for_each(|_| self.changed.notify_one());
        for started in 0..missing {
            if let Err(error) = spawn() {
                let mut state = self.state();
                state.threads.all -= missing - started;
                state.threads.failed = Some(time::Instant::now());
                drop(state);
                context.emit(&Event::Warning { what: "making a thread for a client that waited", error: &error });
                break;
            }
        }
        true
    }

    /// Waits for bytes of the client where the connection does; false where that cannot be, and a thread has to.
    fn listen(&self, connection: &mut Connection<'c>) -> bool {
        if connection.is_watching() {
            return true;
        }
        let entry = connection.entry();
        let registered = usize::try_from(entry.id)
            .map_err(io::Error::other)
            .and_then(|id| sys::register(&self.sockets, &entry.socket, Token(id)));
        connection.is_listening = registered.is_ok();
        if registered.is_err() {
            connection.keep_thread();
        }
        connection.is_listening
    }

    fn stop_listening(&self, mut connection: Box<Connection<'c>>) -> Box<Connection<'c>> {
        if std::mem::take(&mut connection.is_listening) {
            // What could still come of it is a connection that is woken for nothing.
            drop(sys::deregister(&self.sockets, &connection.entry().socket));
        }
        connection
    }

    fn state(&self) -> MutexGuard<'_, State<'c>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'c> State<'c> {
    /// How long nothing has to be looked at, if nothing wakes the thread.
    fn next_look(&mut self, now: Instant) -> Option<Duration> {
        let soon = now.after(LOOK_INTERVAL_MS);
        let due = self.deadlines.first().map(|(deadline, _)| soon.max(*deadline));
        self.wakes = if self.ready.is_empty() { due } else { Some(soon) };
        self.wakes.map(|wakes| Duration::from_millis(wakes.since(now)))
    }

    /// Has a connection go on, if it waits.
    fn make_ready(&mut self, id: u64) {
        if let Some(connection) = self.waiting.remove(&id) {
            if let Some(deadline) = connection.deadline() {
                self.deadlines.remove(&(deadline, id));
            }
            self.pass_on(connection);
        }
    }

    fn pass_on(&mut self, connection: Box<Connection<'c>>) {
        connection.entry().set_waiting(None);
        self.ready.push_back(connection);
    }

    /// Takes out the connections whose deadline is over by `now`.
    fn take_due(&mut self, now: Instant) -> VecDeque<Box<Connection<'c>>> {
        let later = self.deadlines.split_off(&(now.after(1), 0));
        let due = std::mem::replace(&mut self.deadlines, later);
        due.into_iter().filter_map(|(_, id)| self.waiting.remove(&id)).collect()
    }
}

impl Threads {
    const fn new() -> Self {
        Self { all: 0, idle: 0, taken: 0, seen: 0, stuck: None, failed: None }
    }

    /// How many more threads `ready` connections need.
    fn missing(&mut self, ready: usize, now: time::Instant) -> usize {
        let unserved = ready.saturating_sub(self.idle);
        if unserved == 0 || std::mem::replace(&mut self.seen, self.taken) != self.taken {
            self.stuck = None;
        }
        if unserved == 0 || self.failed.is_some_and(|failed| now.duration_since(failed) < SPAWN_PAUSE) {
            return 0;
        }
        if self.all < USUAL_THREADS {
            return unserved.min(USUAL_THREADS - self.all);
        }
        if now.duration_since(*self.stuck.get_or_insert(now)) < STUCK {
            return 0;
        }
        self.stuck = Some(now);
        unserved.min(self.all)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{SPAWN_PAUSE, STUCK, Threads, USUAL_THREADS};

    #[test]
    fn l6_slow_clients_do_not_hold_up_the_others() {
        let now = Instant::now();
        let mut threads = Threads::new();
        assert_eq!(threads.missing(1, now), 1);
        assert_eq!(threads.missing(1000, now), USUAL_THREADS);
        threads.all = USUAL_THREADS;
        assert_eq!(threads.missing(1000, now), 0);
        // As long as something is taken over, there are enough.
        threads.taken = 7;
        assert_eq!(threads.missing(1000, now + STUCK), 0);
        assert_eq!(threads.missing(1000, now + 2 * STUCK), USUAL_THREADS);
        threads.all *= 2;
        assert_eq!(threads.missing(1000, now + 2 * STUCK), 0);
        assert_eq!(threads.missing(3, now + 3 * STUCK), 3);
        assert_eq!(threads.missing(1000, now + 4 * STUCK), threads.all);
        threads.idle = 10;
        assert_eq!(threads.missing(10, now + Duration::from_secs(1)), 0);
        let failed = now + Duration::from_secs(2);
        (threads.all, threads.idle, threads.failed) = (0, 0, Some(failed));
        assert_eq!(threads.missing(1000, failed + SPAWN_PAUSE / 2), 0);
        assert_eq!(threads.missing(1000, failed + SPAWN_PAUSE), USUAL_THREADS);
    }
}
