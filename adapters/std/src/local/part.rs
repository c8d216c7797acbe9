//! An unfinished download: written, continued, and renamed to its target when it is whole.

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use coracle_core::Verified;

use super::error::LocalError;
use super::file_system::{DirectoryHandle, FileHandle, Identity, read_at, write_at};
use super::sidecar::{Origin, Sidecar};
use super::target::DownloadTarget;
use crate::sys::SystemDirectory;

/// An unfinished download: the open temporary file, and its sidecar, which is locked until this is dropped.
#[derive(Debug)]
pub struct Part<D: DirectoryHandle = SystemDirectory> {
    target: DownloadTarget<D>,
    sidecar_file: D::File,
    file: D::File,
    identity: Identity,
    origin: Option<Origin>,
    len: u64,
}

/// Why a part may get its final name.
#[derive(Debug)]
pub enum Proof {
    /// The server's digest of the whole file agrees.
    Verified(Verified),
    /// The server's digest of a range agrees, which is what the user asked for.
    Range {
        /// What was compared.
        verified: Verified,
        /// The first byte of the range.
        from: u64,
    },
    /// The user asked for no digest.
    Unchecked,
}

impl<D: DirectoryHandle> Part<D> {
    /// The part that is open as `file`; `sidecar_file` is locked.
    pub(super) fn new(
        target: DownloadTarget<D>,
        sidecar_file: D::File,
        file: D::File,
        identity: Identity,
        origin: Option<Origin>,
        len: u64,
    ) -> Self {
        Self { target, sidecar_file, file, identity, origin, len }
    }

    /// Length in bytes: what has been fetched so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.len
    }

    /// What the part is the beginning of, where that is known and its length agrees.
    #[must_use]
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref().filter(|origin| self.len <= origin.size)
    }

    /// Forgets what the part is the beginning of, so that the download has to restart.
    pub fn forget_origin(&mut self) {
        self.origin = None;
    }

    /// Removes all bytes, and begins a file that comes from `origin`.
    ///
    /// # Errors
    ///
    /// [`LocalError::Io`].
    pub fn restart(&mut self, origin: Origin) -> Result<(), LocalError> {
        self.origin = None;
        self.file.set_len(0).map_err(LocalError::io("empty", || self.target.part_path()))?;
        self.len = 0;
        self.set_origin(origin)
    }

    /// Records that the part comes from `origin`: the same version, which may have another size by now.
    ///
    /// # Errors
    ///
    /// [`LocalError::Io`].
    pub fn set_origin(&mut self, origin: Origin) -> Result<(), LocalError> {
        let sidecar = Sidecar { origin, part: Some(self.identity) };
        sidecar.write(&self.sidecar_file).map_err(LocalError::io("write", || self.target.sidecar_path()))?;
        self.origin = Some(sidecar.origin);
        Ok(())
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    ///
    /// [`LocalError::Io`]; [`size`](Self::size) counts what was written nevertheless.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), LocalError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written =
                write_at(&self.file, rest, self.len).map_err(LocalError::io("write", || self.target.part_path()))?;
            self.len += written as u64;
            rest = &rest[written..];
        }
        Ok(())
    }

    /// Reads what has been fetched from `offset` on; 0 bytes only at the end.
    ///
    /// # Errors
    ///
    /// [`LocalError::Io`].
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, LocalError> {
        read_at(&self.file, buf, offset).map_err(LocalError::io("read", || self.target.part_path()))
    }

    /// Makes the part the target: syncs and closes it, renames it, syncs the directory. `modified` is in seconds since
    /// 1970. Replaces nothing unless `force` is given; then the target keeps its mode, owner and group as far as that is
    /// allowed, without set-id bits. Returns the path of the target.
    ///
    /// # Errors
    ///
    /// [`LocalError::Unproven`] where `proof` is not one of the whole part; [`LocalError::Replaced`] where another
    /// file stands at the temporary name; [`LocalError::Exists`]; [`LocalError::NotDurable`]; [`LocalError::Symlink`],
    /// [`LocalError::NotFile`], [`LocalError::Io`].
    ///
    /// The part is kept where the rename fails, so that nothing has to be fetched again. It is removed where syncing
    /// failed, since what is read back from it may not be what is on the disk.
    pub fn promote(self, proof: Proof, modified: Option<u64>, force: bool) -> Result<PathBuf, LocalError> {
        let is_proven = match &proof {
            Proof::Verified(verified) => verified.is_whole() && verified.size() == self.len,
            Proof::Range { verified, from } => {
                let is_range = verified.from() == *from && verified.to() - from == self.len;
                is_range && self.origin.as_ref().is_some_and(|origin| origin.size == self.len)
            }
            Proof::Unchecked => self.origin.as_ref().is_some_and(|origin| origin.size == self.len),
        };
        if !is_proven {
            return Err(LocalError::Unproven(self.target.part_path()));
        }
        let Self { target, sidecar_file, file, identity, len, .. } = self;
        if let Some(time) = modified.and_then(|secs| UNIX_EPOCH.checked_add(Duration::from_secs(secs))) {
            // The contents are right either way, and not every file system can hold every time.
            let _ = file.set_modified(time);
        }
        let synced = file.sync();
        if force {
            // After the sync, which may take long: a part that its owner may not write cannot be resumed.
            target.directory().copy_access(&target.names().target, &file, true);
        }
        let size = file.status().map(|status| status.size);
        let closed = file.close();
        let is_ours = target.part_identity()? == Some(identity);
        if let Err(error) = synced.and(closed) {
            if is_ours {
                target.remove_part()?;
                target.remove_sidecar()?;
            }
            return Err(LocalError::io("write", || target.part_path())(error));
        }
        let size = size.map_err(LocalError::io("look at", || target.part_path()))?;
        if !is_ours || size != len {
            return Err(LocalError::Replaced(target.part_path()));
        }
        if target.rename_part(force)? {
            // The target is complete; a sidecar that is left over is removed by the next download to it.
            let _ = target.remove_sidecar();
        }
        drop(sidecar_file);
        match target.directory().sync() {
            Ok(()) => Ok(target.path()),
            Err(LocalError::Io { error, .. }) => Err(LocalError::NotDurable { path: target.path(), error }),
            Err(error) => Err(error),
        }
    }

    /// Removes the part and its sidecar.
    ///
    /// # Errors
    ///
    /// [`LocalError::Io`].
    pub fn discard(self) -> Result<(), LocalError> {
        if self.target.part_identity()? == Some(self.identity) {
            self.target.remove_part()?;
        }
        self.target.remove_sidecar()
    }

    /// Keeps the part for a later resume, or removes it where it has no bytes.
    ///
    /// # Errors
    ///
    /// As [`discard`](Self::discard).
    pub fn suspend(self) -> Result<(), LocalError> {
        if self.len == 0 { self.discard() } else { Ok(()) }
    }
}
