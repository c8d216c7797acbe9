//! The trait of a store that can be written to.

use super::{FileInfo, Store, StoreError};
use crate::types::digest::Digest;
use crate::types::file_name::FileName;
use crate::types::time::Instant;
use crate::types::version::Version;
use crate::wire::code::Code;

/// A file that a client sends: what it will be, and what it may replace.
///
/// Name, size and digest are the identity of an upload: after a broken connection the same three continue it.
///
/// ```
/// use coracle_core::{Digest, FileName, Put, Replace};
///
/// let put = Put::new(FileName::from_static("cfg.json"), 10, Digest::Crc32(0xa684_c7c6)).with_replace(Replace::Anything);
/// assert_eq!(put.size, 10);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Put<'a> {
    /// The name that the file gets.
    pub name: FileName<'a>,
    /// Its length in bytes. Any number: nothing may be allocated by it before it was compared with what there is.
    pub size: u64,
    /// The digest of all its bytes.
    pub digest: Digest,
    /// What it may replace.
    pub replace: Replace<'a>,
    /// Whether missing directories are made.
    pub parents: bool,
    /// When its contents last changed, in seconds since 1970-01-01 00:00 UTC, to be set on the stored file; `None`: as the
    /// store sees fit.
    pub modified: Option<u64>,
}

impl<'a> Put<'a> {
    /// The new file `name` of `size` bytes with this digest: nothing is replaced, no directory is made.
    #[must_use]
    pub const fn new(name: FileName<'a>, size: u64, digest: Digest) -> Self {
        Self { name, size, digest, replace: Replace::Nothing, parents: false, modified: None }
    }

    /// Sets [`Put::replace`].
    #[must_use]
    pub fn with_replace(self, replace: Replace<'a>) -> Self {
        Self { replace, ..self }
    }

    /// Sets [`Put::parents`].
    #[must_use]
    pub fn with_parents(self, parents: bool) -> Self {
        Self { parents, ..self }
    }

    /// Sets [`Put::modified`].
    #[must_use]
    pub fn with_modified(self, modified: Option<u64>) -> Self {
        Self { modified, ..self }
    }
}

/// What a file that is put may replace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Replace<'a> {
    /// Nothing: the name must be free.
    #[default]
    Nothing,
    /// Whatever has the name, if anything.
    Anything,
    /// Only a file in this version, as a client wrote it. Empty where what it wrote is longer than any version.
    Version(&'a str),
}

impl Replace<'_> {
    /// Checks the version of the file that has the name now; `None` where no file has it.
    ///
    /// # Errors
    ///
    /// [`WriteError::Exists`] or [`WriteError::Changed`], where that file, or its absence, may not be replaced.
    pub fn check(self, current: Option<&Version>) -> Result<(), WriteError> {
        match (self, current) {
            (Self::Anything, _) | (Self::Nothing, None) => Ok(()),
            (Self::Nothing, Some(_)) => Err(WriteError::Exists),
            (Self::Version(expected), Some(current)) if current.as_str() == expected => Ok(()),
            (Self::Version(_), _) => Err(WriteError::Changed),
        }
    }
}

/// How often a [`Put`] was asked before, and how an equal file that is there already may be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutAttempt {
    /// When this connection first asked. Later than the last byte of another connection with the same upload: that one was
    /// silent meanwhile.
    pub asked: Instant,
    /// Whether the exchange may end without a byte because the file is there ([`Begun::Stored`], [`Begun::Compare`]). False for
    /// CRC-32, which can be forged, for a client that may not read the file, and after [`Begun::Compare`].
    pub may_compare: bool,
}

impl PutAttempt {
    /// The first attempt, at `asked`.
    #[must_use]
    pub const fn new(asked: Instant, may_compare: bool) -> Self {
        Self { asked, may_compare }
    }
}

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
}

/// What to delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delete<'a> {
    /// A file, and an unfinished upload to its name that nobody is sending.
    File {
        /// Which file.
        name: FileName<'a>,
        /// The version that it must have, as in [`Replace::Version`]; `None`: any.
        version: Option<&'a str>,
    },
    /// The unfinished upload to a name, alone.
    Partial {
        /// The name of the file that is not complete.
        name: FileName<'a>,
    },
    /// An empty directory.
    Directory {
        /// Which directory; never the root.
        path: FileName<'a>,
    },
}

