//! Versions of files that are only appended to.
//!
//! Such a file keeps its version while it grows. It gets another one when it is seen to have shrunk, or when bytes that it
//! had are others now.

use std::fmt;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use coracle_core::{Digest, DigestKind, FileName, Hasher, StoreError, Version};
use lru::LruCache;

use crate::local::FileHandle;
use crate::sys::{FileStamp, stamp};

/// The bytes at the beginning, and before the end, that are compared each time that a file has changed.
const WINDOW_LEN: u64 = 4096;

/// Files whose state is kept. One that is forgotten has the version again that its beginning gives it.
const MAX_FILES: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Hexadecimal digits in a version, as in that of any other file.
const VERSION_LEN: usize = 32;

type Rule = dyn Fn(FileName<'_>) -> bool + Send + Sync;

/// Which files are only appended to, and the state in which each was seen last. Clones share it.
#[derive(Clone, Default)]
pub(super) struct AppendOnly(Option<Arc<Shared>>);

struct Shared {
    rule: Box<Rule>,
    generations: Arc<Generations>,
}

/// The state in which each file was seen last, by device and inode.
pub(super) struct Generations(Mutex<LruCache<(u64, u64), Slot>>);

/// The state of one file; `None` before the first look.
type Slot = Arc<Mutex<Option<Generation>>>;

/// A file from one truncation or replacement to the next.
struct Generation {
    version: Version,
    stamp: FileStamp,
    head: Window,
    tail: Window,
}

/// Some bytes of a file.
#[derive(PartialEq, Eq)]
struct Window {
    from: u64,
    len: u64,
    digest: Digest,
}

impl AppendOnly {
    pub fn new(rule: impl Fn(FileName<'_>) -> bool + Send + Sync + 'static) -> Self {
        let generations = Arc::new(Generations(Mutex::new(LruCache::new(MAX_FILES))));
        Self(Some(Arc::new(Shared { rule: Box::new(rule), generations })))
    }

    /// What the versions of the file `name` come from; `None` where it is a file like others.
    pub fn generations(&self, name: FileName<'_>) -> Option<Arc<Generations>> {
        self.0.as_ref().filter(|shared| (shared.rule)(name)).map(|shared| Arc::clone(&shared.generations))
    }
}

impl Generations {
    /// The state of `file` now, and its version.
    pub fn look(&self, file: &File, has_lasting_inode: bool) -> Result<(FileStamp, Version), StoreError> {
        let key = stamp(file).map(|(stamp, _)| (stamp.device, stamp.inode)).map_err(|_| StoreError::Io)?;
        let known = {
            let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(files.get_or_insert(key, Arc::default))
        };
        // What was seen earlier must not be taken for a file that shrank since: so it is looked at under the lock.
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, _) = stamp(file).map_err(|_| StoreError::Io)?;
        let next = match known.as_ref() {
            Some(before) => before.next(file, now).map_err(|_| StoreError::Io)?,
            None => Some(Generation::first(file, now, has_lasting_inode).map_err(|_| StoreError::Io)?),
        };
        if let Some(next) = next {
            *known = Some(next);
        }
        known.as_ref().map(|generation| (now, generation.version.clone())).ok_or(StoreError::Io)
    }
}

impl Generation {
    /// That of a file of which nothing is known.
    fn first(file: &File, now: FileStamp, has_lasting_inode: bool) -> io::Result<Self> {
        let inode = if has_lasting_inode { now.inode } else { 0 };
        Self::with_version(version(&inode.to_le_bytes(), file, now.size)?, file, now)
    }

    /// That of `file` in the state `now`; `None` where nothing has changed.
    fn next(&self, file: &File, now: FileStamp) -> io::Result<Option<Self>> {
        let is_same = now == self.stamp;
        // The times of one that was changed a moment ago may hide a change since.
        if is_same && now.is_settled(SystemTime::now()) {
            return Ok(None);
        }
        let is_continued =
            now.size >= self.stamp.size && self.tail.holds(file)? && (self.tail.from == 0 || self.head.holds(file)?);
        match is_continued {
            true if is_same => Ok(None),
            true => Self::with_version(self.version.clone(), file, now).map(Some),
            // Never one that it had before, whatever it begins with.
            false => {
                Self::with_version(version(self.version.as_str().as_bytes(), file, now.size)?, file, now).map(Some)
            }
        }
    }

    fn with_version(version: Version, file: &File, now: FileStamp) -> io::Result<Self> {
        let len = now.size.min(WINDOW_LEN);
        let head = Window::read(file, 0, len, DigestKind::Crc32)?;
        let tail = Window::read(file, now.size.saturating_sub(len), len, DigestKind::Crc32)?;
        Ok(Self { version, stamp: now, head, tail })
    }
}

impl Window {
    /// Whether `file` still has these bytes there.
    fn holds(&self, file: &File) -> io::Result<bool> {
        Ok(Self::read(file, self.from, self.len, self.digest.kind())? == *self)
    }

    /// The `len` bytes from `from` on. Their digest is another one where there are fewer.
    fn read(file: &File, from: u64, len: u64, kind: DigestKind) -> io::Result<Self> {
        let mut hasher = hasher(kind);
        let mut buf = [0; WINDOW_LEN as usize];
        let mut done = 0;
        while done < len {
            let room = usize::try_from(len.saturating_sub(done)).map_or(buf.len(), |rest| rest.min(buf.len()));
            let buf = buf.get_mut(..room).unwrap_or_default();
            match FileHandle::read_at(file, buf, from.saturating_add(done)) {
                Ok(0) => break,
                Ok(len) => {
                    hasher.update(buf.get(..len).unwrap_or_default());
                    done = done.saturating_add(len as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if done < len {
            // It has shrunk meanwhile, which the next look has to notice, even if it has grown again by then.
            hasher.update(&[0]);
        }
        Ok(Self { from, len, digest: hasher.finish() })
    }
}

fn hasher(kind: DigestKind) -> Hasher {
    Hasher::new(kind).expect("this crate turns on the core's SHA-256")
}

/// A version that `seed` and the beginning of a file of `size` bytes make.
fn version(seed: &[u8], file: &File, size: u64) -> io::Result<Version> {
    let head = Window::read(file, 0, size.min(WINDOW_LEN), DigestKind::Sha256)?;
    let mut hasher = hasher(DigestKind::Sha256);
    hasher.update(b"append-only");
    hasher.update(seed);
    hasher.update(&head.len.to_le_bytes());
    hasher.update(head.digest.to_hex().as_str().as_bytes());
    let hex = hasher.finish().to_hex();
    let digits = hex.as_str().get(..VERSION_LEN).unwrap_or_default();
    Ok(Version::new(digits).expect("hexadecimal digits are a version"))
}

impl fmt::Debug for AppendOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "AppendOnly" } else { "None" })
    }
}

impl fmt::Debug for Generations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Generations")
    }
}
