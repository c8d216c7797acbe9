//! The trait of a store that can be written to.

#[cfg(feature = "sync")]
use super::deferral::{Deferral, Synced};
use super::{Delete, FileInfo, Put, PutAttempt, Rename, Store, StoreError, WriteError};
use crate::types::digest::Digest;
use crate::types::file_name::FileName;
use crate::types::time::Instant;

/// What a [`Put`] meets in a store. `U` is the store's upload, `F` its open file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Begun<U, F> {
    /// The bytes from `have` on are wanted.
    Upload {
        /// What the bytes are passed to.
        upload: U,
        /// How many bytes were stored by earlier connections; at most the size. They are verified with the rest.
        have: u64,
    },
    /// The very file is there already. Only where [`PutAttempt::may_compare`].
    Stored(FileInfo),
    /// A file of the same size is there, and its digest is not known without reading it: the caller does so, and asks again
    /// without [`PutAttempt::may_compare`] if it differs. Only where [`PutAttempt::may_compare`].
    Compare(F),
    /// Another connection has this upload, and may be dead, or is committing it: ask again soon.
    Wait,
}

/// The state of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Committed {
    /// It is under way: call again.
    Pending,
    /// It is done: the stored file, as [`Store::info`] tells it from now on.
    Done(FileInfo),
    /// It is done by [`WritableStore::sync`] at the latest. Only where [`Put::deferred`] allows it.
    #[cfg(feature = "sync")]
    Deferred(Deferral),
}

/// The room of a store, in bytes; `None`: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Space {
    /// Used and free together.
    pub total: Option<u64>,
    /// Left for new files.
    pub free: Option<u64>,
    /// The largest file that is accepted.
    pub max_file: Option<u64>,
}

impl Space {
    /// A store that knows nothing of its room.
    #[must_use]
    pub const fn new() -> Self {
        Self { total: None, free: None, max_file: None }
    }

    /// Sets [`Space::total`].
    #[must_use]
    pub const fn with_total(self, total: Option<u64>) -> Self {
        Self { total, ..self }
    }

    /// Sets [`Space::free`].
    #[must_use]
    pub const fn with_free(self, free: Option<u64>) -> Self {
        Self { free, ..self }
    }

    /// Sets [`Space::max_file`].
    #[must_use]
    pub const fn with_max_file(self, max_file: Option<u64>) -> Self {
        Self { max_file, ..self }
    }
}

