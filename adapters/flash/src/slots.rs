//! The slots: which image is started, confirmed, given up.

use coracle_core::{Digest, DigestKind, Hasher};
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

use crate::access;
use crate::error::SlotError;
use crate::format::MarkKind;
use crate::image::{Choice, Image, ImageState, PassedOver, Slot, StartReason};
use crate::layout::SlotLayout;
use crate::record::{Header, Mark, Record};
use crate::transfer::Upload;

/// How many confirm marks an image gets, so that one may decay.
const CONFIRM_MARKS: u32 = 2;

/// Two slots for firmware images in a NOR flash.
///
/// The *active* image is what the boot loader would start now: of the committed ones that are confirmed or have tries left
/// the newest. It is never erased, nor is the *fallback*, the other one while the active one is on trial. So an update can be
/// begun only while the running image is confirmed.
///
/// # In the boot loader
///
/// ```
/// # use coracle_flash::{ImageSlots, Slot};
/// # use embedded_storage::nor_flash::NorFlash;
/// fn start<F: NorFlash>(slots: &mut ImageSlots<F>) -> Option<Slot> {
///     let choice = slots.choose(|mut image| {
///         let digest = image.info().digest;
///         image.digest(digest.kind(), &mut [0; 256]).is_ok_and(|computed| computed == Some(digest))
///     });
///     choice.map(|choice| choice.slot) // and now jump there
/// }
/// ```
///
/// # In the firmware
///
/// The boot loader tells it which slot it runs from. An update is [`begin`](Self::begin), [`write`](Self::write) until all is
/// written, reading back with [`upload_digest`](Self::upload_digest) or [`read`](Self::read), [`commit`](Self::commit). After the
/// restart the new firmware calls [`confirm`](Self::confirm) when it knows that it works, or [`revert`](Self::revert).
pub struct ImageSlots<F> {
    pub(crate) flash: F,
    pub(crate) layout: SlotLayout,
    pub(crate) upload: Option<Upload>,
}

impl<F: NorFlash> ImageSlots<F> {
    /// The slots in `flash`, laid out by `layout`, which was made for the same type of flash.
    #[must_use]
    pub const fn new(flash: F, layout: SlotLayout) -> Self {
        Self { flash, layout, upload: None }
    }

    /// Where everything lies.
    #[must_use]
    pub const fn layout(&self) -> &SlotLayout {
        &self.layout
    }

    /// The flash, for what else is in it. The range of the layout must not be changed.
    pub const fn flash_mut(&mut self) -> &mut F {
        &mut self.flash
    }

    /// The flash.
    #[must_use]
    pub fn into_flash(self) -> F {
        self.flash
    }

    /// The image in `slot`; `None` where it is empty.
    pub fn image(&mut self, slot: Slot) -> Option<Image> {
        self.record(slot).image().map(|(_, image)| image)
    }

    /// The image that will be started next, if that is another one than the running one in `running`.
    pub fn waiting(&mut self, running: Slot) -> Option<Image> {
        let runs = self.image(running).filter(|image| image.state.is_startable());
        let other = self.image(running.other()).filter(|image| image.state.is_startable())?;
        runs.is_none_or(|runs| runs.number < other.number).then_some(other)
    }

