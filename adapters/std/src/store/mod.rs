//! The files beneath a directory, as a [`Store`].

mod file;
mod listing;
mod remembered;
mod switched;
mod version;

use std::io;
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, FileType, OpenOptions, OpenOptionsExt};
use coracle_core::{Digest, DigestKind, FileInfo, FileName, Listed, Store, StoreError};
use rustix::fs::OFlags;
use rustix::io::Errno;

pub use file::File;
pub use listing::Listing;
use remembered::Remembered;
pub use switched::{SwitchedFile, SwitchedListing, SwitchedStore};

/// The files beneath a directory. Many threads share one: `&DirectoryStore` is a [`Store`].
///
/// Every name is resolved by the kernel and confined to the directory (`openat2` with `RESOLVE_BENEATH`, or a walk of
/// cap-std's that confines as well where that call is not to be had). The directory itself is held open: whatever
/// happens to the path that named it, the same directory is served.
///
/// - A symbolic link that stays inside is followed; one that leads outside is [`StoreError::Denied`], and an absolute
///   one does, wherever it points. A loop is [`StoreError::NotFound`].
/// - What is mounted beneath the directory is served. So is a file that has a hard link elsewhere: nothing tells it from
///   others, so let nobody make links in the directory who must not publish the files that he can link to.
/// - A name is the bytes of the file system: `café` in another normal form of Unicode is another file, and upper and
///   lower case differ unless the file system makes them equal.
/// - Hidden is what has a component in its *name* that begins with a dot. A link with a plain name may lead to it.
/// - A file's version is a hash of device, inode, size, modification and change time. What a program writes through a
///   memory mapping may show in the times only later, and whoever can set the clock or write to the disk itself can
///   hide a change.
///
/// ```no_run
/// use coracle::store::DirectoryStore;
///
/// let store = DirectoryStore::open("/srv/images")?.hidden(true);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct DirectoryStore {
    root: Dir,
    hidden: bool,
    remembered: Remembered,
}

impl DirectoryStore {
    /// How many digests are remembered unless [`DirectoryStore::remembered_digests`] says otherwise. Each takes about
    /// 200 bytes.
    pub const REMEMBERED_DIGESTS: usize = 4096;

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
        let root = Dir::open_ambient_dir(path, ambient_authority());
        let root = root.map_err(explain)?;
        // The descriptor was opened without looking whether the directory may be searched.
        root.metadata(".").map_err(explain)?;
        let remembered = Remembered::new(Self::REMEMBERED_DIGESTS);
        Ok(Self { root, hidden: false, remembered })
    }

    /// Whether names with a component that begins with a dot are listed and fetched. Default: they do not exist.
    #[must_use]
    pub fn hidden(self, hidden: bool) -> Self {
        Self { hidden, ..self }
    }

    /// How many digests of unchanged files are remembered at most, so that they need not be read for the next client;
    /// 0 for none. Forgets those that are.
    #[must_use]
    pub fn remembered_digests(self, max_digests: usize) -> Self {
        Self { remembered: Remembered::new(max_digests), ..self }
    }

    /// How many digests are remembered now.
    #[must_use]
    pub fn remembered_count(&self) -> usize {
        self.remembered.len()
    }

    /// Opens what `path` names, whatever it is, and blocks on none of it.
    fn open_confined(&self, path: &str, wanted: Wanted) -> Result<std::fs::File, StoreError> {
        // A FIFO without a writer would block, and a terminal become the server's own.
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(flags);
        let mut swaps = 0;
        loop {
            match self.root.open_with(path, &options) {
                Ok(file) => return Ok(file.into_std()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A link that was found no longer is one when cap-std reads it.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput && swaps < MAX_SWAPS => swaps += 1,
                Err(error) => return Err(self.explain(&error, path, wanted)),
            }
        }
    }

    /// What to tell of an open that failed.
    fn explain(&self, error: &io::Error, path: &str, wanted: Wanted) -> StoreError {
        let reason = store_error(error);
        if error.raw_os_error().is_none() || !matches!(reason, StoreError::Denied | StoreError::NotFile) {
            return reason;
        }
        // What it is goes before whether it may be read.
        match self.root.metadata(path) {
            Ok(metadata) => wanted.mismatch(metadata.file_type()).unwrap_or(reason),
            Err(_) => reason,
        }
    }

    fn is_left_out(&self, name: FileName<'_>) -> bool {
        !self.hidden && name.is_hidden()
    }
}

