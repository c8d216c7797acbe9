//! A download that is whole and closed, and gets its name.

use std::io;
use std::path::PathBuf;

use super::error::LocalError;
use super::file_system::{DirectoryHandle, FileStatus, Stamp};
use super::place::Place;
use super::target::{DownloadTarget, Replace};
use crate::sys::SystemDirectory;

/// A file that has its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its path, for messages.
    pub path: PathBuf,
    /// What tells later whether it was changed; `None` where it was changed already.
    pub stamp: Option<Stamp>,
}

/// A whole download under its temporary name.
#[derive(Debug)]
#[must_use = "it gets its name by `take_name`"]
pub struct FinishedPart<D: DirectoryHandle = SystemDirectory> {
    target: DownloadTarget<D>,
    place: Place<D>,
    /// As it was when it was closed.
    status: FileStatus,
    replace: Replace,
}

impl<D: DirectoryHandle> FinishedPart<D> {
    /// The download at `place` that had this `status` when it was closed, and may `replace` a file.
    pub(super) fn new(target: DownloadTarget<D>, place: Place<D>, status: FileStatus, replace: Replace) -> Self {
        Self { target, place, status, replace }
    }

    /// The file that it becomes.
    #[must_use]
    pub fn target(&self) -> &DownloadTarget<D> {
        &self.target
    }

    /// Length in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.status.size
    }

    /// Whether a sync of the file system has failed since it was created. That may have been for its contents, and another sync
    /// that succeeds says nothing about them.
    pub(super) fn is_doubtful(&self) -> bool {
        self.place.is_doubtful()
    }

    /// Renames it to its target. Its contents have to be durable, unless the user asked for less; the name becomes durable with a
    /// sync of the directory or of the file system.
    ///
    /// # Errors
    ///
    /// [`LocalError::Exists`], [`LocalError::ChangedHere`], [`LocalError::Symlink`], [`LocalError::NotFile`], [`LocalError::Name`], [`LocalError::Io`]. Beside
    /// its target it is kept then, so that nothing has to be fetched again; one of a batch is removed. Where that is only
    /// because the target's directory is on another file system or mount ([`LocalError::is_elsewhere`]), the next part is
    /// created beside the target.
    pub fn take_name(self) -> Result<Stored, LocalError> {
        if let Err(error) = self.rename() {
            if self.place.is_of_batch() {
                self.place.remove(&self.target)?;
            }
            return Err(error);
        }
        Ok(Stored { path: self.target.path(), stamp: self.stamp() })
    }

    /// Removes it.
    ///
    /// # Errors
    ///
    /// [`LocalError::Io`].
    pub fn discard(self) -> Result<(), LocalError> {
        self.place.remove(&self.target)
    }

    /// The stamp of the target, unless that is another file by now or was modified since it was closed.
    fn stamp(&self) -> Option<Stamp> {
        // The file is stored, whether it can be looked at or not.
        let status = self.target.status().ok().flatten()?;
        let is_same = |status: &FileStatus| (status.identity, status.size, status.modified_ns);
        (is_same(&status) == is_same(&self.status)).then(|| status.stamp())
    }

    fn rename(&self) -> Result<(), LocalError> {
        let Self { target, place, replace, .. } = self;
        let replaces = *replace != Replace::Nothing;
        if replaces {
            target.check_target(*replace)?;
        }
        let (directory, name) = (place.directory(target), place.name(target));
        match target.take_name(directory, name, replaces) {
            Ok(true) => {
                if !place.is_of_batch() {
                    // The target is complete; a sidecar that is left over is removed by the next download to it.
                    let _ = target.remove_sidecar();
                }
                Ok(())
            }
            // The temporary name is a second one of the target.
            Ok(false) if place.is_of_batch() => directory.remove(name),
            Ok(false) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(LocalError::Exists(target.path())),
            Err(error) if place.is_of_batch() && is_name(&error) => {
                let name = target.names().target.to_string_lossy().into_owned();
                Err(LocalError::Name { name, why: "the file system cannot hold it" })
            }
            Err(error) => {
                if error.kind() == io::ErrorKind::CrossesDevices {
                    target.directory().refuse_batches();
                }
                Err(LocalError::io("give its real name to", || place.path(target))(error))
            }
        }
    }
}

/// Whether a rename failed for the new name.
fn is_name(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput)
}