impl<'a> Delete<'a> {
    /// What it names.
    #[must_use]
    pub const fn name(&self) -> FileName<'a> {
        match self {
            Self::File { name, .. } | Self::Partial { name } | Self::Directory { path: name } => *name,
        }
    }
}

/// A file's new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rename<'a> {
    /// Which file.
    pub name: FileName<'a>,
    /// Its new name, which must be free.
    pub to: FileName<'a>,
    /// The version that it must have, as in [`Replace::Version`]; `None`: any.
    pub version: Option<&'a str>,
}

impl<'a> Rename<'a> {
    /// Renames the file `name`, in any version, to `to`.
    #[must_use]
    pub const fn new(name: FileName<'a>, to: FileName<'a>) -> Self {
        Self { name, to, version: None }
    }

    /// Sets [`Rename::version`].
    #[must_use]
    pub const fn with_version(self, version: Option<&'a str>) -> Self {
        Self { version, ..self }
    }
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

/// Why a store does not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum WriteError {
    /// As when reading. [`StoreError::NotFound`] is also a parent directory that is missing.
    Store(StoreError),
    /// The name is taken, and nothing may be replaced.
    Exists,
    /// What has the name is not in the expected version, or nothing has it.
    Changed,
    /// The file is larger than this store accepts, whatever is free.
    TooLarge {
        /// The largest size that is accepted, in bytes.
        max: u64,
    },
    /// There is no room.
    NoSpace {
        /// How many bytes are free, if known. What the upload itself holds counts as free for it.
        free: Option<u64>,
    },
    /// Another connection is sending an upload to this name.
    InUse,
    /// The contents are not what they should be: by their digest, or by a rule of the store's own. The upload is discarded.
    Corrupt,
    /// The directory has entries.
    NotEmpty,
    /// This store cannot do it, or not atomically.
    Unsupported,
}

impl WriteError {
    /// The error code for the client.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Store(error) => error.code(),
            Self::Exists => Code::Exists,
            Self::Changed => Code::Changed,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::NoSpace { .. } => Code::NoSpace,
            Self::InUse => Code::InUse,
            Self::Corrupt => Code::Corrupt,
            Self::NotEmpty => Code::NotEmpty,
            Self::Unsupported => Code::Unsupported,
        }
    }

    /// The number that the client is told with the code: the largest size, or the free bytes.
    #[must_use]
    pub const fn limit(self) -> Option<u64> {
        match self {
            Self::TooLarge { max } => Some(max),
            Self::NoSpace { free } => free,
            _ => None,
        }
    }
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl core::fmt::Display for WriteError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Store(error) => return error.fmt(f),
            Self::Exists => "the name is taken",
            Self::Changed => "not in the expected version",
            Self::TooLarge { .. } => "larger than files may be here",
            Self::NoSpace { .. } => "no space is left",
            Self::InUse => "another connection is sending it",
            Self::Corrupt => "the contents are not what they should be",
            Self::NotEmpty => "the directory is not empty",
            Self::Unsupported => "not supported by this store",
        })
    }
}

