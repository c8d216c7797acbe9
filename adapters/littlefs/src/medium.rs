//! Reads of any length and position from a flash.

use coracle_core::StoreError;
use embedded_storage::nor_flash::ReadNorFlash;

/// What is read at once where less is asked for, in bytes: a multiple of every flash's unit.
const WINDOW_LEN: usize = 64;
const WINDOW: u32 = 64;

/// Blocks of a flash.
pub(crate) struct Medium<F> {
    flash: F,
    pub block_len: u32,
    pub blocks: u32,
    window: [u8; WINDOW_LEN],
    /// Where the window lies.
    at: Option<u32>,
}

impl<F: ReadNorFlash> Medium<F> {
    /// `None` where the flash has no whole blocks of this length, or units that this crate cannot read.
    pub fn new(flash: F, block_len: u32) -> Option<Self> {
        let capacity = u32::try_from(flash.capacity()).ok()?;
        let is_good =
            block_len >= 128 && block_len.is_multiple_of(WINDOW) && WINDOW_LEN.is_multiple_of(F::READ_SIZE.max(1));
        let blocks = capacity.checked_div(block_len).filter(|blocks| is_good && *blocks >= 2)?;
        Some(Self { flash, block_len, blocks, window: [0; WINDOW_LEN], at: None })
    }

    pub fn into_flash(self) -> F {
        self.flash
    }

    /// Forgets what was read, as it may have changed.
    pub fn refresh(&mut self) {
        self.at = None;
    }

    /// Reads `buf.len()` bytes of `block` from `offset` on.
    pub fn read(&mut self, block: u32, offset: u32, mut buf: &mut [u8]) -> Result<(), StoreError> {
        let len = u32::try_from(buf.len()).map_err(|_| StoreError::Io)?;
        if block >= self.blocks || offset.checked_add(len).is_none_or(|end| end > self.block_len) {
            return Err(StoreError::Io);
        }
        let mut place = block * self.block_len + offset;
        while !buf.is_empty() {
            let whole = buf.len() / WINDOW_LEN * WINDOW_LEN;
            let read = if place.is_multiple_of(WINDOW) && whole > 0 {
                let direct = buf.get_mut(..whole).unwrap_or_default();
                self.flash.read(place, direct).map_err(|_| StoreError::Io)?;
                whole
            } else {
                let start = place - place % WINDOW;
                if self.at != Some(start) {
                    self.at = None;
                    self.flash.read(start, &mut self.window).map_err(|_| StoreError::Io)?;
                    self.at = Some(start);
                }
                let skipped = usize::try_from(place - start).unwrap_or(0);
                let bytes = self.window.get(skipped..).unwrap_or_default();
                buf.iter_mut().zip(bytes).map(|(to, from)| *to = *from).count()
            };
            buf = buf.get_mut(read..).unwrap_or_default();
            place += u32::try_from(read).unwrap_or(0);
        }
        Ok(())
    }

    /// The number at `offset` of `block`.
    pub fn number(&mut self, block: u32, offset: u32) -> Result<u32, StoreError> {
        let mut bytes = [0; 4];
        self.read(block, offset, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Two numbers that follow each other.
    pub fn numbers(&mut self, block: u32, offset: u32) -> Result<[u32; 2], StoreError> {
        Ok([self.number(block, offset)?, self.number(block, offset.saturating_add(4))?])
    }
}
