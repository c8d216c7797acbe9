//! Commits many uploads together: those that wait at the same time share each step that waits for the disk.

use std::io;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use coracle_core::{FileInfo, WriteError};

use super::commit::Commit;
use super::place::{Place, write_error};
use super::writer::Writer;
use crate::local::{DirectoryHandle, FileSystemHandle, Identity, SystemDirectory};
use crate::sys::SystemFileSystem;

/// Files of more bytes are synced by a thread of their own before they wait with the others.
const LARGE: u64 = 4 << 20;
/// How many uploads are committed together, at most.
const MAX_FILES: usize = 256;
/// From so many files and directories on the whole file system is synced, which then takes less time than one sync of each. It
/// also writes what other programs have written, so that fewer are synced one by one.
const MIN_SHARED: usize = 3;

/// The uploads that wait to be committed.
#[derive(Debug)]
pub(super) struct Commits {
    queue: Mutex<Queue>,
    /// The file system of the store's directory, where a sync of all of it promises what one of each file does.
    file_system: Option<SystemFileSystem>,
    device: Option<u64>,
    /// How many times it could not be synced. Which file that was is told only by a sync of the file itself.
    failures: AtomicU64,
    /// Directories with new directories in them, which are not synced yet.
    new_directories: Mutex<Vec<(Identity, SystemDirectory)>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Commit>,
    /// A thread commits what waits.
    is_led: bool,
}

impl Commits {
    /// Nothing waits; `root` is the store's directory.
    pub fn new(root: &SystemDirectory) -> Self {
        Self {
            queue: Mutex::default(),
            file_system: root.file_system().unwrap_or(None),
            device: root.status(".".as_ref()).ok().flatten().map(|status| status.identity.device),
            failures: AtomicU64::new(0),
            new_directories: Mutex::default(),
        }
    }

    /// For an upload that begins in `directory`, with the first `have` bytes there already: what it has to show to share a sync
    /// of the file system; `None` where it cannot. An error of a write that a sync has told before is not told by the next one.
    pub fn share(&self, directory: Identity, have: u64) -> Option<u64> {
        let is_inside = self.file_system.is_some() && Some(directory.device) == self.device;
        (is_inside && have == 0).then(|| self.failures.load(Ordering::Relaxed))
    }

    /// Creates a directory in `above` by `create`. It is durable before a file counts as stored that is put afterwards.
    pub fn create_directory(&self, above: SystemDirectory, create: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let identity = above.status(".".as_ref())?.map(|status| status.identity);
        // Held while it is created: who finds it there finds it noted, too.
        let mut directories = self.lock_new_directories();
        create()?;
        match identity {
            Some(identity) if self.file_system.is_some() && Some(identity.device) == self.device => {
                if directories.iter().all(|(other, _)| *other != identity) {
                    directories.push((identity, above));
                }
                Ok(())
            }
            _ => above.sync(),
        }
    }

    /// Adds a commit. Returns whether the caller has to let [`Writer::lead`] run.
    fn push(&self, commit: Commit) -> bool {
        let mut queue = self.lock();
        queue.waiting.push(commit);
        !mem::replace(&mut queue.is_led, true)
    }

    /// What is committed next. `None` where nothing waits and `is_done`: then nobody leads any more.
    fn next(&self, is_done: bool) -> Option<Vec<Commit>> {
        let mut queue = self.lock();
        if queue.waiting.is_empty() && is_done {
            queue.is_led = false;
            return None;
        }
        let len = queue.waiting.len().min(MAX_FILES);
        Some(queue.waiting.drain(..len).collect())
    }

