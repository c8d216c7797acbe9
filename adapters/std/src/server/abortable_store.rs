//! A store that fails once its connection was aborted: hashing a large file touches no socket for seconds, so that nothing
//! else would tell the thread.

use coracle_core::{
    Begun, Committed, Delete, Digest, DigestKind, FileInfo, FileName, Instant, Listed, Put, PutAttempt, Rename, Space,
    Store, StoreError, WritableStore, WriteError,
};

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

    #[cfg(feature = "channel")]
    fn is_linkless(&mut self, name: FileName<'_>) -> bool {
        self.store.is_linkless(name)
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

impl<S: WritableStore> WritableStore for AbortableStore<'_, S> {
    type Upload = S::Upload;

    fn begin(
        &mut self,
        put: &Put<'_>,
        attempt: PutAttempt,
        now: Instant,
    ) -> Result<Begun<S::Upload, S::File>, WriteError> {
        self.check()?;
        self.store.begin(put, attempt, now)
    }

    fn write(&mut self, upload: &mut S::Upload, offset: u64, bytes: &[u8], now: Instant) -> Result<usize, WriteError> {
        self.check()?;
        self.store.write(upload, offset, bytes, now)
    }

    fn verifies_by_reading(&self, upload: &S::Upload) -> bool {
        self.store.verifies_by_reading(upload)
    }

    fn read_back(
        &mut self,
        upload: &mut S::Upload,
        offset: u64,
        buf: &mut [u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        self.check()?;
        self.store.read_back(upload, offset, buf, now)
    }

    fn commit(&mut self, upload: &mut S::Upload, put: &Put<'_>, now: Instant) -> Result<Committed, WriteError> {
        self.store.commit(upload, put, now)
    }

    fn keep(&mut self, upload: S::Upload) {
        self.store.keep(upload);
    }

    fn discard(&mut self, upload: S::Upload) {
        self.store.discard(upload);
    }

    fn delete(&mut self, delete: &Delete<'_>) -> Result<(), WriteError> {
        self.store.delete(delete)
    }

    fn rename(&mut self, rename: &Rename<'_>) -> Result<(), WriteError> {
        self.store.rename(rename)
    }

    fn make_dir(&mut self, path: FileName<'_>) -> Result<(), WriteError> {
        self.store.make_dir(path)
    }

    fn space(&mut self) -> Result<Space, WriteError> {
        self.store.space()
    }
}
