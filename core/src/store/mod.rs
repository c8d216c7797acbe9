//! The traits of what a server serves and writes, and a store of byte slices.

mod counted;
#[cfg(feature = "write")]
mod counted_write;
#[cfg(feature = "sync")]
mod deferral;
mod static_store;
#[cfg(feature = "write")]
mod turn;
#[cfg(feature = "write")]
mod writable;
#[cfg(feature = "write")]
mod write_error;
#[cfg(feature = "write")]
mod write_requests;

pub use counted::{CountedFile, CountedStore};
#[cfg(feature = "sync")]
pub use deferral::{Deferral, Synced};
pub use static_store::{StaticFile, StaticListing, StaticStore};
#[cfg(feature = "write")]
pub use turn::{UploadClaim, UploadTicket, UploadTurn};
#[cfg(feature = "write")]
pub use writable::{Begun, Committed, Space, WritableStore};
#[cfg(feature = "write")]
pub use write_error::WriteError;
#[cfg(feature = "write")]
pub use write_requests::{Delete, Put, PutAttempt, Rename, Replace};

use crate::types::digest::{Digest, DigestKind};
use crate::types::file_name::FileName;
use crate::types::version::Version;
use crate::wire::code::Code;

/// Information on an open file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInfo {
    /// Length in bytes.
    pub size: u64,
    /// While it is the same, no existing byte has changed; the file may have grown.
    pub version: Version,
    /// When the contents last changed, in seconds since 1970-01-01 00:00 UTC; `None` where that is unknown (no clock) or
    /// earlier.
    pub modified: Option<u64>,
    /// Whether its name belongs to another file now, and nothing is added to it any more.
    #[cfg(feature = "replaced")]
    pub is_replaced: bool,
    /// The version of the file that got its name at once, as it was first; `None` where that is not known, or another one may
    /// have had the name in between.
    #[cfg(feature = "replaced")]
    pub next: Option<Version>,
    /// The first byte that is still there, of a file that was opened by [`Store::open_absolute`]; else 0.
    #[cfg(feature = "absolute")]
    pub first: u64,
}

impl FileInfo {
    /// A file of `size` bytes in this version, without a time.
    #[must_use]
    pub const fn new(size: u64, version: Version) -> Self {
        Self {
            size,
            version,
            modified: None,
            #[cfg(feature = "replaced")]
            is_replaced: false,
            #[cfg(feature = "replaced")]
            next: None,
            #[cfg(feature = "absolute")]
            first: 0,
        }
    }

    /// Sets [`FileInfo::is_replaced`].
    #[cfg(feature = "replaced")]
    #[must_use]
    pub fn with_replaced(self, is_replaced: bool) -> Self {
        Self { is_replaced, ..self }
    }

    /// Sets [`FileInfo::next`].
    #[cfg(feature = "replaced")]
    #[must_use]
    pub fn with_next(self, next: Option<Version>) -> Self {
        Self { next, ..self }
    }

    /// Sets [`FileInfo::first`].
    #[cfg(feature = "absolute")]
    #[must_use]
    pub fn with_first(self, first: u64) -> Self {
        Self { first, ..self }
    }

    /// Sets [`FileInfo::modified`].
    #[must_use]
    pub fn with_modified(self, modified: Option<u64>) -> Self {
        Self { modified, ..self }
    }
}

/// One entry of a listed directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<'a> {
    /// The path to request: relative to the store's root, not to the listed directory.
    pub name: FileName<'a>,
    /// What it is.
    pub kind: EntryKind,
}

impl<'a> Entry<'a> {
    /// The file or directory `name`.
    #[must_use]
    pub const fn new(name: FileName<'a>, kind: EntryKind) -> Self {
        Self { name, kind }
    }
}

/// What an [`Entry`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Length in bytes.
        size: u64,
        /// As in [`FileInfo::modified`].
        modified: Option<u64>,
    },
    /// A directory.
    Directory {
        /// Whether it is reached through a link, so that following it may lead in a circle.
        link: bool,
    },
}

/// One step of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Listed<'a> {
    /// Something that can be requested.
    Entry(Entry<'a>),
    /// Something that cannot, whatever it is called: a special file, a link that leads nowhere or outside the store.
    Skipped,
    /// A regular file or a directory that cannot because of its name: invalid, too long, or no UTF-8.
    Unnameable,
    /// Something that the owner keeps from clients, which are told how many of these there are.
    Hidden,
    /// The end.
    End,
}

