//! Deleting, renaming, and making directories.

use std::ffi::OsStr;
use std::io;

use coracle_core::{Delete, FileName, Rename, Replace, StoreError, WriteError};

use super::super::file::File;
use super::place::{Place, write_error};
use super::uploads::Target;
use super::writer::Writer;
use crate::local::{DirectoryHandle, FileKind};

impl Writer {
    /// [`WritableStore::delete`](coracle_core::WritableStore::delete).
    pub fn delete(&self, delete: &Delete<'_>) -> Result<(), WriteError> {
        self.check_name(delete.name())?;
        let place = Place::open(&self.root, delete.name(), &self.append_only)?;
        match delete {
            Delete::File { version, .. } => self.delete_file(&place, *version),
            Delete::Partial { .. } => {
                let removed = self.shared.uploads.remove_unused(&place.target(), |name| place.remove(name))?;
                removed.ok_or_else(|| StoreError::NotFound.into())
            }
            Delete::Directory { .. } => self.delete_directory(&place),
            _ => Err(WriteError::Unsupported),
        }
    }

    /// [`WritableStore::rename`](coracle_core::WritableStore::rename).
    pub fn rename(&self, rename: &Rename<'_>) -> Result<(), WriteError> {
        self.check_name(rename.name)?;
        self.check_name(rename.to)?;
        let from = Place::open(&self.root, rename.name, &self.append_only)?;
        let to = Place::open(&self.root, rename.to, &self.append_only)?;
        let _lock = self.shared.lock_names();
        self.check_unused(&from)?;
        self.check_unused(&to)?;
        existing(&from, rename.version)?;
        from.check_writable()?;
        match from.directory.rename_no_replace(&from.leaf, &to.directory, &to.leaf) {
            // The best that such a file system allows: what another program creates in between is replaced.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                match to.directory.status(&to.leaf).map_err(|error| write_error(&error))? {
                    Some(_) => Err(WriteError::Exists),
                    None => {
                        from.directory.rename(&from.leaf, &to.directory, &to.leaf).map_err(|error| write_error(&error))
                    }
                }
            }
            renamed => renamed.map_err(|error| write_error(&error)),
        }?;
        // The new name first: a power cut in between leaves two, rather than none.
        to.sync()?;
        if from.identity == to.identity { Ok(()) } else { from.sync() }
    }

    /// [`WritableStore::make_dir`](coracle_core::WritableStore::make_dir).
    pub fn make_dir(&self, path: FileName<'_>) -> Result<(), WriteError> {
        self.check_name(path)?;
        let place = Place::open(&self.root, path, &self.append_only)?;
        match self.root.create_directory(path.as_str()) {
            Ok(()) => place.sync(),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let is_directory = self.root.open_directory(path.as_str()).is_ok();
                if is_directory { Ok(()) } else { Err(WriteError::Exists) }
            }
            Err(error) => Err(write_error(&error)),
        }
    }

    fn delete_file(&self, place: &Place, version: Option<&str>) -> Result<(), WriteError> {
        let target = place.target();
        let _lock = self.shared.lock_names();
        self.check_unused(place)?;
        match existing(place, version) {
            Ok(len) => {
                place.check_writable()?;
                place.directory.remove(&place.leaf).map_err(|error| write_error(&error))?;
                self.shared.change_used(len, 0);
                self.shared.uploads.remove_unused(&target, |name| place.remove(name))?;
            }
            // An upload without a file that it would replace is all there is to delete.
            Err(WriteError::Store(StoreError::NotFound)) if version.is_none() => {
                let removed = self.shared.uploads.remove_unused(&target, |name| place.remove(name))?;
                removed.ok_or(StoreError::NotFound)?;
            }
            Err(error) => return Err(error),
        }
        place.sync()
    }

    fn delete_directory(&self, place: &Place) -> Result<(), WriteError> {
        let status = place.directory.status(&place.leaf).map_err(|error| write_error(&error))?;
        let status = status.ok_or(StoreError::NotFound)?;
        // A link to a directory is an entry of its own.
        if status.kind != FileKind::Other {
            return Err(StoreError::NotDirectory.into());
        }
        match place.directory.remove_directory(&place.leaf) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                self.remove_uploads_in(place)?;
                place.directory.remove_directory(&place.leaf).map_err(|error| write_error(&error))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(StoreError::NotDirectory.into()),
            removed => removed.map_err(|error| write_error(&error))?,
        }
        place.sync()
    }

    /// Removes the unfinished uploads of a directory that is empty without them, since they are hidden.
    fn remove_uploads_in(&self, place: &Place) -> Result<(), WriteError> {
        let io = |error: io::Error| write_error(&error);
        let name = place.leaf.to_str().ok_or(StoreError::BadName)?;
        let directory = place.directory.open_directory(name).map_err(io)?;
        let identity = directory.status(OsStr::new(".")).map_err(io)?.ok_or(StoreError::NotFound)?.identity;
        let mut found = Vec::new();
        for name in directory.names().map_err(io)? {
            let target = Target::of_partial(identity, &name).ok_or(WriteError::NotEmpty)?;
            if self.shared.uploads.is_in_use(&target) {
                self.deferred.hurry();
                return Err(WriteError::InUse);
            }
            found.push((target, name));
        }
        for (target, name) in found {
            let known = self.shared.uploads.remove_unused(&target, |known| directory.remove(known).map_err(io))?;
            if known.is_none() {
                directory.remove(&name).map_err(io)?;
            }
        }
        Ok(())
    }

    fn check_unused(&self, place: &Place) -> Result<(), WriteError> {
        if !self.shared.uploads.is_in_use(&place.target()) {
            return Ok(());
        }
        self.deferred.hurry();
        Err(WriteError::InUse)
    }
}

/// The length of the file at `place`, if it is in the expected version.
fn existing(place: &Place, version: Option<&str>) -> Result<u64, WriteError> {
    let current: File = place.current()?.ok_or(StoreError::NotFound)?;
    let info = current.info()?;
    if let Some(version) = version {
        Replace::Version(version).check(Some(&info.version))?;
    }
    Ok(info.size)
}
