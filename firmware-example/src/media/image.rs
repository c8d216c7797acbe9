//! A file on the emulator's host, as a card or a flash.

use core::cell::RefCell;
use core::ffi::CStr;

use embedded_sdmmc_types::{Block, BlockCount, BlockDevice, BlockIdx};
use embedded_storage::nor_flash::{ErrorType, NorFlashErrorKind, ReadNorFlash};
use semihosting::fs::File;
use semihosting::io::{Error, Read as _, Seek as _, SeekFrom, Write as _};

/// Length of a block of a card, in bytes.
const BLOCK_LEN: u32 = 512;

/// An image.
pub struct Image {
    file: RefCell<File>,
    len: u32,
}

impl Image {
    /// Opens the file `path`; `None` where it is not there, or larger than 4 GiB.
    pub fn open(path: &CStr) -> Option<Self> {
        let file = File::options().read(true).write(true).open(path).ok()?;
        let len = u32::try_from(file.metadata().ok()?.len()).ok()?;
        Some(Self { file: RefCell::new(file), len })
    }

    /// The file, with its position at `offset`.
    fn at(&self, offset: u64) -> Result<core::cell::RefMut<'_, File>, Error> {
        let mut file = self.file.borrow_mut();
        file.seek(SeekFrom::Start(offset))?;
        Ok(file)
    }
}

impl BlockDevice for Image {
    type Error = Error;

    fn read(&self, blocks: &mut [Block], start: BlockIdx) -> Result<(), Error> {
        let mut file = self.at(start.into_bytes())?;
        blocks.iter_mut().try_for_each(|block| file.read_exact(&mut block.contents))
    }

    fn write(&self, blocks: &[Block], start: BlockIdx) -> Result<(), Error> {
        let mut file = self.at(start.into_bytes())?;
        blocks.iter().try_for_each(|block| file.write_all(&block.contents))
    }

    fn num_blocks(&self) -> Result<BlockCount, Error> {
        Ok(BlockCount(self.len / BLOCK_LEN))
    }
}

impl ErrorType for Image {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Image {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let done = self.at(offset.into()).and_then(|mut file| file.read_exact(bytes));
        done.map_err(|_| NorFlashErrorKind::Other)
    }

    fn capacity(&self) -> usize {
        self.len as usize
    }
}
