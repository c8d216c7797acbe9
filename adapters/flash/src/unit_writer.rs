//! Bytes in any pieces to flash that is written in units.

use embedded_storage::nor_flash::NorFlash;

use crate::access::{self, MAX_UNIT};

/// Writes a run of bytes of known length: whole units at once, what is left when more has come.
pub(crate) struct UnitWriter {
    /// Number of bytes in the flash, the padding of the last unit left out.
    pub written: u32,
    len: u32,
    unit: [u8; MAX_UNIT],
    /// Number of bytes in `unit`.
    pending: usize,
}

impl UnitWriter {
    /// Of `len` bytes the first `written` are there, which is a multiple of the unit or all of them.
    pub const fn new(len: u32, written: u32) -> Self {
        Self { written, len, unit: [0xff; MAX_UNIT], pending: 0 }
    }

    /// Number of bytes that were taken.
    pub fn offset(&self) -> u32 {
        self.written.saturating_add(narrow(self.pending))
    }

    /// Number of bytes that are to come.
    pub fn missing(&self) -> u32 {
        self.len.saturating_sub(self.offset())
    }

    /// Goes back to `written`, which is a multiple of the unit: what follows is written again.
    pub fn rewind(&mut self, written: u32) {
        self.written = written;
        self.pending = 0;
    }

    /// Takes all of `bytes`, of which there are no more than are missing, for flash that begins at `start`. The last unit is
    /// padded.
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
            if self.pending == F::WRITE_SIZE || self.missing() == 0 {
                let pending = self.unit.get(..self.pending).unwrap_or_default();
                access::write_padded(flash, start + self.written, pending)?;
                self.written = self.offset();
                self.pending = 0;
            }
        }
        Ok(())
    }
}

/// Lengths within a flash fit in 32 bits.
pub(crate) fn narrow(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
