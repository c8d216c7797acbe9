//! Whether an exchange may write to its store.

use core::convert::Infallible;

use crate::store::Store;
#[cfg(feature = "write")]
use crate::store::{Begun, Committed, Delete, Put, PutAttempt, StoreError, WritableStore, WriteError};
#[cfg(feature = "sync")]
use crate::store::{Deferral, Synced};
#[cfg(feature = "manage")]
use crate::store::{Rename, Space};
#[cfg(feature = "write")]
use crate::types::digest::Digest;
#[cfg(feature = "manage")]
use crate::types::file_name::FileName;
#[cfg(feature = "write")]
use crate::types::time::Instant;

/// How a [`StoreExchange`](super::StoreExchange) uses its store: [`ReadOnly`], or `ReadWrite` (feature `write`).
pub trait Access<S: Store>: Sealed {
    /// An upload under way.
    type Upload;

    /// The store's writing methods.
    #[cfg(feature = "write")]
    #[doc(hidden)]
    type Writer: Writer<S, Self::Upload>;
}

/// Requests that write are refused.
#[derive(Clone, Copy, Debug)]
pub enum ReadOnly {}

/// Requests that write are passed to a [`WritableStore`].
#[cfg(feature = "write")]
#[derive(Clone, Copy, Debug)]
pub enum ReadWrite {}

impl<S: Store> Access<S> for ReadOnly {
    type Upload = Infallible;
    #[cfg(feature = "write")]
    type Writer = Self;
}

#[cfg(feature = "write")]
impl<S: WritableStore> Access<S> for ReadWrite {
    type Upload = S::Upload;
    type Writer = Self;
}

impl Sealed for ReadOnly {}

#[cfg(feature = "write")]
impl Sealed for ReadWrite {}

/// Keeps other crates from more kinds of access.
pub trait Sealed {}

