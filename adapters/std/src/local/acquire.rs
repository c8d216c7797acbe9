//! Finds or creates the part of a download, and locks it against other processes.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::LocalError;
use super::file_system::{Access, DirectoryHandle, FileHandle, FileStatus, Identity};
use super::part::Part;
use super::place::Place;
use super::sidecar::{Origin, Sidecar, SidecarState};
use super::staging::Staging;
use super::target::DownloadTarget;
use super::unsupported::Operation;
use crate::sys::SystemDirectory;

/// Other processes may create and remove the files of a download between two looks at them. Who loses that race this
/// often in a row gives up.
const MAX_TRIES: usize = 10;

/// What was found at the temporary name.
#[derive(Debug)]
pub enum ExistingPart<D: DirectoryHandle = SystemDirectory> {
    /// Nothing.
    None,
    /// An unfinished download, locked.
    Part(Box<Part<D>>),
    /// Files that are no download of ours: they were renamed to these paths, and the temporary name is free.
    SetAside(Vec<PathBuf>),
}

impl<D: DirectoryHandle> DownloadTarget<D> {
    /// Finds an unfinished download of this target and locks it.
    ///
    /// # Errors
    ///
    /// [`LocalError::Locked`] while another process has it; [`LocalError::Foreign`] for a file at the temporary name
    /// that has no sidecar, or that of another file: it is left alone. [`LocalError::Symlink`],
    /// [`LocalError::NotFile`] and [`LocalError::Io`] for either file.
    pub fn find_part(&self) -> Result<ExistingPart<D>, LocalError> {
        let names = self.names();
        for _ in 0..MAX_TRIES {
            let part = self.directory().status(&names.part)?;
            let part = part.map(|part| part.must_be_file(|| self.part_path())).transpose()?;
            let Some(sidecar_file) = self.directory().open_file(&names.sidecar, Access::ReadWrite)? else {
                // A sidecar is created before its part and removed after it, so what was there without one is no part
                // of ours.
                let Some(before) = part else { return Ok(ExistingPart::None) };
                match self.part_identity()? {
                    Some(after) if after == before.identity => return Err(LocalError::Foreign(self.part_path())),
                    _ => continue,
                }
            };
            if !self.lock(&sidecar_file)? {
                continue;
            }
            let state = Sidecar::read(&sidecar_file).map_err(LocalError::io("read", || self.sidecar_path()))?;
            return self.open_part(sidecar_file, state);
        }
        Err(LocalError::Locked(self.part_path()))
    }

    /// Creates an empty part for a file that comes from `origin`, and locks it.
    ///
    /// # Errors
    ///
    /// As [`find_part`](Self::find_part).
    pub fn create_part(&self, origin: Origin) -> Result<Part<D>, LocalError> {
        for _ in 0..MAX_TRIES {
            let sidecar_file = match self.directory().open_file(&self.names().sidecar, Access::CreateNew) {
                Ok(file) => file.ok_or_else(|| not_creatable(self.sidecar_path()))?,
                Err(error) if is_kind(&error, io::ErrorKind::AlreadyExists) => {
                    return Err(LocalError::Locked(self.part_path()));
                }
                Err(error) if is_kind(&error, io::ErrorKind::InvalidFilename) => {
                    let name = self.names().target.to_string_lossy().into_owned();
                    return Err(LocalError::Name { name, why: "the file system cannot hold it" });
                }
                Err(error) => return Err(error),
            };
            // Another process may have found the empty sidecar before it was locked, and removed it.
            if !self.lock(&sidecar_file)? {
                continue;
            }
            let result = self.create_part_file(&sidecar_file, origin);
            if result.is_err() {
                self.remove_sidecar()?;
            }
            let (file, identity, origin) = result?;
            let place = Place::Beside { sidecar_file, identity };
            return Ok(Part::new(self.clone(), place, file, Some(origin), 0));
        }
        Err(LocalError::Locked(self.part_path()))
    }

    /// Creates an empty part for a file that comes from `origin`, with the other files of a batch. `None` where it could not be
    /// renamed to the target from there, or would not be like one that is created here. `replaces`: there may be a target.
    ///
    /// # Errors
    ///
    /// [`LocalError::Io`].
    pub fn create_part_of_batch(
        &self,
        staging: &Arc<Staging<D>>,
        origin: Origin,
        replaces: bool,
    ) -> Result<Option<Part<D>>, LocalError> {
        if !staging.takes_batches() || !self.directory().takes_from(staging.directory()) {
            return Ok(None);
        }
        let failures = staging.failures();
        // The name there would mean nothing to the user.
        let renamed = |error| match error {
            LocalError::Io { doing, error, .. } => LocalError::Io { doing, path: self.path(), error },
            other => other,
        };
        let (name, file) = match staging.create_file() {
            // Its directory was removed.
            Err(error) if is_kind(&error, io::ErrorKind::NotFound) => return Ok(None),
            created => created.map_err(renamed)?,
        };
        if replaces {
            self.directory().copy_access(&self.names().target, &file, false);
        }
        let place = Place::Batch { staging: staging.clone(), name, failures };
        Ok(Some(Part::new(self.clone(), place, file, Some(origin), 0)))
    }

