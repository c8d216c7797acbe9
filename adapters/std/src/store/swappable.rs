//! A directory store that can be replaced while it is served.

use std::fs;
use std::sync::{Arc, PoisonError, RwLock};

use coracle_core::{Digest, DigestKind, FileInfo, FileName, Listed, Store, StoreError};

use super::directory::DirectoryStore;
use super::file::File;
use super::listing::Listing;
use crate::transport::KernelFile;

/// A [`DirectoryStore`] that can be replaced by another one while it is served. Clones share it.
///
/// Files and listings that were opened before belong to the directory in which they were opened: no body and no listing is
/// a mixture.
///
/// ```no_run
/// use coracle::store::SwappableStore;
/// use coracle::{DirectoryStore, Server};
///
/// let store = SwappableStore::new(DirectoryStore::open("/srv/monday")?);
/// let server = Server::new(store.clone()).bind()?;
/// std::thread::spawn(|| server.run());
/// store.swap(DirectoryStore::open("/srv/tuesday")?);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SwappableStore {
    current: Arc<RwLock<Arc<DirectoryStore>>>,
}

impl SwappableStore {
    /// A store that is `store` at first.
    #[must_use]
    pub fn new(store: DirectoryStore) -> Self {
        Self { current: Arc::new(RwLock::new(Arc::new(store))) }
    }

    /// Replaces the store, from the next request on.
    pub fn swap(&self, store: DirectoryStore) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(store);
    }

    fn current(&self) -> Arc<DirectoryStore> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A file of a [`SwappableStore`], with the directory in which it was opened.
#[derive(Debug)]
pub struct SwappableFile {
    store: Arc<DirectoryStore>,
    file: File,
}

/// A listing of a [`SwappableStore`], with the directory that it lists.
#[derive(Debug)]
pub struct SwappableListing {
    store: Arc<DirectoryStore>,
    listing: Listing,
}

impl Store for SwappableStore {
    type File = SwappableFile;
    type Listing = SwappableListing;

    fn open(&mut self, name: FileName<'_>) -> Result<SwappableFile, StoreError> {
        let store = self.current();
        let file = (&*store).open(name)?;
        Ok(SwappableFile { store, file })
    }

    fn info(&mut self, file: &SwappableFile) -> Result<FileInfo, StoreError> {
        (&*file.store).info(&file.file)
    }

    fn read(&mut self, file: &mut SwappableFile, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        (&*file.store).read(&mut file.file, offset, buf)
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<SwappableListing, StoreError> {
        let store = self.current();
        let listing = (&*store).list(path)?;
        Ok(SwappableListing { store, listing })
    }

    fn next<'a>(&mut self, listing: &'a mut SwappableListing) -> Result<Listed<'a>, StoreError> {
        (&*listing.store).next(&mut listing.listing)
    }

    #[cfg(feature = "channel")]
    fn is_linkless(&mut self, name: FileName<'_>) -> bool {
        (&*self.current()).is_linkless(name)
    }

    fn known_digest(&mut self, file: &SwappableFile, kind: DigestKind) -> Option<Digest> {
        (&*file.store).known_digest(&file.file, kind)
    }

    fn unix_time(&mut self) -> Option<u64> {
        (&*self.current()).unix_time()
    }

    fn remember_digest(&mut self, file: &SwappableFile, info: &FileInfo, digest: &Digest) {
        (&*file.store).remember_digest(&file.file, info, digest);
    }
}

impl KernelFile for SwappableFile {
    fn kernel_file(&self) -> Option<&fs::File> {
        self.file.kernel_file()
    }

    fn followed_file(&self) -> Option<&fs::File> {
        self.file.followed_file()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use coracle_core::{FileName, Listed, Store, StoreError};

    use super::SwappableStore;
    use crate::store::DirectoryStore;

    fn directory(name: &str, text: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join(name), text).expect("written");
        directory
    }

    #[test]
    fn open_files_and_listings_stay_in_their_directory() {
        let (monday, tuesday) = (directory("a", "monday"), directory("b", "tuesday"));
        let store = SwappableStore::new(DirectoryStore::open(monday.path()).expect("a store"));
        let mut shared = store.clone();
        let (a, b) = (FileName::new("a").expect("a name"), FileName::new("b").expect("a name"));
        let mut file = shared.open(a).expect("monday's");
        let mut listing = shared.list(None).expect("monday's");
        store.swap(DirectoryStore::open(tuesday.path()).expect("a store"));

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
