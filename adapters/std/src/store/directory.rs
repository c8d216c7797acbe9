//! A store of the files beneath a directory.

use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use coracle_core::{Digest, DigestKind, FileInfo, FileName, Listed, Store, StoreError};

use super::append_only::AppendOnly;
use super::contents::DigestFile;
use super::digest_cache::DigestCache;
use super::file::File;
use super::listing::Listing;
use super::manifest::ManifestEvent;
use super::skipped::{SkipObserver, SkippedEntry};
use super::version::VersionBy;
use super::versions::Versions;
use crate::local::name_restriction;
use crate::sys::{ConfinedDirectory, FileKind, SystemDirectory, store_error};

/// The files beneath a directory. Many threads share one: `&DirectoryStore` is a [`Store`].
///
/// Every name is resolved by the kernel and confined to the directory (`openat2` with `RESOLVE_BENEATH`, or a walk of
/// cap-std that confines as well where that call is not available). The directory itself is held open: whatever happens to
/// the path that named it, the same directory is served.
///
/// - A symbolic link that stays inside is followed; one that leads outside is [`StoreError::Denied`], and an absolute
///   one does, wherever it points. A loop is [`StoreError::NotFound`].
/// - What is mounted beneath the directory is served. So is a file that has a hard link elsewhere: nothing tells it from
///   others, so a user who may make links in the directory can publish every file that the system lets him link to.
/// - A name is the bytes of the file system: `café` in another normal form of Unicode is another file, and upper and
///   lower case differ unless the file system makes them equal.
/// - A component that begins with `.coracle-`, as the names of unfinished files do, is [`StoreError::BadName`], and never
///   listed.
/// - Hidden is what has a component in its *name* that begins with a dot. A link with a plain name may lead to it.
/// - What the kernel makes when it is read, as in `/proc` and `/sys`, is [`StoreError::NotFile`]: its size says nothing.
/// - A file's version is a hash of inode number (where the file system stores one), size, modification and change time, or
///   [what else](DirectoryStore::with_version_by) its owner wants. What a program writes through a
///   memory mapping may show in the times only later, and a user who can set the clock or write to the disk itself
///   can hide a change. That of a file which is [only appended to](DirectoryStore::with_append_only) stays while it grows.
///
/// ```no_run
/// use coracle::DirectoryStore;
///
/// let store = DirectoryStore::open("/srv/images")?.with_hidden(true);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct DirectoryStore {
    root: ConfinedDirectory,
    hidden: bool,
    digests: DigestCache,
    versions: Versions,
    skip_observer: Option<SkipObserver>,
    append_only: AppendOnly,
}

impl DirectoryStore {
    /// Digests that are cached unless [`DirectoryStore::with_digest_cache`] says otherwise. Each takes about 200 bytes.
    pub const DEFAULT_DIGEST_CACHE: usize = 4096;