impl Store for &DirectoryStore {
    type File = File;
    type Listing = Listing;

    fn open(&mut self, name: FileName<'_>) -> Result<File, StoreError> {
        if self.is_left_out(name) {
            return Err(StoreError::NotFound);
        }
        File::new(self.open_confined(name.as_str(), Wanted::File)?)
    }

    fn info(&mut self, file: &File) -> Result<FileInfo, StoreError> {
        file.info()
    }

    fn read(&mut self, file: &mut File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        file.read(offset, buf)
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<Listing, StoreError> {
        if path.is_some_and(|path| self.is_left_out(path)) {
            return Err(StoreError::NotFound);
        }
        let directory = self.open_confined(path.map_or(".", FileName::as_str), Wanted::Directory)?;
        if !directory.metadata().map_err(|_| StoreError::Io)?.is_dir() {
            return Err(StoreError::NotDirectory);
        }
        Listing::new(directory, path, self.hidden)
    }

    fn next<'a>(&mut self, listing: &'a mut Listing) -> Result<Listed<'a>, StoreError> {
        listing.next(&self.root)
    }

    fn known_digest(&mut self, file: &File, kind: DigestKind) -> Option<Digest> {
        self.remembered.find(&file.stamp(), kind)
    }

    fn remember_digest(&mut self, file: &File, info: &FileInfo, digest: &Digest) {
        if file.is_lasting(info) {
            self.remembered.insert(&file.stamp(), *digest);
        }
    }
}

/// How often a name may be given to something else, just while it is resolved, before its opening fails.
const MAX_SWAPS: u32 = 16;

/// What a name has to lead to.
#[derive(Clone, Copy)]
enum Wanted {
    File,
    Directory,
}

impl Wanted {
    fn mismatch(self, file_type: FileType) -> Option<StoreError> {
        match self {
            Self::File => (!file_type.is_file()).then_some(StoreError::NotFile),
            Self::Directory => (!file_type.is_dir()).then_some(StoreError::NotDirectory),
        }
    }
}

/// The reason for a client. A component that is longer than the file system allows is a name that this store cannot
/// have; having too many files open is trouble of the server's own, as a failing disk is.
fn store_error(error: &io::Error) -> StoreError {
    match Errno::from_io_error(error) {
        Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => StoreError::NotFound,
        Some(Errno::NAMETOOLONG | Errno::ILSEQ) => StoreError::BadName,
        Some(Errno::ACCESS | Errno::PERM) => StoreError::Denied,
        // A socket, a device without a driver.
        Some(Errno::NXIO | Errno::NODEV | Errno::ISDIR) => StoreError::NotFile,
        Some(_) => StoreError::Io,
        // How cap-std says that a path leads outside.
        None if error.kind() == io::ErrorKind::PermissionDenied => StoreError::Denied,
        None => StoreError::Io,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use coracle_core::StoreError;
    use rustix::io::Errno;

    use super::store_error;

    /// The line K9 of the faults; `tests/store/faults.rs` has some of them from the kernel.
    #[test]
    fn k9_errors_of_opening_are_mapped() {
        for (errno, expected) in [
            (Errno::NOENT, StoreError::NotFound),
            (Errno::NOTDIR, StoreError::NotFound),
            (Errno::LOOP, StoreError::NotFound),
            (Errno::NAMETOOLONG, StoreError::BadName),
            (Errno::ACCESS, StoreError::Denied),
            (Errno::PERM, StoreError::Denied),
            (Errno::ISDIR, StoreError::NotFile),
            (Errno::NXIO, StoreError::NotFile),
            (Errno::NODEV, StoreError::NotFile),
            (Errno::MFILE, StoreError::Io),
            (Errno::NFILE, StoreError::Io),
            (Errno::NOMEM, StoreError::Io),
            (Errno::NOSPC, StoreError::Io),
            (Errno::STALE, StoreError::Io),
            (Errno::IO, StoreError::Io),
            (Errno::WOULDBLOCK, StoreError::Io),
        ] {
            assert_eq!(store_error(&errno.into()), expected, "{errno:?}");
        }
        let outside = io::Error::new(io::ErrorKind::PermissionDenied, "a path led outside of the filesystem");
        assert_eq!(store_error(&outside), StoreError::Denied);
        assert_eq!(store_error(&io::Error::other("anything else")), StoreError::Io);
    }
}