/// A [`Store`] whose files can be put, deleted and renamed.
///
/// # Uploads
///
/// ```text
///   begin ─┬─ Upload ─── write* ─── (read_back*) ─── commit* ─── Done      the file has its name
///          ├─ Stored                                   │
///          ├─ Compare ── begin                         ├─ keep             the bytes wait for the next connection
///          └─ Wait ───── begin                         └─ discard          they are gone
/// ```
///
/// An upload collects bytes that no client sees: no listing has them, no name opens them. At most one exists for a name, and
/// at most one connection sends it. An upload that was [kept](WritableStore::keep) is found again by `begin` of the same
/// [`Put::name`], [`Put::size`] and [`Put::digest`], after a restart too where the medium allows it; `begin` of other contents
/// for the same name drops it, unless a connection is sending it ([`WriteError::InUse`]). A value that is dropped instead, with its
/// connection, counts as kept.
///
/// # Durability
///
/// - Before `commit` has returned [`Committed::Done`], the file that had the name is untouched, also by a power cut at any
///   moment; who has it open goes on reading it. A power cut inside of `commit` leaves the old file or the new one, whole.
/// - After it, contents *and* name survive a power cut. So do those of a file that is there already, before `begin` returns
///   [`Begun::Stored`] or [`Begun::Compare`]: it may have been put there without a sync.
/// - A commit that was [deferred](Put) (feature `sync`) is not done yet: the file has its name, durably, once `sync` says so. It may
///   have it before, and then whole, a power cut at any moment included: contents are durable before they have a name. Until then
///   the upload counts as one that is being committed, whether or not its connection lives.
/// - The caller commits only what it has verified: every byte, also those of earlier connections, was read back or hashed when it
///   was written, and the digest is that of the [`Put`]. What was stored but not committed need not be durable, and is
///   not trusted: bytes that a power cut replaced by others are noticed.
/// - `delete`, `rename` and `make_dir` are durable too when they return.
///
/// # Preconditions
///
/// [`Put::replace`] is checked by `begin`, so that nothing is sent in vain, and by `commit`, at the moment at which the
/// file gets its name and under a lock that all writers of this store hold. [`Replace::check`](super::Replace::check) has the rule.
/// No file ever has the version `*`.
///
/// # Errors
///
/// The first that applies is returned, where `StoreError` stands for [`WriteError::Store`]: `StoreError::BadName` for a rule of the
/// store's own, `StoreError::Denied`; `StoreError::NotFound` for a parent directory that is missing, `StoreError::NotFile` for a name
/// that a directory, a link or a device has, `StoreError::Io`; the file that is there already; [`WriteError::InUse`];
/// [`WriteError::Exists`] or [`WriteError::Changed`]; [`WriteError::TooLarge`]; [`WriteError::NoSpace`].
///
/// # Time
///
/// No call may take long: a flash chip erases at most one sector in each, and a call that waits for a disk returns within a
/// second or so ([`Committed::Pending`], 0 bytes taken), since the client hears nothing meanwhile. `now` is the time of the
/// caller's clock, the same one for all connections of a store; [`UploadTurn`](super::UploadTurn) needs it.
pub trait WritableStore: Store {
    /// An upload that a connection is sending.
    type Upload;

    /// Begins an upload, or continues the one that an earlier connection has left.
    ///
    /// Missing directories are made here where [`Put::parents`] says so; they stay, whatever becomes of the upload.
    ///
    /// # Errors
    ///
    /// Why it cannot be, in the order given above; nothing has changed then.
    fn begin(
        &mut self,
        put: &Put<'_>,
        attempt: PutAttempt,
        now: Instant,
    ) -> Result<Begun<Self::Upload, Self::File>, WriteError>;

    /// Stores `bytes`, which are at least one, from `offset` of the file on, and returns how many of them it took; `Ok(0)`
    /// means none yet (a sector had to be erased first): call again. They come in order, without gaps, from `have` to
    /// the size. However few there are, they are taken in the end: what does not fill a unit of the medium stays in the upload.
    ///
    /// # Errors
    ///
    /// [`WriteError::NoSpace`], `StoreError::Io`; [`WriteError::InUse`] where another connection has taken over. The connection
    /// ends, and the upload is kept.
    fn write(
        &mut self,
        upload: &mut Self::Upload,
        offset: u64,
        bytes: &[u8],
        now: Instant,
    ) -> Result<usize, WriteError>;

    /// Whether all of the file has to be read back from the medium before `commit`. Otherwise the bytes are hashed as they
    /// are passed to `write`, and only those of earlier connections are read back, before the first `write`.
    ///
    /// The default reads back, which finds what a flash chip did not store. A disk notices that itself.
    fn verifies_by_reading(&self, upload: &Self::Upload) -> bool {
        let _ = upload;
        true
    }

    /// Whether the store hashes what is written to the upload itself, on another processor for example. The caller then hashes
    /// nothing of it, reads nothing back whatever [`WritableStore::verifies_by_reading`] says, and asks for the digest once every
    /// byte is written. By default the caller hashes.
    fn hashes_itself(&self, upload: &Self::Upload) -> bool {
        let _ = upload;
        false
    }

    /// Digest of the whole upload, of the kind that its [`Put`] names, from a store that hashes it itself.
    ///
    /// # Errors
    ///
    /// `StoreError::Io` where the medium failed, and by default.
    fn digest(&mut self, upload: &mut Self::Upload) -> Result<Digest, StoreError> {
        let _ = upload;
        Err(StoreError::Io)
    }

