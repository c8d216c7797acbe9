//! An unfinished download: written, continued, and finished when it is whole.

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use coracle_core::Verified;

use super::error::LocalError;
use super::file_system::{DirectoryHandle, FileHandle, read_at, write_at};
use super::finished::{FinishedPart, Stored};
use super::place::Place;
use super::sidecar::{Origin, Sidecar};
use super::target::{DownloadTarget, Replace};
use crate::sys::SystemDirectory;

/// An unfinished download: the open temporary file. It lies beside its target, and its sidecar is locked until this is dropped;
/// or it is one of a batch.
#[derive(Debug)]
pub struct Part<D: DirectoryHandle = SystemDirectory> {
    target: DownloadTarget<D>,
    place: Place<D>,
    file: D::File,
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
    /// The part that is open as `file`.
    pub(super) fn new(
        target: DownloadTarget<D>,
        place: Place<D>,
        file: D::File,
        origin: Option<Origin>,
        len: u64,
    ) -> Self {
        Self { target, place, file, origin, len }
    }

    /// Whether it is one of a batch, which the end of the process takes with it.
    #[must_use]
    pub fn is_of_batch(&self) -> bool {
        self.place.is_of_batch()
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
        self.file.set_len(0).map_err(LocalError::io("empty", || self.path()))?;
        self.len = 0;
        self.set_origin(origin)
    }

    /// Records that the part comes from `origin`: the same version, which may have another size by now.
    ///
    /// # Errors
    ///
    /// [`LocalError::Io`].
    pub fn set_origin(&mut self, origin: Origin) -> Result<(), LocalError> {
        self.origin = Some(match &self.place {
            Place::Beside { sidecar_file, identity } => {
                let sidecar = Sidecar { origin, part: Some(*identity) };
                sidecar.write(sidecar_file).map_err(LocalError::io("write", || self.target.sidecar_path()))?;
                sidecar.origin
            }
            Place::Batch { .. } => origin,
        });
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
            let written = write_at(&self.file, rest, self.len).map_err(LocalError::io("write", || self.path()))?;
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
        read_at(&self.file, buf, offset).map_err(LocalError::io("read", || self.path()))
    }

    /// Makes the part the target: syncs and closes it, renames it, syncs the directory. `modified` is in seconds since
    /// 1970. Replaces only what `replace` allows; then the target keeps its mode, owner and group as far as that is
    /// allowed, without set-id bits.
    ///
    /// # Errors
    ///
    /// [`LocalError::Unproven`] where `proof` is not one of the whole part; [`LocalError::Replaced`] where another
    /// file stands at the temporary name; [`LocalError::Exists`]; [`LocalError::NotDurable`]; [`LocalError::Symlink`],
    /// [`LocalError::NotFile`], [`LocalError::Io`].
    ///
    /// The part is kept where the rename fails, so that nothing has to be fetched again. It is removed where syncing
    /// failed, since what is read back from it may not be what is on the disk.
    pub fn promote(self, proof: Proof, modified: Option<u64>, replace: Replace) -> Result<Stored, LocalError> {
        let finished = self.finish(proof, modified, replace, true)?;
        let target = finished.target().clone();
        let stored = finished.take_name()?;
        match target.directory().sync() {
            Ok(()) => Ok(stored),
            Err(LocalError::Io { error, .. }) => Err(LocalError::NotDurable { path: target.path(), error }),
            Err(error) => Err(error),
        }
    }

    /// The first half of [`promote`](Self::promote): closes the part, and syncs it where `syncs`. [`FinishedPart::take_name`]
    /// is the second half.
    ///
    /// # Errors
    ///
    /// As [`promote`](Self::promote), without those of the rename. A part of a batch is removed.
    pub fn finish(
        self,
        proof: Proof,
        modified: Option<u64>,
        replace: Replace,
        syncs: bool,
    ) -> Result<FinishedPart<D>, LocalError> {
        if !self.is_proven(&proof) {
            let path = self.path();
            if self.is_of_batch() {
                self.discard()?;
            }
            return Err(LocalError::Unproven(path));
        }
        let Self { target, place, file, len, .. } = self;
        if let Some(time) = modified.and_then(|secs| UNIX_EPOCH.checked_add(Duration::from_secs(secs))) {
            // The contents are right either way, and not every file system can hold every time.
            let _ = file.set_modified(time);
        }
        let synced = if syncs { file.sync() } else { Ok(()) };
        if replace != Replace::Nothing {
            // After the sync, which may take long: a part that its owner may not write cannot be resumed.
            target.directory().copy_access(&target.names().target, &file, true);
        }
        let status = file.status();
        let closed = file.close();
        let is_ours = place.is_ours(&target)?;
        if let Err(error) = synced.and(closed) {
            if is_ours {
                place.remove(&target)?;
            }
            return Err(LocalError::io("write", || place.path(&target))(error));
        }
        let status = status.map_err(LocalError::io("look at", || place.path(&target)))?;
        if !is_ours || status.size != len {
            return Err(LocalError::Replaced(place.path(&target)));
        }
        Ok(FinishedPart::new(target, place, status, replace))
    }

    /// Removes the part and its sidecar.
    ///
    /// # Errors
    ///
    /// [`LocalError::Io`].
    pub fn discard(self) -> Result<(), LocalError> {
        if self.place.is_ours(&self.target)? { self.place.remove(&self.target) } else { self.target.remove_sidecar() }
    }

    /// Keeps the part for a later resume, or removes it where it has no bytes or is one of a batch.
    ///
    /// # Errors
    ///
    /// As [`discard`](Self::discard).
    pub fn suspend(self) -> Result<(), LocalError> {
        if self.len == 0 || self.is_of_batch() { self.discard() } else { Ok(()) }
    }

    fn is_proven(&self, proof: &Proof) -> bool {
        match proof {
            Proof::Verified(verified) => verified.is_whole() && verified.size() == self.len,
            Proof::Range { verified, from } => {
                let is_range = verified.from() == *from && verified.to() - from == self.len;
                is_range && self.origin.as_ref().is_some_and(|origin| origin.size == self.len)
            }
            Proof::Unchecked => self.origin.as_ref().is_some_and(|origin| origin.size == self.len),
        }
    }

    /// Path for messages.
    fn path(&self) -> PathBuf {
        self.place.path(&self.target)
    }
}
