//! Directory that downloads go to, held open so that a rename of its path changes nothing.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use coracle_core::FileName;

use super::error::LocalError;
use super::file_system::{Access, DirectoryHandle, FileHandle, FileStatus, FileSystemHandle, Opened};
use super::names::{is_temporary, name_restriction};
use super::unsupported::{Operation, Unsupported};
use crate::sys::SystemDirectory;

/// An open directory and its path.
///
/// `D` is what it is opened on: the operating system, unless stated otherwise.
#[derive(Debug)]
pub struct Directory<D = SystemDirectory> {
    handle: D,
    path: PathBuf,
    ancestry: Option<Ancestry<D>>,
    /// Whether files of the directory for batches can be renamed into this one, once that was asked.
    takes_batches: OnceLock<bool>,
    /// A rename into this directory would have taken a copy.
    refused_batch: AtomicBool,
    /// Whether there were unfinished downloads, once that was asked.
    had_parts: OnceLock<bool>,
    /// New directories below this one are synced with the files in them, not at once.
    defers_syncs: AtomicBool,
    /// Directories below this one were created, and are not synced.
    has_new_directories: AtomicBool,
    /// What the file system was found not to have, here and below.
    unsupported: Mutex<Vec<Unsupported>>,
}

/// Path of a directory below another one. Each of its components was created by this run, or by an earlier one that
/// may have ended before it was synced.
#[derive(Debug)]
struct Ancestry<D> {
    root: Arc<Directory<D>>,
    below: String,
    is_synced: AtomicBool,
}

impl Directory {
    /// Opens `path`, and follows symbolic links in it.
    ///
    /// # Errors
    ///
    /// [`LocalError::Io`].
    pub fn open(path: &Path) -> Result<Self, LocalError> {
        let handle = SystemDirectory::open(path).map_err(LocalError::io("open directory", || path.to_owned()))?;
        Ok(Self::new(handle, path))
    }

    /// Opens `path`, and creates its last component where that is missing.
    ///
    /// # Errors
    ///
    /// [`LocalError::Io`].
    pub fn open_or_create(path: &Path) -> Result<Self, LocalError> {
        match std::fs::create_dir(path) {
            Ok(()) => {
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let parent = Self::open(parent)?;
                parent.sync()?;
                Ok(Self { unsupported: parent.unsupported, ..Self::open(path)? })
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::open(path),
            Err(error) => Err(LocalError::io("create directory", || path.to_owned())(error)),
        }
    }
}

impl<D: DirectoryHandle> Directory<D> {
    /// The directory that is open as `handle`; messages call it `path`.
    #[must_use]
    pub fn new(handle: D, path: &Path) -> Self {
        Self {
            handle,
            path: path.to_owned(),
            ancestry: None,
            takes_batches: OnceLock::new(),
            refused_batch: AtomicBool::new(false),
            had_parts: OnceLock::new(),
            defers_syncs: AtomicBool::new(false),
            has_new_directories: AtomicBool::new(false),
            unsupported: Mutex::new(Vec::new()),
        }
    }

    /// Leaves new directories below this one to be made durable by [`sync`](Self::sync), or by a sync of the file system.
    pub fn defer_syncs(&self) {
        self.defers_syncs.store(true, Ordering::Relaxed);
    }

    /// Whether the file system can be synced as a whole, with the promise of a sync of each file and directory.
    #[must_use]
    pub fn has_file_system_sync(&self) -> bool {
        self.handle.file_system().is_ok_and(|file_system| file_system.is_some())
    }

    /// Syncs the file system, if directories below this one were created and not synced.
    ///
    /// # Errors
    ///
    /// [`LocalError::Io`].
    pub fn sync_new_directories(&self) -> Result<(), LocalError> {
        if !self.has_new_directories.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let synced =
            self.handle.file_system().and_then(|file_system| file_system.map_or(Ok(()), |system| system.sync()));
        synced.map_err(LocalError::io("sync the file system of", || self.path.clone()))
    }

