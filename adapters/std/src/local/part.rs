//! One download on disk: begun, continued, and at the end given its real name.

use std::fs::{File, FileTimes};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use coracle_core::Verified;

use super::error::LocalError;
use super::sidecar::{Identity, Origin, Sidecar};
use super::target::DownloadTarget;

/// An unfinished download: the open temporary file, and its sidecar, locked as long as this lives.
#[derive(Debug)]
pub struct Part {
    target: DownloadTarget,
    sidecar_file: File,
    file: File,
    identity: Identity,
    origin: Option<Origin>,
    len: u64,
}

/// Why a part may have its real name.
#[derive(Debug)]
pub enum Proof {
    /// The digest came and is right; it has to be that of the whole file.
    Verified(Verified),
    /// The user asked for no digest.
    Unchecked,
}

impl Part {
    /// The part that is open as `file` in `target`; `sidecar_file` is locked.
    pub(super) fn new(
        target: DownloadTarget,
        sidecar_file: File,
        file: File,
        identity: Identity,
        origin: Option<Origin>,
        len: u64,
    ) -> Self {
        Self { target, sidecar_file, file, identity, origin, len }
    }

    /// Its length in bytes: what has been fetched so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.len
    }

    /// Of what it is the beginning, where that is known and its length agrees.
    #[must_use]
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref().filter(|origin| self.len <= origin.size)
    }

    /// Forgets of what it is the beginning, so that it has to begin again.
    pub fn forget(&mut self) {
        self.origin = None;
    }

    /// Begins again with no byte, for a file that comes from `origin`.
    pub fn restart(&mut self, origin: Origin) -> Result<(), LocalError> {
        self.origin = None;
        self.file.set_len(0).map_err(LocalError::io("empty", &self.target.part_path()))?;
        self.len = 0;
        self.note(origin)
    }

    /// Notes that the file now comes from `origin`: the same version, of another size perhaps.
    pub fn note(&mut self, origin: Origin) -> Result<(), LocalError> {
        let note = Sidecar { origin, part: Some(self.identity) };
        note.write(&self.sidecar_file).map_err(LocalError::io("write", &self.target.sidecar_path()))?;
        self.origin = Some(note.origin);
        Ok(())
    }

    /// Appends `bytes`.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), LocalError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.file.write_at(rest, self.len) {
                Ok(0) => return Err(self.write_failed(io::ErrorKind::WriteZero.into())),
                Ok(n) => {
                    self.len += n as u64;
                    rest = &rest[n..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.write_failed(error)),
            }
        }
        Ok(())
    }

    /// Reads from `offset` on what has been fetched; 0 bytes only at the end.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, LocalError> {
        loop {
            match self.file.read_at(buf, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(LocalError::io("read", &self.target.part_path())),
            }
        }
    }

    /// Makes it the target: synced, closed, renamed, the directory synced. `modified` is in seconds since 1970.
    /// Replaces nothing unless `force` is given.
    ///
    /// # Errors
    ///
    /// The part is kept where the rename is refused, so that nothing has to be fetched again. It is removed where
    /// syncing failed, since what is read back from it may not be what is on the disk.
    pub fn promote(self, proof: Proof, modified: Option<u64>, force: bool) -> Result<PathBuf, LocalError> {
        let is_proven = match &proof {
            Proof::Verified(verified) => verified.is_whole() && verified.size() == self.len,
            Proof::Unchecked => self.origin.as_ref().is_some_and(|origin| origin.size == self.len),
        };
        if !is_proven {
            return Err(LocalError::Unproven(self.target.part_path()));
        }
        let Self { target, sidecar_file, file, identity, len, .. } = self;
        if let Some(time) = modified.and_then(|secs| UNIX_EPOCH.checked_add(Duration::from_secs(secs))) {
            // The contents are right either way, and not every file system can hold every time.
            let _ = file.set_times(FileTimes::new().set_modified(time));
        }
        let written = file.sync_all().and_then(|()| Ok(file.metadata()?.len()));
        let close = || nix::unistd::close(file).map_err(io::Error::from);
        let closed = written.and_then(|len| close().map(|()| len));
        let is_ours = target.part_identity()? == Some(identity);
        match closed {
            Ok(found) if is_ours && found == len => {}
            Ok(_) => return Err(LocalError::Replaced(target.part_path())),
            Err(error) => {
                if is_ours {
                    target.remove_part()?;
                    target.remove_sidecar()?;
                }
                return Err(LocalError::io("write", &target.part_path())(error));
            }
        }
        target.rename(force)?;
        // The file is in place; what is left over is found and removed by the next download to it.
        let _ = target.remove_sidecar();
        drop(sidecar_file);
        match target.directory().sync() {
            Ok(()) => Ok(target.path()),
            Err(LocalError::Io { error, .. }) => Err(LocalError::NotDurable { path: target.path(), error }),
            Err(error) => Err(error),
        }
    }

    /// Removes it.
    pub fn discard(self) -> Result<(), LocalError> {
        if self.target.part_identity()? == Some(self.identity) {
            self.target.remove_part()?;
        }
        self.target.remove_sidecar()
    }

    /// Leaves it for another day; where nothing has been fetched, removes it.
    pub fn leave(self) -> Result<(), LocalError> {
        if self.len == 0 { self.discard() } else { Ok(()) }
    }

    fn write_failed(&self, error: io::Error) -> LocalError {
        LocalError::io("write", &self.target.part_path())(error)
    }
}
