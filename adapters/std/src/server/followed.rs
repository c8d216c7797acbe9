//! Files for whose change clients wait.
//!
//! One thread watches each of them, however many clients wait for it, and wakes their connections. A look at the file each second
//! finds what no watch tells: another file with its name, and changes where the system has no watch to give.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use coracle_core::{FileInfo, FileName, Store, StoreError, Version};

use super::arrivals::Arrivals;
use super::wake_list::ConnectionWaker;
use crate::sys::{Changes, FileWatcher, WatchId};
use crate::transport::KernelFile;

/// Between two looks at a file.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a file is kept open that was replaced, or for which no client waits any more.
const KEPT: Duration = Duration::from_secs(60);
/// How long a name may belong to no file before clients are told: between the two steps of a rotation it is a moment.
const GONE: Duration = Duration::from_millis(100);
/// Files that are kept open without a client that waits. Those that no client has waited for longest give way.
const MAX_IDLE: usize = 128;

/// The files of a store for which clients wait.
pub(super) struct FollowedFiles<F> {
    /// `None` where the system has no descriptor for it: then no client can wait.
    watcher: Option<FileWatcher>,
    state: Mutex<State<F>>,
}

struct State<F> {
    files: HashMap<String, Followed<F>>,
    replaced: Vec<Replaced<F>>,
    /// Watches of files that have changed since they were looked at.
    changed: HashSet<WatchId>,
    last_id: u64,
    is_closed: bool,
}

/// A file that was open at the last look.
struct Followed<F> {
    /// `None` before the first look.
    seen: Option<(Shared<F>, FileInfo)>,
    /// Since when its name has belonged to no file.
    missing: Option<Instant>,
    /// Clients were told so, and no other one waits.
    is_told_missing: bool,
    watch: Option<WatchId>,
    arrivals: Arrivals,
    looked: Option<Instant>,
    followers: HashMap<u64, Arc<Follower>>,
    /// When the last follower left.
    left: Instant,
}

/// A file whose name belongs to another one since.
struct Replaced<F> {
    name: String,
    version: Version,
    file: Shared<F>,
    /// The version of the one that has it, where no third one had it in between.
    next: Option<Version>,
    until: Instant,
}

/// A file that was kept.
pub(super) struct Kept<F> {
    pub file: Shared<F>,
    /// The version of the one that has its name, as far as that is known.
    pub next: Option<Version>,
}

/// A file that several threads read.
pub(super) type Shared<F> = Arc<Mutex<F>>;

struct Follower {
    connection: ConnectionWaker,
    size: u64,
    version: Version,
    is_woken: AtomicBool,
    /// Woken since the name belongs to no file.
    is_gone: AtomicBool,
}

/// A client that waits for a file to change, until this is dropped.
pub struct Following<'f> {
    files: Arc<dyn FollowedNames + 'f>,
    name: String,
    id: u64,
    follower: Arc<Follower>,
}

/// Files of any store for which clients wait.
trait FollowedNames: Send + Sync {
    /// A client no longer waits for the file `name`.
    fn leave(&self, name: &str, follower: u64);
}

impl<F> FollowedFiles<F> {
    pub(super) fn new() -> Self {
        let state = State {
            files: HashMap::new(),
            replaced: Vec::new(),
            changed: HashSet::new(),
            last_id: 0,
            is_closed: false,
        };
        Self { watcher: FileWatcher::new().ok(), state: Mutex::new(state) }
    }

    /// Whether clients can wait.
    pub(super) const fn can_watch(&self) -> bool {
        self.watcher.is_some()
    }

