//! A directory that can be exchanged for another one while it is served.

use std::os::fd::BorrowedFd;
use std::sync::{Arc, PoisonError, RwLock};

use coracle_core::{Digest, DigestKind, FileInfo, FileName, Listed, Store, StoreError};

use super::{DirectoryStore, File, Listing};
use crate::transport::KernelFile;

/// A [`DirectoryStore`] that can be exchanged for another one while it is served. Clones share it.
///
/// What was opened before goes on in the directory in which it was opened: no body and no listing is ever a mixture.
///
/// ```no_run
/// use coracle::server::Server;
/// use coracle::store::{DirectoryStore, SwitchedStore};
///
/// let store = SwitchedStore::new(DirectoryStore::open("/srv/monday")?);
/// let server = Server::new(store.clone()).bind()?;
/// std::thread::spawn(|| server.run());
/// store.switch(DirectoryStore::open("/srv/tuesday")?);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SwitchedStore {
    current: Arc<RwLock<Arc<DirectoryStore>>>,
}

impl SwitchedStore {
    /// Begins with `store`.
    #[must_use]
    pub fn new(store: DirectoryStore) -> Self {
        Self { current: Arc::new(RwLock::new(Arc::new(store))) }
    }

    /// From the next request on, `store` is served.
    pub fn switch(&self, store: DirectoryStore) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(store);
    }

    fn current(&self) -> Arc<DirectoryStore> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A file with the directory in which it was opened.
#[derive(Debug)]
pub struct SwitchedFile {
    store: Arc<DirectoryStore>,
    file: File,
}

/// A listing with the directory that it lists.
#[derive(Debug)]
pub struct SwitchedListing {
    store: Arc<DirectoryStore>,
    listing: Listing,
}

impl Store for SwitchedStore {
    type File = SwitchedFile;
    type Listing = SwitchedListing;

    fn open(&mut self, name: FileName<'_>) -> Result<SwitchedFile, StoreError> {
        let store = self.current();
        let file = (&*store).open(name)?;
        Ok(SwitchedFile { store, file })
    }

    fn info(&mut self, file: &SwitchedFile) -> Result<FileInfo, StoreError> {
        (&*file.store).info(&file.file)
    }

    fn read(&mut self, file: &mut SwitchedFile, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        (&*file.store).read(&mut file.file, offset, buf)
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<SwitchedListing, StoreError> {
        let store = self.current();
        let listing = (&*store).list(path)?;
        Ok(SwitchedListing { store, listing })
    }

    fn next<'a>(&mut self, listing: &'a mut SwitchedListing) -> Result<Listed<'a>, StoreError> {
        (&*listing.store).next(&mut listing.listing)
    }

    fn known_digest(&mut self, file: &SwitchedFile, kind: DigestKind) -> Option<Digest> {
        (&*file.store).known_digest(&file.file, kind)
    }

    fn remember_digest(&mut self, file: &SwitchedFile, info: &FileInfo, digest: &Digest) {
        (&*file.store).remember_digest(&file.file, info, digest);
    }
}

impl KernelFile for SwitchedFile {
    fn kernel_file(&self) -> Option<BorrowedFd<'_>> {
        self.file.kernel_file()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use coracle_core::{FileName, Listed, Store, StoreError};

    use super::SwitchedStore;
    use crate::store::DirectoryStore;

    fn directory(name: &str, text: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join(name), text).expect("written");
        directory
    }

    #[test]
    fn what_is_open_stays_what_it_was() {
        let (monday, tuesday) = (directory("a", "monday"), directory("b", "tuesday"));
        let store = SwitchedStore::new(DirectoryStore::open(monday.path()).expect("a store"));
        let mut shared = store.clone();
        let (a, b) = (FileName::new("a").expect("a name"), FileName::new("b").expect("a name"));
        let mut file = shared.open(a).expect("monday's");
        let mut listing = shared.list(None).expect("monday's");
        store.switch(DirectoryStore::open(tuesday.path()).expect("a store"));

        let mut buf = [0; 16];
        let len = shared.read(&mut file, 0, &mut buf).expect("read");
        assert_eq!(&buf[..len], b"monday");
        assert_eq!(shared.info(&file).expect("known").size, 6);
        let Listed::Entry(entry) = shared.next(&mut listing).expect("listed") else { panic!("nothing is listed") };
        assert_eq!(entry.name.as_str(), "a");
        assert_eq!(shared.open(a).err(), Some(StoreError::NotFound));
        assert!(shared.open(b).is_ok());
    }
}
