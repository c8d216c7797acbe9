//! Registers of peripherals.

/// A peripheral's block of 32-bit registers.
pub struct Registers {
    base: usize,
    len: usize,
}

impl Registers {
    /// The block of `len` bytes at the address `base`. Both are those of a peripheral of the board: it is always mapped, and
    /// none of these registers makes the hardware access memory that it was not given.
    pub(super) const fn new(base: usize, len: usize) -> Self {
        Self { base, len }
    }

    /// Reads the register `offset` bytes into the block.
    ///
    /// # Panics
    ///
    /// If the block has no such register.
    pub fn read(&self, offset: usize) -> u32 {
        // SAFETY: `at` gives an aligned address inside a peripheral of this board, which is always mapped.
        unsafe { self.at(offset).read_volatile() }
    }

    /// Writes the register `offset` bytes into the block.
    ///
    /// # Panics
    ///
    /// If the block has no such register.
    pub fn write(&mut self, offset: usize, value: u32) {
        // SAFETY: as in `read`; no register of these peripherals makes the hardware write to memory.
        unsafe { self.at(offset).write_volatile(value) }
    }

    fn at(&self, offset: usize) -> *mut u32 {
        assert!(offset.is_multiple_of(4) && offset < self.len);
        core::ptr::with_exposed_provenance_mut(self.base + offset)
    }
}
