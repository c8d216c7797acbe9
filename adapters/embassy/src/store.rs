//! Stores whose media are awaited.

use coracle_core::{Digest, DigestKind, FileInfo, FileName, Listed, Store, StoreError};

/// Files that can be listed and read, on a medium that is awaited: a card behind asynchronous SPI, for example. Every
/// [`Store`] is one, whose calls complete at once.
///
/// What is said of `Store` and its methods goes for this trait, too. A call whose future is dropped (since the owner drops the
/// session, never at a deadline) must leave the store usable.
#[allow(async_fn_in_trait, reason = "tasks of boards stay on their executor")]
pub trait AsyncStore {
    /// An open file; see [`Store::File`].
    type File;
    /// A position in a listing; see [`Store::Listing`].
    type Listing;

    /// Opens the regular file `name`.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    async fn open(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError>;

    /// Opens `name` for a client that goes on with its version `version`; see `Store::open_version`. Default: the file that has the
    /// name now.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    #[cfg(feature = "replaced")]
    async fn open_version(&mut self, name: FileName<'_>, version: &str) -> Result<Self::File, StoreError> {
        let _ = version;
        self.open(name).await
    }

    /// Opens the log `name` for a client whose offsets count from the log's beginning; see `Store::open_absolute`. Default: as
    /// [`AsyncStore::open`].
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    #[cfg(feature = "absolute")]
    async fn open_absolute(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError> {
        self.open(name).await
    }

    /// Information on `file` now.
    ///
    /// # Errors
    ///
    /// As [`Store::info`].
    async fn info(&mut self, file: &Self::File) -> Result<FileInfo, StoreError>;

    /// Reads from `offset` on into `buf` and returns the number of bytes; `Ok(0)` at the end of the file.
    ///
    /// # Errors
    ///
    /// As [`Store::read`].
    async fn read(&mut self, file: &mut Self::File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError>;

    /// The same without waiting: then the bytes of a body go straight into the transmit buffer of a socket that has one. `None`,
    /// the default, where the medium has to be awaited; it must not depend on the file's contents or the offset which it is.
    ///
    /// Called while the network stack is borrowed: must not use it.
    fn read_now(&mut self, file: &mut Self::File, offset: u64, buf: &mut [u8]) -> Option<Result<usize, StoreError>> {
        let (_, _, _) = (file, offset, buf);
        None
    }

    /// Begins a listing of the directory `path`, or of the root for `None`.
    ///
    /// # Errors
    ///
    /// As [`Store::list`].
    async fn list(&mut self, path: Option<FileName<'_>>) -> Result<Self::Listing, StoreError>;

    /// The next step of `listing`.
    ///
    /// # Errors
    ///
    /// As [`Store::next`].
    async fn next<'a>(&mut self, listing: &'a mut Self::Listing) -> Result<Listed<'a>, StoreError>;

    /// Whether no component of `name` that exists is a link; see `Store::is_linkless`. Default: false.
    #[cfg(feature = "rights")]
    async fn is_linkless(&mut self, name: FileName<'_>) -> bool {
        let _ = name;
        false
    }

    /// The digest of all of `file`, where it is known without reading; see [`Store::known_digest`].
    async fn known_digest(&mut self, file: &Self::File, kind: DigestKind) -> Option<Digest> {
        let (_, _) = (file, kind);
        None
    }

    /// Caches a digest of all of `file` that was just computed; see [`Store::remember_digest`].
    async fn remember_digest(&mut self, file: &Self::File, info: &FileInfo, digest: &Digest) {
        let (_, _, _) = (file, info, digest);
    }

    /// The time now, in seconds since 1970-01-01 00:00 UTC; see [`Store::unix_time`].
    fn unix_time(&mut self) -> Option<u64> {
        None
    }
}

impl<S: Store> AsyncStore for S {
    type File = S::File;
    type Listing = S::Listing;

    async fn open(&mut self, name: FileName<'_>) -> Result<S::File, StoreError> {
        Store::open(self, name)
    }

    #[cfg(feature = "replaced")]
    async fn open_version(&mut self, name: FileName<'_>, version: &str) -> Result<S::File, StoreError> {
        Store::open_version(self, name, version)
    }

    #[cfg(feature = "absolute")]
    async fn open_absolute(&mut self, name: FileName<'_>) -> Result<S::File, StoreError> {
        Store::open_absolute(self, name)
    }

    async fn info(&mut self, file: &S::File) -> Result<FileInfo, StoreError> {
        Store::info(self, file)
    }

    async fn read(&mut self, file: &mut S::File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        Store::read(self, file, offset, buf)
    }

    fn read_now(&mut self, file: &mut S::File, offset: u64, buf: &mut [u8]) -> Option<Result<usize, StoreError>> {
        Some(Store::read(self, file, offset, buf))
    }

    async fn list(&mut self, path: Option<FileName<'_>>) -> Result<S::Listing, StoreError> {
        Store::list(self, path)
    }

    async fn next<'a>(&mut self, listing: &'a mut S::Listing) -> Result<Listed<'a>, StoreError> {
        Store::next(self, listing)
    }

    #[cfg(feature = "rights")]
    async fn is_linkless(&mut self, name: FileName<'_>) -> bool {
        Store::is_linkless(self, name)
    }

    async fn known_digest(&mut self, file: &S::File, kind: DigestKind) -> Option<Digest> {
        Store::known_digest(self, file, kind)
    }

    async fn remember_digest(&mut self, file: &S::File, info: &FileInfo, digest: &Digest) {
        Store::remember_digest(self, file, info, digest);
    }

    fn unix_time(&mut self) -> Option<u64> {
        Store::unix_time(self)
    }
}
