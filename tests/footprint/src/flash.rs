//! A flash whose bytes come from the register.

use coracle_littlefs::{LittleStore, LittleVolume};
use embedded_storage::nor_flash::{ErrorType, NorFlashErrorKind, ReadNorFlash};

use crate::board;

pub fn open() -> Option<LittleStore<Flash>> {
    LittleVolume::new(Flash, board::input()).ok().map(LittleStore::new)
}

pub struct Flash;

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        board::output(offset);
        board::receive(bytes);
        if board::input() == 0 { Err(NorFlashErrorKind::Other) } else { Ok(()) }
    }

    fn capacity(&self) -> usize {
        board::input() as usize
    }
}
