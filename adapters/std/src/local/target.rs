//! Where one download goes: what stands there already, and whose it is.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{AtFlags, FlockOperation, OFlags, RenameFlags, flock, linkat, renameat, renameat_with, unlinkat};
use rustix::io::{Errno, retry_on_intr};

use super::directory::{Directory, FileStatus};
use super::error::LocalError;
use super::names::{Names, Naming};
use super::part::Part;
use super::sidecar::{Identity, Origin, Sidecar, SidecarState};

/// Others may come and go between two looks at the same name; after this many there is somebody playing with it.
const LOOKS: usize = 10;

/// Where one download goes.
#[derive(Clone, Debug)]
pub struct DownloadTarget {
    directory: Arc<Directory>,
    names: Names,
}

/// What stands at the temporary name.
#[derive(Debug)]
pub enum ExistingPart {
    /// Nothing.
    None,
    /// An unfinished download, locked.
    Part(Box<Part>),
    /// What stood there had a sidecar that is none; both lie under these names now, and nothing stands there any more.
    SetAside(Vec<PathBuf>),
}

impl DownloadTarget {
    /// The place of `target`, one component, in `directory`.
    #[must_use]
    pub fn new(directory: Arc<Directory>, target: &OsStr, naming: Naming) -> Self {
        Self { directory, names: Names::new(target, naming) }
    }