    /// Syncs the whole file system; false where that is not possible, or has failed.
    fn sync_all(&self) -> bool {
        let Some(file_system) = &self.file_system else { return false };
        let is_synced = file_system.sync().is_ok();
        if !is_synced {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        is_synced
    }

    fn shares(&self, commit: &Commit) -> bool {
        commit.share.is_some() && commit.share == Some(self.failures.load(Ordering::Relaxed))
    }

    fn lock_new_directories(&self) -> MutexGuard<'_, Vec<(Identity, SystemDirectory)>> {
        self.new_directories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Commits an upload, in another thread.
    pub fn commit(self: &Arc<Self>, commit: Commit) {
        if let Err(error) = commit.prepare() {
            return commit.finish(Err(error));
        }
        let writer = Arc::clone(self);
        if commit.size > LARGE {
            // Where there can be no thread, the commit ends with an error, since it is dropped.
            drop(spawn("sync", move || writer.sync_and_commit(commit)));
        } else if self.commits.push(commit) && spawn("commit", move || writer.lead()).is_err() {
            self.lead();
        }
    }

    /// Syncs the contents of a large file, and commits it with the others.
    fn sync_and_commit(&self, mut commit: Commit) {
        match commit.sync() {
            Ok(()) => {
                commit.is_synced = true;
                if self.commits.push(commit) {
                    self.lead();
                }
            }
            Err(error) => commit.finish(Err(error)),
        }
    }

    /// Commits what waits, until nothing does.
    fn lead(&self) {
        let leading = Leading(&self.commits);
        let mut named = Vec::new();
        while let Some(batch) = self.commits.next(named.is_empty()) {
            named = self.commit_batch(batch, named);
        }
        mem::forget(leading);
    }

    /// Makes the contents of `batch` durable, and the names of what is `named`, by one step where that is possible; then gives
    /// the files of the batch their names. Returns those, whose names are not durable yet.
    fn commit_batch(&self, batch: Vec<Commit>, named: Vec<Named>) -> Vec<Named> {
        let commits = &self.commits;
        let contents = batch.iter().filter(|commit| !commit.is_synced && commits.shares(commit)).count();
        let directories = Directories::of(&named, commits);
        let is_shared = contents + directories.len() >= MIN_SHARED && commits.sync_all();
        let outcome = if is_shared { Ok(()) } else { directories.sync(commits) };
        for (commit, info) in named {
            let is_inside = Some(commit.place.identity.device) == commits.device;
            let outcome = match &outcome {
                Ok(()) if is_shared && !is_inside => commit.place.sync(),
                outcome => *outcome,
            };
            commit.finish(outcome.map(|()| info));
        }
        let mut named = Vec::with_capacity(batch.len());
        for commit in batch {
            let is_synced = commit.is_synced || (is_shared && commits.shares(&commit));
            let synced = if is_synced { Ok(()) } else { commit.sync() };
            match synced.and_then(|()| commit.rename()) {
                Ok(info) => named.push((commit, info)),
                Err(error) => commit.finish(Err(error)),
            }
        }
        named
    }
}

/// A file that has its name, which is not durable yet.
type Named = (Commit, FileInfo);

/// The directories that have to be synced for names to be durable.
struct Directories {
    of_files: Vec<Arc<Place>>,
    new: Vec<(Identity, SystemDirectory)>,
}

impl Directories {
    fn of(named: &[Named], commits: &Commits) -> Self {
        let mut of_files: Vec<Arc<Place>> = Vec::new();
        for (commit, _) in named {
            if of_files.iter().all(|place| place.identity != commit.place.identity) {
                of_files.push(Arc::clone(&commit.place));
            }
        }
        let new = if named.is_empty() { Vec::new() } else { mem::take(&mut *commits.lock_new_directories()) };
        Self { of_files, new }
    }

    fn len(&self) -> usize {
        self.of_files.len() + self.new.len()
    }

