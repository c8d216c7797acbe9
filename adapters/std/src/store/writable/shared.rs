//! What all uploads and commits of a store share, whichever connection they are of.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use portable_atomic::AtomicU64;

use super::uploads::Uploads;

/// The uploads of a store, its names and its room.
#[derive(Debug, Default)]
pub(super) struct SharedState {
    pub uploads: Uploads,
    names: Mutex<()>,
    /// Bytes of all files beneath the directory, unfinished uploads left out; counted where there is a quota.
    used: AtomicU64,
}

impl SharedState {
    /// Held while a name is given, taken or removed, from the check of its precondition on.
    pub fn lock_names(&self) -> MutexGuard<'_, ()> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of all files, as they were counted.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Sets what was counted.
    pub fn set_used(&self, used: u64) {
        self.used.store(used, Ordering::Relaxed);
    }

    /// Counts a file of `new_len` bytes in place of one of `old_len` bytes; 0 where there is none.
    pub fn change_used(&self, old_len: u64, new_len: u64) {
        let change = |used: u64| Some(used.saturating_sub(old_len).saturating_add(new_len));
        // It never refuses.
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }
}
