//! Where an unfinished download lies.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;

use super::directory::Directory;
use super::error::LocalError;
use super::file_system::{DirectoryHandle, Identity};
use super::staging::Staging;
use super::target::DownloadTarget;

/// Where a part lies until it gets its name.
#[derive(Debug)]
pub enum Place<D: DirectoryHandle> {
    /// Beside its target.
    Beside {
        /// Its sidecar, locked.
        sidecar_file: D::File,
        /// Which file the part is.
        identity: Identity,
    },
    /// With the other files of a batch.
    Batch {
        /// The directory of the batch.
        staging: Arc<Staging<D>>,
        /// Its name there.
        name: OsString,
        /// How many syncs had failed when it was created.
        failures: u64,
    },
}

impl<D: DirectoryHandle> Place<D> {
    /// Whether it is one of a batch.
    pub fn is_of_batch(&self) -> bool {
        matches!(self, Self::Batch { .. })
    }

    /// The directory that it lies in.
    pub fn directory<'a>(&'a self, target: &'a DownloadTarget<D>) -> &'a Directory<D> {
        match self {
            Self::Beside { .. } => target.directory(),
            Self::Batch { staging, .. } => staging.directory(),
        }
    }

    /// Its name there.
    pub fn name<'a>(&'a self, target: &'a DownloadTarget<D>) -> &'a OsStr {
        match self {
            Self::Beside { .. } => &target.names().part,
            Self::Batch { name, .. } => name,
        }
    }

    /// Path for messages: that of the target where its own would mean nothing to the user.
    pub fn path(&self, target: &DownloadTarget<D>) -> PathBuf {
        match self {
            Self::Beside { .. } => target.part_path(),
            Self::Batch { .. } => target.path(),
        }
    }

    /// Whether the part lies there still. No other program uses the directory of a batch.
    pub fn is_ours(&self, target: &DownloadTarget<D>) -> Result<bool, LocalError> {
        match self {
            Self::Beside { identity, .. } => Ok(target.part_identity()? == Some(*identity)),
            Self::Batch { .. } => Ok(true),
        }
    }

    /// Whether a sync has failed since it was created, which may have been for its contents.
    pub fn is_doubtful(&self) -> bool {
        matches!(self, Self::Batch { staging, failures, .. } if staging.failures() != *failures)
    }

    /// Removes the part, and its sidecar.
    pub fn remove(&self, target: &DownloadTarget<D>) -> Result<(), LocalError> {
        self.directory(target).remove(self.name(target))?;
        match self {
            Self::Beside { .. } => target.remove_sidecar(),
            Self::Batch { .. } => Ok(()),
        }
    }
}