    /// Chooses the image to start, and counts a try of one that is not confirmed.
    ///
    /// `is_good` says whether an image is as its record says, and may be started: its digest, its signature. It may copy the
    /// image to where it runs meanwhile; the last one that it accepts is started. `None`: there is none. An image that it
    /// refuses is reverted as soon as it has accepted another one.
    ///
    /// Nothing that a power cut leaves in the flash prevents a start. Where the flash fails, the image that needs no writing
    /// is started.
    pub fn choose(&mut self, mut is_good: impl FnMut(ImageReader<'_, F>) -> bool) -> Option<Choice> {
        let mut images = Slot::ALL.map(|slot| (slot, self.record(slot).image()));
        images.sort_unstable_by_key(|(_, image)| core::cmp::Reverse(image.as_ref().map(|(header, _)| header.number)));
        let mut passed_over = None;
        let mut refused = None;
        for (slot, image) in images {
            let Some((header, image)) = image else { continue };
            let why_not = match image.state {
                ImageState::Receiving => PassedOver::Incomplete,
                ImageState::OutOfTries => PassedOver::OutOfTries,
                ImageState::Reverted => PassedOver::Reverted,
                ImageState::Trial { .. } | ImageState::Confirmed => {
                    if !is_good(ImageReader { flash: &mut self.flash, layout: &self.layout, slot, image: &image }) {
                        refused = Some((slot, header));
                        PassedOver::Refused
                    } else if let Some(reason) = self.count_start(slot, &header, &image) {
                        self.give_up(refused);
                        return Some(Choice { slot, image, reason, passed_over });
                    } else {
                        PassedOver::NotCounted
                    }
                }
            };
            passed_over = passed_over.or(Some(why_not));
        }
        // An image that could not be confirmed is better than none.
        for (slot, image) in images {
            let Some((_, image)) = image.filter(|(_, image)| image.state != ImageState::Receiving) else { continue };
            if is_good(ImageReader { flash: &mut self.flash, layout: &self.layout, slot, image: &image }) {
                self.give_up(refused.filter(|&(refused, _)| refused != slot));
                return Some(Choice { slot, image, reason: StartReason::NothingElse, passed_over });
            }
        }
        None
    }

    /// Confirms the image in `running`, by the firmware in it: from now on it is started until a newer one is committed.
    /// Confirming again is no error, and writes nothing.
    ///
    /// # Errors
    ///
    /// [`SlotError::NoImage`], [`SlotError::Flash`], [`SlotError::NotWritten`]. The image is confirmed or not then, as
    /// [`ImageSlots::image`] says; it can be tried again.
    pub fn confirm(&mut self, running: Slot) -> Result<(), SlotError<F::Error>> {
        let mut record = self.record(running);
        let (header, _) =
            record.image().filter(|(_, image)| image.state != ImageState::Receiving).ok_or(SlotError::NoImage)?;
        // One mark is enough, but may be one that a power cut left half written and that is read as whole today.
        match record.set_any(&header, MarkKind::Confirm, CONFIRM_MARKS).map_err(SlotError::Flash)? {
            0 => Err(SlotError::NotWritten),
            _ => Ok(()),
        }
    }

    /// Gives up the image in `slot`, running or waiting: the other one is started from now on. Doing it again is no error.
    ///
    /// # Errors
    ///
    /// [`SlotError::NoImage`], and [`SlotError::NoFallback`] where the other slot has no confirmed image. Otherwise as
    /// [`ImageSlots::confirm`].
    pub fn revert(&mut self, slot: Slot) -> Result<(), SlotError<F::Error>> {
        if self.image(slot.other()).is_none_or(|image| image.state != ImageState::Confirmed) {
            return Err(SlotError::NoFallback);
        }
        let mut record = self.record(slot);
        let (header, image) = record.image().ok_or(SlotError::NoImage)?;
        match image.state {
            ImageState::Receiving => return Err(SlotError::NoImage),
            ImageState::Reverted => return Ok(()),
            _ => {}
        }
        match record.set_any(&header, MarkKind::Revert, 1).map_err(SlotError::Flash)? {
            0 => Err(SlotError::NotWritten),
            _ => Ok(()),
        }
    }

    /// Reads the image in `slot`, from `offset` on, into `buf`; returns the number of bytes, less than `buf.len()` only at
    /// its end. Of an image that is being received the bytes that are written can be read.
    ///
    /// # Errors
    ///
    /// [`SlotError::NoImage`], [`SlotError::Flash`].
    pub fn read(&mut self, slot: Slot, offset: u32, buf: &mut [u8]) -> Result<usize, SlotError<F::Error>> {
        let size = match &self.upload {
            Some(upload) if upload.slot == slot => upload.image.written,
            _ => self.record(slot).header().ok_or(SlotError::NoImage)?.size,
        };
        read_image(&mut self.flash, self.layout.image_start(slot), size, offset, buf).map_err(SlotError::Flash)
    }

    pub(crate) fn record(&mut self, slot: Slot) -> Record<'_, F> {
        Record { flash: &mut self.flash, layout: &self.layout, slot }
    }

    /// Reverts an image that was refused, so that it can be uploaded again. If that fails it is refused again at the next start.
    fn give_up(&mut self, refused: Option<(Slot, Header)>) {
        if let Some((slot, header)) = refused {
            // The start must not depend on it.
            let _ = self.record(slot).set_any(&header, MarkKind::Revert, 1);
        }
    }

    /// Counts the start of an image that may be started; `None` where it has to be counted and cannot be.
    fn count_start(&mut self, slot: Slot, header: &Header, image: &Image) -> Option<StartReason> {
        let ImageState::Trial { left } = image.state else { return Some(StartReason::Confirmed) };
        let mut record = self.record(slot);
        let index =
            (0..MarkKind::Try.places()).find(|&index| record.mark(header, MarkKind::Try, index) == Mark::Erased)?;
        let is_counted = record.set(header, MarkKind::Try, index).is_ok_and(|mark| mark != Mark::Erased);
        is_counted.then_some(StartReason::Trial { left: left.saturating_sub(1) })
    }
}

/// An image that the boot loader may start, to be checked.
pub struct ImageReader<'a, F> {
    flash: &'a mut F,
    layout: &'a SlotLayout,
    slot: Slot,
    image: &'a Image,
}

impl<F: ReadNorFlash> ImageReader<'_, F> {
    /// What the record says about the image.
    #[must_use]
    pub const fn info(&self) -> &Image {
        self.image
    }

    /// Where it is.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        self.slot
    }

    /// Reads from `offset` on into `buf`; returns the number of bytes, less than `buf.len()` only at the end.
    ///
    /// # Errors
    ///
    /// The flash's.
    pub fn read(&mut self, offset: u32, buf: &mut [u8]) -> Result<usize, F::Error> {
        read_image(self.flash, self.layout.image_start(self.slot), self.image.size, offset, buf)
    }

    /// Computes the digest of the whole image, which it reads through `buf`; `None` where this build has no such digest.
    ///
    /// # Errors
    ///
    /// The flash's.
    ///
    /// # Panics
    ///
    /// If `buf` is empty.
    pub fn digest(&mut self, kind: DigestKind, buf: &mut [u8]) -> Result<Option<Digest>, F::Error> {
        let Some(mut hasher) = Hasher::new(kind) else { return Ok(None) };
        assert!(!buf.is_empty(), "a digest needs a buffer to read into");
        let mut offset: u32 = 0;
        while offset < self.image.size {
            let len = self.read(offset, buf)?;
            hasher.update(buf.get(..len).unwrap_or_default());
            offset = offset.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
        }
        Ok(Some(hasher.finish()))
    }
}

/// Reads from an image of `size` bytes that begins at `start`.
pub(crate) fn read_image<F: ReadNorFlash>(
    flash: &mut F,
    start: u32,
    size: u32,
    offset: u32,
    buf: &mut [u8],
) -> Result<usize, F::Error> {
    let len = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX).min(buf.len());
    access::read(flash, start.saturating_add(offset), buf.get_mut(..len).unwrap_or_default())?;
    Ok(len)
}