    /// Locks the sidecar; false where it is no longer the one that stands at its name.
    fn lock(&self, sidecar_file: &D::File) -> Result<bool, LocalError> {
        let path = || self.sidecar_path();
        // Without locks, the digest of the whole file still tells whether another process wrote to the part.
        let locked = self.directory().go_without(Operation::Lock, sidecar_file.lock_exclusive());
        locked.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => LocalError::Locked(self.part_path()),
            _ => LocalError::io("lock", path)(error),
        })?;
        let locked = sidecar_file.status().map_err(LocalError::io("look at", path))?.identity;
        Ok(self.directory().status(&self.names().sidecar)?.is_some_and(|status| status.identity == locked))
    }

    /// Opens the part that belongs to the locked sidecar.
    fn open_part(&self, sidecar_file: D::File, state: SidecarState) -> Result<ExistingPart<D>, LocalError> {
        let Some(file) = self.directory().open_file(&self.names().part, Access::ReadWrite)? else {
            if state == SidecarState::Foreign {
                return self.set_aside();
            }
            // The sidecar is left over from before the part was created, or from after it got its final name.
            self.remove_sidecar()?;
            return Ok(ExistingPart::None);
        };
        let FileStatus { identity, size: len, .. } =
            file.status().map_err(LocalError::io("look at", || self.part_path()))?;
        let target = self.directory().status(&self.names().target)?;
        if target.is_some_and(|target| target.identity == identity) {
            // A rename by linking was interrupted: writing to the part would write to the target.
            self.remove_part()?;
            self.remove_sidecar()?;
            return Ok(ExistingPart::None);
        }
        // A device number lasts as long as the mount: it is another one when the file system comes back.
        let is_noted = |part: Identity| part.inode == identity.inode || !self.directory().has_lasting_inodes();
        let origin = match state {
            SidecarState::Valid(Sidecar { origin, part: Some(part) }) if is_noted(part) => Some(origin),
            // Nothing is written to a part before the sidecar names it.
            SidecarState::Valid(Sidecar { part: None, .. }) if len == 0 => None,
            SidecarState::Valid(Sidecar { part: Some(_), .. }) => return Err(LocalError::Foreign(self.part_path())),
            SidecarState::Damaged => None,
            // Another program's file; or a power cut took what was written to the sidecar, and not what was written to the part.
            SidecarState::Valid(_) | SidecarState::Foreign | SidecarState::Empty => return self.set_aside(),
        };
        let place = Place::Beside { sidecar_file, identity };
        Ok(ExistingPart::Part(Box::new(Part::new(self.clone(), place, file, origin, len))))
    }

    fn create_part_file(
        &self,
        sidecar_file: &D::File,
        origin: Origin,
    ) -> Result<(D::File, Identity, Origin), LocalError> {
        let mut sidecar = Sidecar { origin, part: None };
        sidecar.write(sidecar_file).map_err(LocalError::io("write", || self.sidecar_path()))?;
        let file = match self.directory().open_file(&self.names().part, Access::CreateNew) {
            Ok(file) => file.ok_or_else(|| not_creatable(self.part_path()))?,
            Err(error) if is_kind(&error, io::ErrorKind::AlreadyExists) => {
                return Err(LocalError::Foreign(self.part_path()));
            }
            Err(error) => return Err(error),
        };
        // While nothing is in it: what only some may read must not be readable while it is fetched either.
        self.directory().copy_access(&self.names().target, &file, false);
        let status = file.status().map_err(LocalError::io("look at", || self.part_path()));
        let named = status.and_then(|FileStatus { identity, .. }| {
            sidecar.part = Some(identity);
            sidecar.write(sidecar_file).map_err(LocalError::io("write", || self.sidecar_path()))?;
            Ok(identity)
        });
        if named.is_err() {
            self.remove_part()?;
        }
        Ok((file, named?, sidecar.origin))
    }

    fn set_aside(&self) -> Result<ExistingPart<D>, LocalError> {
        let mut moved = Vec::new();
        for name in [&self.names().part, &self.names().sidecar] {
            moved.extend(self.set_one_aside(name)?);
        }
        Ok(ExistingPart::SetAside(moved))
    }

    fn set_one_aside(&self, name: &OsStr) -> Result<Option<PathBuf>, LocalError> {
        let directory = self.directory();
        for number in 1..=9 {
            let mut aside = name.to_owned();
            aside.push(format!(".old{number}"));
            match directory.rename_no_replace(name, directory, &aside) {
                Ok(()) => return Ok(Some(directory.path_of(&aside))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(LocalError::io("set aside", || directory.path_of(name))(error)),
            }
        }
        Err(LocalError::Foreign(directory.path_of(name)))
    }
}

/// The system has no such entry, and does not create it either.
fn not_creatable(path: PathBuf) -> LocalError {
    let why = "its directory was removed, or cannot hold that name";
    LocalError::Io { doing: "create", path, error: io::Error::new(io::ErrorKind::NotFound, why) }
}

fn is_kind(error: &LocalError, kind: io::ErrorKind) -> bool {
    matches!(error, LocalError::Io { error, .. } if error.kind() == kind)
}
