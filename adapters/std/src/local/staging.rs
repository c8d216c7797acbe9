//! Directory in which the files of a batch are written until they get their names.
//!
//! It lies in the directory that files are fetched to, is locked by the process that writes in it, and is removed at its end.
//! What a killed process left in one is removed by the next process: none of it has a name yet.

use std::ffi::{OsStr, OsString};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use portable_atomic::AtomicU64;

use super::directory::Directory;
use super::error::LocalError;
use super::file_system::{Access, DirectoryHandle, FileHandle, FileKind, FileSystemHandle};
use super::names::batch_directory;
use super::unsupported::Operation;
use crate::sys::SystemDirectory;

/// How many processes can write batches in one directory at the same time.
const MAX_PROCESSES: usize = 16;

/// Name of the file that is locked.
const LOCK: &str = "lock";

/// Another process may remove the directory between two looks at it. Who loses that race this often gives up.
const MAX_TRIES: usize = 3;

/// A locked directory for the files of batches. It is removed with all that is in it when it is dropped.
#[derive(Debug)]
pub struct Staging<D: DirectoryHandle = SystemDirectory> {
    root: Arc<Directory<D>>,
    directory: Directory<D>,
    name: OsString,
    /// `None` where a sync of all of it promises too little.
    file_system: Option<D::FileSystem>,
    next: AtomicU64,
    /// How many syncs have failed.
    failures: AtomicU64,
    /// Held until this is dropped.
    _lock: D::File,
}

impl<D: DirectoryHandle> Staging<D> {
    /// Creates the directory in `root`. `None` where too many processes have one already, or where it cannot be created: then
    /// each file has to be stored by itself.
    #[must_use]
    pub fn create(root: &Arc<Directory<D>>) -> Option<Self> {
        // Opened before anything is written, since it reports only what fails later.
        let file_system = root.handle().file_system().ok()?;
        for name in (0..MAX_PROCESSES).map(batch_directory) {
            match claim(root, &name, true) {
                Ok(Some((directory, lock))) => {
                    clear(&directory);
                    let root = root.clone();
                    return Some(Self {
                        root,
                        directory,
                        name,
                        file_system,
                        next: AtomicU64::new(0),
                        failures: AtomicU64::new(0),
                        _lock: lock,
                    });
                }
                Ok(None) => {}
                Err(_) => return None,
            }
        }
        None
    }

    /// Whether files can be made durable together. Where they cannot, it is no place for files of a batch.
    #[must_use]
    pub fn takes_batches(&self) -> bool {
        self.file_system.is_some()
    }

    /// Removes from `root` what processes left there that were killed. What cannot be removed stays.
    pub fn remove_abandoned(root: &Arc<Directory<D>>) {
        for name in (0..MAX_PROCESSES).map(batch_directory) {
            if let Ok(Some((directory, lock))) = claim(root, &name, false) {
                remove(root, &directory, &name);
                drop(lock);
            }
        }
    }

    /// Makes all files and directories of the file system survive a power cut.
    ///
    /// # Errors
    ///
    /// That of a write since this was created, or since the last call.
    pub(super) fn sync(&self) -> io::Result<()> {
        let file_system = self.file_system.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let synced = file_system.sync();
        if synced.is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        synced
    }

    /// How many syncs have failed. Each one may have failed for any file that was created before it, and the next one does not
    /// say so again.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// The directory itself.
    pub(super) fn directory(&self) -> &Directory<D> {
        &self.directory
    }

    /// The directory that it lies in.
    pub(super) fn root(&self) -> &Directory<D> {
        &self.root
    }

    /// Creates a file under a name that is free.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(super) fn create_file(&self) -> Result<(OsString, D::File), LocalError> {
        let name = OsString::from(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let file = self.directory.open_file(&name, Access::CreateNew)?;
        let missing = || LocalError::io("create", || self.directory.path_of(&name))(io::ErrorKind::NotFound.into());
        Ok((name.clone(), file.ok_or_else(missing)?))
    }
}

impl<D: DirectoryHandle> Drop for Staging<D> {
    fn drop(&mut self) {
        remove(&self.root, &self.directory, &self.name);
    }
}

/// Opens the directory `name` and locks it; `None` where another process has it. Creates what is missing where `creates`,
/// else returns `None` for a directory that is missing.
fn claim<D: DirectoryHandle>(
    root: &Directory<D>,
    name: &OsStr,
    creates: bool,
) -> io::Result<Option<(Directory<D>, D::File)>> {
    let text = name.to_str().ok_or(io::ErrorKind::InvalidInput)?;
    let handle = root.handle();
    for _ in 0..MAX_TRIES {
        if creates {
            match handle.create_directory(text) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => created?,
            }
        }
        // A link is no directory for batches, whatever it leads to.
        match handle.status(name)? {
            None if creates => continue,
            Some(status) if status.kind == FileKind::Other => {}
            _ => return Ok(None),
        }
        let directory = match handle.open_directory(text) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(None),
            opened => Directory::new(opened?, &root.path_of(name)),
        };
        if let Some(lock) = lock(root, &directory)? {
            return Ok(Some((directory, lock)));
        }
        if matches!(directory.handle().status(LOCK.as_ref()), Ok(Some(_))) {
            return Ok(None);
        }
    }
    Ok(None)
}

/// Locks `directory`, which lies in `root`; `None` where another process has it or has removed it.
fn lock<D: DirectoryHandle>(root: &Directory<D>, directory: &Directory<D>) -> io::Result<Option<D::File>> {
    let open = |access| match directory.open_file(LOCK.as_ref(), access) {
        Err(LocalError::Io { error, .. }) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(LocalError::Io { error, .. }) => Err(error),
        Err(_) => Ok(None),
        Ok(file) => Ok(file),
    };
    let Some(file) = open(Access::ReadWrite)?.map_or_else(|| open(Access::CreateNew), |file| Ok(Some(file)))? else {
        return Ok(None);
    };
    match root.go_without(Operation::Lock, file.lock_exclusive()) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        locked => locked?,
    }
    let locked = file.status()?.identity;
    let found = directory.handle().status(LOCK.as_ref())?;
    Ok(found.is_some_and(|status| status.identity == locked).then_some(file))
}

/// Removes the directory `name`, which is locked, with the files of batches in it.
fn remove<D: DirectoryHandle>(root: &Directory<D>, directory: &Directory<D>, name: &OsStr) {
    clear(directory);
    // Fails where something is left in it, or another process has locked it already.
    let _ = directory.handle().remove(LOCK.as_ref());
    // As above.
    let _ = root.handle().remove_directory(name);
}

/// Removes the files of batches from `directory`. Other files in it stay.
fn clear<D: DirectoryHandle>(directory: &Directory<D>) {
    let names = directory.handle().names().unwrap_or_default();
    let is_of_batch = |name: &OsString| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    for name in names.into_iter().filter(is_of_batch) {
        // What stays is removed by the next process, if it can be.
        let _ = directory.handle().remove(&name);
    }
}
