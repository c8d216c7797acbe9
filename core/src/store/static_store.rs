//! A store of byte slices.

use super::{Entry, EntryKind, FileInfo, Listed, Store, StoreError};
use crate::types::digest::{Digest, DigestKind};
use crate::types::file_name::FileName;
use crate::types::version::Version;

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

    #[cfg(feature = "rights")]
    fn is_linkless(&mut self, _: FileName<'_>) -> bool {
        true
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
    use std::string::String;
    use std::vec::Vec;

    use super::{StaticFile, StaticStore};
    use crate::{Digest, DigestKind, EntryKind, FileName, Listed, Store, StoreError};

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
