//! The store as one connection sees it: it fails once the connection was aborted, since hashing a large file touches no socket
//! for seconds, and nothing else would tell the thread; and it has files that were replaced while clients followed them.

use coracle_core::{
    Begun, Committed, Deferral, Delete, Digest, DigestKind, FileInfo, FileName, Instant, Listed, Put, PutAttempt,
    Rename, Space, Store, StoreError, Synced, WritableStore, WriteError,
};

use std::sync::PoisonError;

use super::entry::{ConnectionEntry, ForcedClose};
use super::followed::{FollowedFiles, Kept};
use super::served_file::ServedFile;

/// `store`, as long as the connection of `entry` was not evicted or aborted.
pub(super) struct AbortableStore<'c, S: Store> {
    pub store: &'c mut S,
    pub entry: &'c ConnectionEntry,
    pub followed: &'c FollowedFiles<S::File>,
}

impl<S: Store> AbortableStore<'_, S> {
    fn check(&self) -> Result<(), StoreError> {
        match self.entry.forced_close() {
            None | Some(ForcedClose::Stopping) => Ok(()),
            Some(ForcedClose::Evicted | ForcedClose::Aborted) => Err(StoreError::Io),
        }
    }
}

impl<S: Store> Store for AbortableStore<'_, S> {
    type File = ServedFile<S::File>;
    type Listing = S::Listing;

    fn open(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError> {
        self.store.open(name).map(ServedFile::Own)
    }

    fn open_version(&mut self, name: FileName<'_>, version: &str) -> Result<Self::File, StoreError> {
        let opened = self.store.open_version(name, version);
        if let Ok(file) = &opened
            && self.store.info(file)?.version.as_str() == version
        {
            return opened.map(ServedFile::Own);
        }
        let is_replaced = opened.is_ok();
        match self.followed.kept(name, version, is_replaced)? {
            Some(Kept { file, next }) => Ok(ServedFile::Kept { file, is_replaced, next }),
            None => opened.map(ServedFile::Own),
        }
    }

    fn open_absolute(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError> {
        self.store.open_absolute(name).map(ServedFile::Own)
    }

    fn info(&mut self, file: &Self::File) -> Result<FileInfo, StoreError> {
        match file {
            ServedFile::Own(file) => self.store.info(file),
            ServedFile::Kept { file, is_replaced, next } => {
                let info = self.store.info(&file.lock().unwrap_or_else(PoisonError::into_inner))?;
                Ok(info.with_replaced(*is_replaced).with_next(next.clone()))
            }
        }
    }

    fn read(&mut self, file: &mut Self::File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        self.check()?;
        match file {
            ServedFile::Own(file) => self.store.read(file, offset, buf),
            ServedFile::Kept { file, .. } => {
                self.store.read(&mut file.lock().unwrap_or_else(PoisonError::into_inner), offset, buf)
            }
        }
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

    fn known_digest(&mut self, file: &Self::File, kind: DigestKind) -> Option<Digest> {
        match file {
            ServedFile::Own(file) => self.store.known_digest(file, kind),
            ServedFile::Kept { .. } => None,
        }
    }

    fn unix_time(&mut self) -> Option<u64> {
        self.store.unix_time()
    }

    fn remember_digest(&mut self, file: &Self::File, info: &FileInfo, digest: &Digest) {
        if let ServedFile::Own(file) = file {
            self.store.remember_digest(file, info, digest);
        }
    }
}

impl<S: WritableStore> WritableStore for AbortableStore<'_, S> {
    type Upload = S::Upload;

    fn begin(
        &mut self,
        put: &Put<'_>,
        attempt: PutAttempt,
        now: Instant,
    ) -> Result<Begun<S::Upload, Self::File>, WriteError> {
        self.check()?;
        Ok(match self.store.begin(put, attempt, now)? {
            Begun::Compare(file) => Begun::Compare(ServedFile::Own(file)),
            Begun::Upload { upload, have } => Begun::Upload { upload, have },
            Begun::Stored(info) => Begun::Stored(info),
            Begun::Wait => Begun::Wait,
            // Of a newer core that this version does not know.
            _ => return Err(WriteError::Unsupported),
        })
    }

    fn write(&mut self, upload: &mut S::Upload, offset: u64, bytes: &[u8], now: Instant) -> Result<usize, WriteError> {
        self.check()?;
        self.store.write(upload, offset, bytes, now)
    }

    fn verifies_by_reading(&self, upload: &S::Upload) -> bool {
        self.store.verifies_by_reading(upload)
    }

    fn hashes_itself(&self, upload: &S::Upload) -> bool {
        self.store.hashes_itself(upload)
    }

    fn digest(&mut self, upload: &mut S::Upload) -> Result<Digest, StoreError> {
        self.store.digest(upload)
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

    fn sync(&mut self, deferral: Deferral) -> Result<Synced, WriteError> {
        self.check()?;
        self.store.sync(deferral)
    }
}
