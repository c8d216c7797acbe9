//! The traits of what a server serves and writes, and a store of byte slices.

#[cfg(feature = "write")]
mod turn;
#[cfg(feature = "write")]
mod writable;

#[cfg(feature = "write")]
pub use turn::{UploadClaim, UploadTicket, UploadTurn};
#[cfg(feature = "write")]
pub use writable::{Begun, Committed, Delete, Put, PutAttempt, Rename, Replace, Space, WritableStore, WriteError};

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
}

impl FileInfo {
    /// A file of `size` bytes in this version, without a time.
    #[must_use]
    pub const fn new(size: u64, version: Version) -> Self {
        Self { size, version, modified: None }
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
    /// Something that cannot: an invalid, too long or non-UTF-8 name, a special file, a link that leads outside the store.
    Skipped,
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
            Self::Busy => Code::Busy,
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
    /// handle is left.
    fn open(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError>;

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

/// One file of a [`StaticStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticFile<'a> {
    name: FileName<'a>,
    bytes: &'a [u8],
    version: &'a str,
    crc32: Option<u32>,
}

impl<'a> StaticFile<'a> {
    /// The file `name` with the contents `bytes`. `version` has to change whenever `bytes` change: the build's identity is
    /// enough.
    ///
    /// # Panics
    ///
    /// If `name` is not a [`FileName`] or `version` not a [`Version`]; in a `const` that is a compile error.
    #[must_use]
    pub const fn new(name: &'a str, version: &'a str, bytes: &'a [u8]) -> Self {
        let mut rest = version.as_bytes();
        assert!(!rest.is_empty() && rest.len() <= Version::MAX_LEN, "a version has 1 to 64 characters");
        while let [byte, tail @ ..] = rest {
            assert!(byte.is_ascii_graphic(), "a version has characters from 0x21 to 0x7E only");
            rest = tail;
        }
        Self { name: FileName::from_static(name), bytes, version, crc32: None }
    }

    /// The same file with its CRC-32, computed when the image was built, so that nothing is hashed when it is fetched.
    #[must_use]
    pub const fn with_crc32(self, crc32: u32) -> Self {
        Self { crc32: Some(crc32), ..self }
    }

    /// The whole contents.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// A store of byte slices, for files that are part of a firmware's image, and for tests.
///
/// A name with a `/` is in a directory, which exists implicitly. Listing takes time that grows with the square of the number
/// of files: meant for dozens.
///
/// ```
/// use coracle_core::{StaticFile, StaticStore};
///
/// static FILES: [StaticFile<'static>; 2] = [
///     StaticFile::new("motd", "build-17", b"Mind the step.\n"),
///     StaticFile::new("tables/sine.bin", "build-17", &[0, 49, 90, 117, 127]),
/// ];
/// static STORE: StaticStore<'static> = StaticStore::new(&FILES);
/// # let _ = &STORE;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct StaticStore<'a> {
    files: &'a [StaticFile<'a>],
}

impl<'a> StaticStore<'a> {
    /// A store of `files`, in that order. Of two files with one name only the first can be fetched.
    #[must_use]
    pub const fn new(files: &'a [StaticFile<'a>]) -> Self {
        Self { files }
    }

    /// The file `name`.
    #[must_use]
    pub fn find(&self, name: FileName<'_>) -> Option<&'a StaticFile<'a>> {
        self.files.iter().find(|file| file.name.as_str() == name.as_str())
    }

    fn has_directory(&self, path: &str) -> bool {
        self.files.iter().any(|file| beneath(file.name, path).is_some())
    }
}

/// A position in the listing of a [`StaticStore`].
#[derive(Clone, Debug)]
pub struct StaticListing<'a> {
    /// The name of the first file that was found in the directory, cut to the directory's own path.
    directory: Option<&'a str>,
    next: usize,
}

impl<'a> Store for StaticStore<'a> {
    type File = &'a StaticFile<'a>;
    type Listing = StaticListing<'a>;

    fn open(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError> {
        match self.find(name) {
            Some(file) => Ok(file),
            None if self.has_directory(name.as_str()) => Err(StoreError::NotFile),
            None => Err(StoreError::NotFound),
        }
    }

    fn info(&mut self, file: &Self::File) -> Result<FileInfo, StoreError> {
        let size = u64::try_from(file.bytes.len()).map_err(|_| StoreError::Io)?;
        let version = Version::new(file.version).map_err(|_| StoreError::Io)?;
        Ok(FileInfo::new(size, version))
    }

    fn read(&mut self, file: &mut Self::File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let rest = usize::try_from(offset).ok().and_then(|offset| file.bytes.get(offset..)).unwrap_or(&[]);
        let len = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        Ok(len)
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<Self::Listing, StoreError> {
        let Some(path) = path else { return Ok(StaticListing { directory: None, next: 0 }) };
        let inside = self.files.iter().find(|file| beneath(file.name, path.as_str()).is_some());
        match inside.and_then(|file| file.name.as_str().get(..path.as_str().len())) {
            Some(directory) => Ok(StaticListing { directory: Some(directory), next: 0 }),
            None if self.find(path).is_some() => Err(StoreError::NotDirectory),
            None => Err(StoreError::NotFound),
        }
    }

    fn next<'b>(&mut self, listing: &'b mut Self::Listing) -> Result<Listed<'b>, StoreError> {
        let directory = listing.directory.unwrap_or("");
        while let Some(file) = self.files.get(listing.next) {
            let earlier = self.files.get(..listing.next).unwrap_or(&[]);
            listing.next = listing.next.saturating_add(1);
            let Some(rest) = beneath(file.name, directory) else { continue };
            let path_len = file.name.as_str().len().saturating_sub(rest.len());
            let (path, kind) = match rest.bytes().position(|byte| byte == b'/') {
                None => {
                    let size = u64::try_from(file.bytes.len()).map_err(|_| StoreError::Io)?;
                    (file.name.as_str(), EntryKind::File { size, modified: None })
                }
                Some(child_len) => {
                    let path = file.name.as_str().get(..path_len.saturating_add(child_len)).unwrap_or("");
                    if earlier.iter().any(|file| beneath(file.name, path).is_some()) {
                        continue;
                    }
                    (path, EntryKind::Directory { link: false })
                }
            };
            let name = FileName::new(path).map_err(|_| StoreError::Io)?;
            return Ok(Listed::Entry(Entry::new(name, kind)));
        }
        Ok(Listed::End)
    }

