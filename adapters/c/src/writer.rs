//! The callbacks as a store that is written to.

use coracle_core::{
    Begun as CoreBegun, Committed, Delete, Digest, Instant, Put as CorePut, PutAttempt, Replace as CoreReplace,
    StoreError, WritableStore, WriteError,
};
#[cfg(feature = "manage")]
use coracle_core::{FileName, Rename, Space as CoreSpace};

use crate::ffi::callbacks::{Callbacks, Handle};
use crate::store::{OpenFile, check, read_info};
use crate::text::{CName, CText, CVersion};
use crate::types::{DIGEST_LEN, DigestKind, FileInfo, Status, StatusValue, UNKNOWN, known};
#[cfg(feature = "manage")]
use crate::write_types::Space;
use crate::write_types::{Begun, BegunKind, Put, Replace};

/// An upload, kept when it is dropped.
pub(crate) struct OpenUpload {
    callbacks: Callbacks,
    /// `None` once it has come to its end.
    handle: Option<Handle>,
    /// When its connection first asked.
    asked: Instant,
}

impl WritableStore for Callbacks {
    type Upload = OpenUpload;

    fn begin(
        &mut self,
        put: &CorePut<'_>,
        attempt: PutAttempt,
        now: Instant,
    ) -> Result<CoreBegun<OpenUpload, OpenFile>, WriteError> {
        let mut begun = Begun::NOTHING;
        let status = pass(put, attempt, &mut |put| Callbacks::begin(self, put, &mut begun, now.as_millis()));
        if status.0 == Status::Pending as u8 {
            return Ok(CoreBegun::Wait);
        }
        check_written(status, known(begun.limit))?;
        let (callbacks, handle) = (*self, Handle::of(&begun));
        match begun.kind.0 {
            kind if kind == BegunKind::Upload as u8 => {
                let upload = OpenUpload { callbacks, handle: Some(handle), asked: attempt.asked };
                Ok(CoreBegun::Upload { upload, have: begun.have })
            }
            kind if kind == BegunKind::Stored as u8 => {
                read_info(&begun.info).map(CoreBegun::Stored).ok_or(WriteError::Store(StoreError::Io))
            }
            kind if kind == BegunKind::Compare as u8 => Ok(CoreBegun::Compare(OpenFile { callbacks, handle })),
            _ => Err(WriteError::Store(StoreError::Io)),
        }
    }

    fn write(&mut self, upload: &mut OpenUpload, offset: u64, bytes: &[u8], now: Instant) -> Result<usize, WriteError> {
        let (status, taken) = Callbacks::write(self, upload.handle()?, offset, bytes, now.as_millis());
        check_written(status, None)?;
        Ok(taken)
    }

    fn verifies_by_reading(&self, _: &OpenUpload) -> bool {
        self.reads_back()
    }

    fn read_back(
        &mut self,
        upload: &mut OpenUpload,
        offset: u64,
        buf: &mut [u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        let (status, taken) = Callbacks::read_back(self, upload.handle()?, offset, buf, now.as_millis());
        check_written(status, None)?;
        Ok(taken)
    }

    fn commit(&mut self, upload: &mut OpenUpload, put: &CorePut<'_>, now: Instant) -> Result<Committed, WriteError> {
        let (handle, mut info) = (upload.handle()?, FileInfo::EMPTY);
        let attempt = PutAttempt::new(upload.asked, false);
        let status = pass(put, attempt, &mut |put| Callbacks::commit(self, handle, put, &mut info, now.as_millis()));
        if status.0 == Status::Pending as u8 {
            return Ok(Committed::Pending);
        }
        check_written(status, None)?;
        upload.handle = None;
        read_info(&info).map(Committed::Done).ok_or(WriteError::Store(StoreError::Io))
    }

    fn keep(&mut self, upload: OpenUpload) {
        drop(upload);
    }

    fn discard(&mut self, mut upload: OpenUpload) {
        if let Some(handle) = upload.handle.take() {
            Callbacks::discard(self, handle);
        }
    }

    fn delete(&mut self, delete: &Delete<'_>) -> Result<(), WriteError> {
        check_written(self.remove(delete), None)
    }

    #[cfg(feature = "manage")]
    fn rename(&mut self, rename: &Rename<'_>) -> Result<(), WriteError> {
        let (name, to) = (rename.name.as_str(), rename.to.as_str());
        check_written(Callbacks::rename(self, name, to, rename.version), None)
    }

    #[cfg(feature = "manage")]
    fn make_dir(&mut self, path: FileName<'_>) -> Result<(), WriteError> {
        check_written(Callbacks::make_dir(self, path.as_str()), None)
    }

    #[cfg(feature = "manage")]
    fn space(&mut self) -> Result<CoreSpace, WriteError> {
        let mut space = Space { total: UNKNOWN, free: UNKNOWN, max_file: UNKNOWN };
        check_written(Callbacks::space(self, &mut space), None)?;
        let room = CoreSpace::new().with_total(known(space.total)).with_free(known(space.free));
        Ok(room.with_max_file(known(space.max_file)))
    }
}

impl OpenUpload {
    fn handle(&self) -> Result<Handle, WriteError> {
        self.handle.ok_or(WriteError::Store(StoreError::Io))
    }
}

impl Drop for OpenUpload {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            self.callbacks.keep(handle);
        }
    }
}

/// Calls `callback` with what a client puts, as C sees it.
// Once for both callbacks, and out of line, since its frame has the name.
#[inline(never)]
fn pass(put: &CorePut<'_>, attempt: PutAttempt, callback: &mut dyn FnMut(&Put) -> StatusValue) -> StatusValue {
    let mut digest = [0; DIGEST_LEN];
    let digest_kind = match put.digest {
        Digest::Crc32(crc) => {
            digest.iter_mut().zip(crc.to_be_bytes()).for_each(|(place, byte)| *place = byte);
            DigestKind::Crc32
        }
        Digest::Sha256(bytes) => {
            digest = bytes;
            DigestKind::Sha256
        }
        // A digest of a newer core that this version does not know.
        _ => return StatusValue(Status::Unsupported as u8),
    };
    let (replace, version) = match put.replace {
        CoreReplace::Nothing => (Replace::Nothing, ""),
        CoreReplace::Anything => (Replace::Anything, ""),
        CoreReplace::Version(version) => (Replace::Version, version),
    };
    let (name, version) = (CName::new(put.name.as_str()), CVersion::new(version));
    callback(&Put {
        name: CText::as_ptr(&name),
        size: put.size,
        modified: put.modified.unwrap_or(UNKNOWN),
        version: CText::as_ptr(&version),
        asked_ms: attempt.asked.as_millis(),
        digest,
        digest_kind,
        replace,
        parents: put.parents,
        may_compare: attempt.may_compare,
    })
}

/// What a callback that writes has returned, with the number that it gave.
#[inline(never)]
fn check_written(status: StatusValue, limit: Option<u64>) -> Result<(), WriteError> {
    Err(match status.0 {
        status if status == Status::Exists as u8 => WriteError::Exists,
        status if status == Status::Changed as u8 => WriteError::Changed,
        status if status == Status::TooLarge as u8 => WriteError::TooLarge { max: limit.unwrap_or_default() },
        status if status == Status::NoSpace as u8 => WriteError::NoSpace { free: limit },
        status if status == Status::InUse as u8 => WriteError::InUse,
        status if status == Status::Corrupt as u8 => WriteError::Corrupt,
        status if status == Status::NotEmpty as u8 => WriteError::NotEmpty,
        status if status == Status::Unsupported as u8 => WriteError::Unsupported,
        _ => return check(status).map_err(WriteError::Store),
    })
}
