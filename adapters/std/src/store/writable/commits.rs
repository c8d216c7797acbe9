//! Registry of the uploads that wait to be committed, and of the directories that are not durable yet.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coracle_core::{FileName, WriteError};
use portable_atomic::AtomicU64;

use super::batches::Batches;
use super::commit::Commit;
use super::place::{parent, sync, write_error};
use crate::local::{DirectoryHandle, FileSystemHandle, Identity, SystemDirectory};
use crate::sys::SystemFileSystem;

/// The uploads that wait to be committed.
#[derive(Debug)]
pub(super) struct Commits {
    pub batches: Arc<Batches<Commit>>,
    /// The file system of the store's directory, where a sync of all of it promises what one of each file does.
    file_system: Option<SystemFileSystem>,
    pub device: Option<u64>,
    /// How many times it could not be synced. Which file that was is told only by a sync of the file itself.
    failures: AtomicU64,
    /// Directories with new directories in them, which are not synced yet.
    new_directories: Mutex<Vec<(Identity, SystemDirectory)>>,
}

impl Commits {
    /// Nothing waits; `root` is the store's directory.
    pub fn new(root: &SystemDirectory) -> Self {
        Self {
            batches: Batches::new(),
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

    /// Creates the directories that lead to `name`. They are durable before a file counts as stored that is put afterwards.
    pub fn create_parents(&self, root: &SystemDirectory, name: FileName<'_>) -> Result<(), WriteError> {
        let Some(parent) = parent(name) else { return Ok(()) };
        let ends = parent.match_indices('/').map(|(end, _)| end).chain([parent.len()]);
        for path in ends.map(|end| &parent[..end]) {
            match self.create_directory(root, path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => created.map_err(|error| write_error(&error))?,
            }
        }
        Ok(())
    }

    fn create_directory(&self, root: &SystemDirectory, path: &str) -> io::Result<()> {
        let above = root.open_directory(path.rsplit_once('/').map_or(".", |(above, _)| above))?;
        let identity = above.status(".".as_ref())?.map(|status| status.identity);
        // Held while it is created: who finds it there finds it noted, too.
        let mut directories = self.lock_new_directories();
        root.create_directory(path)?;
        match identity {
            Some(identity) if self.file_system.is_some() && Some(identity.device) == self.device => {
                if directories.iter().all(|(other, _)| *other != identity) {
                    directories.push((identity, above));
                }
                Ok(())
            }
            _ => sync(&above),
        }
    }

    /// Syncs the whole file system; false where that is not possible, or has failed.
    pub fn sync_all(&self) -> bool {
        let Some(file_system) = &self.file_system else { return false };
        let is_synced = file_system.sync().is_ok();
        if !is_synced {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        is_synced
    }

    pub fn shares(&self, commit: &Commit) -> bool {
        commit.share().is_some() && commit.share() == Some(self.failures.load(Ordering::Relaxed))
    }

    pub fn lock_new_directories(&self) -> MutexGuard<'_, Vec<(Identity, SystemDirectory)>> {
        self.new_directories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::{Commits, DirectoryHandle, Identity, SystemDirectory};

    /// A sync of the file system tells an error of a write once, and not whose it was.
    #[test]
    fn what_an_error_may_have_hit_is_synced_by_itself() {
        let root = tempfile::tempdir().expect("a directory");
        let directory = SystemDirectory::open(root.path()).expect("open");
        let commits = Commits::new(&directory);
        let identity = directory.status(".".as_ref()).expect("read").expect("there").identity;
        let before = commits.share(identity, 0);
        assert_eq!(before, Some(0), "on this file system all files can be synced together");
        assert_eq!(commits.share(identity, 1), None, "an earlier connection wrote the beginning");
        let other = Identity { device: identity.device + 1, ..identity };
        assert_eq!(commits.share(other, 0), None, "it is another file system");
        commits.failures.fetch_add(1, Ordering::Relaxed);
        assert_ne!(commits.share(identity, 0), before);
    }
}
