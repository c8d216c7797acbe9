//! Where a name that is written lies: its directory, and what has the name now.

use std::ffi::{OsStr, OsString};
use std::io;
use std::sync::Arc;

use coracle_core::{FileName, StoreError, WriteError};

use super::super::append_only::{AppendOnly, Generations};
use super::super::file::File;
use super::super::versions::Versions;
use super::uploads::Target;
use crate::local::{Access, DirectoryHandle, FileKind, Identity, Opened, SystemDirectory};
use crate::sys::{is_out_of_space, is_read_only, may_write, store_error};

/// A name in an open directory.
#[derive(Debug)]
pub(super) struct Place {
    pub directory: Arc<SystemDirectory>,
    pub identity: Identity,
    pub leaf: OsString,
    /// What the versions of the file come from where it is only appended to.
    generations: Option<Arc<Generations>>,
}

impl Place {
    /// Opens the directory of `name` beneath `root`; links are followed as long as they stay inside.
    pub fn open(root: &SystemDirectory, name: FileName<'_>, append_only: &AppendOnly) -> Result<Self, WriteError> {
        let directory = root.open_directory(parent(name).unwrap_or(".")).map_err(|error| write_error(&error))?;
        let status = directory.status(OsStr::new(".")).map_err(|error| write_error(&error))?;
        let identity = status.ok_or(StoreError::NotFound)?.identity;
        Ok(Self {
            directory: Arc::new(directory),
            identity,
            leaf: name.last().into(),
            generations: append_only.generations(name),
        })
    }

    /// The same place, by another handle of its directory.
    pub fn with_directory(&self, directory: &Arc<SystemDirectory>) -> Self {
        let (directory, leaf, generations) = (Arc::clone(directory), self.leaf.clone(), self.generations.clone());
        Self { directory, identity: self.identity, leaf, generations }
    }

    pub fn target(&self) -> Target {
        Target::new(self.identity, &self.leaf)
    }

    /// The regular file that has the name; `None` where nothing has it.
    pub fn current(&self) -> Result<Option<File>, WriteError> {
        let io = |error: io::Error| write_error(&error);
        let Some(status) = self.directory.status(&self.leaf).map_err(io)? else { return Ok(None) };
        if status.kind != FileKind::Regular {
            return Err(StoreError::NotFile.into());
        }
        match self.directory.open(&self.leaf, Access::Read).map_err(io)? {
            Opened::File(file) => Ok(Some(self.as_named(file)?)),
            Opened::Missing => Ok(None),
            Opened::Symlink | Opened::Other => Err(StoreError::NotFile.into()),
        }
    }

    /// `file`, which has the name.
    pub fn as_named(&self, file: std::fs::File) -> Result<File, StoreError> {
        File::new(file, "", &Versions::default(), self.generations.clone())
    }

    /// Checks that what has the name, if anything, is not protected against writing.
    pub fn check_writable(&self) -> Result<(), WriteError> {
        if may_write(&self.directory, &self.leaf) { Ok(()) } else { Err(StoreError::Denied.into()) }
    }

    /// Removes the file `name` of this directory, if there is one.
    pub fn remove(&self, name: &OsStr) -> Result<(), WriteError> {
        match self.directory.remove(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|error| write_error(&error)),
        }
    }

    pub fn sync(&self) -> Result<(), WriteError> {
        sync(&self.directory).map_err(|error| write_error(&error))
    }
}

/// Makes the entries of `directory` survive a power cut, where the file system can do that.
pub(super) fn sync(directory: &SystemDirectory) -> io::Result<()> {
    match directory.sync() {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        synced => synced,
    }
}

/// The reason for a client.
pub(super) fn write_error(error: &io::Error) -> WriteError {
    match error.kind() {
        io::ErrorKind::DirectoryNotEmpty => WriteError::NotEmpty,
        io::ErrorKind::AlreadyExists => WriteError::Exists,
        io::ErrorKind::CrossesDevices => WriteError::Unsupported,
        io::ErrorKind::InvalidFilename => StoreError::BadName.into(),
        _ if is_out_of_space(error) => WriteError::NoSpace { free: None },
        _ if is_read_only(error) => StoreError::Denied.into(),
        _ => store_error(error).into(),
    }
}

/// The directory of `name`; `None` for the root.
pub(super) fn parent(name: FileName<'_>) -> Option<&str> {
    name.as_str().rsplit_once('/').map(|(parent, _)| parent)
}
