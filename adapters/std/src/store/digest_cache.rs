//! Cache of the digests of files that were hashed before.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use coracle_core::{Digest, DigestKind};
use lru::LruCache;

use crate::sys::FileStamp;

/// A bounded number of digests; the least recently used one makes room for a new one. A file has one digest of each kind:
/// that of an earlier state is replaced when the new state is hashed.
#[derive(Debug)]
pub(super) struct DigestCache {
    /// `None` where nothing is cached.
    digests: Option<Mutex<LruCache<Key, (FileStamp, Digest)>>>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    device: u64,
    inode: u64,
    kind: DigestKind,
}

impl DigestCache {
    pub(super) fn new(max_digests: usize) -> Self {
        Self { digests: NonZeroUsize::new(max_digests).map(|max| Mutex::new(LruCache::new(max))) }
    }

    /// The digest of the file in exactly the state `stamp`.
    pub(super) fn find(&self, stamp: &FileStamp, kind: DigestKind) -> Option<Digest> {
        let mut digests = self.lock()?;
        let (then, digest) = digests.get(&Key::new(stamp, kind))?;
        (then == stamp).then_some(*digest)
    }

    pub(super) fn insert(&self, stamp: &FileStamp, digest: Digest) {
        if let Some(mut digests) = self.lock() {
            digests.put(Key::new(stamp, digest.kind()), (*stamp, digest));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().map_or(0, |digests| digests.len())
    }

    fn lock(&self) -> Option<MutexGuard<'_, LruCache<Key, (FileStamp, Digest)>>> {
        // A thread that panicked here has at worst left a digest out.
        self.digests.as_ref().map(|digests| digests.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Key {
    const fn new(stamp: &FileStamp, kind: DigestKind) -> Self {
        Self { device: stamp.device, inode: stamp.inode, kind }
    }
}
