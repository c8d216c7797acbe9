//! A store of read-only files, an image slot and small files: what is written.

use coracle_core::{
    Begun, Committed, Delete, DigestKind, FileInfo, FileName, Instant, Put, PutAttempt, Space, Store, StoreError,
    UploadClaim, UploadTicket, UploadTurn, WritableStore, WriteError,
};
use embedded_storage::nor_flash::NorFlash;

use crate::error::SlotError;
use crate::image::ImageState;
use crate::log::SMALL_NAME_LEN;
use crate::rules::{ImageCheck, StoreRules};
use crate::small_files::FileError;
use crate::store::{FlashFile, FlashStore, IMAGE, Opened, RUNNING, SmallUpload, image_version};
use crate::upload::{Begun as ImageBegun, UploadTarget};

/// An upload of a [`FlashStore`].
#[derive(Debug)]
pub struct FlashUpload {
    ticket: UploadTicket,
    is_image: bool,
}

type BegunUpload<F> = Begun<FlashUpload, FlashFile<F>>;

impl<S: Store, I: NorFlash, C: NorFlash, R: StoreRules> WritableStore for FlashStore<S, I, C, R> {
    type Upload = FlashUpload;

    fn begin(&mut self, put: &Put<'_>, attempt: PutAttempt, now: Instant) -> Result<BegunUpload<S::File>, WriteError> {
        self.check_name(put.name)?;
        if put.name == IMAGE { self.begin_image(put, attempt, now) } else { self.begin_small(put, attempt, now) }
    }