    /// The path in the end, as it is shown.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.path_of(&self.names.target)
    }

    /// The path until then.
    #[must_use]
    pub fn part_path(&self) -> PathBuf {
        self.directory.path_of(&self.names.part)
    }

    /// The path of what is known about the part.
    #[must_use]
    pub fn sidecar_path(&self) -> PathBuf {
        self.directory.path_of(&self.names.sidecar)
    }

    /// Which file stands at the part's name, if any.
    pub fn part_identity(&self) -> Result<Option<Identity>, LocalError> {
        Ok(self.directory.stat(&self.names.part)?.map(|status| status.identity))
    }

    /// Removes the part.
    pub fn remove_part(&self) -> Result<(), LocalError> {
        self.remove(&self.names.part)
    }

    /// Removes the sidecar.
    pub fn remove_sidecar(&self) -> Result<(), LocalError> {
        self.remove(&self.names.sidecar)
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// What stands at the target, which is a regular file if anything.
    pub fn status(&self) -> Result<Option<FileStatus>, LocalError> {
        let status = self.directory.stat(&self.names.target)?;
        status.map(|status| status.must_be_file(|| self.path())).transpose()
    }

    /// Opens what stands at the target, for reading.
    pub fn open_target(&self) -> Result<Option<File>, LocalError> {
        self.directory.open_file(&self.names.target, OFlags::RDONLY)
    }

    /// Errs where the target cannot be written: it is there already and `force` is not given, or it is no regular file.
    pub fn check_target(&self, force: bool) -> Result<(), LocalError> {
        match self.status()? {
            Some(_) if !force => Err(LocalError::Exists(self.path())),
            _ => Ok(()),
        }
    }

    /// Looks for an unfinished download of this target and takes it over.
    ///
    /// # Errors
    ///
    /// [`LocalError::Locked`] while another process has it; [`LocalError::Foreign`] for a file at the temporary name
    /// that has no sidecar, or another one's: it is left alone.
    pub fn find(&self) -> Result<ExistingPart, LocalError> {
        for _ in 0..LOOKS {
            let part = self.directory.stat(&self.names.part)?;
            let part = part.map(|part| part.must_be_file(|| self.part_path())).transpose()?;
            let Some(sidecar_file) = self.directory.open_file(&self.names.sidecar, OFlags::RDWR)? else {
                // A sidecar is made before its part and removed after it, so a part of ours cannot have been there
                // when the sidecar was not.
                let Some(before) = part else { return Ok(ExistingPart::None) };
                match self.directory.stat(&self.names.part)? {
                    Some(after) if after.identity == before.identity => {
                        return Err(LocalError::Foreign(self.part_path()));
                    }
                    _ => continue,
                }
            };
            if !self.lock(&sidecar_file)? {
                continue;
            }
            let found = Sidecar::read(&sidecar_file).map_err(LocalError::io("read", &self.sidecar_path()))?;
            return self.take(sidecar_file, found);
        }
        Err(LocalError::Locked(self.part_path()))
    }

    /// Creates the part, empty, for a file that comes from `origin`.
    ///
    /// # Errors
    ///
    /// As [`DownloadTarget::find`].
    pub fn create(&self, origin: Origin) -> Result<Part, LocalError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        for _ in 0..LOOKS {
            let sidecar_file = match self.directory.open_file(&self.names.sidecar, flags) {
                Ok(file) => file.ok_or_else(|| LocalError::Replaced(self.sidecar_path()))?,
                Err(LocalError::Io { error, .. }) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(LocalError::Locked(self.part_path()));
                }
                Err(error) => return Err(error),
            };
            // Whoever came in between took the empty sidecar for a stale one and removed it.
            if !self.lock(&sidecar_file)? {
                continue;
            }
            let result = self.create_part(&sidecar_file, origin);
            if result.is_err() {
                self.remove(&self.names.sidecar)?;
            }
            let (file, identity, origin) = result?;
            return Ok(Part::new(self.clone(), sidecar_file, file, identity, Some(origin), 0));
        }
        Err(LocalError::Locked(self.part_path()))
    }

    /// Gives the part the target's name, and replaces nothing unless `force` is given.
    pub fn rename(&self, force: bool) -> Result<(), LocalError> {
        let fd = self.directory.as_fd();
        let Names { target, part, .. } = &self.names;
        let renamed = if force {
            self.check_target(true)?;
            renameat(fd, part, fd, target)
        } else {
            match renameat_with(fd, part, fd, target, RenameFlags::NOREPLACE) {
                // File systems that cannot refuse to replace mostly can link, which never replaces.
                Err(Errno::INVAL | Errno::NOSYS) => {
                    linkat(fd, part, fd, target, AtFlags::empty()).and_then(|()| unlinkat(fd, part, AtFlags::empty()))
                }
                renamed => renamed,
            }
        };
        match renamed {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(LocalError::Exists(self.path())),
            Err(error) => Err(LocalError::io("give its real name to", &self.part_path())(error)),
        }
    }

    /// Whether the file is locked and still the one that stands at the sidecar's name.
    fn lock(&self, sidecar_file: &File) -> Result<bool, LocalError> {
        match retry_on_intr(|| flock(sidecar_file, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(LocalError::Locked(self.part_path())),
            Err(error) => return Err(LocalError::io("lock", &self.sidecar_path())(error)),
        }
        let locked = self.identity(sidecar_file)?;
        Ok(self.directory.stat(&self.names.sidecar)?.is_some_and(|status| status.identity == locked))
    }

    fn take(&self, sidecar_file: File, found: SidecarState) -> Result<ExistingPart, LocalError> {
        let Some(file) = self.directory.open_file(&self.names.part, OFlags::RDWR)? else {
            // Left over from between the rename and the end, or from before the part was made.
            match found {
                SidecarState::Valid(_) | SidecarState::Damaged | SidecarState::Empty => {
                    self.remove(&self.names.sidecar)?
                }
                SidecarState::Foreign => return self.set_aside(),
            }
            return Ok(ExistingPart::None);
        };
        let stat = rustix::fs::fstat(&file).map_err(LocalError::io("look at", &self.part_path()))?;
        let FileStatus { identity, size: len, .. } = FileStatus::new(&stat);
        let origin = match found {
            SidecarState::Valid(Sidecar { origin, part: Some(noted) }) if noted == identity => Some(origin),
            // Nothing is written to a part before it is noted.
            SidecarState::Valid(Sidecar { part: None, .. }) if len == 0 => None,
            SidecarState::Valid(Sidecar { part: Some(_), .. }) => return Err(LocalError::Foreign(self.part_path())),
            SidecarState::Damaged => None,
            // Somebody's file; or a power cut took the bytes of the note, and not those of the part.
            SidecarState::Valid(_) | SidecarState::Foreign | SidecarState::Empty => return self.set_aside(),
        };
        Ok(ExistingPart::Part(Box::new(Part::new(self.clone(), sidecar_file, file, identity, origin, len))))
    }

    fn create_part(&self, sidecar_file: &File, origin: Origin) -> Result<(File, Identity, Origin), LocalError> {
        let mut note = Sidecar { origin, part: None };
        note.write(sidecar_file).map_err(LocalError::io("write", &self.sidecar_path()))?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let file = match self.directory.open_file(&self.names.part, flags) {
            Ok(file) => file.ok_or_else(|| LocalError::Replaced(self.part_path()))?,
            Err(LocalError::Io { error, .. }) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(LocalError::Foreign(self.part_path()));
            }
            Err(error) => return Err(error),
        };
        let noted = self.identity(&file).and_then(|identity| {
            note.part = Some(identity);
            note.write(sidecar_file).map_err(LocalError::io("write", &self.sidecar_path()))?;
            Ok(identity)
        });
        if noted.is_err() {
            self.remove(&self.names.part)?;
        }
        Ok((file, noted?, note.origin))
    }

    fn identity(&self, file: &File) -> Result<Identity, LocalError> {
        let stat = rustix::fs::fstat(file).map_err(LocalError::io("look at", &self.part_path()))?;
        Ok(FileStatus::new(&stat).identity)
    }

    fn set_aside(&self) -> Result<ExistingPart, LocalError> {
        let mut moved = Vec::new();
        for name in [&self.names.part, &self.names.sidecar] {
            moved.extend(self.set_one_aside(name)?);
        }
        Ok(ExistingPart::SetAside(moved))
    }

    fn set_one_aside(&self, name: &OsStr) -> Result<Option<PathBuf>, LocalError> {
        for number in 1..=9 {
            let mut aside = name.to_owned();
            aside.push(format!(".old{number}"));
            let fd = self.directory.as_fd();
            match renameat_with(fd, name, fd, &aside, RenameFlags::NOREPLACE) {
                Ok(()) => return Ok(Some(self.directory.path_of(&aside))),
                Err(Errno::NOENT) => return Ok(None),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(LocalError::io("set aside", &self.directory.path_of(name))(error)),
            }
        }
        Err(LocalError::Foreign(self.directory.path_of(name)))
    }

    fn remove(&self, name: &OsStr) -> Result<(), LocalError> {
        match unlinkat(&self.directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(LocalError::io("remove", &self.directory.path_of(name))(error)),
        }
    }
}
