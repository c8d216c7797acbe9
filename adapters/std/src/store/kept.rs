//! The contents of small files that were asked for before.

use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coracle_core::FileInfo;
use lru::LruCache;
use rustix::fs::{AtFlags, StatxFlags, statx};

use super::version::Stamp;

/// The longest file that is kept, in bytes.
const LONGEST: u64 = 4096;

/// The contents of a bounded number of small files, of which the one that nobody asked for longest makes room for a new
/// one.
///
/// They are given out for a name only while the kernel says, by one question without opening it, that the name still
/// leads to the same file in the same state. A file that was never opened beneath the root is not among them, so nothing
/// that a name leads to meanwhile can bring out more than was served before.
#[derive(Debug)]
pub(super) struct KeptFiles {
    /// `None` where nothing is to be kept.
    files: Option<Mutex<LruCache<Box<str>, Arc<Kept>>>>,
}

/// A small file, as it was when it was read.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) stamp: Stamp,
    pub(super) info: FileInfo,
    pub(super) contents: Box<[u8]>,
}

impl KeptFiles {
    pub(super) fn new(max_files: usize) -> Self {
        Self { files: NonZeroUsize::new(max_files).map(|max| Mutex::new(LruCache::new(max))) }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().map_or(0, |files| files.len())
    }

    /// The file `name` beneath `root`, if it is kept and has not changed.
    pub(super) fn find(&self, root: impl AsFd, name: &str) -> Option<Arc<Kept>> {
        let kept = self.lock()?.get(name).cloned()?;
        leads_to(root, name, &kept.stamp).then_some(kept)
    }

    /// Whether the file `name`, which was opened as `stamp` says, is worth keeping.
    pub(super) fn would_take(&self, root: impl AsFd, name: &str, stamp: &Stamp) -> bool {
        self.files.is_some() && stamp.size <= LONGEST && leads_to(root, name, stamp)
    }

    pub(super) fn insert(&self, name: &str, kept: &Arc<Kept>) {
        if let Some(mut files) = self.lock() {
            files.put(name.into(), Arc::clone(kept));
        }
    }

    fn lock(&self) -> Option<MutexGuard<'_, LruCache<Box<str>, Arc<Kept>>>> {
        // A thread that panicked here has at worst left a file out.
        self.files.as_ref().map(|files| files.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether `name` beneath `root` is, at this moment, the file that `stamp` tells of.
fn leads_to(root: impl AsFd, name: &str, stamp: &Stamp) -> bool {
    // A link is another file than the one it leads to, so what it leads to is opened each time. A file system that asks a
    // server of its own has to ask now, as it would for an opening.
    let how = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_FORCE_SYNC;
    let now = statx(root, name, how, StatxFlags::BASIC_STATS).ok().and_then(|now| Stamp::of_statx(&now));
    now.as_ref() == Some(stamp)
}
