//! Commits that wait for each other, so that all of them share each step that waits for the disk.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use coracle_core::{Deferral, Synced, WriteError};

use super::commit::Commit;
use super::deferrals::Deferrals;
use crate::local::{Identity, SystemDirectory};

/// The most that waits, and the most that is committed and not done: so much may be in vain if the power fails.
const MAX_WAITING: usize = 4_096;
const MAX_OUTSTANDING: usize = 2 * MAX_WAITING;
/// The same of the bytes that wait: the kernel alone writes them out meanwhile.
const MAX_BYTES: u64 = 64 << 20;
/// Commits wait no longer for a sync, so that files have their names soon whatever becomes of the client.
const MAX_HOLD: Duration = Duration::from_secs(1);

/// The commits that are deferred.
#[derive(Debug, Default)]
pub(super) struct DeferredCommits {
    state: Mutex<State>,
    /// Those that wait are to be committed.
    is_enough: Condvar,
    deferrals: Arc<Deferrals>,
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
}

impl DeferredCommits {
    /// Whether one more may wait.
    pub fn has_room(&self) -> bool {
        self.len() < MAX_OUTSTANDING
    }

    /// Adds a commit. Where `is_first` then, somebody has to call [`DeferredCommits::hold`], and to commit what that returns.
    pub fn add(&self, mut commit: Commit) -> Added {
        let mut state = self.lock();
        // With the lock: a sync that finds it outstanding finds it waiting, or taken.
        let (outstanding, deferral) = self.deferrals.begin();
        commit.defer(outstanding);
        let place = commit.place();
        let directory = state.directories.entry(place.identity).or_insert_with(|| Arc::clone(&place.directory));
        commit.share_directory(&Arc::clone(directory));
        state.bytes += commit.size;
        state.waiting.push(commit);
        if state.is_enough() {
            self.is_enough.notify_one();
        }
        let is_first = !mem::replace(&mut state.is_held, true);
        Added { deferral, is_first }
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
        self.deferrals.len()
    }

    /// Lets those that wait be committed now.
    pub fn hurry(&self) {
        let mut state = self.lock();
        if state.is_held {
            state.is_asked = true;
            self.is_enough.notify_one();
        }
    }

    /// [`WritableStore::sync`](coracle_core::WritableStore::sync).
    pub fn sync(&self, deferral: Deferral) -> Result<Synced, WriteError> {
        if self.deferrals.is_outstanding(deferral) {
            self.hurry();
        }
        self.deferrals.wait(deferral)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_enough(&self) -> bool {
        self.is_asked || self.waiting.len() >= MAX_WAITING || self.bytes >= MAX_BYTES
    }

    fn take(&mut self) -> Vec<Commit> {
        (self.is_held, self.is_asked, self.bytes) = (false, false, 0);
        self.directories.clear();
        mem::take(&mut self.waiting)
    }
}
