//! A card and a littlefs volume beside the board's own files: their images are files on the emulator's host.

mod image;
mod store;
mod store_write;

use core::ffi::CStr;

use coracle_core::CountedStore;
use coracle_embedded_sdmmc::{FatStore, FatVolume};
use coracle_littlefs::{LittleStore, LittleVolume};

use image::Image;
pub use store::Media;
use store::{CARD, Card, FLASH, Flash};

/// Length of a block of the volume in flash, in bytes.
const FLASH_BLOCK_LEN: u32 = 4_096;

impl<S> Media<S> {
    /// The files of `files`, and those of the images that `card=FILE` and `littlefs=FILE` name.
    // Not inlined, so that it takes no stack while the board serves.
    #[inline(never)]
    pub fn open(files: S, boot: u32) -> Self {
        Self::new(files, open_card(boot), open_flash())
    }
}

#[inline(never)]
fn open_card(boot: u32) -> Option<Card> {
    let volume = match FatVolume::new(image("card=")?) {
        Ok(volume) => volume,
        Err(error) => {
            defmt::error!("no card: {}", error);
            return None;
        }
    };
    match FatStore::writable(volume, boot) {
        Ok(store) => {
            defmt::info!("a card is served as {=str}/", CARD);
            Some(CountedStore::new(store, boot))
        }
        Err(error) => {
            defmt::error!("the card cannot be written to: {}", error);
            None
        }
    }
}

#[inline(never)]
fn open_flash() -> Option<Flash> {
    match LittleVolume::new(image("littlefs=")?, FLASH_BLOCK_LEN) {
        Ok(volume) => {
            defmt::info!("a littlefs volume is served as {=str}/", FLASH);
            Some(LittleStore::new(volume))
        }
        Err(error) => {
            defmt::error!("no littlefs volume: {}", error);
            None
        }
    }
}

/// The file that the argument `KEY=FILE` names, if there is one.
fn image(key: &str) -> Option<Image> {
    let mut path = [0; 256];
    let arguments = semihosting::experimental::env::args::<1024>().ok()?;
    let file = arguments.skip(1).flatten().find_map(|argument| argument.strip_prefix(key))?;
    path.get_mut(..file.len())?.copy_from_slice(file.as_bytes());
    let image = Image::open(CStr::from_bytes_until_nul(&path).ok()?);
    if image.is_none() {
        defmt::error!("{=str}{=str} cannot be opened", key, file);
    }
    image
}
