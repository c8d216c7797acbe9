//! Commits uploads later: with those that come meanwhile, so that all of them share each step that waits for the disk.

use std::sync::Arc;
use std::thread::Builder;

use coracle_core::Deferral;

use super::commit::Commit;
use super::committer::LARGE;
use super::writer::Writer;

impl Writer {
    /// Commits an upload that is prepared: later, or now where it cannot be later. Then there is no deferral.
    pub fn commit_later(self: &Arc<Self>, commit: Commit) -> Option<Deferral> {
        if commit.size > LARGE || !self.commits.shares(&commit) || !self.deferred.has_room() {
            self.commit(commit);
            return None;
        }
        let added = self.deferred.add(commit);
        if added.is_first {
            let writer = Arc::clone(self);
            let commit = move || writer.commit_deferred(writer.deferred.hold());
            if Builder::new().name("defer".to_owned()).spawn(commit).is_err() {
                self.deferred.hurry();
                self.commit_deferred(self.deferred.hold());
            }
        }
        Some(added.deferral)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;
    use std::{fs, thread};

    use coracle_core::{
        Begun, Committed, Deferral, Digest, DigestKind, FileName, Hasher, Instant, Put, PutAttempt, Synced,
        WritableStore, WriteError,
    };

    use super::super::{WritableDirectoryStore, WriteOptions};
    use crate::store::DirectoryStore;

    const NOW: Instant = Instant::from_millis(0);

    fn store(root: &Path, options: WriteOptions) -> WritableDirectoryStore {
        let store = DirectoryStore::open(root).expect("a directory");
        WritableDirectoryStore::new(store, options).expect("it can be read")
    }

    fn request<'a>(name: &'a str, bytes: &[u8]) -> Put<'a> {
        let mut hasher = Hasher::new(DigestKind::Sha256).expect("built in");
        hasher.update(bytes);
        let digest: Digest = hasher.finish();
        let name = FileName::new(name).expect("a name");
        Put::new(name, bytes.len() as u64, digest).with_parents(true).with_deferred(true)
    }

    fn put(mut store: &WritableDirectoryStore, put: &Put<'_>, bytes: &[u8]) -> Result<Committed, WriteError> {
        let Begun::Upload { mut upload, have: 0 } = store.begin(put, PutAttempt::new(NOW, false), NOW)? else {
            panic!("it is new")
        };
        if !bytes.is_empty() {
            assert_eq!(store.write(&mut upload, 0, bytes, NOW), Ok(bytes.len()));
        }
        if let Ok(digest) = store.digest(&mut upload) {
            assert_eq!(digest, put.digest);
        }
        loop {
            match store.commit(&mut upload, put, NOW)? {
                Committed::Pending => {}
                committed => return Ok(committed),
            }
        }
    }

    fn deferral(committed: Result<Committed, WriteError>) -> Deferral {
        match committed {
            Ok(Committed::Deferred(deferral)) => deferral,
            other => panic!("{other:?} is not deferred"),
        }
    }

    fn sync(mut store: &WritableDirectoryStore, deferral: Deferral) -> Result<(), WriteError> {
        while store.sync(deferral)? == Synced::Pending {}
        Ok(())
    }

    #[test]
    fn u18_what_was_deferred_has_its_names_after_a_sync() {
        let root = tempfile::tempdir().expect("a directory");
        // More wait than there may be unfinished uploads.
        let store = store(root.path(), WriteOptions::new().with_max_uploads(8));
        thread::scope(|scope| {
            for client in 0..8 {
                let (store, root) = (&store, root.path());
                scope.spawn(move || {
                    for round in 0..3 {
                        let names: Vec<String> =
                            (0..40).map(|at| format!("d{}/{client}/{round}-{at}", at % 3)).collect();
                        let mut all: Option<Deferral> = None;
                        for name in &names {
                            let done = deferral(put(store, &request(name, name.as_bytes()), name.as_bytes()));
                            all = Some(all.map_or(done, |all| Deferral::new(done.number, all.failures)));
                        }
                        assert_eq!(sync(store, all.expect("some")), Ok(()));
                        for name in &names {
                            assert_eq!(fs::read(root.join(name)).expect("there"), name.as_bytes());
                        }
                    }
                });
            }
        });
        assert_eq!(store.writer.deferred.len(), 0);
        assert!(store.writer.commits.lock_new_directories().is_empty(), "each was synced before the sync was answered");
        let left = store.sweep(Duration::MAX).expect("read").left;
        assert_eq!(left, 0, "no upload is left");
    }

    #[test]
    fn what_is_not_synced_has_its_name_soon_nevertheless() {
        let root = tempfile::tempdir().expect("a directory");
        let store = store(root.path(), WriteOptions::new());
        deferral(put(&store, &request("a", b"abc"), b"abc"));
        while !root.path().join("a").exists() {
            thread::yield_now();
        }
        assert_eq!(fs::read(root.path().join("a")).expect("there"), b"abc");
    }

    #[test]
    fn a_commit_that_fails_fails_every_sync_that_it_may_concern_and_no_later_one() {
        let root = tempfile::tempdir().expect("a directory");
        let store = store(root.path(), WriteOptions::new());
        let one = deferral(put(&store, &request("a", b"abc"), b"abc"));
        // Another program is faster.
        fs::write(root.path().join("b"), "other").expect("written");
        let replacing = request("b", b"abc");
        let begun = (&store).begin(&replacing, PutAttempt::new(NOW, false), NOW);
        assert_eq!(begun.err(), Some(WriteError::Exists));
        fs::remove_file(root.path().join("b")).expect("removed");
        let two = deferral(put(&store, &replacing, b"abc"));
        // Unless the time is over, and it has its name.
        let is_faster = fs::File::create_new(root.path().join("b")).is_ok();
        assert_eq!(sync(&store, Deferral::new(two.number, one.failures)).is_err(), is_faster);
        assert_eq!(fs::read(root.path().join("a")).expect("there"), b"abc");
        if is_faster {
            assert_eq!(fs::read(root.path().join("b")).expect("there"), b"", "nothing was replaced");
            let again = (&store).begin(&replacing.with_deferred(false), PutAttempt::new(NOW, false), NOW);
            assert_eq!(again.err(), Some(WriteError::Exists));
        }
        let three = deferral(put(&store, &request("c", b"abc"), b"abc"));
        assert_eq!(sync(&store, three), Ok(()));
    }

    #[test]
    fn a_name_that_waits_is_in_use_and_not_for_long() {
        let root = tempfile::tempdir().expect("a directory");
        let store = store(root.path(), WriteOptions::new());
        deferral(put(&store, &request("a", b"abc"), b"abc"));
        let other = request("a", b"another").with_replace(coracle_core::Replace::Anything);
        while let Err(error) = put(&store, &other, b"another") {
            assert_eq!(error, WriteError::InUse);
        }
        let delete = coracle_core::Delete::File { name: FileName::from_static("a"), version: None };
        while let Err(error) = (&store).delete(&delete) {
            assert_eq!(error, WriteError::InUse);
        }
        assert_eq!(fs::read_dir(root.path()).expect("read").count(), 0);
    }

    #[test]
    fn a_large_file_and_one_that_goes_on_are_stored_at_once() {
        let root = tempfile::tempdir().expect("a directory");
        let store = store(root.path(), WriteOptions::new());
        let large = vec![7; usize::try_from(super::LARGE).expect("short") + 1];
        let stored = put(&store, &request("large", &large), &large);
        assert!(matches!(stored, Ok(Committed::Done(_))), "{stored:?}");
        let resumed = request("resumed", b"abc");
        let begun = (&store).begin(&resumed, PutAttempt::new(NOW, false), NOW).expect("begun");
        let Begun::Upload { mut upload, .. } = begun else { panic!("it is new") };
        assert_eq!((&store).write(&mut upload, 0, b"ab", NOW), Ok(2));
        (&store).keep(upload);
        let begun = (&store).begin(&resumed, PutAttempt::new(NOW, false), NOW).expect("begun");
        let Begun::Upload { mut upload, have: 2 } = begun else { panic!("it goes on") };
        assert_eq!((&store).write(&mut upload, 2, b"c", NOW), Ok(1));
        let mut stored = (&store).commit(&mut upload, &resumed, NOW);
        while stored == Ok(Committed::Pending) {
            stored = (&store).commit(&mut upload, &resumed, NOW);
        }
        assert!(matches!(stored, Ok(Committed::Done(_))), "{stored:?}");
    }
}
