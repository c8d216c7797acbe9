//! Whether an image is signed by whom it should be, for this board, and not older than the one that runs.

use coracle_core::{DigestKind, Hasher, StoreError, WriteError};
use coracle_firmware_chip::signed::{BOARD, Trailer};
use coracle_flash::{Image, ImageCheck, ImageSlots, Slot};
use embedded_storage::nor_flash::NorFlash;

/// How much of an image is hashed at once, so that the other clients are served meanwhile.
const STEP_LEN: u32 = 4_096;

/// Checks signatures, in parts.
pub struct SignatureCheck {
    /// The version of the image that runs.
    running: u32,
    under_way: Option<UnderWay>,
}

/// An image of which a part was hashed.
struct UnderWay {
    number: u32,
    hasher: Hasher,
    hashed: u32,
}

impl SignatureCheck {
    /// Refuses images that are older than the one in `running`.
    #[inline(never)]
    pub fn new<F: NorFlash>(slots: &mut ImageSlots<F>, running: Slot) -> Self {
        let mut end = [0; Trailer::LEN];
        let size = slots.image(running).map_or(0, |image| image.size);
        let len = slots.read(running, size.saturating_sub(Trailer::LEN as u32), &mut end);
        let trailer = len.is_ok_and(|len| len == end.len()).then(|| Trailer::decode(&end)).flatten();
        Self { running: trailer.map_or(0, |trailer| trailer.version), under_way: None }
    }

    /// Checks an image, or the next part of it.
    #[inline(never)]
    pub fn check(
        &mut self,
        image: &Image,
        read: &mut dyn FnMut(u32, &mut [u8]) -> usize,
    ) -> Result<ImageCheck, WriteError> {
        let under_way = self.under_way.take().filter(|under_way| under_way.number == image.number);
        let mut end = [0; Trailer::LEN];
        let start = image.size.checked_sub(Trailer::LEN as u32);
        let is_read = start.is_some_and(|start| read(start, &mut end) == end.len());
        let Some(trailer) = Trailer::decode(&end).filter(|_| is_read) else {
            return refuse("it is not signed", WriteError::Corrupt);
        };
        if trailer.board != BOARD {
            return refuse("it is for another board", WriteError::Corrupt);
        }
        if trailer.version < self.running {
            return refuse("it is older than the one that runs", StoreError::Denied.into());
        }
        let new = || Some(UnderWay { number: image.number, hasher: Hasher::new(DigestKind::Sha256)?, hashed: 0 });
        let Some(mut under_way) = under_way.or_else(new) else { return Err(WriteError::Unsupported) };
        let signed_len = image.size - Trailer::SIGNATURE_LEN as u32;
        let until = signed_len.min(under_way.hashed + STEP_LEN);
        while under_way.hashed < until {
            let mut buf = [0; 256];
            let buf = &mut buf[..(until - under_way.hashed).min(256) as usize];
            if read(under_way.hashed, buf) < buf.len() {
                return Err(StoreError::Io.into());
            }
            under_way.hasher.update(buf);
            under_way.hashed += buf.len() as u32;
        }
        if under_way.hashed < signed_len {
            self.under_way = Some(under_way);
            return Ok(ImageCheck::Pending);
        }
        match trailer.is_signed(&under_way.hasher.finish()) {
            true => Ok(ImageCheck::Accepted),
            false => refuse("its signature is wrong", WriteError::Corrupt),
        }
    }
}

fn refuse(why: &str, error: WriteError) -> Result<ImageCheck, WriteError> {
    defmt::warn!("an image is refused: {=str}", why);
    Err(error)
}
