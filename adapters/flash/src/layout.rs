//! Where the slots and their records lie in the flash.

use core::ops::Range;

use embedded_storage::nor_flash::NorFlash;

use crate::access::is_unit;
use crate::format::{HEADER_LEN, HEADER_PLACES, MARK_LEN, MarkKind};
use crate::image::Slot;

/// Fewest progress marks that a record area has room for.
const MIN_PROGRESS_MARKS: u32 = 16;

/// Where the slots lie in a flash: two record areas, each of one sector or a few, then two slots of equal length.
///
/// It depends on the flash's sizes and the range alone: the boot loader and the firmware have to use the same range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotLayout {
    start: u32,
    record_len: u32,
    slot_len: u32,
    sector_len: u32,
    header_len: u32,
    mark_len: u32,
    /// Number of bytes of an image for each progress mark: a multiple of `sector_len`.
    progress_step: u32,
}

/// Why a range of a flash cannot hold two slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LayoutError {
    /// The range does not begin and end between two sectors.
    NotAligned,
    /// The range has no room for two slots of a sector each.
    TooSmall,
    /// The flash's write size or read size is no power of two up to 32, or a sector is no multiple of them.
    Units,
}

impl SlotLayout {
    /// Divides `range` of a flash of type `F`, in bytes, into record areas and slots.
    ///
    /// # Errors
    ///
    /// The range or the flash does not fit: see [`LayoutError`].
    pub const fn new<F: NorFlash>(range: Range<u32>) -> Result<Self, LayoutError> {
        let (write, read, erase) = (F::WRITE_SIZE, F::READ_SIZE, F::ERASE_SIZE);
        if !is_unit(write) || !is_unit(read) || erase > 1 << 30 {
            return Err(LayoutError::Units);
        }
        if erase == 0 || !erase.is_multiple_of(write) || !erase.is_multiple_of(read) {
            return Err(LayoutError::Units);
        }
        let (unit, sector_len) = (narrow(write), narrow(erase));
        if !range.start.is_multiple_of(sector_len) || !range.end.is_multiple_of(sector_len) {
            return Err(LayoutError::NotAligned);
        }
        let header_len = HEADER_LEN.next_multiple_of(unit);
        let mark_len = MARK_LEN.next_multiple_of(unit);
        let fixed_len = HEADER_PLACES * header_len + MarkKind::FIXED * mark_len;
        let record_len = (fixed_len + MIN_PROGRESS_MARKS * mark_len).next_multiple_of(sector_len);
        let len = range.end.saturating_sub(range.start);
        let slot_len = len.saturating_sub(2 * record_len) / 2 / sector_len * sector_len;
        if slot_len == 0 {
            return Err(LayoutError::TooSmall);
        }
        let sectors = slot_len / sector_len;
        let marks = (record_len - fixed_len) / mark_len;
        let progress_step = sectors.div_ceil(marks) * sector_len;
        Ok(Self { start: range.start, record_len, slot_len, sector_len, header_len, mark_len, progress_step })
    }

    /// The longest image, in bytes.
    #[must_use]
    pub const fn slot_len(&self) -> u32 {
        self.slot_len
    }

    /// Where the image in `slot` begins in the flash, in bytes.
    #[must_use]
    pub const fn image_start(&self, slot: Slot) -> u32 {
        self.start
            + 2 * self.record_len
            + match slot {
                Slot::A => 0,
                Slot::B => self.slot_len,
            }
    }

    /// Number of bytes after which an upload can be resumed following a power cut.
    #[must_use]
    pub const fn progress_step(&self) -> u32 {
        self.progress_step
    }

    pub(crate) const fn sector_len(&self) -> u32 {
        self.sector_len
    }

    pub(crate) const fn record(&self, slot: Slot) -> Range<u32> {
        let start = self.start
            + match slot {
                Slot::A => 0,
                Slot::B => self.record_len,
            };
        start..start + self.record_len
    }

    /// Where the header lies, or a copy of it.
    pub(crate) const fn header(&self, slot: Slot, place: u32) -> u32 {
        self.record(slot).start + place * self.header_len
    }

    /// Where the `index`th mark of `kind` lies.
    pub(crate) const fn mark(&self, slot: Slot, kind: MarkKind, index: u32) -> u32 {
        self.header(slot, HEADER_PLACES) + (kind.first() + index) * self.mark_len
    }

    /// Number of progress marks that an image of `size` bytes has.
    pub(crate) const fn progress_marks(&self, size: u32) -> u32 {
        size.div_ceil(self.progress_step)
    }
}

/// A size of at most 2^30.
// `as` is what a constant function has; the caller has checked the range.
#[allow(clippy::cast_possible_truncation)]
const fn narrow(size: usize) -> u32 {
    size as u32
}
