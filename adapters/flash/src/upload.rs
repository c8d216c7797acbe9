//! Receiving an image into the slot that is neither active nor the fallback.

use coracle_core::{Digest, Hasher};
use embedded_storage::nor_flash::NorFlash;

use crate::error::SlotError;
use crate::format::{MAX_TRIES, MarkKind};
use crate::image::{Image, ImageState, Slot};
use crate::record::{Header, Mark};
use crate::slots::{ImageSlots, read_image};
use crate::transfer::Upload;
use crate::unit_writer::narrow;

/// What [`ImageSlots::begin`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Begun {
    /// The image runs already.
    Running,
    /// The image is committed already, and will be started next.
    Waiting,
    /// The upload goes on at this offset, in bytes: 0 for a new one.
    At(u32),
}

/// What an upload is to bring: the same again continues it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct UploadTarget {
    /// Length of the image, in bytes.
    pub size: u32,
    /// Digest of the whole image.
    pub digest: Digest,
    /// Number of starts in which it may be confirmed: 1 to 8.
    pub tries: u8,
}

impl UploadTarget {
    /// An image of `size` bytes with `digest`, to be confirmed in three starts.
    #[must_use]
    pub const fn new(size: u32, digest: Digest) -> Self {
        Self { size, digest, tries: 3 }
    }

    /// Sets the number of starts in which it may be confirmed, which is limited to 1 to 8.
    #[must_use]
    pub const fn with_tries(mut self, tries: u8) -> Self {
        self.tries = match tries {
            0 => 1,
            1..=MAX_TRIES => tries,
            _ => MAX_TRIES,
        };
        self
    }

    fn is(&self, image: &Image) -> bool {
        self.size == image.size && self.digest == image.digest
    }
}

impl<F: NorFlash> ImageSlots<F> {
    /// As [`ImageSlots::begin`], but an image that runs or waits already is received again.
    ///
    /// # Errors
    ///
    /// As [`ImageSlots::begin`].
    pub fn begin_again(&mut self, running: Option<Slot>, target: &UploadTarget) -> Result<Begun, SlotError<F::Error>> {
        self.begin_unless(running, target, false)
    }

    /// Begins an upload, or continues one of the same image. `running` is the slot that the caller runs from, `None` if it
    /// does not run from a slot. Another upload that is under way is dropped.
    ///
    /// Erases the record area, which is one sector on most flashes, unless the upload goes on.
    ///
    /// # Errors
    ///
    /// [`SlotError::NotConfirmed`] while the running image is not confirmed; [`SlotError::Empty`], [`SlotError::TooLarge`],
    /// [`SlotError::Flash`], [`SlotError::NotWritten`].
    pub fn begin(&mut self, running: Option<Slot>, target: &UploadTarget) -> Result<Begun, SlotError<F::Error>> {
        self.begin_unless(running, target, true)
    }

    fn begin_unless(
        &mut self,
        running: Option<Slot>,
        target: &UploadTarget,
        is_there: bool,
    ) -> Result<Begun, SlotError<F::Error>> {
        let max = self.layout.slot_len();
        match target.size {
            0 => return Err(SlotError::Empty),
            size if size > max => return Err(SlotError::TooLarge { max }),
            _ => {}
        }
        let runs = running.and_then(|slot| self.image(slot));
        if is_there && runs.is_some_and(|image| target.is(&image)) {
            return Ok(Begun::Running);
        }
        let slot = self.free_slot(running)?;
        let kept = self.image(slot.other()).map_or(0, |image| image.number);
        if let Some((header, image)) = self.record(slot).image().filter(|(_, image)| target.is(image)) {
            match image.state {
                ImageState::Trial { left: 1.. } | ImageState::Confirmed if is_there && image.number > kept => {
                    return Ok(Begun::Waiting);
                }
                // Where power cuts have used up the places, it could not be committed.
                ImageState::Receiving if self.record(slot).can_commit() => {
                    return Ok(Begun::At(self.resume(slot, header)));
                }
                _ => {}
            }
        }
        self.upload = None;
        let dropped = self.image(slot).map_or(0, |image| image.number);
        let number = kept.max(dropped).saturating_add(1);
        let header =
            Header { number, size: target.size, digest: target.digest, tries: target.tries.clamp(1, MAX_TRIES) };
        let mut record = self.record(slot);
        record.erase().map_err(SlotError::Flash)?;
        if !record.write_header(&header).map_err(SlotError::Flash)? {
            return Err(SlotError::NotWritten);
        }
        Ok(Begun::At(self.resume(slot, header)))
    }

