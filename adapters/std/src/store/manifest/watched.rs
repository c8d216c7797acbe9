//! The manifest of a tree that is served, read again when it is replaced.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use coracle_core::Digest;

use super::{Manifest, ManifestError};
use crate::sys::{FileStamp, stamp};

/// Between two looks at the file.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What becomes of a manifest that digests are taken from.
#[derive(Debug)]
#[non_exhaustive]
pub enum ManifestEvent<'a> {
    /// It was read.
    Read {
        /// Number of files in it.
        files: usize,
    },
    /// It is not used.
    Ignored(&'a ManifestError),
    /// It has no digest of this file as it is: the file is newer, or the manifest belongs to another tree. Told once for each
    /// time that the manifest is read.
    Outdated {
        /// The file that was asked for.
        name: &'a str,
    },
}

type Observer = dyn Fn(&ManifestEvent<'_>) + Send + Sync;

/// A manifest in a file, which may be replaced.
pub(in super::super) struct WatchedManifest {
    path: PathBuf,
    observer: Box<Observer>,
    current: RwLock<Arc<Manifest>>,
    /// The thread that has it looks at the file.
    looked: Mutex<Looked>,
    is_outdated_told: AtomicBool,
}

/// The last look at the file.
struct Looked {
    at: Instant,
    /// `None` where there was none.
    stamp: Option<FileStamp>,
}

impl WatchedManifest {
    /// The manifest in the file `path`, if there is one. A relative path belongs to the current directory as it is now.
    pub fn new(path: &Path, observer: impl Fn(&ManifestEvent<'_>) + Send + Sync + 'static) -> Self {
        let this = Self {
            // Where the current directory is gone, so is what lies beneath it.
            path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
            observer: Box::new(observer),
            current: RwLock::default(),
            looked: Mutex::new(Looked { at: Instant::now(), stamp: None }),
            is_outdated_told: AtomicBool::new(false),
        };
        this.read(&mut this.looked.lock().unwrap_or_else(PoisonError::into_inner));
        this
    }

    /// The digest of the file `name`, if it has the size and the time that the manifest says.
    pub fn find(&self, name: &str, stamp: &FileStamp) -> Option<Digest> {
        self.look();
        let current = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        let found = current.get(name).filter(|file| file.size == stamp.size && file.modified == stamp.modified);
        let is_news = found.is_none() && !current.is_empty();
        if is_news && !self.is_outdated_told.swap(true, Ordering::Relaxed) {
            (self.observer)(&ManifestEvent::Outdated { name });
        }
        found.map(|file| file.sha256)
    }

    /// Reads the file again if it is another one. Only one thread does; the others go on with what there is.
    fn look(&self) {
        if let Ok(mut looked) = self.looked.try_lock()
            && looked.at.elapsed() >= LOOK_INTERVAL
        {
            self.read(&mut looked);
        }
    }

    fn read(&self, looked: &mut Looked) {
        looked.at = Instant::now();
        let opened = File::open(&self.path).and_then(|file| Ok((stamp(&file)?.0, file)));
        let (now, read) = match opened {
            Ok((now, _)) if looked.stamp == Some(now) => return,
            Ok((now, file)) => (Some(now), Manifest::read_from(&file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (None, Ok(Manifest::new())),
            // Told once, like one that is damaged, since what it is then stays the same.
            Err(_) if looked.stamp == Some(UNREADABLE) => return,
            Err(error) => (Some(UNREADABLE), Err(error.into())),
        };
        looked.stamp = now;
        let manifest = match read {
            Ok(manifest) => {
                if now.is_some() {
                    (self.observer)(&ManifestEvent::Read { files: manifest.len() });
                }
                manifest
            }
            Err(error) => {
                (self.observer)(&ManifestEvent::Ignored(&error));
                Manifest::new()
            }
        };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(manifest);
        self.is_outdated_told.store(false, Ordering::Relaxed);
    }
}

/// Stands for a file that cannot be opened.
const UNREADABLE: FileStamp = FileStamp { device: 0, inode: 0, size: 0, modified: (0, 0), changed: (0, 0) };

impl fmt::Display for ManifestEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { files } => write!(f, "digests of {files} files are taken from it"),
            Self::Ignored(error) => write!(f, "it is ignored: {error}"),
            Self::Outdated { name } => {
                write!(f, "{name} has another size or time in it, or is not in it: 'coracle index' writes it anew")
            }
        }
    }
}

impl fmt::Debug for WatchedManifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedManifest").field("path", &self.path).finish_non_exhaustive()
    }
}
