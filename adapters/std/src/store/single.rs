//! A store of one file.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use coracle_core::{Digest, DigestKind, Entry, EntryKind, FileInfo, FileName, Listed, NameError, Store, StoreError};

use super::append_only::AppendOnly;
use super::contents::DigestFile;
use super::digest_cache::DigestCache;
use super::file::File;
use super::manifest::ManifestEvent;
use super::version::VersionBy;
use super::versions::Versions;
use crate::sys::{open_any, store_error};

/// One file, under the last component of its path. Many threads share one: `&SingleFileStore` is a [`Store`].
///
/// Nothing else is listed, and nothing else can be opened, whatever lies beside it. The file is opened by its path for
/// each request, so that one which replaces it is served from then on; symbolic links in the path are followed, since the
/// owner named it. While there is no such file, it is [`StoreError::NotFound`].
///
/// ```no_run
/// use coracle::SingleFileStore;
///
/// let store = SingleFileStore::open("/srv/images/firmware.bin")?;
/// assert_eq!(store.name().as_str(), "firmware.bin");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct SingleFileStore {
    path: PathBuf,
    name: String,
    digests: DigestCache,
    versions: Versions,
    append_only: AppendOnly,
}

/// A place in the listing of a [`SingleFileStore`].
#[derive(Clone, Debug)]
pub struct SingleListing {
    name: String,
    is_over: bool,
}

impl SingleFileStore {
    /// Digests that are cached: of both kinds, and of files that replace each other.
    const DIGEST_CACHE: usize = 8;

    /// The file `path`. A relative path belongs to the current directory as it is now.
    ///
    /// # Errors
    ///
    /// `path` does not exist, is no regular file or may not be read, or its name cannot be asked for; the message names it.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let explain =
            |kind: io::ErrorKind, why: &str| io::Error::new(kind, format!("cannot serve {}: {why}", path.display()));
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        FileName::new(name).map_err(|error| {
            let why = if error == NameError::Empty { "its name is not UTF-8, or it has none" } else { error.as_str() };
            explain(io::ErrorKind::InvalidFilename, why)
        })?;
        let absolute = std::path::absolute(path).map_err(|error| explain(error.kind(), &error.to_string()))?;
        let store = Self {
            path: absolute,
            name: name.to_owned(),
            digests: DigestCache::new(Self::DIGEST_CACHE),
            versions: Versions::default(),
            append_only: AppendOnly::default(),
        };
        match store.open_file() {
            Ok(_) => Ok(store),
            Err(StoreError::NotFound) => Err(explain(io::ErrorKind::NotFound, "there is no such file")),
            Err(StoreError::NotFile) => Err(explain(io::ErrorKind::InvalidInput, "it is not a regular file")),
            Err(StoreError::Denied) => Err(explain(io::ErrorKind::PermissionDenied, "permission denied")),
            Err(error) => Err(explain(io::ErrorKind::Other, &error.to_string())),
        }
    }

    /// Sets whether the file is only appended to, as [`DirectoryStore::with_append_only`](super::DirectoryStore::with_append_only)
    /// describes. Default: false.
    #[must_use]
    pub fn with_append_only(self, is_append_only: bool) -> Self {
        let append_only = if is_append_only { AppendOnly::new(|_| true) } else { AppendOnly::default() };
        Self { append_only, ..self }
    }

    /// Sets what its version is made of, as [`DirectoryStore::with_version_by`](super::DirectoryStore::with_version_by) describes.
    #[must_use]
    pub fn with_version_by(self, by: VersionBy) -> Self {
        Self { versions: self.versions.with_version_by(by), ..self }
    }

    /// Takes its SHA-256 from a manifest, as [`DirectoryStore::with_manifest`](super::DirectoryStore::with_manifest) describes.
    #[must_use]
    pub fn with_manifest(
        self,
        path: impl AsRef<Path>,
        observer: impl Fn(&ManifestEvent<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self { versions: self.versions.with_manifest(path.as_ref(), observer), ..self }
    }

    /// Keeps its digest in `file`, for the next start.
    #[must_use]
    pub fn with_digest_file(self, file: DigestFile) -> Self {
        Self { versions: self.versions.with_digest_file(file), ..self }
    }

    /// The name that it is served under.
    #[must_use]
    pub fn name(&self) -> FileName<'_> {
        FileName::new(&self.name).expect("it was checked when the store was opened")
    }

    fn open_file(&self) -> Result<File, StoreError> {
        let file = open_any(&self.path).map_err(|error| store_error(&error))?;
        File::new(file, &self.name, &self.versions, self.append_only.generations(self.name()))
    }
}

impl Store for &SingleFileStore {
    type File = File;
    type Listing = SingleListing;

    fn open(&mut self, name: FileName<'_>) -> Result<File, StoreError> {
        if name.as_str() != self.name {
            return Err(StoreError::NotFound);
        }
        self.open_file()
    }

    fn info(&mut self, file: &File) -> Result<FileInfo, StoreError> {
        file.info()
    }