    fn known_digest(&mut self, file: &Self::File, kind: DigestKind) -> Option<Digest> {
        match kind {
            DigestKind::Crc32 => file.crc32.map(Digest::Crc32),
            DigestKind::Sha256 => None,
        }
    }
}

/// The part of `name` beneath `directory` (the root where that is empty), without the `/`.
fn beneath<'a>(name: FileName<'a>, directory: &str) -> Option<&'a str> {
    if directory.is_empty() {
        return Some(name.as_str());
    }
    name.as_str().strip_prefix(directory)?.strip_prefix('/')
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::{String, ToString};
    use std::vec::Vec;

    use super::{
        Digest, DigestKind, EntryKind, FileInfo, FileName, Listed, StaticFile, StaticStore, Store, StoreError, Version,
    };

    static FILES: [StaticFile<'static>; 4] = [
        StaticFile::new("a", "v1", b"alpha").with_crc32(7),
        StaticFile::new("d/b", "v1", b""),
        StaticFile::new("d/e/c", "v1", b"c"),
        StaticFile::new("d/e/f", "v1", b"ff"),
    ];

    fn listed(path: Option<&str>) -> Vec<String> {
        let mut store = StaticStore::new(&FILES);
        let path = path.map(FileName::from_static);
        let mut listing = store.list(path).expect("listed");
        let mut lines = Vec::new();
        while let Listed::Entry(entry) = store.next(&mut listing).expect("an entry") {
            lines.push(match entry.kind {
                EntryKind::File { size, .. } => std::format!("{} {size}", entry.name),
                EntryKind::Directory { .. } => std::format!("{}/", entry.name),
            });
        }
        lines
    }

    #[test]
    fn lists_one_directory_at_a_time() {
        assert_eq!(listed(None), ["a 5", "d/"]);
        assert_eq!(listed(Some("d")), ["d/b 0", "d/e/"]);
        assert_eq!(listed(Some("d/e")), ["d/e/c 1", "d/e/f 2"]);
    }

    #[test]
    fn says_why_not() {
        let mut store = StaticStore::new(&FILES);
        let name = FileName::from_static;
        assert_eq!(store.open(name("d")).err(), Some(StoreError::NotFile));
        assert_eq!(store.open(name("x")).err(), Some(StoreError::NotFound));
        assert_eq!(store.list(Some(name("a"))).err(), Some(StoreError::NotDirectory));
        assert_eq!(store.list(Some(name("a/b"))).err(), Some(StoreError::NotFound));
        for (error, code, text) in [
            (StoreError::NotFound, "notFound", "no such file or directory"),
            (StoreError::NotFile, "notFile", "not a regular file"),
            (StoreError::NotDirectory, "notDirectory", "not a directory"),
            (StoreError::Denied, "denied", "permission denied"),
            (StoreError::BadName, "badName", "a name that this store cannot have"),
            (StoreError::Io, "io", "input/output error"),
            (StoreError::Busy, "busy", "too many files are open"),
        ] {
            assert_eq!((error.code().as_str(), error.to_string().as_str()), (code, text));
        }
    }

    #[test]
    fn a_file_can_be_made_while_the_program_runs() {
        let (bytes, version) = (b"alpha".to_vec(), "v".repeat(64));
        let files = [StaticFile::new("a", &version, &bytes).with_crc32(9)];
        let mut store = StaticStore::new(&files);
        let file = store.open(FileName::from_static("a")).expect("a");
        assert_eq!(store.known_digest(&file, DigestKind::Crc32), Some(Digest::Crc32(9)));
        assert_eq!((file.bytes(), store.info(&file).expect("info").version.as_str().len()), (&b"alpha"[..], 64));
        for version in ["", "a b", "\u{7f}", "é", &"v".repeat(65)] {
            let made = std::panic::catch_unwind(|| StaticFile::new("a", version, b""));
            assert!(made.is_err(), "{version:?} is no version");
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

    #[test]
    fn reads_from_any_offset() {
        let mut store = StaticStore::new(&FILES);
        let mut file = store.open(FileName::from_static("a")).expect("a");
        let info = store.info(&file).expect("info");
        assert_eq!((info.size, info.version.as_str(), info.modified), (5, "v1", None));
        let mut buf = [0; 3];
        assert_eq!(store.read(&mut file, 3, &mut buf), Ok(2));
        assert_eq!(&buf, b"ha\0");
        assert_eq!(store.read(&mut file, 5, &mut buf), Ok(0));
        assert_eq!(store.read(&mut file, u64::MAX, &mut buf), Ok(0));
        assert_eq!(store.known_digest(&file, DigestKind::Crc32), Some(Digest::Crc32(7)));
        assert_eq!(store.known_digest(&file, DigestKind::Sha256), None);
        assert_eq!(file.bytes(), b"alpha");
    }
}
