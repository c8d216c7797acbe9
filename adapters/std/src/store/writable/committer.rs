//! Commits many uploads together: those that wait at the same time share each step that waits for the disk.

use std::io;
use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use coracle_core::{FileInfo, WriteError};

use super::commit::Commit;
use super::commits::Commits;
use super::place::{Place, sync, write_error};
use super::writer::Writer;
use crate::local::{Identity, SystemDirectory};

/// Files of more bytes are synced by a thread of their own before they wait with the others.
pub(super) const LARGE: u64 = 4 << 20;
/// From so many files and directories on the whole file system is synced, which then takes less time than one sync of each. It
/// also writes what other programs have written, so that fewer are synced one by one.
const MIN_SHARED: usize = 3;
/// A batch waits for other uploads no longer than the one before took, and than this.
const MAX_PATIENCE: Duration = Duration::from_millis(100);

impl Writer {
    /// Commits an upload that is prepared, in another thread.
    pub fn commit(self: &Arc<Self>, commit: Commit) {
        let writer = Arc::clone(self);
        if commit.size > LARGE {
            // Where there can be no thread, the commit ends with an error, since it is dropped.
            drop(spawn("sync", move || writer.sync_and_commit(commit)));
        } else if self.commits.batches.push(commit) && spawn("commit", move || writer.lead()).is_err() {
            self.lead();
        }
    }

    /// Syncs the contents of a large file, and commits it with the others.
    fn sync_and_commit(&self, mut commit: Commit) {
        match commit.sync() {
            Ok(()) => {
                commit.is_synced = true;
                if self.commits.batches.push(commit) {
                    self.lead();
                }
            }
            Err(error) => commit.finish(Err(error)),
        }
    }

    /// Commits `deferred` together, in this thread.
    pub fn commit_deferred(&self, deferred: Vec<Commit>) {
        if self.commits.batches.push_all(deferred) {
            self.lead();
        }
    }

    /// Commits what waits, until nothing does.
    fn lead(&self) {
        let leading = Leading(&self.commits);
        let mut named = Vec::new();
        let mut took = Duration::ZERO;
        while let Some(batch) = self.commits.batches.next(named.is_empty(), took.min(MAX_PATIENCE)) {
            let began = Instant::now();
            named = self.commit_batch(batch, named);
            took = began.elapsed();
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
            let is_inside = Some(commit.place().identity.device) == commits.device;
            let outcome = match &outcome {
                Ok(()) if is_shared && !is_inside => commit.place().sync(),
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
type Named = (Commit, Option<FileInfo>);

/// The directories that have to be synced for names to be durable.
struct Directories {
    of_files: Vec<Arc<Place>>,
    new: Vec<(Identity, SystemDirectory)>,
}

impl Directories {
    fn of(named: &[Named], commits: &Commits) -> Self {
        let mut of_files: Vec<Arc<Place>> = Vec::new();
        for (commit, _) in named {
            if of_files.iter().all(|place| place.identity != commit.place().identity) {
                of_files.push(Arc::clone(commit.place()));
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
            if let Err(error) = sync(&directory) {
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

/// Lets the commits that wait fail where the thread that leads panics: no other thread would commit them.
struct Leading<'c>(&'c Commits);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        self.0.batches.give_up();
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;
    use std::{fs, thread};

    use coracle_core::{
        Begun, Committed, Digest, DigestKind, FileInfo, FileName, Hasher, Instant, Put, PutAttempt, Store,
        WritableStore,
    };

    use super::super::{WritableDirectoryStore, WriteOptions};
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
        assert!(commits.batches.next(true, Duration::ZERO).is_none());
        assert!(commits.lock_new_directories().is_empty(), "each was synced before a file in it counted as stored");
    }
}
