//! How long the flash chip takes.

use core::sync::atomic::{AtomicU32, Ordering};

use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

use crate::board;

static TICKS: AtomicU32 = AtomicU32::new(0);

/// Time in the driver of the flash chip since the start, in ticks of the processor's clock; wraps.
pub fn ticks() -> u32 {
    TICKS.load(Ordering::Relaxed)
}

/// A flash whose operations are timed.
pub struct Timed<F>(F);

impl<F> Timed<F> {
    /// Times the operations of `flash`.
    pub const fn new(flash: F) -> Self {
        Self(flash)
    }

    fn time<T>(&mut self, operation: impl FnOnce(&mut F) -> T) -> T {
        let began = board::counter();
        let result = operation(&mut self.0);
        let ticks = board::counter().wrapping_sub(began) & board::Counter::MASK;
        // There is one thread, and no interrupt uses the flash.
        TICKS.store(TICKS.load(Ordering::Relaxed).wrapping_add(ticks), Ordering::Relaxed);
        result
    }
}

impl<F: ErrorType> ErrorType for Timed<F> {
    type Error = F::Error;
}

impl<F: ReadNorFlash> ReadNorFlash for Timed<F> {
    const READ_SIZE: usize = F::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.time(|flash| flash.read(offset, bytes))
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl<F: NorFlash> NorFlash for Timed<F> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        self.time(|flash| flash.erase(from, to))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        self.time(|flash| flash.write(offset, bytes))
    }
}