    /// Begins to watch the file `name` for a connection, for which it is `info`.
    pub(super) fn follow<'f>(
        self: &Arc<Self>,
        name: FileName<'_>,
        info: &FileInfo,
        connection: ConnectionWaker,
    ) -> Following<'f>
    where
        F: Send + 'f,
    {
        let mut state = self.state();
        let is_gone = state.files.get(name.as_str()).is_some_and(|file| file.is_told_missing);
        let [is_woken, is_gone] = [is_gone; 2].map(AtomicBool::new);
        let follower = Follower { connection, size: info.size, version: info.version.clone(), is_woken, is_gone };
        let follower = Arc::new(follower);
        state.last_id += 1;
        let id = state.last_id;
        if !state.files.contains_key(name.as_str()) {
            state.make_room();
        }
        let file = state.files.entry(name.as_str().to_owned()).or_insert_with(|| Followed::new(name.as_str()));
        file.followers.insert(id, Arc::clone(&follower));
        let is_known = !file.is_told_missing && file.seen.as_ref().is_some_and(|(_, seen)| follower.knows(seen));
        if !is_known {
            file.looked = None;
        }
        drop(state);
        if let (false, Some(watcher)) = (is_known, &self.watcher) {
            watcher.wake();
        }
        let files: Arc<dyn FollowedNames + 'f> = Arc::<Self>::clone(self);
        Following { files, name: name.as_str().to_owned(), id, follower }
    }

    /// The file that was called `name` when it had this version; `is_other` where another one has the name now.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotReady`] until the thread that watches has seen that.
    pub(super) fn kept(
        &self,
        name: FileName<'_>,
        version: &str,
        is_other: bool,
    ) -> Result<Option<Kept<F>>, StoreError> {
        let mut state = self.state();
        let is_it = |known: &str, its: &Version| known == name.as_str() && its.as_str() == version;
        if let Some(kept) = state.replaced.iter().rfind(|kept| is_it(&kept.name, &kept.version)) {
            return Ok(Some(Kept { file: Arc::clone(&kept.file), next: kept.next.clone() }));
        }
        let is_closed = state.is_closed;
        let followed = state.files.get_mut(name.as_str());
        let Some(followed) = followed.filter(|file| file.has_version(version)) else { return Ok(None) };
        if let (true, false, Some(watcher)) = (is_other, is_closed, &self.watcher) {
            followed.looked = None;
            watcher.wake();
            return Err(StoreError::NotReady);
        }
        Ok(followed.seen.as_ref().map(|(file, _)| Kept { file: Arc::clone(file), next: None }))
    }

    /// Ends [`FollowedFiles::run`].
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        if let Some(watcher) = &self.watcher {
            watcher.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State<F>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: KernelFile> FollowedFiles<F> {
    /// Watches the files, until [`FollowedFiles::close`] is called.
    pub(super) fn run(&self, store: &mut impl Store<File = F>) {
        let Some(watcher) = &self.watcher else { return };
        let mut timeout = None;
        loop {
            let changes = watcher.wait(timeout);
            let mut state = self.state();
            if state.is_closed {
                return;
            }
            state.note(&changes);
            let now = Instant::now();
            state.forget(now, watcher);
            let changed = std::mem::take(&mut state.changed);
            let is_due = |file: &Followed<F>| {
                file.watch.is_some_and(|watch| changed.contains(&watch))
                    || file.looked.is_none_or(|looked| now.duration_since(looked) >= file.look_interval())
            };
            let due = state.files.iter().filter(|(_, file)| is_due(file)).map(|(name, _)| name.clone());
            let due: Vec<String> = due.collect();
            drop(state);
            for name in due {
                self.look(store, watcher, &name);
            }
            let state = self.state();
            let is_due = !state.changed.is_empty() || state.files.values().any(|file| file.looked.is_none());
            timeout =
                if is_due { Some(Duration::ZERO) } else { state.files.values().map(Followed::look_interval).min() };
        }
    }

    /// Looks at the file `name`, and wakes those for whom it is another one than they know.
    fn look(&self, store: &mut impl Store<File = F>, watcher: &FileWatcher, name: &str) {
        let Ok(file_name) = FileName::new(name) else { return };
        let mut open = || {
            let file = store.open(file_name)?;
            // Watched before it is looked at, so that nothing is missed in between. The first answer is of when it was opened.
            let watch = file.followed_file().and_then(|file| watcher.watch(file));
            store.info(&file)?;
            Ok((store.info(&file)?, file, watch))
        };
        let mut before = self.note(watcher, name);
        let mut opened = open();
        if let Ok((_, file, _)) = &opened
            && self.is_newly_watched(watcher, name, file)
        {
            // What was opened before that may have lost its name unnoticed.
            before = self.note(watcher, name);
            opened = open();
        }
        self.note(watcher, name);
        let mut state = self.state();
        let State { files, replaced, .. } = &mut *state;
        let Some(followed) = files.get_mut(name) else { return };
        followed.looked = Some(Instant::now());
        let info = match opened {
            Ok((info, file, watch)) => {
                if let Some((old, seen)) = followed.seen.take_if(|(_, seen)| seen.version != info.version) {
                    let is_next = followed.arrivals.is_next(before);
                    let then = store.info(&old.lock().unwrap_or_else(PoisonError::into_inner));
                    // Otherwise it is the same file, changed.
                    if then.is_ok_and(|then| then.version == seen.version) {
                        let (next, until) = (is_next.then(|| info.version.clone()), Instant::now() + KEPT);
                        let (name, version) = (name.to_owned(), seen.version);
                        replaced.push(Replaced { name, version, file: old, next, until });
                    }
                } else {
                    followed.arrivals.is_same(before);
                }
                if let Some(old) = followed.watch.filter(|old| Some(*old) != watch) {
                    watcher.unwatch(old);
                }
                (followed.watch, followed.missing, followed.is_told_missing) = (watch, None, false);
                followed.seen = Some((Arc::new(Mutex::new(file)), info.clone()));
                info
            }
            // Those who ask themselves are told when it is.
            Err(StoreError::NotReady) => return followed.wake(|_| true),
            Err(_) => {
                // Until another file has the name, what is added to this one is of use.
                let then = followed.seen.as_mut().and_then(|(file, before)| {
                    *before = store.info(&file.lock().unwrap_or_else(PoisonError::into_inner)).ok()?;
                    Some(before.clone())
                });
                let since = *followed.missing.get_or_insert_with(Instant::now);
                if !followed.is_told_missing && since.elapsed() >= GONE {
                    followed.is_told_missing = true;
                    followed.followers.values().for_each(|follower| follower.is_gone.store(true, Ordering::Release));
                    return followed.wake(|_| true);
                }
                match then {
                    Some(info) => info,
                    None => return followed.wake(|_| true),
                }
            }
        };
        followed.wake(|follower| !follower.knows(&info));
    }
}

impl<F> FollowedFiles<F> {
    /// Takes note of what has happened by now, and returns how many files have got the name `name`.
    fn note(&self, watcher: &FileWatcher, name: &str) -> u32 {
        let mut state = self.state();
        state.note(&watcher.changes());
        state.files.get(name).map_or(0, |file| file.arrivals.count())
    }

    /// Watches where the name of `file` is given to others, unless that is watched.
    fn is_newly_watched(&self, watcher: &FileWatcher, name: &str, file: &F) -> bool
    where
        F: KernelFile,
    {
        let mut state = self.state();
        let Some(followed) = state.files.get_mut(name) else { return false };
        let leaf = followed.arrivals.leaf();
        let directory = file.followed_file().and_then(|file| watcher.watch_directory(file, leaf));
        !followed.arrivals.set_directory(directory) && directory.is_some()
    }
}

impl<F> State<F> {
    fn note(&mut self, changes: &Changes) {
        if changes.is_empty() {
            return;
        }
        self.changed.extend(&changes.files);
        for file in self.files.values_mut() {
            if file.arrivals.note(changes) {
                file.looked = None;
            }
        }
    }

    /// Closes what no client has waited for in a while.
    fn forget(&mut self, now: Instant, watcher: &FileWatcher) {
        self.replaced.retain(|kept| now < kept.until);
        let mut left = HashSet::new();
        self.files.retain(|_, file| {
            let is_kept = !file.followers.is_empty() || now.duration_since(file.left) < KEPT;
            if let (false, Some(watch)) = (is_kept, file.watch) {
                watcher.unwatch(watch);
            }
            left.extend(file.arrivals.directory().filter(|_| !is_kept));
            is_kept
        });
        for directory in left {
            if self.files.values().all(|file| file.arrivals.directory() != Some(directory)) {
                watcher.unwatch(directory);
            }
        }
    }

    /// Has the file closed soon that no client has waited for longest, where there are many.
    fn make_room(&mut self) {
        let idle = self.files.values_mut().filter(|file| file.followers.is_empty());
        let mut idle: Vec<_> = idle.collect();
        if idle.len() >= MAX_IDLE
            && let Some(oldest) = idle.iter_mut().min_by_key(|file| file.left)
            && let Some(long_ago) = Instant::now().checked_sub(KEPT)
        {
            oldest.left = long_ago;
            oldest.seen = None;
        }
    }
}

impl<F> Followed<F> {
    fn new(name: &str) -> Self {
        Self {
            arrivals: Arrivals::new(name),
            seen: None,
            missing: None,
            is_told_missing: false,
            watch: None,
            looked: None,
            followers: HashMap::new(),
            left: Instant::now(),
        }
    }

    fn has_version(&self, version: &str) -> bool {
        self.seen.as_ref().is_some_and(|(_, info)| info.version.as_str() == version)
    }

    /// Between two looks.
    fn look_interval(&self) -> Duration {
        if self.missing.is_some() && !self.is_told_missing { GONE } else { LOOK_INTERVAL }
    }

    fn wake(&self, is_concerned: impl Fn(&Follower) -> bool) {
        for follower in self.followers.values().filter(|follower| is_concerned(follower)) {
            // Once is enough: its connection then looks at the file itself.
            if !follower.is_woken.swap(true, Ordering::AcqRel) {
                follower.connection.wake();
            }
        }
    }
}

impl Follower {
    /// Whether the file is what it was when its client began to wait.
    fn knows(&self, info: &FileInfo) -> bool {
        self.size == info.size && self.version == info.version
    }
}

impl<F: Send> FollowedNames for FollowedFiles<F> {
    fn leave(&self, name: &str, follower: u64) {
        let mut state = self.state();
        if let Some(file) = state.files.get_mut(name) {
            file.followers.remove(&follower);
            file.left = Instant::now();
        }
    }
}

impl Following<'_> {
    /// Whether the file may have changed.
    pub(super) fn is_woken(&self) -> bool {
        self.follower.is_woken.load(Ordering::Acquire)
    }

    /// Whether its name belongs to no file, as of when the client was woken.
    pub(super) fn is_gone(&self) -> bool {
        self.follower.is_gone.load(Ordering::Acquire)
    }
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        self.files.leave(&self.name, self.id);
    }
}
