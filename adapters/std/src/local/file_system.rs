//! The file system operations that downloads need.

use std::ffi::{OsStr, OsString};
use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::error::LocalError;

/// An open directory.
///
/// [`SystemDirectory`](super::SystemDirectory) is the operating system's; a test can bring a disk of its own, which
/// fails and loses power when told to. A `name` is one component.
pub trait DirectoryHandle: Debug + Sized {
    /// An open file of this directory.
    type File: FileHandle;

    /// The file system of this directory, open to be synced.
    type FileSystem: FileSystemHandle;

    /// Status of the entry `name`; a symbolic link is not followed. `None` where there is no such entry.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn status(&self, name: &OsStr) -> io::Result<Option<FileStatus>>;

    /// Opens the file `name`, never through a symbolic link and never waiting for the other end of a FIFO.
    ///
    /// # Errors
    ///
    /// For [`Access::CreateNew`] [`AlreadyExists`](io::ErrorKind::AlreadyExists) where there is such an entry, and
    /// [`InvalidFilename`](io::ErrorKind::InvalidFilename) where the file system cannot hold the name.
    fn open(&self, name: &OsStr, access: Access) -> io::Result<Opened<Self::File>>;

    /// Renames `from` to `to` in the directory `into`, and replaces what is there, in one step.
    ///
    /// # Errors
    ///
    /// [`CrossesDevices`](io::ErrorKind::CrossesDevices) where that takes a copy, and the operating system's others; both
    /// entries are as they were.
    fn rename(&self, from: &OsStr, into: &Self, to: &OsStr) -> io::Result<()>;

    /// Renames `from` to `to` in the directory `into`, in one step, unless that would replace something.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) where there is an entry `to`;
    /// [`Unsupported`](io::ErrorKind::Unsupported) where the file system has no such operation;
    /// [`CrossesDevices`](io::ErrorKind::CrossesDevices) where that takes a copy.
    fn rename_no_replace(&self, from: &OsStr, into: &Self, to: &OsStr) -> io::Result<()>;

    /// Gives the file `from` the second name `to` in the directory `into`.
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) or [`Unsupported`](io::ErrorKind::Unsupported) where the
    /// file system has no such operation;
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) where there is an entry `to`.
    fn link(&self, from: &OsStr, into: &Self, to: &OsStr) -> io::Result<()>;

    /// Removes the entry `name`, which is no directory.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) where there is no such entry.
    fn remove(&self, name: &OsStr) -> io::Result<()>;

    /// Gives `file` the mode, owner and group of the regular file `name`, as far as that is allowed, without set-id
    /// bits, and never so that a user can read it who could not read the other one. Until it `is_complete`, its owner
    /// may read and write it. Does nothing on file systems without owners.
    ///
    /// # Errors
    ///
    /// The operating system's, where there is no file `name` for example.
    fn copy_access(&self, name: &OsStr, file: &Self::File, is_complete: bool) -> io::Result<()> {
        let (_, _, _) = (name, file, is_complete);
        Ok(())
    }

    /// Whether a file keeps its inode number for as long as it exists, over mounts and restarts. Some file systems, FAT
    /// among them, store none.
    fn has_lasting_inodes(&self) -> bool {
        true
    }

    /// Makes the entries as they are now survive a power cut.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](io::ErrorKind::Unsupported) where the file system has no such operation, as some network file systems;
    /// the operating system's others. Then it is unknown which entries survive.
    fn sync(&self) -> io::Result<()>;

    /// Bytes that are free for new files; `None` where the file system does not say.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn free_space(&self) -> io::Result<Option<u64>>;

    /// Opens the directory at the relative `path`; symbolic links are followed as long as they stay below this directory.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) where there is none.
    fn open_directory(&self, path: &str) -> io::Result<Self>;

    /// Creates the directory at the relative `path`, under the rules of [`open_directory`](Self::open_directory).
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) where there is something at that path.
    fn create_directory(&self, path: &str) -> io::Result<()>;

    /// Removes the empty directory `name`.
    ///
    /// # Errors
    ///
    /// [`DirectoryNotEmpty`](io::ErrorKind::DirectoryNotEmpty), [`NotFound`](io::ErrorKind::NotFound).
    fn remove_directory(&self, name: &OsStr) -> io::Result<()>;

    /// The names of all entries, in any order.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn names(&self) -> io::Result<Vec<OsString>>;

    /// Whether a file that is created in `other` and renamed into this directory is like one that was created here: on the same
    /// file system, with the group, the access control list and the label that files of this directory get.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn is_like(&self, other: &Self) -> io::Result<bool>;

    /// Opens the file system, to sync all of it; `None` where that promises less than a sync of each file and directory.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn file_system(&self) -> io::Result<Option<Self::FileSystem>>;
}