/// The methods of a [`WritableStore`], or of one that refuses.
#[cfg(feature = "write")]
pub trait Writer<S: Store, U> {
    fn begin(store: &mut S, put: &Put<'_>, attempt: PutAttempt, now: Instant) -> Result<Begun<U, S::File>, WriteError>;
    fn write(store: &mut S, upload: &mut U, offset: u64, bytes: &[u8], now: Instant) -> Result<usize, WriteError>;
    fn verifies_by_reading(store: &S, upload: &U) -> bool;
    fn hashes_itself(store: &S, upload: &U) -> bool;
    fn digest(store: &mut S, upload: &mut U) -> Result<Digest, StoreError>;
    fn read_back(store: &mut S, upload: &mut U, offset: u64, buf: &mut [u8], now: Instant)
    -> Result<usize, WriteError>;
    fn commit(store: &mut S, upload: &mut U, put: &Put<'_>, now: Instant) -> Result<Committed, WriteError>;
    fn keep(store: &mut S, upload: U);
    fn discard(store: &mut S, upload: U);
    fn delete(store: &mut S, delete: &Delete<'_>) -> Result<(), WriteError>;
    #[cfg(feature = "manage")]
    fn rename(store: &mut S, rename: &Rename<'_>) -> Result<(), WriteError>;
    #[cfg(feature = "manage")]
    fn make_dir(store: &mut S, path: FileName<'_>) -> Result<(), WriteError>;
    #[cfg(feature = "manage")]
    fn space(store: &mut S) -> Result<Space, WriteError>;
    #[cfg(feature = "sync")]
    fn sync(store: &mut S, deferral: Deferral) -> Result<Synced, WriteError>;
}

#[cfg(feature = "write")]
impl<S: Store> Writer<S, Infallible> for ReadOnly {
    fn begin(_: &mut S, _: &Put<'_>, _: PutAttempt, _: Instant) -> Result<Begun<Infallible, S::File>, WriteError> {
        Err(WriteError::Unsupported)
    }

    fn write(_: &mut S, upload: &mut Infallible, _: u64, _: &[u8], _: Instant) -> Result<usize, WriteError> {
        match *upload {}
    }

    fn verifies_by_reading(_: &S, upload: &Infallible) -> bool {
        match *upload {}
    }

    fn hashes_itself(_: &S, upload: &Infallible) -> bool {
        match *upload {}
    }

    fn digest(_: &mut S, upload: &mut Infallible) -> Result<Digest, StoreError> {
        match *upload {}
    }

    fn read_back(_: &mut S, upload: &mut Infallible, _: u64, _: &mut [u8], _: Instant) -> Result<usize, WriteError> {
        match *upload {}
    }

    fn commit(_: &mut S, upload: &mut Infallible, _: &Put<'_>, _: Instant) -> Result<Committed, WriteError> {
        match *upload {}
    }

    fn keep(_: &mut S, upload: Infallible) {
        match upload {}
    }

    fn discard(_: &mut S, upload: Infallible) {
        match upload {}
    }

    fn delete(_: &mut S, _: &Delete<'_>) -> Result<(), WriteError> {
        Err(WriteError::Unsupported)
    }

    #[cfg(feature = "manage")]
    fn rename(_: &mut S, _: &Rename<'_>) -> Result<(), WriteError> {
        Err(WriteError::Unsupported)
    }

    #[cfg(feature = "manage")]
    fn make_dir(_: &mut S, _: FileName<'_>) -> Result<(), WriteError> {
        Err(WriteError::Unsupported)
    }

    #[cfg(feature = "manage")]
    fn space(_: &mut S) -> Result<Space, WriteError> {
        Err(WriteError::Unsupported)
    }

    #[cfg(feature = "sync")]
    fn sync(_: &mut S, _: Deferral) -> Result<Synced, WriteError> {
        Err(WriteError::Unsupported)
    }
}

#[cfg(feature = "write")]
impl<S: WritableStore> Writer<S, S::Upload> for ReadWrite {
    fn begin(
        store: &mut S,
        put: &Put<'_>,
        attempt: PutAttempt,
        now: Instant,
    ) -> Result<Begun<S::Upload, S::File>, WriteError> {
        store.begin(put, attempt, now)
    }

    fn write(
        store: &mut S,
        upload: &mut S::Upload,
        offset: u64,
        bytes: &[u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        store.write(upload, offset, bytes, now)
    }

    fn verifies_by_reading(store: &S, upload: &S::Upload) -> bool {
        store.verifies_by_reading(upload)
    }

    fn hashes_itself(store: &S, upload: &S::Upload) -> bool {
        store.hashes_itself(upload)
    }

    fn digest(store: &mut S, upload: &mut S::Upload) -> Result<Digest, StoreError> {
        store.digest(upload)
    }

    fn read_back(
        store: &mut S,
        upload: &mut S::Upload,
        offset: u64,
        buf: &mut [u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        store.read_back(upload, offset, buf, now)
    }

    fn commit(store: &mut S, upload: &mut S::Upload, put: &Put<'_>, now: Instant) -> Result<Committed, WriteError> {
        store.commit(upload, put, now)
    }

    fn keep(store: &mut S, upload: S::Upload) {
        store.keep(upload);
    }

    fn discard(store: &mut S, upload: S::Upload) {
        store.discard(upload);
    }

    fn delete(store: &mut S, delete: &Delete<'_>) -> Result<(), WriteError> {
        store.delete(delete)
    }

    #[cfg(feature = "manage")]
    fn rename(store: &mut S, rename: &Rename<'_>) -> Result<(), WriteError> {
        store.rename(rename)
    }

    #[cfg(feature = "manage")]
    fn make_dir(store: &mut S, path: FileName<'_>) -> Result<(), WriteError> {
        store.make_dir(path)
    }

    #[cfg(feature = "manage")]
    fn space(store: &mut S) -> Result<Space, WriteError> {
        store.space()
    }

    #[cfg(feature = "sync")]
    fn sync(store: &mut S, deferral: Deferral) -> Result<Synced, WriteError> {
        store.sync(deferral)
    }
}

#[cfg(all(test, feature = "sync"))]
mod tests {
    use core::convert::Infallible;

    use super::{ReadOnly, Writer};
    use crate::store::{Deferral, StaticStore, WriteError};

    #[test]
    fn a_store_that_is_only_read_has_nothing_to_sync() {
        let synced =
            <ReadOnly as Writer<StaticStore<'_>, Infallible>>::sync(&mut StaticStore::new(&[]), Deferral::new(1, 0));
        assert_eq!(synced, Err(WriteError::Unsupported));
    }
}
