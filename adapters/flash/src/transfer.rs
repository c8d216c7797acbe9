//! The upload of an image that is under way.

use crate::image::Slot;
use crate::record::Header;
use crate::unit_writer::UnitWriter;

/// The upload of an image that is under way.
pub(crate) struct Upload {
    pub slot: Slot,
    pub header: Header,
    pub image: UnitWriter,
    /// End of what was erased for this upload, since the last sector boundary in what is written.
    pub erased: u32,
}

impl Upload {
    /// Goes on at `written`, the beginning of a sector or the end.
    pub const fn at(written: u32, slot: Slot, header: Header) -> Self {
        Self { slot, header, image: UnitWriter::new(header.size, written), erased: written }
    }

    /// Forgets what the sector that is being written holds: a failed write may have left half a unit in it.
    pub fn rewind(&mut self, sector_len: u32) {
        self.erased = self.image.written - self.image.written % sector_len;
        self.image.rewind(self.erased);
    }
}
