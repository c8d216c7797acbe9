//! Where a download is stored: its names in a directory, and what is there.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use coracle_core::{Digest, DigestKind, Hasher};

use super::directory::Directory;
use super::error::LocalError;
use super::file_system::{Access, DirectoryHandle, FileStatus, Identity, Stamp, read_at};
use super::names::Names;
use crate::sys::SystemDirectory;

/// Size of the buffer that a target is hashed through, in bytes.
const DIGEST_BUF_LEN: usize = 256 * 1024;

/// What a download may replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// No file.
    Nothing,
    /// The file that has this stamp: one that was fetched and not changed since.
    Unchanged(Stamp),
    /// Any regular file.
    Anything,
}

/// The file that a download becomes, and the temporary names beside it.
///
/// `D` is what the directory is opened on: the operating system, unless stated otherwise.
#[derive(Debug)]
pub struct DownloadTarget<D = SystemDirectory> {
    directory: Arc<Directory<D>>,
    names: Names,
}

impl<D: DirectoryHandle> DownloadTarget<D> {
    /// The target `name`, one component, in `directory`.
    #[must_use]
    pub fn new(directory: Arc<Directory<D>>, name: &OsStr) -> Self {
        Self { directory, names: Names::new(name) }
    }

    /// Path of the target, for messages.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.path_of(&self.names.target)
    }

    /// Path of the part, for messages.
    #[must_use]
    pub fn part_path(&self) -> PathBuf {
        self.directory.path_of(&self.names.part)
    }

    /// Path of the sidecar, for messages.
    #[must_use]
    pub fn sidecar_path(&self) -> PathBuf {
        self.directory.path_of(&self.names.sidecar)
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Arc<Directory<D>> {
        &self.directory
    }

    /// Status of the target; `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`LocalError::Symlink`], [`LocalError::NotFile`], [`LocalError::Io`].
    pub fn status(&self) -> Result<Option<FileStatus>, LocalError> {
        let status = self.directory.status(&self.names.target)?;
        status.map(|status| status.must_be_file(|| self.path())).transpose()
    }

    /// Opens the target for reading; `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`LocalError::Symlink`], [`LocalError::NotFile`], [`LocalError::Io`].
    pub fn open_target(&self) -> Result<Option<D::File>, LocalError> {
        self.directory.open_file(&self.names.target, Access::Read)
    }

    /// Computes the digest of the target; `None` where there is no target or no such digest.
    ///
    /// # Errors
    ///
    /// As [`open_target`](Self::open_target).
    pub fn digest(&self, kind: DigestKind) -> Result<Option<Digest>, LocalError> {
        let (Some(file), Some(mut hasher)) = (self.open_target()?, Hasher::new(kind)) else { return Ok(None) };
        let mut buf = vec![0; DIGEST_BUF_LEN];
        let mut offset = 0;
        loop {
            match read_at(&file, &mut buf, offset).map_err(LocalError::io("read", || self.path()))? {
                0 => return Ok(Some(hasher.finish())),
                len => {
                    hasher.update(&buf[..len]);
                    offset += len as u64;
                }
            }
        }
    }

    /// Checks that the target may be written.
    ///
    /// # Errors
    ///
    /// [`LocalError::Exists`] and [`LocalError::ChangedHere`] unless `replace` allows it; [`LocalError::Symlink`],
    /// [`LocalError::NotFile`], [`LocalError::Io`].
    pub fn check_target(&self, replace: Replace) -> Result<(), LocalError> {
        let Some(status) = self.status()? else { return Ok(()) };
        match replace {
            Replace::Nothing => Err(LocalError::Exists(self.path())),
            Replace::Unchanged(stamp) if status.stamp() != stamp => Err(LocalError::ChangedHere(self.path())),
            Replace::Unchanged(_) | Replace::Anything => Ok(()),
        }
    }

    /// The names of the download.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// Identity of the part; `None` where there is none.
    pub(super) fn part_identity(&self) -> Result<Option<Identity>, LocalError> {
        Ok(self.directory.status(&self.names.part)?.map(|status| status.identity))
    }

    /// Removes the part, if there is one.
    pub(super) fn remove_part(&self) -> Result<(), LocalError> {
        self.directory.remove(&self.names.part)
    }

    /// Removes the sidecar, if there is one.
    pub(super) fn remove_sidecar(&self) -> Result<(), LocalError> {
        self.directory.remove(&self.names.sidecar)
    }

    /// Gives the file `part` of the directory `from` the final name, and replaces a target only where `replaces`. Returns
    /// whether the temporary name is gone: where it is not, it is a second name of the target.
    ///
    /// # Errors
    ///
    /// Of kind [`AlreadyExists`](io::ErrorKind::AlreadyExists) where there is a target, and the operating system's.
    pub(super) fn take_name(&self, from: &Directory<D>, part: &OsStr, replaces: bool) -> io::Result<bool> {
        let target = &self.names.target;
        let renamed = if replaces {
            from.rename(part, &self.directory, target)
        } else {
            from.rename_no_replace(part, &self.directory, target)
        };
        match renamed {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            Err(_) if self.is_linked(from, part).unwrap_or(false) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the target and the file `part` of `from` are two names of one file.
    fn is_linked(&self, from: &Directory<D>, part: &OsStr) -> Result<bool, LocalError> {
        let identity = |status: Option<FileStatus>| status.map(|status| status.identity);
        let target = identity(self.directory.status(&self.names.target)?);
        Ok(target.is_some() && target == identity(from.status(part)?))
    }
}

impl<D> Clone for DownloadTarget<D> {
    fn clone(&self) -> Self {
        Self { directory: self.directory.clone(), names: self.names.clone() }
    }
}
