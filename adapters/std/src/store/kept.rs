//! The contents of small files that were asked for before.

use std::ffi::CString;
use std::fs::File;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use coracle_core::FileInfo;
use lru::LruCache;
use rustix::fs::{AtFlags, FsWord, StatxFlags, fstat, fstatfs, statx};
use rustix::path::Arg;
use rustix::process::{Resource, getrlimit};

use super::version::Stamp;
use crate::clock::coarse_ms;

/// The longest file that is kept, in bytes.
const LONGEST: u64 = 4096;

/// How long an open file speaks for its name, in milliseconds.
const TRUSTED_MS: u64 = 1000;

/// File systems on which a file's change time tells of every change, that of its names included: whoever removes,
/// replaces, moves or exchanges a name changes the file. These are ext2 to ext4, and tmpfs (`linux/magic.h`), on which the
/// tests try that; of others it is not known.
const TELLING: [u64; 2] = [0xEF53, 0x0102_1994];

/// How many files are held open at most, and which part of the descriptors that the process may have.
pub(crate) const OPEN_MAX: usize = 64;
const OPEN_SHARE: u64 = 16;

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
    /// The device of the root, where that is on one of the file systems that are [`TELLING`].
    telling: Option<u64>,
    max_open: usize,
    /// Held by each that is open.
    open: Arc<()>,
}

/// A small file, as it was when it was read.
#[derive(Debug)]
pub(super) struct Kept {
    /// As the kernel wants it.
    name: CString,
    pub(super) stamp: Stamp,
    pub(super) info: FileInfo,
    pub(super) contents: Box<[u8]>,
    /// The first that was sent more than once.
    answer: OnceLock<Box<[u8]>>,
    witness: Option<Witness>,
}

/// The open file, which is asked in place of its name: no path has to be walked then, which takes longer than all the
/// rest of the question. Only files right beneath the root have one: the directories on the way to others may change, and
/// the files do not tell.
///
/// What hides a file without touching it (a mount over its name, the root's permissions) only its name tells, so that is
/// asked once a second.
#[derive(Debug)]
struct Witness {
    file: File,
    /// When the name was asked last.
    asked_ms: AtomicU64,
    _open: Arc<()>,
}

