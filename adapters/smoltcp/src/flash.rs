//! A sink that writes to NOR flash.

use coracle_core::Header;
use coracle_core::exec::Sink;
use embedded_storage::nor_flash::NorFlash;

/// Writes a file to the beginning of a flash, or of a partition of one.
///
/// Bytes are collected until they fill a unit of `UNIT` bytes, a multiple of the flash's write size (a page, for speed). A
/// sector is erased before its first byte is written. After the fetch [`FlashSink::finish`] writes the last, partial unit,
/// padded with 0xFF.
///
/// An interrupted fetch can be resumed from [`FlashSink::resume_offset`], with the same sink or, after a restart, with one made
/// by [`FlashSink::resuming`] from the offset that the owner has stored. That begins at the start of the offset's sector, since
/// a power cut may have left a unit half written.
pub struct FlashSink<F, const UNIT: usize> {
    flash: F,
    unit: [u8; UNIT],
    /// Number of bytes in `unit`.
    pending: usize,
    /// Where the unit belongs in the flash.
    offset: u32,
}

/// Why a file cannot be written to flash. `E` is the flash's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FlashError<E> {
    /// The file is longer than the flash.
    TooLong,
    /// The body does not begin where the last one ended.
    Gap,
    /// The flash failed.
    Flash(E),
}

impl<F: NorFlash, const UNIT: usize> FlashSink<F, UNIT> {
    /// Writes from the beginning of `flash`.
    #[must_use]
    pub const fn new(flash: F) -> Self {
        const {
            assert!(UNIT > 0 && UNIT.is_multiple_of(F::WRITE_SIZE), "UNIT is a multiple of what the flash writes");
            assert!(F::ERASE_SIZE.is_multiple_of(UNIT), "a sector holds whole units");
            assert!(F::READ_SIZE == 1 || UNIT.is_multiple_of(F::READ_SIZE), "a unit can be read back");
        }
        Self { flash, unit: [0xff; UNIT], pending: 0, offset: 0 }
    }

    /// Resumes at `offset`, from [`FlashSink::resume_offset`] before a restart, rounded down to the start of its sector: a unit
    /// that was being written at a power cut can be written again only after an erasure.
    #[must_use]
    pub fn resuming(flash: F, offset: u32) -> Self {
        let mut this = Self::new(flash);
        this.offset = offset - offset % u32::try_from(F::ERASE_SIZE).unwrap_or(u32::MAX);
        this
    }

    /// Number of bytes of the file in the flash: the offset for the next attempt.
    #[must_use]
    pub const fn resume_offset(&self) -> u32 {
        self.offset
    }

    /// Writes the last, partial unit, and returns the flash.
    ///
    /// # Errors
    ///
    /// The flash failed.
    pub fn finish(mut self) -> Result<F, FlashError<F::Error>> {
        if self.pending > 0 {
            self.write_unit()?;
        }
        Ok(self.flash)
    }

    fn write_unit(&mut self) -> Result<(), FlashError<F::Error>> {
        let sector_len = u32::try_from(F::ERASE_SIZE).map_err(|_| FlashError::TooLong)?;
        let offset = self.offset;
        if offset.is_multiple_of(sector_len) {
            let end = offset.checked_add(sector_len).ok_or(FlashError::TooLong)?;
            self.flash.erase(offset, end).map_err(FlashError::Flash)?;
        }
        if let Err(error) = self.flash.write(offset, &self.unit) {
            // A half-written unit can be written again only after its sector has been erased.
            self.offset = offset - offset % sector_len;
            return Err(FlashError::Flash(error));
        }
        self.offset += self.unit_len();
        self.unit.fill(0xff);
        self.pending = 0;
        Ok(())
    }

    fn unit_len(&self) -> u32 {
        u32::try_from(UNIT).unwrap_or(u32::MAX)
    }
}

impl<F: NorFlash, const UNIT: usize> Sink for FlashSink<F, UNIT> {
    type Error = FlashError<F::Error>;

    fn begin(&mut self, header: &Header) -> Result<(), Self::Error> {
        // The bytes that an interrupted attempt left in the unit are sent again.
        self.pending = 0;
        self.unit.fill(0xff);
        if header.offset != u64::from(self.offset) {
            return Err(FlashError::Gap);
        }
        let end = header.offset.saturating_add(header.length);
        if end > wide(self.flash.capacity()) { Err(FlashError::TooLong) } else { Ok(()) }
    }

    fn write(&mut self, offset: u64, mut bytes: &[u8]) -> Result<(), Self::Error> {
        if offset != u64::from(self.offset) + wide(self.pending) {
            return Err(FlashError::Gap);
        }
        while !bytes.is_empty() {
            let free = self.unit.get_mut(self.pending..).unwrap_or_default();
            let len = free.len().min(bytes.len());
            let (now, later) = bytes.split_at(len);
            if let Some(free) = free.get_mut(..len) {
                free.copy_from_slice(now);
            }
            bytes = later;
            self.pending += len;
            if self.pending == UNIT {
                self.write_unit()?;
            }
        }
        Ok(())
    }

    fn read_back(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, Self::Error> {
        let written = u64::from(self.offset).saturating_sub(offset);
        let Ok(offset) = u32::try_from(offset) else { return Ok(0) };
        if written == 0 {
            return Ok(0);
        }
        // Through the unit's buffer, which is empty between attempts, since a flash may read in multiples only.
        let within = usize::try_from(offset % self.unit_len()).unwrap_or(0);
        let unit = &mut self.unit;
        self.flash.read(offset - offset % u32::try_from(UNIT).unwrap_or(u32::MAX), unit).map_err(FlashError::Flash)?;
        let bytes = unit.get(within..).unwrap_or_default();
        let len = bytes.len().min(buf.len()).min(usize::try_from(written).unwrap_or(usize::MAX));
        if let (Some(buf), Some(bytes)) = (buf.get_mut(..len), bytes.get(..len)) {
            buf.copy_from_slice(bytes);
        }
        Ok(len)
    }
}

/// Lengths of slices fit in 64 bits on every target.
fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