    fn read(&mut self, file: &mut File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        file.read(offset, buf)
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<SingleListing, StoreError> {
        match path {
            None => Ok(SingleListing { name: self.name.clone(), is_over: false }),
            Some(path) if path.as_str() == self.name => Err(StoreError::NotDirectory),
            Some(_) => Err(StoreError::NotFound),
        }
    }

    fn next<'a>(&mut self, listing: &'a mut SingleListing) -> Result<Listed<'a>, StoreError> {
        if listing.is_over {
            return Ok(Listed::End);
        }
        listing.is_over = true;
        match fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_file() => {
                let kind = EntryKind::File { size: metadata.len(), modified: modified(&metadata) };
                Ok(FileName::new(&listing.name).map_or(Listed::Skipped, |name| Listed::Entry(Entry::new(name, kind))))
            }
            Ok(_) => Ok(Listed::Skipped),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Listed::End),
            Err(_) => Ok(Listed::Skipped),
        }
    }

    /// The file has the name that its owner gave it, wherever that leads.
    #[cfg(feature = "channel")]
    fn is_linkless(&mut self, _: FileName<'_>) -> bool {
        true
    }

    fn known_digest(&mut self, file: &File, kind: DigestKind) -> Option<Digest> {
        file.known_digest(kind).or_else(|| self.digests.find(&file.last_stamp(), kind))
    }

    fn unix_time(&mut self) -> Option<u64> {
        SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|time| time.as_secs())
    }

    fn remember_digest(&mut self, file: &File, info: &FileInfo, digest: &Digest) {
        if file.shows_changes_since(info) {
            self.digests.insert(&file.last_stamp(), *digest);
        }
    }
}

fn modified(metadata: &Metadata) -> Option<u64> {
    Some(metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use std::fs;
    #[cfg(unix)]
    use std::os::unix::fs::symlink;

    use coracle_core::{EntryKind, FileName, Listed, Store, StoreError};

    use super::SingleFileStore;

    fn contents(mut store: &SingleFileStore, name: &str) -> Result<Vec<u8>, StoreError> {
        let mut file = store.open(FileName::new(name).expect("a name"))?;
        let mut buf = [0; 64];
        let len = store.read(&mut file, 0, &mut buf)?;
        Ok(buf[..len].to_vec())
    }

    #[test]
    fn one_file_and_nothing_beside_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(".image");
        fs::write(&path, "one").expect("written");
        fs::write(directory.path().join("other"), "secret").expect("written");
        let store = SingleFileStore::open(&path).expect("a store");
        assert_eq!(contents(&store, ".image"), Ok(b"one".to_vec()));
        for name in ["other", "x/.image", ".image/x"] {
            assert_eq!(contents(&store, name), Err(StoreError::NotFound), "{name}");
        }
        let mut shared = &store;
        let name = FileName::from_static(".image");
        assert_eq!(shared.list(Some(name)).err(), Some(StoreError::NotDirectory));
        assert_eq!(shared.list(Some(FileName::from_static("other"))).err(), Some(StoreError::NotFound));
        let mut listing = shared.list(None).expect("the root");
        let Ok(Listed::Entry(entry)) = shared.next(&mut listing) else { panic!("no entry") };
        assert_eq!(entry.name, name);
        assert!(matches!(entry.kind, EntryKind::File { size: 3, modified: Some(_) }), "{entry:?}");
        assert_eq!(shared.next(&mut listing), Ok(Listed::End));
    }

    #[cfg(unix)]
    #[test]
    fn what_replaces_it_is_served() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::write(at("one"), "one").expect("written");
        fs::write(at("two"), "two").expect("written");
        symlink("one", at("current")).expect("a link");
        let store = SingleFileStore::open(at("current")).expect("a store");
        let mut shared = &store;
        let mut before = shared.open(store.name()).expect("open");
        assert_eq!(contents(&store, "current"), Ok(b"one".to_vec()));
        symlink("two", at("next")).expect("a link");
        fs::rename(at("next"), at("current")).expect("renamed");
        assert_eq!(contents(&store, "current"), Ok(b"two".to_vec()));
        let mut buf = [0; 3];
        assert_eq!((shared.read(&mut before, 0, &mut buf), &buf), (Ok(3), b"one"), "an open one stays as it was");
        fs::remove_file(at("current")).expect("removed");
        assert_eq!(contents(&store, "current"), Err(StoreError::NotFound));
        let mut listing = shared.list(None).expect("the root");
        assert_eq!(shared.next(&mut listing), Ok(Listed::End));
        fs::create_dir(at("current")).expect("a directory");
        assert_eq!(contents(&store, "current"), Err(StoreError::NotFile));
        let mut listing = shared.list(None).expect("the root");
        assert_eq!(shared.next(&mut listing), Ok(Listed::Skipped));
    }

    #[cfg(unix)]
    #[test]
    fn says_what_cannot_be_served() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("a\\b"), "").expect("written");
        for (name, words) in [("none", "there is no such file"), (".", "not a regular file"), ("a\\b", "backslash")] {
            let error = SingleFileStore::open(directory.path().join(name)).expect_err(name).to_string();
            assert!(error.starts_with("cannot serve ") && error.contains(words), "{error}");
        }
        for (path, words) in
            [("/dev/null", "not a regular file"), ("/proc/self/status", "not a regular file"), ("..", "it has none")]
        {
            let error = SingleFileStore::open(path).expect_err(path).to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