/// Why a store refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StoreError {
    /// There is no such file or directory.
    NotFound,
    /// It exists and is not a regular file.
    NotFile,
    /// It exists and is not a directory.
    NotDirectory,
    /// It may not be read, or lies outside the store.
    Denied,
    /// The name is invalid in this store, by a rule of its own (`:` on Windows).
    BadName,
    /// The medium failed.
    Io,
    /// No handle is left for another open file or listing: the client is told to try again.
    Busy,
    /// Not yet: the store computes what it has to know of the file first. It is asked again, while the client hears heartbeats;
    /// with an owner that cannot wait, the client is told to try again.
    NotReady,
}

impl StoreError {
    /// The error code for the client.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::NotFound => Code::NotFound,
            Self::NotFile => Code::NotFile,
            Self::NotDirectory => Code::NotDirectory,
            Self::Denied => Code::Denied,
            Self::BadName => Code::BadName,
            Self::Io => Code::Io,
            Self::Busy | Self::NotReady => Code::Busy,
        }
    }
}

impl core::fmt::Display for StoreError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NotFound => "no such file or directory",
            Self::NotFile => "not a regular file",
            Self::NotDirectory => "not a directory",
            Self::Denied => "permission denied",
            Self::BadName => "a name that this store cannot have",
            Self::Io => "input/output error",
            Self::Busy => "too many files are open",
            Self::NotReady => "the file is being looked at",
        })
    }
}

impl core::error::Error for StoreError {}

/// Files that can be listed and read: the read half of a store.
///
/// Methods take `&mut self` since a medium (a flash chip on a bus) often has to be accessed exclusively; a store that
/// many threads share implements this trait for a reference to itself. No method may block for longer than the medium
/// takes. Writing is a second trait, `WritableStore` (feature `write`).
pub trait Store {
    /// An open file. It can still be read, with its old contents, after its name was given to another file.
    ///
    /// A medium that cannot keep old contents (raw flash, a FAT whose clusters are reused) has to return another version from
    /// [`Store::info`] as soon as an announced byte may have been overwritten: the check after the last byte then ends the
    /// exchange with `changed`, and no client takes mixed bytes for a file.
    type File;
    /// A position in a listing, in the store's own terms: enough for [`Store::next`] to continue from there, however much later
    /// and whatever was opened in between.
    ///
    /// A file system that lists by callback (FAT, littlefs) stores the position of the next entry here, such as the cluster
    /// and the number of the directory entry: counting from the start of the directory for each entry would take time that
    /// grows with the square of their number. No handle has to stay open between two steps.
    type Listing;