impl core::error::Error for WriteError {}

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
/// An upload collects bytes that nobody sees: no listing has them, no name opens them. At most one exists for a name, and
/// at most one connection sends it. An upload that was [kept](WritableStore::keep) is found again by `begin` of the same
/// [`Put::name`], [`Put::size`] and [`Put::digest`], after a restart too where the medium allows it; `begin` of other contents
/// for the same name drops it, unless a connection is sending it ([`WriteError::InUse`]). A value that is dropped instead, with its
/// connection, counts as kept.
///
/// # Durability
///
/// - Before `commit` has returned [`Committed::Done`], the file that had the name is untouched, also by a power cut at any
///   moment; who has it open goes on reading it. A power cut inside of `commit` leaves the old file or the new one, whole.
/// - After it, contents *and* name survive a power cut.
/// - The caller commits only what it has verified: every byte, also those of earlier connections, was read back or hashed when it
///   was written, and the digest is that of the [`Put`]. What was stored but not committed need not be durable, and is
///   not trusted: bytes that a power cut replaced by others are noticed.
/// - `delete`, `rename` and `make_dir` are durable too when they return.
///
/// # Preconditions
///
/// [`Put::replace`] is checked by `begin`, so that nothing is sent in vain, and by `commit`, at the moment at which the
/// file gets its name and under a lock that all writers of this store hold. [`Replace::check`] has the rule. No file ever has the
/// version `*`.
///
/// # Errors
///
/// The first that applies is returned: [`StoreError::BadName`] for a rule of the store's own, [`StoreError::Denied`];
/// [`StoreError::NotFound`] for a parent directory that is missing, [`StoreError::NotFile`] for a name that a
/// directory, a link or a device has, [`StoreError::Io`]; the file that is there already; [`WriteError::InUse`];
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
    /// [`WriteError::NoSpace`], [`StoreError::Io`]; [`WriteError::InUse`] where another connection has taken over. The connection
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

    /// Reads what was stored, from `offset` on, into `buf`, and returns the number of bytes, as [`Store::read`] does.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where the medium failed; [`WriteError::InUse`] where another connection has taken over.
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
    /// [`WriteError::Exists`] or [`WriteError::Changed`] where another writer was faster, [`WriteError::NoSpace`], [`StoreError::Io`],
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
    /// [`StoreError::NotFound`]; [`StoreError::NotFile`] or [`StoreError::NotDirectory`] where it is the other; [`StoreError::Denied`];
    /// [`WriteError::InUse`] where a connection is sending an upload to the name; [`WriteError::Changed`];
    /// [`WriteError::NotEmpty`]; [`StoreError::Io`]; [`WriteError::Unsupported`].
    fn delete(&mut self, delete: &Delete<'_>) -> Result<(), WriteError>;

    /// Gives a file another name, durably and atomically. The default cannot.
    ///
    /// # Errors
    ///
    /// As `delete` of a file; [`StoreError::NotFound`] also for the new name's parent directory; [`WriteError::Exists`] where the new
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
    /// [`StoreError::NotFound`] for a parent directory that is missing, [`WriteError::Exists`] where `path` is something else,
    /// [`StoreError::Denied`], [`WriteError::NoSpace`], [`StoreError::Io`]; [`WriteError::Unsupported`].
    fn make_dir(&mut self, path: FileName<'_>) -> Result<(), WriteError> {
        let _ = path;
        Err(WriteError::Unsupported)
    }

    /// The room that there is. The default does not know.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where the medium failed.
    fn space(&mut self) -> Result<Space, WriteError> {
        Ok(Space::new())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::{Delete, FileName, Replace, StoreError, Version, WriteError};

    #[test]
    fn a_precondition_is_compared_with_what_has_the_name() {
        let (v1, v2) = (Version::new("v1").expect("good"), Version::new("v2").expect("good"));
        for (replace, current, expected) in [
            (Replace::Nothing, None, Ok(())),
            (Replace::Nothing, Some(&v1), Err(WriteError::Exists)),
            (Replace::Anything, None, Ok(())),
            (Replace::Anything, Some(&v1), Ok(())),
            (Replace::Version("v1"), Some(&v1), Ok(())),
            (Replace::Version("v1"), Some(&v2), Err(WriteError::Changed)),
            (Replace::Version("v1"), None, Err(WriteError::Changed)),
            (Replace::Version(""), Some(&v1), Err(WriteError::Changed)),
        ] {
            assert_eq!(replace.check(current), expected, "{replace:?} {current:?}");
        }
    }

    #[test]
    fn each_error_has_its_code_and_text() {
        for (error, code, limit, text) in [
            (WriteError::from(StoreError::NotFile), "notFile", None, "not a regular file"),
            (WriteError::Exists, "exists", None, "the name is taken"),
            (WriteError::Changed, "changed", None, "not in the expected version"),
            (WriteError::TooLarge { max: 7 }, "tooLarge", Some(7), "larger than files may be here"),
            (WriteError::NoSpace { free: Some(0) }, "noSpace", Some(0), "no space is left"),
            (WriteError::NoSpace { free: None }, "noSpace", None, "no space is left"),
            (WriteError::InUse, "inUse", None, "another connection is sending it"),
            (WriteError::Corrupt, "corrupt", None, "the contents are not what they should be"),
            (WriteError::NotEmpty, "notEmpty", None, "the directory is not empty"),
            (WriteError::Unsupported, "unsupported", None, "not supported by this store"),
        ] {
            assert_eq!((error.code().as_str(), error.limit(), error.to_string().as_str()), (code, limit, text));
        }
    }

    #[test]
    fn a_delete_names_one_thing() {
        let name = FileName::from_static("a");
        for delete in [Delete::File { name, version: None }, Delete::Partial { name }, Delete::Directory { path: name }]
        {
            assert_eq!(delete.name(), name);
        }
    }
}