    /// Offset of the next byte of the upload that is under way, and the image's length, both in bytes.
    #[must_use]
    pub fn upload_progress(&self) -> Option<(u32, u32)> {
        self.upload.as_ref().map(|upload| (upload.image.offset(), upload.header.size))
    }

    /// Whether `target` is what the upload that is under way is to bring.
    #[must_use]
    pub fn is_uploading(&self, target: &UploadTarget) -> bool {
        self.upload_image().is_some_and(|image| target.is(&image))
    }

    /// The image that is being received, by what was announced.
    #[must_use]
    pub fn upload_image(&self) -> Option<Image> {
        let header = self.upload.as_ref()?.header;
        Some(Image::new(header.size, header.digest, header.number, ImageState::Receiving))
    }

    /// Takes the next bytes of the image: all of `bytes`, or as many as belong to the sector that is being written. Erases at
    /// most one sector. Returns the number of bytes that were taken; 0 only behind the last one.
    ///
    /// # Errors
    ///
    /// [`SlotError::NoUpload`], [`SlotError::Flash`]. The upload goes on at [`ImageSlots::upload_progress`] then, which may be
    /// the beginning of a sector.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, SlotError<F::Error>> {
        let upload = self.upload.as_mut().ok_or(SlotError::NoUpload)?;
        let sector_len = self.layout.sector_len();
        let start = self.layout.image_start(upload.slot);
        if bytes.is_empty() || upload.image.offset() >= upload.header.size {
            return Ok(0);
        }
        if upload.erased == upload.image.written {
            let erased = upload.image.written.saturating_add(sector_len);
            self.flash.erase(start + upload.image.written, start + erased).map_err(SlotError::Flash)?;
            upload.erased = erased;
        }
        let end = upload.erased.min(upload.header.size);
        let room = usize::try_from(end - upload.image.offset()).unwrap_or(0);
        let bytes = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        if let Err(error) = upload.image.append(&mut self.flash, start, bytes) {
            upload.rewind(sector_len);
            return Err(SlotError::Flash(error));
        }
        self.mark_progress()?;
        Ok(bytes.len())
    }

    /// Computes the digest of the whole upload, which it reads back through `buf`. A caller that has to do other things
    /// meanwhile reads and hashes by itself, with [`ImageSlots::read_upload`].
    ///
    /// # Errors
    ///
    /// [`SlotError::NoUpload`], [`SlotError::Incomplete`], [`SlotError::Flash`]; [`SlotError::Corrupt`] where this build has
    /// no such digest.
    ///
    /// # Panics
    ///
    /// If `buf` is empty.
    pub fn upload_digest(&mut self, buf: &mut [u8]) -> Result<Digest, SlotError<F::Error>> {
        let (header, _) = self.complete_upload()?;
        assert!(!buf.is_empty(), "a digest needs a buffer to read into");
        let mut hasher = Hasher::new(header.digest.kind()).ok_or(SlotError::Corrupt)?;
        let mut offset: u32 = 0;
        while offset < header.size {
            let len = self.read_upload(offset, buf)?;
            hasher.update(buf.get(..len).unwrap_or_default());
            offset = offset.saturating_add(narrow(len));
        }
        Ok(hasher.finish())
    }

    /// Reads back what is in the flash of the upload, from `offset` on; returns the number of bytes, less than `buf.len()`
    /// only at the end of what is written.
    ///
    /// # Errors
    ///
    /// [`SlotError::NoUpload`], [`SlotError::Flash`].
    pub fn read_upload(&mut self, offset: u32, buf: &mut [u8]) -> Result<usize, SlotError<F::Error>> {
        let upload = self.upload.as_ref().ok_or(SlotError::NoUpload)?;
        let start = self.layout.image_start(upload.slot);
        read_image(&mut self.flash, start, upload.image.written, offset, buf).map_err(SlotError::Flash)
    }

    /// Commits the upload: it is started next. `read_back` is the digest of what was read back from the flash.
    ///
    /// # Errors
    ///
    /// [`SlotError::Corrupt`] where the digest is another one: the upload is discarded. [`SlotError::NoUpload`],
    /// [`SlotError::Incomplete`]. [`SlotError::Flash`], [`SlotError::NotWritten`]: it may be committed or not.
    pub fn commit(&mut self, read_back: &Digest) -> Result<(), SlotError<F::Error>> {
        let (header, slot) = self.complete_upload()?;
        if *read_back != header.digest {
            self.discard()?;
            return Err(SlotError::Corrupt);
        }
        let is_committed = self.record(slot).commit(&header).map_err(SlotError::Flash)?;
        self.upload = None;
        if is_committed { Ok(()) } else { Err(SlotError::NotWritten) }
    }

    /// Drops the upload that is under way, and what it has written. Without one it is no error.
    ///
    /// # Errors
    ///
    /// [`SlotError::Flash`].
    pub fn discard(&mut self) -> Result<(), SlotError<F::Error>> {
        let Some(upload) = self.upload.take() else { return Ok(()) };
        self.record(upload.slot).erase().map_err(SlotError::Flash)
    }

    /// Drops what an earlier upload has left behind, begun before a restart or not.
    ///
    /// # Errors
    ///
    /// [`SlotError::Flash`].
    pub fn discard_partial(&mut self) -> Result<(), SlotError<F::Error>> {
        self.upload = None;
        for slot in Slot::ALL {
            if self.image(slot).is_some_and(|image| image.state == ImageState::Receiving) {
                self.record(slot).erase().map_err(SlotError::Flash)?;
            }
        }
        Ok(())
    }

    /// The slot whose image is neither active nor the fallback.
    fn free_slot(&mut self, running: Option<Slot>) -> Result<Slot, SlotError<F::Error>> {
        let mut state = |slot| self.image(slot).map(|image| (image.state, image.number));
        if let Some(running) = running {
            let other_state = state(running.other()).map(|(state, _)| state);
            return match state(running).map(|(state, _)| state) {
                Some(ImageState::Confirmed) => Ok(running.other()),
                // It was started since there is nothing else.
                Some(ImageState::Reverted) if !other_state.is_some_and(ImageState::is_startable) => Ok(running.other()),
                _ => Err(SlotError::NotConfirmed),
            };
        }
        let startable = |slot: Option<(ImageState, u32)>| slot.filter(|(state, _)| state.is_startable());
        match (startable(state(Slot::A)), startable(state(Slot::B))) {
            (_, None) => Ok(if startable(state(Slot::A)).is_some() { Slot::B } else { Slot::A }),
            (None, Some(_)) => Ok(Slot::A),
            (Some((a_state, a)), Some((b_state, b))) => {
                let (active, active_state) = if a > b { (Slot::A, a_state) } else { (Slot::B, b_state) };
                if active_state == ImageState::Confirmed { Ok(active.other()) } else { Err(SlotError::NotConfirmed) }
            }
        }
    }

    /// Continues with `header` in `slot`; returns the offset.
    fn resume(&mut self, slot: Slot, header: Header) -> u32 {
        // Without a restart in between, more is known than the marks say.
        if let Some(upload) = self.upload.as_ref().filter(|upload| upload.slot == slot && upload.header == header) {
            return upload.image.offset();
        }
        let written = self.record(slot).progress(&header);
        self.upload = Some(Upload::at(written, slot, header));
        written
    }

    fn complete_upload(&self) -> Result<(Header, Slot), SlotError<F::Error>> {
        let upload = self.upload.as_ref().ok_or(SlotError::NoUpload)?;
        if upload.image.written < upload.header.size {
            return Err(SlotError::Incomplete);
        }
        Ok((upload.header, upload.slot))
    }

    /// Marks how far the upload has come, where a step is complete.
    fn mark_progress(&mut self) -> Result<(), SlotError<F::Error>> {
        let Some(upload) = &self.upload else { return Ok(()) };
        let (slot, header, written) = (upload.slot, upload.header, upload.image.written);
        let step = self.layout.progress_step();
        if written == 0 || (written != header.size && !written.is_multiple_of(step)) {
            return Ok(());
        }
        let index = (written - 1) / step;
        let mut record = self.record(slot);
        if record.mark(&header, MarkKind::Progress, index) == Mark::Erased {
            record.set(&header, MarkKind::Progress, index).map_err(SlotError::Flash)?;
        }
        Ok(())
    }
}