    /// The files beneath the directory `path`, without hidden ones.
    ///
    /// # Errors
    ///
    /// `path` does not exist, is no directory or may not be searched; the message names it.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let explain = |error: io::Error| {
            let kind = error.kind();
            let why = match kind {
                io::ErrorKind::NotFound => "there is no such directory".to_owned(),
                io::ErrorKind::NotADirectory => "it is not a directory".to_owned(),
                io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
                _ => error.to_string(),
            };
            io::Error::new(kind, format!("cannot serve {}: {why}", path.display()))
        };
        let root = ConfinedDirectory::open(path).map_err(explain)?;
        let versions = root.open_any(".").map(|root| Versions::of_directory(&root)).unwrap_or_default();
        let digests = DigestCache::new(Self::DEFAULT_DIGEST_CACHE);
        Ok(Self { root, hidden: false, digests, versions, skip_observer: None, append_only: AppendOnly::default() })
    }

    /// Sets whether names with a component that begins with a dot are listed and fetched. Default: a listing counts them,
    /// and they do not exist otherwise.
    #[must_use]
    pub fn with_hidden(self, hidden: bool) -> Self {
        Self { hidden, ..self }
    }

    /// Sets how many digests of unchanged files are cached at most, so that the files need not be read for the next
    /// client; 0 for none. Forgets those that are.
    #[must_use]
    pub fn with_digest_cache(self, max_digests: usize) -> Self {
        Self { digests: DigestCache::new(max_digests), ..self }
    }

    /// Sets what is called for each entry that a listing skips, since no request can fetch it.
    #[must_use]
    pub fn with_skip_observer(self, observer: impl Fn(&SkippedEntry<'_>) + Send + Sync + 'static) -> Self {
        Self { skip_observer: Some(SkipObserver(Box::new(observer))), ..self }
    }

    /// Sets what the versions of files are made of. Default: [`VersionBy::Inode`]. With the others, clients of one replica of a
    /// directory go on at another one. Files that are [only appended to](DirectoryStore::with_append_only) have versions of their
    /// own on each server.
    ///
    /// With [`VersionBy::Content`] a file of more than 4 MiB whose digest is not known is hashed by another thread, two at a time, and
    /// opening it is [`StoreError::NotReady`] meanwhile. Its digest is remembered, [in a file](DirectoryStore::with_digest_file) if
    /// there is one, once the last change lies 2 s back. [`DirectoryStore::with_manifest`] brings digests that were computed before.
    #[must_use]
    pub fn with_version_by(self, by: VersionBy) -> Self {
        Self { versions: self.versions.with_version_by(by), ..self }
    }

    /// Takes SHA-256 digests of files from the [`Manifest`](super::Manifest) in the file `path`, where size and time of
    /// modification are as it says. It is read again when it is replaced, and need not be there; what becomes of it is told
    /// to `observer`.
    #[must_use]
    pub fn with_manifest(
        self,
        path: impl AsRef<Path>,
        observer: impl Fn(&ManifestEvent<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self { versions: self.versions.with_manifest(path.as_ref(), observer), ..self }
    }

    /// Keeps the digests that [`VersionBy::Content`] needs in `file`, for the next start.
    #[must_use]
    pub fn with_digest_file(self, file: DigestFile) -> Self {
        Self { versions: self.versions.with_digest_file(file), ..self }
    }

    /// Sets which files are only appended to, as logs are: the owner's promise, by their names. Such a file can be fetched while
    /// it grows, with the bytes that it had when the request came: it keeps its version. It gets a new one when it is seen to
    /// have shrunk, when its name is given to another file, and when bytes are others that it had before: the first and last
    /// 4 KiB are compared each time that it has changed. Default: none.
    ///
    /// After a restart of the server the version is that of the file's beginning, so that one which was shorter than 4 KiB
    /// when it was first asked for may have another one then.
    ///
    /// ```no_run
    /// use coracle::DirectoryStore;
    ///
    /// let store = DirectoryStore::open("/var/log")?.with_append_only(|name| name.as_str().ends_with(".log"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn with_append_only(self, is_append_only: impl Fn(FileName<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self { append_only: AppendOnly::new(is_append_only), ..self }
    }

    /// Digests in the cache now.
    #[must_use]
    pub fn cached_digests(&self) -> usize {
        self.digests.len()
    }

    /// The digest of all of `file` in the state that it had last, if it is cached.
    pub(super) fn cached_digest(&self, file: &File, kind: DigestKind) -> Option<Digest> {
        file.known_digest(kind).or_else(|| self.digests.find(&file.last_stamp(), kind))
    }

    /// What the versions of its files are made of.
    pub(super) const fn version_by(&self) -> VersionBy {
        self.versions.by()
    }

    pub(super) const fn is_hidden_served(&self) -> bool {
        self.hidden
    }

    pub(super) const fn append_only(&self) -> &AppendOnly {
        &self.append_only
    }

    /// The directory itself, for writing beneath it.
    pub(super) fn to_system_directory(&self) -> io::Result<SystemDirectory> {
        SystemDirectory::new(self.root.try_clone_dir()?)
    }

    /// The reason why `path` could not be opened. What it is takes precedence over whether it may be read.
    fn explain(&self, error: &io::Error, path: &str, wanted: FileKind) -> StoreError {
        let reason = store_error(error);
        if error.raw_os_error().is_none() || !matches!(reason, StoreError::Denied | StoreError::NotFile) {
            return reason;
        }
        match self.root.metadata(path) {
            Ok(metadata) if metadata.kind == wanted => reason,
            Ok(_) if wanted == FileKind::Directory => StoreError::NotDirectory,
            Ok(_) => StoreError::NotFile,
            Err(_) => reason,
        }
    }

    fn check_name(&self, name: FileName<'_>) -> Result<(), StoreError> {
        if name.as_str().split('/').any(|component| name_restriction(component).is_some()) {
            return Err(StoreError::BadName);
        }
        if !self.hidden && name.is_hidden() { Err(StoreError::NotFound) } else { Ok(()) }
    }
}

impl Store for &DirectoryStore {
    type File = File;
    type Listing = Listing;

    fn open(&mut self, name: FileName<'_>) -> Result<File, StoreError> {
        self.check_name(name)?;
        // Whatever it is: it blocks on none of it.
        let opened = self.root.open_any(name.as_str());
        let file = opened.map_err(|error| self.explain(&error, name.as_str(), FileKind::Regular))?;
        File::new(file, name.as_str(), &self.versions, self.append_only.generations(name))
    }

    fn info(&mut self, file: &File) -> Result<FileInfo, StoreError> {
        file.info()
    }

    fn read(&mut self, file: &mut File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        file.read(offset, buf)
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<Listing, StoreError> {
        path.map_or(Ok(()), |path| self.check_name(path))?;
        let text = path.map_or(".", FileName::as_str);
        let opened = self.root.open_directory(text);
        let directory = opened.map_err(|error| self.explain(&error, text, FileKind::Directory))?;
        if !directory.metadata().map_err(|_| StoreError::Io)?.is_dir() {
            return Err(StoreError::NotDirectory);
        }
        Listing::new(directory, path, self.hidden)
    }

    fn next<'a>(&mut self, listing: &'a mut Listing) -> Result<Listed<'a>, StoreError> {
        listing.next(&self.root, self.skip_observer.as_ref())
    }

    #[cfg(feature = "channel")]
    fn is_linkless(&mut self, name: FileName<'_>) -> bool {
        self.root.is_linkless(name.as_str())
    }

    fn known_digest(&mut self, file: &File, kind: DigestKind) -> Option<Digest> {
        self.cached_digest(file, kind)
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