    /// Opens the directory `below` this one, and creates what is missing of it. Symbolic links are followed only as
    /// long as they stay inside of this directory.
    ///
    /// # Errors
    ///
    /// [`LocalError::Name`] where a component cannot be a file's name on this machine; [`LocalError::Io`].
    pub fn open_below(self: &Arc<Self>, below: FileName<'_>) -> Result<Self, LocalError> {
        let below = below.as_str();
        let path = self.path.join(below);
        if let Some(why) = below.split('/').find_map(name_restriction) {
            return Err(LocalError::Name { name: below.to_owned(), why });
        }
        let (opened, is_new) = match self.handle.open_directory(below) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create_below(below)?;
                (self.handle.open_directory(below), true)
            }
            opened => (opened, false),
        };
        let handle = opened.map_err(LocalError::io("open directory", || path.clone()))?;
        let ancestry = Ancestry { root: self.clone(), below: below.to_owned(), is_synced: AtomicBool::new(false) };
        let directory = Self { ancestry: Some(ancestry), ..Self::new(handle, &path) };
        if is_new && self.defers_syncs.load(Ordering::Relaxed) {
            self.has_new_directories.store(true, Ordering::Relaxed);
        } else if is_new {
            directory.sync_ancestry()?;
        }
        Ok(directory)
    }

    /// Operations that were gone without so far, in this directory and in those that were opened below it; each one once.
    #[must_use]
    pub fn unsupported(&self) -> Vec<Unsupported> {
        self.unsupported.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that the file system does not have `operation` and goes on without. Other errors stay.
    pub(super) fn go_without(&self, operation: Operation, outcome: io::Result<()>) -> io::Result<()> {
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                let root = self.ancestry.as_ref().map_or(self, |ancestry| &ancestry.root);
                let mut unsupported = root.unsupported.lock().unwrap_or_else(PoisonError::into_inner);
                if !unsupported.iter().any(|known| known.operation == operation) {
                    unsupported.push(Unsupported::new(operation, &error));
                }
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// The path below the directory that it was opened below; empty where it was opened by itself.
    #[must_use]
    pub fn below(&self) -> &str {
        self.ancestry.as_ref().map_or("", |ancestry| &ancestry.below)
    }

    /// Whether an unfinished download lay here when this was first asked.
    pub fn had_parts(&self) -> bool {
        let names = || self.handle.names().unwrap_or_default();
        *self.had_parts.get_or_init(|| names().iter().any(|name| is_temporary(name)))
    }

    /// The path of the entry `name`, for messages.
    #[must_use]
    pub fn path_of(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    /// Status of the entry `name`; a symbolic link is not followed.
    ///
    /// # Errors
    ///
    /// [`LocalError::Io`].
    pub fn status(&self, name: &OsStr) -> Result<Option<FileStatus>, LocalError> {
        self.handle.status(name).map_err(LocalError::io("look at", || self.path_of(name)))
    }

    /// Opens the regular file `name`, never through a symbolic link, never waiting for the other end of a FIFO; `None`
    /// where there is no such entry.
    ///
    /// # Errors
    ///
    /// [`LocalError::Symlink`], [`LocalError::NotFile`] or [`LocalError::Io`].
    pub fn open_file(&self, name: &OsStr, access: Access) -> Result<Option<D::File>, LocalError> {
        let path = || self.path_of(name);
        let file = match self.handle.open(name, access).map_err(LocalError::io("open", path))? {
            Opened::File(file) => file,
            Opened::Missing => return Ok(None),
            Opened::Symlink => return Err(LocalError::Symlink(path())),
            Opened::Other => return Err(LocalError::NotFile(path())),
        };
        // What was created here is a regular file.
        if access != Access::CreateNew {
            file.status().map_err(LocalError::io("look at", path))?.must_be_file(path)?;
        }
        Ok(Some(file))
    }

    /// Renames `from` to `to` in the directory `into`, and replaces what is there.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(super) fn rename(&self, from: &OsStr, into: &Self, to: &OsStr) -> io::Result<()> {
        self.handle.rename(from, &into.handle, to)
    }

    /// Renames `from` to `to` in the directory `into`, unless that would replace something. Where the file system has no
    /// operation for that, what another program creates at the same time may be replaced nevertheless.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) where there is an entry `to`. After any other error both may be
    /// names of the file.
    pub(super) fn rename_no_replace(&self, from: &OsStr, into: &Self, to: &OsStr) -> io::Result<()> {
        let into = &into.handle;
        match self.handle.rename_no_replace(from, into, to) {
            // File systems without this operation mostly have links, which never replace.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => match self.handle.link(from, into, to) {
                Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) => {
                    self.rename_if_free(from, into, to)
                }
                linked => linked.and_then(|()| self.handle.remove(from)),
            },
            renamed => renamed,
        }
    }

    /// The best that FAT allows through FUSE: what is created between the look and the rename is replaced.
    fn rename_if_free(&self, from: &OsStr, into: &D, to: &OsStr) -> io::Result<()> {
        match into.status(to)? {
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
            None => self.handle.rename(from, into, to),
        }
    }

    /// Gives `file` the mode, owner and group of the file `name` that it is to replace, as far as that is allowed. Until
    /// it `is_complete`, its owner may read and write it.
    pub(super) fn copy_access(&self, name: &OsStr, file: &D::File, is_complete: bool) {
        // There may be no such file, and not every file system has modes.
        let _ = self.handle.copy_access(name, file, is_complete);
    }

    /// Whether the inode number of a file tells later whether it is the same file.
    pub(super) fn has_lasting_inodes(&self) -> bool {
        self.handle.has_lasting_inodes()
    }

    /// Whether a file that is created in `other` and renamed into this directory is like one that was created here.
    pub(super) fn takes_from(&self, other: &Self) -> bool {
        let is_like = || self.handle.is_like(&other.handle).unwrap_or(false);
        !self.refused_batch.load(Ordering::Relaxed) && *self.takes_batches.get_or_init(is_like)
    }

    /// Notes that nothing can be renamed into this directory from that for batches.
    pub(super) fn refuse_batches(&self) {
        self.refused_batch.store(true, Ordering::Relaxed);
    }

    /// What the directory was opened on.
    pub(super) fn handle(&self) -> &D {
        &self.handle
    }

    /// Removes the entry `name`, if there is one.
    ///
    /// # Errors
    ///
    /// [`LocalError::Io`].
    pub(super) fn remove(&self, name: &OsStr) -> Result<(), LocalError> {
        match self.handle.remove(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(LocalError::io("remove", || self.path_of(name))),
        }
    }

    /// Makes the entries of this directory, and those that lead to it from the directory that it was opened below,
    /// survive a power cut, where the file system can do that.
    ///
    /// # Errors
    ///
    /// [`LocalError::Io`].
    pub fn sync(&self) -> Result<(), LocalError> {
        let synced = self.go_without(Operation::SyncDirectory, self.handle.sync());
        synced.map_err(LocalError::io("sync directory", || self.path.clone()))?;
        self.sync_ancestry()
    }

    /// Checks that `needed` bytes fit on the file system, as far as that is known.
    ///
    /// # Errors
    ///
    /// [`LocalError::NoSpace`], [`LocalError::Io`].
    pub fn check_free(&self, needed: u64) -> Result<(), LocalError> {
        let path = || self.path.clone();
        let free = self.handle.free_space().map_err(LocalError::io("measure the free space of", path))?;
        match free {
            Some(free) if needed > free => Err(LocalError::NoSpace { path: path(), needed, free }),
            _ => Ok(()),
        }
    }

    fn create_below(&self, below: &str) -> Result<(), LocalError> {
        let ends = below.match_indices('/').map(|(end, _)| end).chain([below.len()]);
        for level in ends.map(|end| &below[..end]) {
            match self.handle.create_directory(level) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => created.map_err(LocalError::io("create directory", || self.path.join(level)))?,
            }
        }
        Ok(())
    }

    /// Syncs the directories above this one, once.
    fn sync_ancestry(&self) -> Result<(), LocalError> {
        let Some(Ancestry { root, below, is_synced }) = &self.ancestry else { return Ok(()) };
        if is_synced.load(Ordering::Relaxed) {
            return Ok(());
        }
        for (end, _) in below.match_indices('/') {
            let level = &below[..end];
            let synced = root.handle.open_directory(level).and_then(|handle| handle.sync());
            let synced = root.go_without(Operation::SyncDirectory, synced);
            synced.map_err(LocalError::io("sync directory", || root.path.join(level)))?;
        }
        root.sync()?;
        is_synced.store(true, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    use std::fs;
    #[cfg(unix)]
    use std::io::ErrorKind;
    #[cfg(unix)]
    use std::os::unix::fs::symlink;
    #[cfg(unix)]
    use std::sync::Arc;

    #[cfg(unix)]
    use coracle_core::FileName;
    #[cfg(unix)]
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    #[cfg(unix)]
    use super::Access;
    use super::{Directory, LocalError};

    #[cfg(unix)]
    #[test]
    fn m1_links_lead_nowhere_outside() {
        let outside = tempfile::tempdir().expect("a directory");
        let inside = tempfile::tempdir().expect("a directory");
        symlink(outside.path(), inside.path().join("absolute")).expect("link");
        symlink("../", inside.path().join("up")).expect("link");
        fs::create_dir(inside.path().join("real")).expect("directory");
        symlink("real", inside.path().join("alias")).expect("link");
        let directory = Arc::new(Directory::open(inside.path()).expect("open"));
        for name in ["absolute", "absolute/x", "up", "up/x/y"] {
            assert!(directory.open_below(FileName::from_static(name)).is_err(), "{name}");
        }
        directory.open_below(FileName::from_static("alias/new/er")).expect("a link that stays inside");
        assert!(inside.path().join("real/new/er").is_dir());
        assert_eq!(fs::read_dir(outside.path()).expect("list").count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn m4_no_link_and_no_fifo_is_opened() {
        let root = tempfile::tempdir().expect("a directory");
        let directory = Directory::open(root.path()).expect("open");
        symlink("elsewhere", root.path().join("link")).expect("link");
        let fifo = root.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).expect("fifo");
        fs::create_dir(root.path().join("dir")).expect("directory");
        let open = |name: &str, access| directory.open_file(name.as_ref(), access);
        for access in [Access::Read, Access::ReadWrite] {
            assert!(matches!(open("link", access), Err(LocalError::Symlink(_))));
            assert!(matches!(open("fifo", access), Err(LocalError::NotFile(_))));
            assert!(matches!(open("dir", access), Err(LocalError::NotFile(_))));
            assert!(matches!(open("nothing", access), Ok(None)));
        }
        for name in ["link", "fifo", "dir"] {
            let refused = open(name, Access::CreateNew);
            assert!(matches!(&refused, Err(LocalError::Io { error, .. }) if error.kind() == ErrorKind::AlreadyExists));
        }
        assert!(!root.path().join("elsewhere").exists());
    }

    #[test]
    fn m5_free_space() {
        let root = tempfile::tempdir().expect("a directory");
        let directory = Directory::open(root.path()).expect("open");
        directory.check_free(1).expect("room for a byte");
        assert!(matches!(directory.check_free(u64::MAX), Err(LocalError::NoSpace { .. })));
    }
}
