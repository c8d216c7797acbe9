//! The upload that is under way: how far it has come, and the unit that is not full yet.

use embedded_storage::nor_flash::NorFlash;

use crate::access::{self, MAX_UNIT};
use crate::image::Slot;
use crate::record::Header;

/// The upload that is under way.
pub(crate) struct Upload {
    pub slot: Slot,
    pub header: Header,
    /// Number of bytes in the flash, the padding of the last unit left out.
    pub written: u32,
    /// End of what was erased for this upload, since the last sector boundary in `written`.
    pub erased: u32,
    unit: [u8; MAX_UNIT],
    /// Number of bytes in `unit`.
    pending: usize,
}

impl Upload {
    /// Goes on at `written`, the beginning of a sector or the end.
    pub fn at(written: u32, slot: Slot, header: Header) -> Self {
        Self { slot, header, written, erased: written, unit: [0xff; MAX_UNIT], pending: 0 }
    }

    pub fn offset(&self) -> u32 {
        self.written.saturating_add(narrow(self.pending))
    }

    /// Forgets what the sector that is being written holds: a failed write may have left half a unit in it.
    pub fn rewind(&mut self, sector_len: u32) {
        self.written -= self.written % sector_len;
        self.erased = self.written;
        self.pending = 0;
    }

    /// Writes whole units to the slot that begins at `start`, and keeps what is left for the next call; the last unit of the
    /// image is padded.
    pub fn append<F: NorFlash>(&mut self, flash: &mut F, start: u32, mut bytes: &[u8]) -> Result<(), F::Error> {
        while !bytes.is_empty() {
            let whole = bytes.len() / F::WRITE_SIZE * F::WRITE_SIZE;
            if self.pending == 0 && whole > 0 {
                let (now, later) = bytes.split_at(whole);
                flash.write(start + self.written, now)?;
                self.written += narrow(whole);
                bytes = later;
                continue;
            }
            let room = self.unit.get_mut(self.pending..F::WRITE_SIZE).unwrap_or_default();
            let (now, later) = bytes.split_at(room.len().min(bytes.len()));
            room.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
            self.pending += now.len();
            bytes = later;
            if self.pending == F::WRITE_SIZE || self.offset() == self.header.size {
                let pending = self.unit.get(..self.pending).unwrap_or_default();
                access::write_padded(flash, start + self.written, pending)?;
                self.written = self.offset();
                self.pending = 0;
            }
        }
        Ok(())
    }
}

/// Lengths within a slot fit in 32 bits.
pub(crate) fn narrow(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
