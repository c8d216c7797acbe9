//! Numbers of the deferred commits, by which a sync knows what it waits for and whether all of it was done.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use coracle_core::{Deferral, StoreError, Synced, WriteError};

/// How long a sync waits at a time: the client can be told in between that the server lives.
const SYNC_WAIT: Duration = Duration::from_millis(500);

/// The deferred commits that have not ended, and how those of before have.
#[derive(Debug, Default)]
pub(super) struct Deferrals {
    state: Mutex<State>,
    /// All up to one that a sync waits for have ended.
    settled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the last one.
    last: u64,
    /// The numbers of those that have not ended.
    outstanding: BTreeSet<u64>,
    /// The lowest number up to which a sync waits.
    awaited: Option<u64>,
    failures: u64,
}

/// The number of a deferred commit that has not ended.
#[derive(Debug)]
pub(super) struct Outstanding {
    deferrals: Arc<Deferrals>,
    number: u64,
}

impl Deferrals {
    /// Counts one more, and returns what its client gets.
    pub fn begin(self: &Arc<Self>) -> (Outstanding, Deferral) {
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        state.outstanding.insert(number);
        (Outstanding { deferrals: Arc::clone(self), number }, Deferral::new(number, state.failures))
    }

    /// How many have not ended.
    pub fn len(&self) -> usize {
        self.lock().outstanding.len()
    }

    /// Whether a commit of `deferral` has not ended.
    pub fn is_outstanding(&self, deferral: Deferral) -> bool {
        self.lock().is_outstanding(deferral.number)
    }

    /// Waits for a while until all commits of `deferral` have ended.
    pub fn wait(&self, deferral: Deferral) -> Result<Synced, WriteError> {
        let until = Instant::now() + SYNC_WAIT;
        let mut state = self.lock();
        while state.is_outstanding(deferral.number) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Synced::Pending);
            }
            state.awaited = Some(state.awaited.map_or(deferral.number, |awaited| awaited.min(deferral.number)));
            state = self.settled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.failures == deferral.failures { Ok(Synced::Done) } else { Err(StoreError::Io.into()) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether one has not ended of those up to `number`.
    fn is_outstanding(&self, number: u64) -> bool {
        self.outstanding.first().is_some_and(|first| *first <= number)
    }
}

impl Outstanding {
    /// The commit has ended.
    pub fn finish(self, is_done: bool) {
        let mut state = self.deferrals.lock();
        state.outstanding.remove(&self.number);
        state.failures += u64::from(!is_done);
        if state.awaited.is_some_and(|awaited| !state.is_outstanding(awaited)) {
            state.awaited = None;
            self.deferrals.settled.notify_all();
        }
    }
}
