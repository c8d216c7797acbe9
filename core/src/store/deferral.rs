//! Commits that a store completes later, many at a time.

/// Commits that a store has deferred: those of one connection since its last [`WritableStore::sync`](super::WritableStore::sync).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deferral {
    /// The number of the last one. A store counts all that it defers.
    pub number: u64,
    /// How many deferred commits of the store had failed when the first one was deferred.
    pub failures: u64,
}

impl Deferral {
    /// One commit, with its number, and the number of deferred commits that had failed before.
    #[must_use]
    pub const fn new(number: u64, failures: u64) -> Self {
        Self { number, failures }
    }

    /// These, and a later one.
    #[must_use]
    pub(crate) const fn with(self, later: Self) -> Self {
        Self { number: later.number, failures: self.failures }
    }
}

/// The state of a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synced {
    /// It is under way: call again.
    Pending,
    /// It is done.
    Done,
}
