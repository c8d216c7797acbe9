//! Digests of objects that were computed before.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use coracle_core::{Digest, DigestKind, FileInfo, Version};
use lru::LruCache;

/// A bounded number of digests; the least recently used one makes room for a new one.
#[derive(Debug)]
pub(super) struct ObjectDigests {
    /// By the kind and the key of the object; `None` where nothing is cached.
    digests: Option<Mutex<Digests>>,
}

type Digests = LruCache<(DigestKind, String), (Version, Digest)>;

impl ObjectDigests {
    pub(super) fn new(max_digests: usize) -> Self {
        Self { digests: NonZeroUsize::new(max_digests).map(|max| Mutex::new(LruCache::new(max))) }
    }

    /// The digest of the object `key` in the state `info`.
    pub(super) fn find(&self, key: &str, info: &FileInfo, kind: DigestKind) -> Option<Digest> {
        let mut digests = self.digests.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        let (version, digest) = digests.get(&(kind, key.to_owned()))?;
        (*version == info.version).then_some(*digest)
    }

    pub(super) fn insert(&self, key: &str, info: &FileInfo, digest: Digest) {
        if let Some(digests) = &self.digests {
            let mut digests = digests.lock().unwrap_or_else(PoisonError::into_inner);
            digests.put((digest.kind(), key.to_owned()), (info.version.clone(), digest));
        }
    }
}

#[cfg(test)]
mod tests {
    use coracle_core::{Digest, DigestKind, FileInfo, Version};

    use super::ObjectDigests;

    #[test]
    fn a_digest_belongs_to_one_state_of_an_object() {
        let info = |version| FileInfo::new(1, Version::new(version).expect("a version"));
        let digests = ObjectDigests::new(2);
        digests.insert("a", &info("1"), Digest::Crc32(7));
        assert_eq!(digests.find("a", &info("1"), DigestKind::Crc32), Some(Digest::Crc32(7)));
        assert_eq!(digests.find("a", &info("1"), DigestKind::Sha256), None);
        assert_eq!(digests.find("a", &info("2"), DigestKind::Crc32), None);
        assert_eq!(digests.find("b", &info("1"), DigestKind::Crc32), None);
        digests.insert("a", &info("2"), Digest::Crc32(8));
        assert_eq!(digests.find("a", &info("2"), DigestKind::Crc32), Some(Digest::Crc32(8)));
        let none = ObjectDigests::new(0);
        none.insert("a", &info("1"), Digest::Crc32(7));
        assert_eq!(none.find("a", &info("1"), DigestKind::Crc32), None);
    }
}
