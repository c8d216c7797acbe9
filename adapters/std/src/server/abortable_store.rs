//! A store that fails once its connection was aborted: hashing a large file touches no socket for seconds, so that nothing
//! else would tell the thread.

use coracle_core::{Digest, DigestKind, FileInfo, FileName, Listed, Store, StoreError};

use super::entry::{ConnectionEntry, ForcedClose};

/// `store`, as long as the connection of `entry` was not evicted or aborted.
pub(super) struct AbortableStore<'c, S> {
    pub store: &'c mut S,
    pub entry: &'c ConnectionEntry,
}

impl<S> AbortableStore<'_, S> {
    fn check(&self) -> Result<(), StoreError> {
        match self.entry.forced_close() {
            None | Some(ForcedClose::Stopping) => Ok(()),
            Some(ForcedClose::Evicted | ForcedClose::Aborted) => Err(StoreError::Io),
        }
    }
}

impl<S: Store> Store for AbortableStore<'_, S> {
    type File = S::File;
    type Listing = S::Listing;

    fn open(&mut self, name: FileName<'_>) -> Result<S::File, StoreError> {
        self.store.open(name)
    }

    fn info(&mut self, file: &S::File) -> Result<FileInfo, StoreError> {
        self.store.info(file)
    }

    fn read(&mut self, file: &mut S::File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        self.check()?;
        self.store.read(file, offset, buf)
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<S::Listing, StoreError> {
        self.store.list(path)
    }

    fn next<'a>(&mut self, listing: &'a mut S::Listing) -> Result<Listed<'a>, StoreError> {
        self.check()?;
        self.store.next(listing)
    }

    fn known_digest(&mut self, file: &S::File, kind: DigestKind) -> Option<Digest> {
        self.store.known_digest(file, kind)
    }

    fn unix_time(&mut self) -> Option<u64> {
        self.store.unix_time()
    }

    fn remember_digest(&mut self, file: &S::File, info: &FileInfo, digest: &Digest) {
        self.store.remember_digest(file, info, digest);
    }
}