/// An open file system.
pub trait FileSystemHandle: Debug + Sized {
    /// Makes all contents and all entries survive a power cut.
    ///
    /// # Errors
    ///
    /// That of a write since this was opened, or since the last call; it may have been a write to any file.
    fn sync(&self) -> io::Result<()>;
}

/// An open file.
pub trait FileHandle: Debug + Sized {
    /// Status of the file.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn status(&self) -> io::Result<FileStatus>;

    /// Reads from `offset` on; 0 bytes only at the end or into an empty `buf`.
    ///
    /// # Errors
    ///
    /// [`Interrupted`](io::ErrorKind::Interrupted) where the call is to be repeated.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes the beginning of `bytes` at `offset` and returns how much of it.
    ///
    /// # Errors
    ///
    /// [`Interrupted`](io::ErrorKind::Interrupted) where the call is to be repeated.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Cuts the file to `len` bytes, or fills it up with zeros.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Sets the time of the last modification.
    ///
    /// # Errors
    ///
    /// The operating system's, for a time that the file system cannot hold for example.
    fn set_modified(&self, time: SystemTime) -> io::Result<()>;

    /// Makes the contents survive a power cut.
    ///
    /// # Errors
    ///
    /// The operating system's; then reading the file may give contents that are not on the disk.
    fn sync(&self) -> io::Result<()>;

    /// Takes the exclusive lock of the file, which is held until the file is closed.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) while another handle holds it;
    /// [`Unsupported`](io::ErrorKind::Unsupported) where the file system has no locks.
    fn lock_exclusive(&self) -> io::Result<()>;

    /// Closes the file.
    ///
    /// # Errors
    ///
    /// That of an earlier write which the file system reports only now.
    fn close(self) -> io::Result<()>;
}

/// Reads like [`FileHandle::read_at`], and repeats calls that were interrupted.
pub(super) fn read_at(file: &impl FileHandle, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buf, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Writes at least one byte of `bytes`, which is not empty, and repeats calls that were interrupted.
pub(super) fn write_at(file: &impl FileHandle, bytes: &[u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            written => return written,
        }
    }
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
    /// Reading and writing a file that is created by this call.
    CreateNew,
}

/// What [`DirectoryHandle::open`] found.
#[derive(Debug)]
pub enum Opened<F> {
    /// Something that opens like a file: [`FileHandle::status`] tells whether it is a regular one.
    File(F),
    /// No entry of that name.
    Missing,
    /// A symbolic link.
    Symlink,
    /// A directory, or a FIFO without another end.
    Other,
}

/// Status of a directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStatus {
    /// Kind of the entry.
    pub kind: FileKind,
    /// Which file it is.
    pub identity: Identity,
    /// Length in bytes.
    pub size: u64,
    /// Time of the last modification, in nanoseconds since 1970.
    pub modified_ns: i64,
    /// Time of the last change of the contents, of the names or of the access, in nanoseconds since 1970.
    pub changed_ns: i64,
}

/// Kind of a directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A symbolic link.
    Symlink,
    /// Anything else.
    Other,
}

/// Identity of a file on this machine, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Number of the mounted file system, which may change with the next mount.
    pub device: u64,
    /// Inode number in the file system.
    pub inode: u64,
}

/// What tells that a file is the same and was not changed since another look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Length in bytes.
    pub size: u64,
    /// Inode number in the file system.
    pub inode: u64,
    /// As in [`FileStatus::modified_ns`].
    pub modified_ns: i64,
    /// As in [`FileStatus::changed_ns`].
    pub changed_ns: i64,
}

impl FileStatus {
    /// The stamp of the file.
    #[must_use]
    pub const fn stamp(&self) -> Stamp {
        let Self { identity: Identity { inode, .. }, size, modified_ns, changed_ns, .. } = *self;
        Stamp { size, inode, modified_ns, changed_ns }
    }

    /// Returns the status of a regular file; `path` is used in the error.
    ///
    /// # Errors
    ///
    /// [`LocalError::Symlink`], [`LocalError::NotFile`].
    pub fn must_be_file(self, path: impl FnOnce() -> PathBuf) -> Result<Self, LocalError> {
        match self.kind {
            FileKind::Regular => Ok(self),
            FileKind::Symlink => Err(LocalError::Symlink(path())),
            FileKind::Other => Err(LocalError::NotFile(path())),
        }
    }
}
