//! The flash chip of the emulated board, shared by its boot loader and its firmware: a NOR flash of 4 MiB whose contents are a
//! file on the emulator's host, so that they outlive the emulator. Killing the emulator is a power cut: a sector that is being
//! erased, or a page that is being programmed, is left half done.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod handover;
#[cfg(feature = "signed")]
pub mod signed;

use core::ffi::CStr;
use core::ops::Range;

use coracle_flash::SlotLayout;
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};
use semihosting::fs::File;
use semihosting::io::{Error, Read as _, Seek as _, SeekFrom, Write as _};

pub use handover::Handover;

/// Size of the chip, in bytes.
pub const CHIP_LEN: u32 = 4 << 20;
/// Where the small files are, in bytes: the last two sectors.
pub const FILES_START: u32 = CHIP_LEN - 2 * SECTOR_LEN;
/// Where the keys are, in bytes, before the small files: a page of one sector that is written when the board is provisioned.
pub const KEY_PAGE: u32 = FILES_START - 5 * SECTOR_LEN;
/// The pre-shared keys, which change in two sectors.
pub const PSKS: Range<u32> = KEY_PAGE + SECTOR_LEN..KEY_PAGE + 3 * SECTOR_LEN;
/// The counter of boots, in two.
pub const BOOTS: Range<u32> = KEY_PAGE + 3 * SECTOR_LEN..FILES_START;
/// The slots: all before the keys.
pub const SLOTS: SlotLayout = match SlotLayout::new::<Chip>(0..KEY_PAGE) {
    Ok(layout) => layout,
    Err(_) => panic!("the slots fit"),
};

const SECTOR_LEN: u32 = 4_096;
/// What is programmed or erased at once: a part of a sector, which a killed emulator leaves undone.
const STEP_LEN: usize = 256;

/// The chip. It is read in bytes, written in words of 4 bytes whose bits go from 1 to 0 only, and erased in sectors of 4 KiB.
pub struct Chip(File);

/// Why the chip failed.
#[derive(Clone, Copy, Debug)]
pub enum ChipError {
    /// The host's file cannot be read or written.
    Host,
    /// A word is written that is not erased.
    NotErased,
    /// An offset or a length is wrong.
    Arguments(NorFlashErrorKind),
}

impl Chip {
    /// Opens the chip whose contents are in the file `path`, which is made, erased, where there is none.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn open(path: &CStr) -> Result<Self, Error> {
        if let Ok(file) = File::options().read(true).write(true).open(path) {
            return Ok(Self(file));
        }
        // What can be read and written at once is opened, not made.
        let mut file = File::create(path)?;
        for _ in 0..CHIP_LEN as usize / STEP_LEN {
            file.write_all(&[0xff; STEP_LEN])?;
        }
        drop(file);
        File::options().read(true).write(true).open(path).map(Self)
    }

    fn seek(&mut self, offset: u32) -> Result<(), ChipError> {
        self.0.seek(SeekFrom::Start(offset.into())).map_err(|_| ChipError::Host)?;
        Ok(())
    }
}

impl NorFlashError for ChipError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Arguments(kind) => *kind,
            _ => NorFlashErrorKind::Other,
        }
    }
}

impl ErrorType for Chip {
    type Error = ChipError;
}

impl ReadNorFlash for Chip {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), ChipError> {
        check_read(self, offset, bytes.len()).map_err(ChipError::Arguments)?;
        self.seek(offset)?;
        self.0.read_exact(bytes).map_err(|_| ChipError::Host)
    }

    fn capacity(&self) -> usize {
        CHIP_LEN as usize
    }
}

impl NorFlash for Chip {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR_LEN as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), ChipError> {
        check_erase(self, from, to).map_err(ChipError::Arguments)?;
        self.seek(from)?;
        for _ in 0..(to - from) as usize / STEP_LEN {
            self.0.write_all(&[0xff; STEP_LEN]).map_err(|_| ChipError::Host)?;
        }
        Ok(())
    }

    fn write(&mut self, mut offset: u32, bytes: &[u8]) -> Result<(), ChipError> {
        check_write(self, offset, bytes.len()).map_err(ChipError::Arguments)?;
        for bytes in bytes.chunks(STEP_LEN) {
            let mut before = [0; STEP_LEN];
            let before = &mut before[..bytes.len()];
            self.read(offset, before)?;
            let is_erased = before
                .chunks(4)
                .zip(bytes.chunks(4))
                .all(|(before, word)| before.iter().all(|&byte| byte == 0xff) || word.iter().all(|&byte| byte == 0xff));
            if !is_erased {
                return Err(ChipError::NotErased);
            }
            for (before, byte) in before.iter_mut().zip(bytes) {
                *before &= byte;
            }
            self.seek(offset)?;
            self.0.write_all(before).map_err(|_| ChipError::Host)?;
            offset += bytes.len() as u32;
        }
        Ok(())
    }
}