impl KeptFiles {
    pub(super) fn new(root: impl AsFd, max_files: usize) -> Self {
        let device = fstat(&root).ok().map(|stat| Stamp::new(&stat).device);
        let is_telling = fstatfs(&root).is_ok_and(|system| is_telling(system.f_type));
        Self {
            files: NonZeroUsize::new(max_files).map(|max| Mutex::new(LruCache::new(max))),
            telling: device.filter(|_| is_telling),
            max_open: max_open(getrlimit(Resource::Nofile).current),
            open: Arc::new(()),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().map_or(0, |files| files.len())
    }

    /// The file `name` beneath `root`, if it is kept and has not changed.
    pub(super) fn find(&self, root: impl AsFd, name: &str) -> Option<Arc<Kept>> {
        let kept = self.lock()?.get(name).cloned()?;
        if kept.is_current(root) {
            return Some(kept);
        }
        let mut files = self.lock()?;
        // Unless it has been read anew meanwhile.
        if files.peek(name).is_some_and(|now| Arc::ptr_eq(now, &kept)) {
            files.pop(name);
        }
        None
    }

    /// Whether the file `name`, which was opened as `stamp` says, is worth keeping.
    pub(super) fn would_take(&self, root: impl AsFd, name: &str, stamp: &Stamp) -> bool {
        self.files.is_some() && stamp.size <= LONGEST && leads_to(root, name, stamp)
    }

    /// Keeps what was read from `file`.
    pub(super) fn insert(
        &self,
        name: &str,
        file: File,
        stamp: Stamp,
        info: FileInfo,
        contents: Box<[u8]>,
    ) -> Arc<Kept> {
        let mut files = self.lock();
        let is_told = self.telling == Some(stamp.device) && !name.contains('/');
        // The lock is held, and one of them is the store's own.
        let witness = (is_told && Arc::strong_count(&self.open) <= self.max_open).then(|| Witness {
            file,
            asked_ms: AtomicU64::new(0),
            _open: Arc::clone(&self.open),
        });
        // There is no NUL in a file's name; an empty one leads nowhere.
        let c_name = CString::new(name).unwrap_or_default();
        let kept = Arc::new(Kept { name: c_name, stamp, info, contents, answer: OnceLock::new(), witness });
        if let Some(files) = &mut files {
            files.put(name.into(), Arc::clone(&kept));
        }
        kept
    }

    fn lock(&self) -> Option<MutexGuard<'_, LruCache<Box<str>, Arc<Kept>>>> {
        // A thread that panicked here has at worst left a file out.
        self.files.as_ref().map(|files| files.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Kept {
    /// Whether its name beneath `root` still leads to it.
    #[inline(always)] // as `Transport` advises
    pub(super) fn is_current(&self, root: impl AsFd) -> bool {
        let Some(witness) = &self.witness else { return leads_to(root, self.name.as_c_str(), &self.stamp) };
        let now_ms = coarse_ms();
        if now_ms.saturating_sub(witness.asked_ms.load(Ordering::Relaxed)) < TRUSTED_MS {
            return fstat(&witness.file).is_ok_and(|now| Stamp::new(&now) == self.stamp);
        }
        let is_current = leads_to(root, self.name.as_c_str(), &self.stamp);
        if is_current {
            witness.asked_ms.store(now_ms, Ordering::Relaxed);
        }
        is_current
    }

    /// Keeps an answer that was sent about it, if there is none.
    pub(super) fn keep_answer(&self, answer: &[u8]) {
        self.answer.get_or_init(|| answer.into());
    }

    #[inline(always)] // as `Transport` advises
    pub(super) fn answer(&self) -> Option<&[u8]> {
        self.answer.get().map(|answer| &**answer)
    }
}

/// Whether `name` beneath `root` is, at this moment, the file that `stamp` tells of.
#[inline(always)] // as `Transport` advises
fn leads_to(root: impl AsFd, name: impl Arg, stamp: &Stamp) -> bool {
    // A link is another file than the one it leads to, so what it leads to is opened each time. A file system that asks a
    // server of its own has to ask now, as it would for an opening.
    let how = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_FORCE_SYNC;
    let now = statx(root, name, how, StatxFlags::BASIC_STATS).ok().and_then(|now| Stamp::of_statx(&now));
    now.as_ref() == Some(stamp)
}

#[allow(clippy::useless_conversion, reason = "its type differs from target to target")]
fn is_telling(file_system: FsWord) -> bool {
    u64::try_from(file_system).is_ok_and(|magic| TELLING.contains(&magic))
}

fn max_open(descriptors: Option<u64>) -> usize {
    descriptors.and_then(|max| usize::try_from(max / OPEN_SHARE).ok()).unwrap_or(OPEN_MAX).min(OPEN_MAX)
}

#[cfg(test)]
mod tests {
    use super::{is_telling, max_open};

    #[test]
    fn few_descriptors_are_taken() {
        for (limit, expected) in [(Some(0), 0), (Some(20), 1), (Some(256), 16), (Some(1024), 64), (Some(u64::MAX), 64)]
        {
            assert_eq!(max_open(limit), expected, "{limit:?}");
        }
        assert_eq!(max_open(None), 64);
    }

    /// `stat -f -c %t` tells them.
    #[test]
    fn file_systems_whose_files_tell_of_their_names() {
        assert!(is_telling(0xEF53) && is_telling(0x0102_1994));
        for (name, magic) in [("XFS", 0x5846_5342), ("NFS", 0x6969), ("FUSE", 0x6573_5546), ("overlay", 0x794C_7630)] {
            assert!(!is_telling(magic), "{name}");
        }
    }
}
