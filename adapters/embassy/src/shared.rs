//! One store for several sessions.

use core::cell::RefCell;

#[cfg(feature = "write")]
use coracle_core::{Begun, Committed, Delete, Instant, Put, PutAttempt, WritableStore, WriteError};
use coracle_core::{Digest, DigestKind, FileInfo, FileName, Listed, Store, StoreError};
#[cfg(feature = "manage")]
use coracle_core::{Rename, Space};

/// A store that the sessions of several tasks of one executor use together. A call of one takes the store for no longer than the
/// call.
///
/// A [`StaticStore`](coracle_core::StaticStore) needs none of this: it is copied.
///
/// # Panics
///
/// Its methods panic while the cell is borrowed.
#[derive(Debug)]
pub struct SharedStore<'a, S>(&'a RefCell<S>);

impl<'a, S> SharedStore<'a, S> {
    /// A user of `store`.
    #[must_use]
    pub const fn new(store: &'a RefCell<S>) -> Self {
        Self(store)
    }
}

impl<S> Clone for SharedStore<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for SharedStore<'_, S> {}

impl<S: Store> Store for SharedStore<'_, S> {
    type File = S::File;
    type Listing = S::Listing;

    fn open(&mut self, name: FileName<'_>) -> Result<S::File, StoreError> {
        self.0.borrow_mut().open(name)
    }

    #[cfg(feature = "replaced")]
    fn open_version(&mut self, name: FileName<'_>, version: &str) -> Result<S::File, StoreError> {
        self.0.borrow_mut().open_version(name, version)
    }

    #[cfg(feature = "absolute")]
    fn open_absolute(&mut self, name: FileName<'_>) -> Result<S::File, StoreError> {
        self.0.borrow_mut().open_absolute(name)
    }

    fn info(&mut self, file: &S::File) -> Result<FileInfo, StoreError> {
        self.0.borrow_mut().info(file)
    }

    fn read(&mut self, file: &mut S::File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        self.0.borrow_mut().read(file, offset, buf)
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<S::Listing, StoreError> {
        self.0.borrow_mut().list(path)
    }

    fn next<'l>(&mut self, listing: &'l mut S::Listing) -> Result<Listed<'l>, StoreError> {
        self.0.borrow_mut().next(listing)
    }

    #[cfg(feature = "rights")]
    fn is_linkless(&mut self, name: FileName<'_>) -> bool {
        self.0.borrow_mut().is_linkless(name)
    }

    fn known_digest(&mut self, file: &S::File, kind: DigestKind) -> Option<Digest> {
        self.0.borrow_mut().known_digest(file, kind)
    }

    fn unix_time(&mut self) -> Option<u64> {
        self.0.borrow_mut().unix_time()
    }

    fn remember_digest(&mut self, file: &S::File, info: &FileInfo, digest: &Digest) {
        self.0.borrow_mut().remember_digest(file, info, digest);
    }
}

#[cfg(feature = "write")]
impl<S: WritableStore> WritableStore for SharedStore<'_, S> {
    type Upload = S::Upload;

    fn begin(
        &mut self,
        put: &Put<'_>,
        attempt: PutAttempt,
        now: Instant,
    ) -> Result<Begun<S::Upload, S::File>, WriteError> {
        self.0.borrow_mut().begin(put, attempt, now)
    }

    fn write(&mut self, upload: &mut S::Upload, offset: u64, bytes: &[u8], now: Instant) -> Result<usize, WriteError> {
        self.0.borrow_mut().write(upload, offset, bytes, now)
    }

    fn verifies_by_reading(&self, upload: &S::Upload) -> bool {
        self.0.borrow().verifies_by_reading(upload)
    }

    fn read_back(
        &mut self,
        upload: &mut S::Upload,
        offset: u64,
        buf: &mut [u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        self.0.borrow_mut().read_back(upload, offset, buf, now)
    }

    fn commit(&mut self, upload: &mut S::Upload, put: &Put<'_>, now: Instant) -> Result<Committed, WriteError> {
        self.0.borrow_mut().commit(upload, put, now)
    }

    fn keep(&mut self, upload: S::Upload) {
        self.0.borrow_mut().keep(upload);
    }

    fn discard(&mut self, upload: S::Upload) {
        self.0.borrow_mut().discard(upload);
    }

    fn delete(&mut self, delete: &Delete<'_>) -> Result<(), WriteError> {
        self.0.borrow_mut().delete(delete)
    }

    #[cfg(feature = "manage")]
    fn rename(&mut self, rename: &Rename<'_>) -> Result<(), WriteError> {
        self.0.borrow_mut().rename(rename)
    }

    #[cfg(feature = "manage")]
    fn make_dir(&mut self, path: FileName<'_>) -> Result<(), WriteError> {
        self.0.borrow_mut().make_dir(path)
    }

    #[cfg(feature = "manage")]
    fn space(&mut self) -> Result<Space, WriteError> {
        self.0.borrow_mut().space()
    }
}
