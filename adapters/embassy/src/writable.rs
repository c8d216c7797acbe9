//! Stores that are written to, whose media are awaited.

use coracle_core::{Begun, Committed, Delete, Instant, Put, PutAttempt, WritableStore, WriteError};
#[cfg(feature = "manage")]
use coracle_core::{FileName, Rename, Space};

use crate::store::AsyncStore;

/// An [`AsyncStore`] whose files can be put, deleted and renamed. Every [`WritableStore`] is one, whose calls complete at once.
///
/// What is said of `WritableStore` and its methods goes for this trait, too. A value of `Upload` that is dropped counts as kept, and
/// a call whose future is dropped leaves the upload as a power cut inside of the call would.
#[allow(async_fn_in_trait, reason = "tasks of boards stay on their executor")]
pub trait AsyncWritableStore: AsyncStore {
    /// An upload that a connection is sending.
    type Upload;

    /// Begins an upload, or continues the one that an earlier connection has left; see [`WritableStore::begin`].
    ///
    /// # Errors
    ///
    /// As there.
    async fn begin(
        &mut self,
        put: &Put<'_>,
        attempt: PutAttempt,
        now: Instant,
    ) -> Result<Begun<Self::Upload, Self::File>, WriteError>;

    /// Stores `bytes` from `offset` of the file on, and returns how many of them it took; see [`WritableStore::write`].
    ///
    /// # Errors
    ///
    /// As there.
    async fn write(
        &mut self,
        upload: &mut Self::Upload,
        offset: u64,
        bytes: &[u8],
        now: Instant,
    ) -> Result<usize, WriteError>;

    /// Whether all of the file has to be read back before `commit`; see [`WritableStore::verifies_by_reading`]. Default: true.
    fn verifies_by_reading(&self, upload: &Self::Upload) -> bool {
        let _ = upload;
        true
    }

    /// Reads what was stored; see [`WritableStore::read_back`].
    ///
    /// # Errors
    ///
    /// As there.
    async fn read_back(
        &mut self,
        upload: &mut Self::Upload,
        offset: u64,
        buf: &mut [u8],
        now: Instant,
    ) -> Result<usize, WriteError>;

    /// Gives the complete and verified upload its name; see [`WritableStore::commit`].
    ///
    /// # Errors
    ///
    /// As there.
    async fn commit(&mut self, upload: &mut Self::Upload, put: &Put<'_>, now: Instant)
    -> Result<Committed, WriteError>;

    /// Keeps an unfinished upload for a later connection.
    async fn keep(&mut self, upload: Self::Upload);

    /// Drops an upload and its bytes.
    async fn discard(&mut self, upload: Self::Upload);

    /// Deletes a file, an unfinished upload, or an empty directory; see [`WritableStore::delete`].
    ///
    /// # Errors
    ///
    /// As there.
    async fn delete(&mut self, delete: &Delete<'_>) -> Result<(), WriteError>;

    /// Gives a file another name; see [`WritableStore::rename`]. The default cannot.
    ///
    /// # Errors
    ///
    /// As there.
    #[cfg(feature = "manage")]
    async fn rename(&mut self, rename: &Rename<'_>) -> Result<(), WriteError> {
        let _ = rename;
        Err(WriteError::Unsupported)
    }

    /// Makes the directory `path`; see [`WritableStore::make_dir`]. The default has no directories.
    ///
    /// # Errors
    ///
    /// As there.
    #[cfg(feature = "manage")]
    async fn make_dir(&mut self, path: FileName<'_>) -> Result<(), WriteError> {
        let _ = path;
        Err(WriteError::Unsupported)
    }

    /// The room that there is; see [`WritableStore::space`]. The default does not know.
    ///
    /// # Errors
    ///
    /// As there.
    #[cfg(feature = "manage")]
    async fn space(&mut self) -> Result<Space, WriteError> {
        Ok(Space::new())
    }
}

impl<S: WritableStore> AsyncWritableStore for S {
    type Upload = S::Upload;

    async fn begin(
        &mut self,
        put: &Put<'_>,
        attempt: PutAttempt,
        now: Instant,
    ) -> Result<Begun<S::Upload, S::File>, WriteError> {
        WritableStore::begin(self, put, attempt, now)
    }

    async fn write(
        &mut self,
        upload: &mut S::Upload,
        offset: u64,
        bytes: &[u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        WritableStore::write(self, upload, offset, bytes, now)
    }

    fn verifies_by_reading(&self, upload: &S::Upload) -> bool {
        WritableStore::verifies_by_reading(self, upload)
    }

    async fn read_back(
        &mut self,
        upload: &mut S::Upload,
        offset: u64,
        buf: &mut [u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        WritableStore::read_back(self, upload, offset, buf, now)
    }

    async fn commit(&mut self, upload: &mut S::Upload, put: &Put<'_>, now: Instant) -> Result<Committed, WriteError> {
        WritableStore::commit(self, upload, put, now)
    }

    async fn keep(&mut self, upload: S::Upload) {
        WritableStore::keep(self, upload);
    }

    async fn discard(&mut self, upload: S::Upload) {
        WritableStore::discard(self, upload);
    }

    async fn delete(&mut self, delete: &Delete<'_>) -> Result<(), WriteError> {
        WritableStore::delete(self, delete)
    }

    #[cfg(feature = "manage")]
    async fn rename(&mut self, rename: &Rename<'_>) -> Result<(), WriteError> {
        WritableStore::rename(self, rename)
    }

    #[cfg(feature = "manage")]
    async fn make_dir(&mut self, path: FileName<'_>) -> Result<(), WriteError> {
        WritableStore::make_dir(self, path)
    }

    #[cfg(feature = "manage")]
    async fn space(&mut self) -> Result<Space, WriteError> {
        WritableStore::space(self)
    }
}
