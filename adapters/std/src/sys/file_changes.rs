//! What a watcher of files tells.

use std::collections::HashSet;

/// A file or directory that is watched: several descriptors of one file share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WatchId(pub i32);

/// What has happened.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Files that have changed.
    pub files: HashSet<WatchId>,
    /// Names that were given to files, each with its directory.
    pub arrivals: Vec<(WatchId, Vec<u8>)>,
    /// There was more than the system has kept.
    pub is_incomplete: bool,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.arrivals.is_empty() && !self.is_incomplete
    }
}
