//! The documents' store as one that is awaited.

use std::future::poll_fn;
use std::task::Poll;

use coracle_core::{
    Begun, Committed, Delete, Digest, DigestKind, FileInfo, FileName, Instant, Listed, Put, PutAttempt, Rename, Space,
    Store, StoreError, WritableStore, WriteError,
};
use coracle_embassy::{AsyncStore, AsyncWritableStore};

use super::store::{Listing, Open, ScriptedStore};
use super::uploads::Upload;

/// Each call completes when it is polled for the second time.
pub struct Slow(pub ScriptedStore);

async fn pause() {
    let mut is_paused = false;
    poll_fn(|context| {
        if std::mem::replace(&mut is_paused, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl AsyncStore for Slow {
    type File = Open;
    type Listing = Listing;

    async fn open(&mut self, name: FileName<'_>) -> Result<Open, StoreError> {
        pause().await;
        Store::open(&mut self.0, name)
    }

    async fn open_version(&mut self, name: FileName<'_>, version: &str) -> Result<Open, StoreError> {
        pause().await;
        Store::open_version(&mut self.0, name, version)
    }

    async fn open_absolute(&mut self, name: FileName<'_>) -> Result<Open, StoreError> {
        pause().await;
        Store::open_absolute(&mut self.0, name)
    }

    async fn info(&mut self, file: &Open) -> Result<FileInfo, StoreError> {
        pause().await;
        Store::info(&mut self.0, file)
    }

    async fn read(&mut self, file: &mut Open, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        pause().await;
        Store::read(&mut self.0, file, offset, buf)
    }

    async fn list(&mut self, path: Option<FileName<'_>>) -> Result<Listing, StoreError> {
        pause().await;
        Store::list(&mut self.0, path)
    }

    async fn next<'a>(&mut self, listing: &'a mut Listing) -> Result<Listed<'a>, StoreError> {
        pause().await;
        Store::next(&mut self.0, listing)
    }

    async fn is_linkless(&mut self, name: FileName<'_>) -> bool {
        pause().await;
        Store::is_linkless(&mut self.0, name)
    }

    async fn known_digest(&mut self, file: &Open, kind: DigestKind) -> Option<Digest> {
        pause().await;
        Store::known_digest(&mut self.0, file, kind)
    }

    fn unix_time(&mut self) -> Option<u64> {
        Store::unix_time(&mut self.0)
    }
}

impl AsyncWritableStore for Slow {
    type Upload = Upload;

    async fn begin(
        &mut self,
        put: &Put<'_>,
        attempt: PutAttempt,
        now: Instant,
    ) -> Result<Begun<Upload, Open>, WriteError> {
        pause().await;
        WritableStore::begin(&mut self.0, put, attempt, now)
    }

    async fn write(
        &mut self,
        upload: &mut Upload,
        offset: u64,
        bytes: &[u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        pause().await;
        WritableStore::write(&mut self.0, upload, offset, bytes, now)
    }

    fn verifies_by_reading(&self, upload: &Upload) -> bool {
        WritableStore::verifies_by_reading(&self.0, upload)
    }

    async fn read_back(
        &mut self,
        upload: &mut Upload,
        offset: u64,
        buf: &mut [u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        pause().await;
        WritableStore::read_back(&mut self.0, upload, offset, buf, now)
    }

    async fn commit(&mut self, upload: &mut Upload, put: &Put<'_>, now: Instant) -> Result<Committed, WriteError> {
        pause().await;
        WritableStore::commit(&mut self.0, upload, put, now)
    }

    async fn keep(&mut self, upload: Upload) {
        pause().await;
        WritableStore::keep(&mut self.0, upload);
    }

    async fn discard(&mut self, upload: Upload) {
        pause().await;
        WritableStore::discard(&mut self.0, upload);
    }

    async fn delete(&mut self, delete: &Delete<'_>) -> Result<(), WriteError> {
        pause().await;
        WritableStore::delete(&mut self.0, delete)
    }

    async fn rename(&mut self, rename: &Rename<'_>) -> Result<(), WriteError> {
        pause().await;
        WritableStore::rename(&mut self.0, rename)
    }

    async fn make_dir(&mut self, path: FileName<'_>) -> Result<(), WriteError> {
        pause().await;
        WritableStore::make_dir(&mut self.0, path)
    }

    async fn space(&mut self) -> Result<Space, WriteError> {
        pause().await;
        WritableStore::space(&mut self.0)
    }
}