    /// Opens the regular file `name`.
    ///
    /// # Errors
    ///
    /// Why it cannot be opened; [`StoreError::NotFile`] for what exists and is not a regular file, [`StoreError::Busy`] where no
    /// handle is left, [`StoreError::NotReady`] where the store works on it and is to be asked again.
    fn open(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError>;

    /// Opens the regular file `name` for a client that goes on with its version `version`: a store that keeps files for a while
    /// after they were renamed or replaced opens the one that has that version. Default: the file that has the name now.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    #[cfg(feature = "replaced")]
    fn open_version(&mut self, name: FileName<'_>, version: &str) -> Result<Self::File, StoreError> {
        let _ = version;
        self.open(name)
    }

    /// Opens the log `name` for a client whose offsets count from the log's beginning, whatever was dropped of it since: its
    /// [`FileInfo::size`] is where it ends, [`FileInfo::first`] where it begins now, and its version is another one than that of the
    /// same file with offsets from what is there now. Default: as [`Store::open`], for files that drop nothing.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    #[cfg(feature = "absolute")]
    fn open_absolute(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError> {
        self.open(name)
    }

    /// Information on `file` now. Called after it was opened, and again after its last byte was sent.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where the medium failed.
    fn info(&mut self, file: &Self::File) -> Result<FileInfo, StoreError>;

    /// Reads from `offset` on into `buf` and returns the number of bytes, at most `buf.len()`. `Ok(0)` for a `buf` that is
    /// not empty means that the file ends at or before `offset`. A short read does not mean the end.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where the medium failed.
    fn read(&mut self, file: &mut Self::File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError>;

    /// Begins a listing of the directory `path`, or of the root for `None`. Not recursive, in the store's own order.
    ///
    /// # Errors
    ///
    /// Why it cannot be listed; [`StoreError::NotDirectory`] for what exists and is not a directory, [`StoreError::Busy`] where no
    /// handle is left.
    fn list(&mut self, path: Option<FileName<'_>>) -> Result<Self::Listing, StoreError>;

    /// The next step of `listing`. An entry that exists from the first step to the last is returned once; one that is created or
    /// removed meanwhile, at most once.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where the medium failed; the listing is over then.
    fn next<'a>(&mut self, listing: &'a mut Self::Listing) -> Result<Listed<'a>, StoreError>;

    /// Whether no component of `name` that exists is a link, the last one included. Asked for clients whose right is limited to
    /// a directory, since a link in there could lead out of it: what is linked is `denied`. Default: false, so that a store which
    /// may have links, and does not look, shows such clients nothing.
    #[cfg(feature = "rights")]
    fn is_linkless(&mut self, name: FileName<'_>) -> bool {
        let _ = name;
        false
    }

    /// The digest of all of `file`, from the first to the last byte of the size that [`Store::info`] last returned, where it is
    /// known without reading: computed when the image was built, or cached.
    fn known_digest(&mut self, file: &Self::File, kind: DigestKind) -> Option<Digest> {
        let (_, _) = (file, kind);
        None
    }

    /// The time now, in seconds since 1970-01-01 00:00 UTC, by the clock that [`FileInfo::modified`] comes from; `None` where
    /// there is none. `hello` tells it.
    fn unix_time(&mut self) -> Option<u64> {
        None
    }

    /// Caches a digest that was just computed over all of `file` while its version stayed `info.version`.
    fn remember_digest(&mut self, _file: &Self::File, _info: &FileInfo, _digest: &Digest) {}
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::{Digest, DigestKind, FileInfo, FileName, Listed, Store, StoreError, Version};

    #[test]
    fn errors_have_codes_and_texts() {
        for (error, code, text) in [
            (StoreError::NotFound, "notFound", "no such file or directory"),
            (StoreError::NotFile, "notFile", "not a regular file"),
            (StoreError::NotDirectory, "notDirectory", "not a directory"),
            (StoreError::Denied, "denied", "permission denied"),
            (StoreError::BadName, "badName", "a name that this store cannot have"),
            (StoreError::Io, "io", "input/output error"),
            (StoreError::Busy, "busy", "too many files are open"),
            (StoreError::NotReady, "busy", "the file is being looked at"),
        ] {
            assert_eq!((error.code().as_str(), error.to_string().as_str()), (code, text));
        }
    }

    /// A store without known digests, with the default methods.
    #[test]
    fn a_store_need_not_know_more_than_its_files() {
        struct Blind;
        impl Store for Blind {
            type File = ();
            type Listing = ();
            fn open(&mut self, _: FileName<'_>) -> Result<(), StoreError> {
                Ok(())
            }
            fn info(&mut self, (): &()) -> Result<FileInfo, StoreError> {
                Ok(FileInfo::new(0, Version::new("v").expect("good")))
            }
            fn read(&mut self, (): &mut (), _: u64, _: &mut [u8]) -> Result<usize, StoreError> {
                Ok(0)
            }
            fn list(&mut self, _: Option<FileName<'_>>) -> Result<(), StoreError> {
                Ok(())
            }
            fn next<'a>(&mut self, (): &'a mut ()) -> Result<Listed<'a>, StoreError> {
                Ok(Listed::End)
            }
        }
        let name = FileName::from_static("a");
        let mut store = Blind;
        assert_eq!((store.open(name), store.read(&mut (), 0, &mut [0])), (Ok(()), Ok(0)));
        assert_eq!((store.list(None), store.next(&mut ())), (Ok(()), Ok(Listed::End)));
        let info = store.info(&()).expect("info");
        store.remember_digest(&(), &info, &Digest::Crc32(0));
        for kind in [DigestKind::Crc32, DigestKind::Sha256] {
            assert_eq!(store.known_digest(&(), kind), None);
        }
    }
}
