//! One flash for several users.

use core::cell::RefCell;

use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

/// A flash that [`ImageSlots`](crate::ImageSlots), [`SmallFiles`](crate::SmallFiles) and others use together, each in a range of
/// its own.
///
/// # Panics
///
/// Its methods panic while the cell is borrowed.
pub struct SharedFlash<'a, F>(&'a RefCell<F>);

impl<'a, F> SharedFlash<'a, F> {
    /// A user of `flash`.
    #[must_use]
    pub const fn new(flash: &'a RefCell<F>) -> Self {
        Self(flash)
    }
}

impl<F> Clone for SharedFlash<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for SharedFlash<'_, F> {}

impl<F: ErrorType> ErrorType for SharedFlash<'_, F> {
    type Error = F::Error;
}

impl<F: ReadNorFlash> ReadNorFlash for SharedFlash<'_, F> {
    const READ_SIZE: usize = F::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.borrow_mut().read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.borrow().capacity()
    }
}

impl<F: NorFlash> NorFlash for SharedFlash<'_, F> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        self.0.borrow_mut().erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0.borrow_mut().write(offset, bytes)
    }
}
