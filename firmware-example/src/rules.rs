//! What clients may write: `config.json`, and images that can run here, where they run from slots.

#[cfg(feature = "slots")]
use coracle_core::WriteError;
#[cfg(feature = "slots")]
use coracle_flash::{Image, ImageCheck};
use coracle_flash::{ImageSlots, Slot, StoreRules};
use embedded_storage::nor_flash::NorFlash;

use crate::config::{CONFIG, CONFIG_LEN, Settings};
#[cfg(feature = "signed")]
use crate::signature::SignatureCheck;

/// Where images run, and their stacks are: an image for another board has other addresses.
#[cfg(feature = "slots")]
mod image {
    pub const RUN_START: u32 = 0x0010_0000;
    pub const RUN_END: u32 = 0x0040_0000;
    pub const STACK_END: u32 = 0x2000_4000;
}

/// What clients may write.
pub struct Rules {
    takes_any_file: bool,
    #[cfg(feature = "signed")]
    signature: SignatureCheck,
}

impl Rules {
    /// The rules of a board that runs from `running`. With `takes_any_file` clients may put any small file.
    // Without signatures it does not matter what runs.
    #[cfg_attr(not(feature = "signed"), allow(unused_variables))]
    pub fn new<F: NorFlash>(slots: &mut ImageSlots<F>, running: Slot, takes_any_file: bool) -> Self {
        Self {
            takes_any_file,
            #[cfg(feature = "signed")]
            signature: SignatureCheck::new(slots, running),
        }
    }
}

impl StoreRules for Rules {
    fn may_write(&mut self, name: &str) -> bool {
        self.takes_any_file || name == CONFIG.as_str()
    }

    fn accepts(&mut self, name: &str, size: u32, read: &mut dyn FnMut(u32, &mut [u8]) -> usize) -> bool {
        if name != CONFIG.as_str() {
            return true;
        }
        let mut json = [0; CONFIG_LEN];
        let Some(json) = json.get_mut(..size as usize) else { return false };
        read(0, json) == json.len() && Settings::new().apply(json).is_ok()
    }

    #[cfg(not(feature = "slots"))]
    fn takes_images(&mut self) -> bool {
        false
    }

    #[cfg(feature = "slots")]
    fn accepts_image(
        &mut self,
        image: &Image,
        read: &mut dyn FnMut(u32, &mut [u8]) -> usize,
    ) -> Result<ImageCheck, WriteError> {
        let mut start = [0; 8];
        let len = read(0, &mut start);
        let [a, b, c, d, e, f, g, h] = start;
        let (stack, reset) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        let is_inside =
            (image::RUN_START..image::RUN_END.min(image::RUN_START.saturating_add(image.size))).contains(&reset);
        if len < start.len() || stack != image::STACK_END || !is_inside {
            defmt::warn!("an image is refused: it is for another board");
            return Err(WriteError::Corrupt);
        }
        #[cfg(feature = "signed")]
        return self.signature.check(image, read);
        #[cfg(not(feature = "signed"))]
        Ok(ImageCheck::Accepted)
    }

    fn changed(&mut self, name: &str) {
        defmt::info!("{=str} has changed: it applies from the next start", name);
    }
}