    /// Reads what was stored, from `offset` on, into `buf`, and returns the number of bytes, as [`Store::read`] does.
    ///
    /// # Errors
    ///
    /// `StoreError::Io` where the medium failed; [`WriteError::InUse`] where another connection has taken over.
    fn read_back(
        &mut self,
        upload: &mut Self::Upload,
        offset: u64,
        buf: &mut [u8],
        now: Instant,
    ) -> Result<usize, WriteError>;

    /// Gives the complete and verified upload its name, durably. Called again while it returns [`Committed::Pending`]; after
    /// [`Committed::Done`] the upload is dropped. `put` is that of `begin`.
    ///
    /// # Errors
    ///
    /// [`WriteError::Exists`] or [`WriteError::Changed`] where another writer was faster, [`WriteError::NoSpace`], `StoreError::Io`,
    /// [`WriteError::InUse`]: the old file is whole, and the upload is kept. [`WriteError::Corrupt`] where the store's own rules
    /// refuse the contents: the upload is discarded.
    fn commit(&mut self, upload: &mut Self::Upload, put: &Put<'_>, now: Instant) -> Result<Committed, WriteError>;

    /// Keeps an unfinished upload for a later connection.
    fn keep(&mut self, upload: Self::Upload);

    /// Drops an upload and its bytes.
    fn discard(&mut self, upload: Self::Upload);

    /// Deletes a file, an unfinished upload, or an empty directory, durably. Who has the file open goes on reading it.
    ///
    /// # Errors
    ///
    /// `StoreError::NotFound`; `StoreError::NotFile` or `StoreError::NotDirectory` where it is the other; `StoreError::Denied`;
    /// [`WriteError::InUse`] where a connection is sending an upload to the name; [`WriteError::Changed`];
    /// [`WriteError::NotEmpty`]; `StoreError::Io`; [`WriteError::Unsupported`].
    fn delete(&mut self, delete: &Delete<'_>) -> Result<(), WriteError>;

    /// Gives a file another name, durably and atomically. The default cannot.
    ///
    /// # Errors
    ///
    /// As `delete` of a file; `StoreError::NotFound` also for the new name's parent directory; [`WriteError::Exists`] where the new
    /// name is taken, [`WriteError::InUse`] where something is being uploaded to either name; [`WriteError::Unsupported`] where it
    /// cannot be atomic.
    fn rename(&mut self, rename: &Rename<'_>) -> Result<(), WriteError> {
        let _ = rename;
        Err(WriteError::Unsupported)
    }

    /// Makes the directory `path`, durably; `Ok` where it is one already. The default has no directories.
    ///
    /// # Errors
    ///
    /// `StoreError::NotFound` for a parent directory that is missing, [`WriteError::Exists`] where `path` is something else,
    /// `StoreError::Denied`, [`WriteError::NoSpace`], `StoreError::Io`; [`WriteError::Unsupported`].
    fn make_dir(&mut self, path: FileName<'_>) -> Result<(), WriteError> {
        let _ = path;
        Err(WriteError::Unsupported)
    }

    /// Completes the commits that `deferral` names: their files have their names, durably. Called again while it returns
    /// [`Synced::Pending`]. The default has deferred nothing.
    ///
    /// # Errors
    ///
    /// At least one of them may have failed, for whatever reason: to put each of the files again tells which, and why.
    #[cfg(feature = "sync")]
    fn sync(&mut self, deferral: Deferral) -> Result<Synced, WriteError> {
        let _ = deferral;
        Ok(Synced::Done)
    }

    /// The room that there is. The default does not know.
    ///
    /// # Errors
    ///
    /// `StoreError::Io` where the medium failed.
    fn space(&mut self) -> Result<Space, WriteError> {
        Ok(Space::new())
    }
}