    fn write(
        &mut self,
        upload: &mut FlashUpload,
        offset: u64,
        bytes: &[u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        self.turn(upload).enter(upload.ticket)?;
        let result = if upload.is_image {
            let is_next = self.slots.upload_progress().is_some_and(|(progress, _)| u64::from(progress) == offset);
            if is_next { self.slots.write(bytes).map_err(|_| StoreError::Io) } else { Err(StoreError::Io) }
        } else {
            let is_next = self.small.upload_progress().is_some_and(|progress| u64::from(progress) == offset);
            if is_next { self.small.write(bytes).map_err(|_| StoreError::Io) } else { Err(StoreError::Io) }
        };
        self.turn(upload).leave(upload.ticket, true, now);
        Ok(result?)
    }

    fn read_back(
        &mut self,
        upload: &mut FlashUpload,
        offset: u64,
        buf: &mut [u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        self.turn(upload).enter(upload.ticket)?;
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        let result = if upload.is_image {
            self.slots.read_upload(offset, buf).map_err(|_| StoreError::Io)
        } else {
            self.small.read_upload(offset, buf).map_err(|_| StoreError::Io)
        };
        self.turn(upload).leave(upload.ticket, false, now);
        Ok(result?)
    }

    fn commit(&mut self, upload: &mut FlashUpload, put: &Put<'_>, _: Instant) -> Result<Committed, WriteError> {
        self.turn(upload).commit(upload.ticket)?;
        let current = self.current(put.name);
        put.replace.check(current.as_ref().map(|info| &info.version))?;
        let done = if upload.is_image { self.commit_image(put)? } else { self.commit_small(put)? };
        if matches!(done, Committed::Done(_)) {
            self.turn(upload).release(upload.ticket);
        }
        Ok(done)
    }

    fn keep(&mut self, upload: FlashUpload) {
        self.turn(&upload).release(upload.ticket);
    }

    fn discard(&mut self, upload: FlashUpload) {
        if self.turn(&upload).enter(upload.ticket).is_err() {
            return;
        }
        if upload.is_image {
            // What is left is a partial upload, which the next one replaces.
            let _ = self.slots.discard();
        } else {
            // What is left takes room until the next start.
            let _ = self.small.discard();
            self.small_upload = None;
        }
        self.turn(&upload).release(upload.ticket);
    }

    fn delete(&mut self, delete: &Delete<'_>) -> Result<(), WriteError> {
        let (name, version) = match *delete {
            Delete::File { name, version } => (name, version),
            Delete::Partial { name } => return self.delete_partial(name),
            Delete::Directory { path } => {
                if self.find(path).is_some() {
                    return Err(StoreError::NotDirectory.into());
                }
                self.files.list(Some(path))?;
                return Err(StoreError::Denied.into());
            }
            _ => return Err(WriteError::Unsupported),
        };
        self.check_name(name)?;
        let Some(info) = self.current(name) else {
            // An unfinished upload may be all that there is.
            return self.delete_partial(name);
        };
        if !(if name == IMAGE { self.image_turn } else { self.small_turn }).is_free() {
            return Err(WriteError::InUse);
        }
        if version.is_some_and(|version| version != info.version.as_str()) {
            return Err(WriteError::Changed);
        }
        if name == IMAGE {
            return self.slots.revert(self.running.other()).map_err(slot_error);
        }
        self.small_upload = None;
        self.small.discard().and_then(|()| self.small.delete(name.as_str())).map_err(small_error)?;
        self.rules.changed(name.as_str());
        Ok(())
    }

    fn space(&mut self) -> Result<Space, WriteError> {
        let free = u64::from(self.small.free(SMALL_NAME_LEN));
        let max_file = if self.rules.takes_images() { self.slots.layout().slot_len().into() } else { free };
        Ok(Space::new().with_free(Some(free)).with_max_file(Some(max_file)))
    }
}

impl<S: Store, I: NorFlash, C: NorFlash, R: StoreRules> FlashStore<S, I, C, R> {
    /// Whether a client may write a file of this name.
    fn check_name(&mut self, name: FileName<'_>) -> Result<(), WriteError> {
        if name == IMAGE {
            return if self.rules.takes_images() { Ok(()) } else { Err(StoreError::Denied.into()) };
        }
        if name == RUNNING || !self.rules.may_write(name.as_str()) || name.as_str().contains('/') {
            return Err(StoreError::Denied.into());
        }
        if name.as_str().len() > SMALL_NAME_LEN {
            return Err(StoreError::BadName.into());
        }
        match self.files.open(name) {
            Err(StoreError::NotFound) => Ok(()),
            Err(StoreError::NotFile) => Err(StoreError::NotFile.into()),
            _ => Err(StoreError::Denied.into()),
        }
    }

    /// What has the name now.
    fn current(&mut self, name: FileName<'_>) -> Option<FileInfo> {
        let file = self.find(name)?;
        self.own_info(&file)
    }

    fn begin_image(
        &mut self,
        put: &Put<'_>,
        attempt: PutAttempt,
        now: Instant,
    ) -> Result<BegunUpload<S::File>, WriteError> {
        if put.digest.kind() != DigestKind::Sha256 {
            return Err(WriteError::Unsupported);
        }
        let same = [self.running, self.running.other()].into_iter().find(|&slot| {
            let image = self.slots.image(slot).filter(|image| u64::from(image.size) == put.size);
            let is_there = slot == self.running || self.slots.waiting(self.running).is_some();
            is_there && image.is_some_and(|image| image.digest == put.digest)
        });
        if let Some(slot) = same.filter(|_| attempt.may_compare)
            && let Some(image) = self.slots.image(slot)
            && let Some(version) = image_version(&image)
        {
            return Ok(Begun::Stored(FileInfo::new(put.size, version)));
        }
        let size = u32::try_from(put.size).unwrap_or(u32::MAX);
        let target = UploadTarget::new(size, put.digest);
        let continues = self.slots.is_uploading(&target);
        if !continues && !self.image_turn.is_free() {
            return Err(WriteError::InUse);
        }
        let current = self.current(IMAGE);
        put.replace.check(current.as_ref().map(|info| &info.version))?;
        let max = self.slots.layout().slot_len();
        if put.size > u64::from(max) {
            return Err(WriteError::TooLarge { max: max.into() });
        }
        let ticket = match self.image_turn.claim(attempt, now) {
            UploadClaim::Granted(ticket) => ticket,
            UploadClaim::Wait => return Ok(Begun::Wait),
            UploadClaim::InUse => return Err(WriteError::InUse),
        };
        match self.slots.begin_again(Some(self.running), &target) {
            Ok(ImageBegun::At(have)) => {
                Ok(Begun::Upload { upload: FlashUpload { ticket, is_image: true }, have: have.into() })
            }
            Ok(_) => Err(StoreError::Io.into()),
            Err(error) => {
                self.image_turn.release(ticket);
                Err(slot_error(error))
            }
        }
    }

    fn begin_small(
        &mut self,
        put: &Put<'_>,
        attempt: PutAttempt,
        now: Instant,
    ) -> Result<BegunUpload<S::File>, WriteError> {
        let found = self.find(put.name);
        let current = found.as_ref().and_then(|file| self.own_info(file));
        if let Some(file) = found.filter(|_| attempt.may_compare)
            && current.as_ref().is_some_and(|info| info.size == put.size)
            && matches!(file, Opened::Small(_))
        {
            return Ok(Begun::Compare(FlashFile(file)));
        }
        let identity = small_identity(put);
        let continues = identity.is_some() && self.small_upload == identity;
        let is_of_name = self.small_upload.as_ref().is_some_and(|upload| uploads(upload, put.name));
        if !continues && is_of_name && !self.small_turn.is_free() {
            return Err(WriteError::InUse);
        }
        put.replace.check(current.as_ref().map(|info| &info.version))?;
        let max = self.small.max_file(put.name.as_str().len());
        let size = u32::try_from(put.size).ok().filter(|size| *size <= max);
        let size = size.ok_or(WriteError::TooLarge { max: max.into() })?;
        let ticket = match self.small_turn.claim(attempt, now) {
            UploadClaim::Granted(ticket) => ticket,
            UploadClaim::Wait => return Ok(Begun::Wait),
            // The one place for uploads has another file, which will soon be there.
            UploadClaim::InUse if !is_of_name => return Ok(Begun::Wait),
            UploadClaim::InUse => return Err(WriteError::InUse),
        };
        let have = self.small.upload_progress().filter(|_| continues);
        if have.is_none() {
            self.small_upload = None;
            if let Err(error) = self.small.begin(put.name.as_str(), size) {
                self.small_turn.release(ticket);
                return Err(small_error(error));
            }
            self.small_upload = identity;
        }
        let upload = FlashUpload { ticket, is_image: false };
        Ok(Begun::Upload { upload, have: have.unwrap_or(0).into() })
    }

    fn commit_image(&mut self, put: &Put<'_>) -> Result<Committed, WriteError> {
        let image = self.slots.upload_image().ok_or(StoreError::Io)?;
        let slots = &mut self.slots;
        let mut read = |offset, buf: &mut [u8]| slots.read_upload(offset, buf).unwrap_or(0);
        match self.rules.accepts_image(&image, &mut read) {
            Ok(ImageCheck::Accepted) => {}
            Ok(ImageCheck::Pending) => return Ok(Committed::Pending),
            Err(error) => {
                self.slots.discard().map_err(slot_error)?;
                return Err(error);
            }
        }
        self.slots.commit(&put.digest).map_err(slot_error)?;
        self.current(IMAGE).map(Committed::Done).ok_or(StoreError::Io.into())
    }

    fn commit_small(&mut self, put: &Put<'_>) -> Result<Committed, WriteError> {
        if !self.small.prepare().map_err(small_error)? {
            return Ok(Committed::Pending);
        }
        let (small, name) = (&mut self.small, put.name.as_str());
        let mut read = |offset, buf: &mut [u8]| small.read_upload(offset, buf).unwrap_or(0);
        let is_accepted = self.rules.accepts(name, u32::try_from(put.size).unwrap_or(u32::MAX), &mut read);
        self.small_upload = None;
        if !is_accepted {
            self.small.discard().map_err(small_error)?;
            return Err(WriteError::Corrupt);
        }
        self.small.commit().map_err(small_error)?;
        self.rules.changed(name);
        self.current(put.name).map(Committed::Done).ok_or(StoreError::Io.into())
    }

    /// Drops an unfinished upload that no client is sending.
    fn delete_partial(&mut self, name: FileName<'_>) -> Result<(), WriteError> {
        self.check_name(name)?;
        if name == IMAGE {
            let slot = self.running.other();
            if self.slots.image(slot).is_none_or(|image| image.state != ImageState::Receiving) {
                return Err(StoreError::NotFound.into());
            }
            return match self.image_turn.is_free() {
                true => self.slots.discard_partial().map_err(slot_error),
                false => Err(WriteError::InUse),
            };
        }
        if !self.small_upload.as_ref().is_some_and(|upload| uploads(upload, name)) {
            return Err(StoreError::NotFound.into());
        }
        if !self.small_turn.is_free() {
            return Err(WriteError::InUse);
        }
        self.small_upload = None;
        self.small.discard().map_err(small_error)
    }

    const fn turn(&mut self, upload: &FlashUpload) -> &mut UploadTurn {
        if upload.is_image { &mut self.image_turn } else { &mut self.small_turn }
    }
}

/// Whether the upload is of a file of this name.
fn uploads((stored, len, _, _): &SmallUpload, name: FileName<'_>) -> bool {
    stored.get(..usize::from(*len)) == Some(name.as_str().as_bytes())
}

fn small_identity(put: &Put<'_>) -> Option<SmallUpload> {
    let mut name = [0; SMALL_NAME_LEN];
    name.get_mut(..put.name.as_str().len())?.copy_from_slice(put.name.as_str().as_bytes());
    Some((name, u8::try_from(put.name.as_str().len()).ok()?, u32::try_from(put.size).ok()?, put.digest))
}

fn slot_error<E>(error: SlotError<E>) -> WriteError {
    match error {
        SlotError::NotConfirmed | SlotError::NoFallback | SlotError::Empty => StoreError::Denied.into(),
        SlotError::TooLarge { max } => WriteError::TooLarge { max: max.into() },
        SlotError::Corrupt => WriteError::Corrupt,
        SlotError::NoImage => StoreError::NotFound.into(),
        SlotError::Flash(_) | SlotError::NotWritten | SlotError::NoUpload | SlotError::Incomplete => {
            StoreError::Io.into()
        }
    }
}

fn small_error<E>(error: FileError<E>) -> WriteError {
    match error {
        FileError::NoSpace { free } => WriteError::NoSpace { free: Some(free.into()) },
        FileError::BadName => StoreError::BadName.into(),
        FileError::InUse => WriteError::InUse,
        FileError::Flash(_) | FileError::NotWritten | FileError::NoUpload | FileError::Incomplete | FileError::Gone => {
            StoreError::Io.into()
        }
    }
}