    /// Syncs each of them. An error is that of all files, since it tells too little.
    fn sync(self, commits: &Commits) -> Result<(), WriteError> {
        let mut new = self.new.into_iter();
        while let Some((identity, directory)) = new.next() {
            if let Err(error) = directory.sync() {
                // Nothing in them is durable until they are.
                let mut left = commits.lock_new_directories();
                left.push((identity, directory));
                left.extend(new);
                return Err(write_error(&error));
            }
        }
        self.of_files.iter().try_for_each(|place| place.sync())
    }
}

/// Lets the commits that wait fail where the thread that leads panics: nobody else would commit them.
struct Leading<'c>(&'c Commits);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.is_led = false;
        queue.waiting.clear();
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::{fs, thread};

    use coracle_core::{
        Begun, Committed, Digest, DigestKind, FileInfo, FileName, Hasher, Instant, Put, PutAttempt, Store,
        WritableStore,
    };

    use super::super::{WritableDirectoryStore, WriteOptions};
    use crate::local::DirectoryHandle;
    use crate::store::DirectoryStore;

    const NOW: Instant = Instant::from_millis(0);

    fn store(root: &std::path::Path) -> WritableDirectoryStore {
        let store = DirectoryStore::open(root).expect("a directory");
        WritableDirectoryStore::new(store, WriteOptions::new()).expect("it can be read")
    }

    fn digest(bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::new(DigestKind::Sha256).expect("built in");
        hasher.update(bytes);
        hasher.finish()
    }

    fn put(mut store: &WritableDirectoryStore, name: &str, bytes: &[u8]) -> FileInfo {
        let name = FileName::new(name).expect("a name");
        let put = Put::new(name, bytes.len() as u64, digest(bytes)).with_parents(true);
        let begun = store.begin(&put, PutAttempt::new(NOW, false), NOW).expect("begun");
        let Begun::Upload { mut upload, have: 0 } = begun else { panic!("it is new") };
        assert_eq!(store.write(&mut upload, 0, bytes, NOW), Ok(bytes.len()));
        loop {
            if let Committed::Done(info) = store.commit(&mut upload, &put, NOW).expect("stored") {
                return info;
            }
        }
    }

    #[test]
    fn many_at_the_same_time_are_all_stored() {
        let root = tempfile::tempdir().expect("a directory");
        let store = store(root.path());
        let large = vec![7; usize::try_from(super::LARGE).expect("short") + 1];
        thread::scope(|scope| {
            for client in 0..16 {
                let (store, large) = (&store, &large);
                scope.spawn(move || {
                    for at in 0..20 {
                        let name = format!("d{}/e{client}/{at}", at % 3);
                        let bytes = format!("the contents of {name}");
                        let info = put(store, &name, bytes.as_bytes());
                        let mut reader = store;
                        let file = reader.open(FileName::new(&name).expect("a name")).expect("there");
                        assert_eq!(reader.info(&file), Ok(info));
                    }
                    if client % 8 == 0 {
                        put(store, &format!("large-{client}"), large);
                    }
                });
            }
        });
        for (client, at) in (0..16).flat_map(|client| (0..20).map(move |at| (client, at))) {
            let name = format!("d{}/e{client}/{at}", at % 3);
            let contents = fs::read_to_string(root.path().join(&name)).expect("there");
            assert_eq!(contents, format!("the contents of {name}"));
        }
        assert_eq!(fs::read(root.path().join("large-8")).expect("there"), large);
        let commits = &store.writer.commits;
        assert!(!commits.lock().is_led && commits.lock().waiting.is_empty());
        assert!(commits.lock_new_directories().is_empty(), "each was synced before a file in it counted as stored");
    }

    /// A sync of the file system tells an error of a write once, and not whose it was.
    #[test]
    fn what_an_error_may_have_hit_is_synced_by_itself() {
        let root = tempfile::tempdir().expect("a directory");
        let store = store(root.path());
        let commits = &store.writer.commits;
        let identity = store.writer.root.status(".".as_ref()).expect("read").expect("there").identity;
        let before = commits.share(identity, 0);
        assert_eq!(before, Some(0), "on this file system all files can be synced together");
        assert_eq!(commits.share(identity, 1), None, "an earlier connection wrote the beginning");
        let other = crate::local::Identity { device: identity.device + 1, ..identity };
        assert_eq!(commits.share(other, 0), None, "it is another file system");
        commits.failures.fetch_add(1, Ordering::Relaxed);
        assert_ne!(commits.share(identity, 0), before);
        let (store, large) = (Arc::new(store), b"contents");
        assert_eq!(put(&store, "a", large).size, 8);
    }
}
