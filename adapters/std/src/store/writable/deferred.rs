//! Commits that wait for each other, so that all of them share each step that waits for the disk.

use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use coracle_core::{Deferral, StoreError, Synced, WriteError};

use super::commit::Commit;
use crate::local::{Identity, SystemDirectory};

/// The most that waits, and the most that is committed and not done: so much may be in vain if the power fails.
const MAX_WAITING: usize = 4_096;
const MAX_OUTSTANDING: usize = 2 * MAX_WAITING;
/// The same of the bytes that wait: the kernel alone writes them out meanwhile.
const MAX_BYTES: u64 = 64 << 20;
/// Commits wait no longer for a sync, so that files have their names soon whatever becomes of the client.
const MAX_HOLD: Duration = Duration::from_secs(1);
/// How long a sync waits at a time: the client can be told in between that the server lives.
const SYNC_WAIT: Duration = Duration::from_millis(500);

/// The commits that are deferred, and how those of before have ended.
#[derive(Debug, Default)]
pub(super) struct DeferredCommits {
    state: Mutex<State>,
    /// Those that wait are to be committed.
    is_enough: Condvar,
    /// All up to one that a sync waits for have ended.
    settled: Condvar,
}

/// A commit that was added.
pub(super) struct Added {
    pub deferral: Deferral,
    pub is_first: bool,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Commit>,
    /// Sizes of the files that wait.
    bytes: u64,
    /// The directories of those, so that each is open once.
    directories: HashMap<Identity, Arc<SystemDirectory>>,
    /// A thread will commit what waits.
    is_held: bool,
    is_asked: bool,
    /// The number of the last one.
    last: u64,
    /// The numbers of those that have not ended.
    outstanding: BTreeSet<u64>,
    /// The lowest number up to which a sync waits.
    awaited: Option<u64>,
    failures: u64,
}

impl DeferredCommits {
    /// Whether one more may wait.
    pub fn has_room(&self) -> bool {
        self.len() < MAX_OUTSTANDING
    }

    /// Adds a commit. Where `is_first` then, somebody has to call [`DeferredCommits::hold`], and to commit what that returns.
    pub fn add(&self, mut commit: Commit) -> Added {
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        commit.defer(number);
        let place = commit.place();
        let directory = state.directories.entry(place.identity).or_insert_with(|| Arc::clone(&place.directory));
        commit.share_directory(&Arc::clone(directory));
        state.bytes += commit.size;
        state.outstanding.insert(number);
        state.waiting.push(commit);
        if state.is_enough() {
            self.is_enough.notify_one();
        }
        let is_first = !mem::replace(&mut state.is_held, true);
        Added { deferral: Deferral::new(number, state.failures), is_first }
    }

    /// Waits for more to commit, and returns it.
    pub fn hold(&self) -> Vec<Commit> {
        let until = Instant::now() + MAX_HOLD;
        let mut state = self.lock();
        while !state.is_enough() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.is_enough.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.take()
    }

    /// How many have not ended.
    pub fn len(&self) -> usize {
        self.lock().outstanding.len()
    }

    /// Lets those that wait be committed now.
    pub fn hurry(&self) {
        self.lock().hurry(&self.is_enough);
    }

    /// [`WritableStore::sync`](coracle_core::WritableStore::sync).
    pub fn sync(&self, deferral: Deferral) -> Result<Synced, WriteError> {
        let mut state = self.lock();
        let until = Instant::now() + SYNC_WAIT;
        while state.is_outstanding(deferral.number) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Synced::Pending);
            }
            state.hurry(&self.is_enough);
            state.awaited = Some(state.awaited.map_or(deferral.number, |awaited| awaited.min(deferral.number)));
            state = self.settled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.failures == deferral.failures { Ok(Synced::Done) } else { Err(StoreError::Io.into()) }
    }

    /// The commit with this number has ended.
    pub fn finished(&self, number: u64, is_done: bool) {
        let mut state = self.lock();
        state.outstanding.remove(&number);
        state.failures += u64::from(!is_done);
        if state.awaited.is_some_and(|awaited| !state.is_outstanding(awaited)) {
            state.awaited = None;
            self.settled.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_enough(&self) -> bool {
        self.is_asked || self.waiting.len() >= MAX_WAITING || self.bytes >= MAX_BYTES
    }

    /// Whether one has not ended of those up to `number`.
    fn is_outstanding(&self, number: u64) -> bool {
        self.outstanding.first().is_some_and(|first| *first <= number)
    }

    fn hurry(&mut self, is_enough: &Condvar) {
        if self.is_held {
            self.is_asked = true;
            is_enough.notify_one();
        }
    }

    fn take(&mut self) -> Vec<Commit> {
        (self.is_held, self.is_asked, self.bytes) = (false, false, 0);
        self.directories.clear();
        mem::take(&mut self.waiting)
    }
}
