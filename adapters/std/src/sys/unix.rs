//! Files and directories that are served, as Unix systems have them.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, MetadataExt, OpenOptions, OpenOptionsExt};
use coracle_core::StoreError;
use rustix::fs::{AtFlags, DirEntry, FileType, OFlags, Stat, fstat, statat};
use rustix::io::Errno;

use super::is_generated;
use super::types::{FileKind, FileStamp, Metadata};

/// What a directory is read by.
pub(crate) type OpenDirectory = File;

/// A directory beneath which paths are resolved, and out of which none leads: by the kernel (`openat2` with
/// `RESOLVE_BENEATH`), or by cap-std's walk where that call is not available.
#[derive(Debug)]
pub(crate) struct ConfinedDirectory {
    root: Dir,
}

/// How often a link may be replaced just while cap-std reads it before opening it fails.
const MAX_SWAPS: u32 = 16;

impl ConfinedDirectory {
    /// Opens the directory `path`, which must be searchable.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let root = Dir::open_ambient_dir(path, ambient_authority())?;
        // The descriptor was opened without a look at whether the directory may be searched.
        root.metadata(".")?;
        Ok(Self { root })
    }

    /// Opens what `path` leads to for reading, whatever it is, and blocks on none of it.
    pub(crate) fn open_any(&self, path: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        // A FIFO without a writer would block, and a terminal become the process's own.
        options.read(true).custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed());
        let mut swaps = 0;
        loop {
            match self.root.open_with(path, &options) {
                Ok(file) => return Ok(file.into_std()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidInput && swaps < MAX_SWAPS => swaps += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Opens the directory that `path` leads to, if it is one.
    pub(crate) fn open_directory(&self, path: &str) -> io::Result<OpenDirectory> {
        self.open_any(path)
    }

    /// Whether no component of `path` that exists is a link. What is looked up later may be another one: a user who can make links
    /// in the directory can win that race.
    #[cfg(feature = "channel")]
    pub(crate) fn is_linkless(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        for end in ends {
            match self.root.symlink_metadata(path.get(..end).unwrap_or(path)) {
                Ok(metadata) if metadata.is_symlink() => return false,
                Ok(_) => {}
                Err(error) => return matches!(store_error(&error), StoreError::NotFound | StoreError::BadName),
            }
        }
        true
    }

    /// Another handle of the directory.
    pub(crate) fn try_clone_dir(&self) -> io::Result<Dir> {
        self.root.try_clone()
    }

    /// What `path` leads to, links followed.
    pub(crate) fn metadata(&self, path: &str) -> io::Result<Metadata> {
        let metadata = self.root.metadata(path)?;
        let kind = match metadata.file_type() {
            kind if kind.is_file() => FileKind::Regular,
            kind if kind.is_dir() => FileKind::Directory,
            _ => FileKind::Other,
        };
        Ok(Metadata { kind, size: metadata.len(), modified: u64::try_from(metadata.mtime()).ok() })
    }
}

/// Opens `path` for reading, whatever it is, and blocks on nothing. Symbolic links are followed.
pub(crate) fn open_any(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    // As above.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    std::fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// `None` where the file system did not say.
fn kind_of_type(file_type: FileType) -> Option<FileKind> {
    match file_type {
        FileType::RegularFile => Some(FileKind::Regular),
        FileType::Directory => Some(FileKind::Directory),
        FileType::Symlink => Some(FileKind::Symlink),
        FileType::Unknown => None,
        _ => Some(FileKind::Other),
    }
}

/// Reads a directory, in the order of the file system.
#[derive(Debug)]
pub(crate) struct DirectoryReader {
    entries: rustix::fs::Dir,
}

/// An entry of a directory.
pub(crate) struct DirectoryEntry(DirEntry);

impl DirectoryReader {
    pub(crate) fn new(directory: OpenDirectory) -> io::Result<Self> {
        Ok(Self { entries: rustix::fs::Dir::new(directory)? })
    }

    /// The next entry; `.` and `..` are among them.
    pub(crate) fn next(&mut self) -> Option<io::Result<DirectoryEntry>> {
        self.entries.read().map(|entry| Ok(DirectoryEntry(entry?)))
    }

    /// What the entry is now; a link is not followed. Asked of the directory's own descriptor, so that neither the length
    /// of its path matters nor whether it was moved.
    pub(crate) fn metadata(&self, entry: &DirectoryEntry) -> io::Result<Metadata> {
        let stat = statat(self.entries.fd()?, entry.0.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Metadata { kind: kind(&stat), size: size(&stat), modified: u64::try_from(stat.st_mtime).ok() })
    }
}

impl DirectoryEntry {
    pub(crate) fn name(&self) -> &OsStr {
        OsStr::from_bytes(self.0.file_name().to_bytes())
    }

    /// `None` where the file system does not say.
    pub(crate) fn kind(&self) -> Option<FileKind> {
        kind_of_type(self.0.file_type())
    }
}

/// Stamp and kind of an open file. One whose contents the kernel makes is no regular one, though it says so.
#[allow(clippy::useless_conversion, reason = "the members' types differ from target to target")]
pub(crate) fn stamp(file: &File) -> io::Result<(FileStamp, FileKind)> {
    let stat = fstat(file)?;
    let stamp = FileStamp {
        device: device(&stat),
        inode: u64::from(stat.st_ino),
        size: size(&stat),
        modified: (i64::from(stat.st_mtime), i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        changed: (i64::from(stat.st_ctime), i64::try_from(stat.st_ctime_nsec).unwrap_or(0)),
    };
    // Such files take no room anywhere.
    let is_generated = stat.st_blocks == 0 && is_generated(file);
    Ok((stamp, if is_generated { FileKind::Other } else { kind(&stat) }))
}

/// The number of a file's device, as [`std::os::unix::fs::MetadataExt::dev`] has it: on some systems it is a signed one.
pub(crate) fn device(stat: &Stat) -> u64 {
    u64::try_from(i128::from(stat.st_dev) & i128::from(u64::MAX)).unwrap_or(0)
}

fn kind(stat: &Stat) -> FileKind {
    kind_of_type(FileType::from_raw_mode(stat.st_mode)).unwrap_or(FileKind::Other)
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// The reason for a client. A component that is longer than the file system allows is a name that this store cannot
/// have.
pub(crate) fn store_error(error: &io::Error) -> StoreError {
    match Errno::from_io_error(error) {
        Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => StoreError::NotFound,
        Some(Errno::NAMETOOLONG | Errno::ILSEQ) => StoreError::BadName,
        Some(Errno::ACCESS | Errno::PERM) => StoreError::Denied,
        Some(Errno::MFILE | Errno::NFILE) => StoreError::Busy,
        // A socket, which is the last one of other systems than Linux; a device without a driver.
        Some(Errno::NXIO | Errno::NODEV | Errno::ISDIR | Errno::OPNOTSUPP) => StoreError::NotFile,
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

    /// `tests/store/faults.rs` has some of them from the kernel.
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
            (Errno::OPNOTSUPP, StoreError::NotFile),
            (Errno::MFILE, StoreError::Busy),
            (Errno::NFILE, StoreError::Busy),
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
