//! Whether an image is whole, and signed by whom it should be.

use coracle_core::{Digest, DigestKind, Hasher};
use coracle_flash::ImageReader;
use embedded_storage::nor_flash::ReadNorFlash;

/// Copies the image to `area`, and checks it there, so that what is checked is what runs.
pub fn load<F: ReadNorFlash>(image: &mut ImageReader<'_, F>, area: &mut [u8]) -> bool {
    let info = *image.info();
    let Some(bytes) = usize::try_from(info.size).ok().and_then(|size| area.get_mut(..size)) else { return false };
    if info.digest.kind() != DigestKind::Sha256 || !image.read(0, bytes).is_ok_and(|len| len == bytes.len()) {
        return false;
    }
    sha256(bytes) == Some(info.digest) && is_signed(bytes)
}

fn sha256(bytes: &[u8]) -> Option<Digest> {
    let mut hasher = Hasher::new(DigestKind::Sha256)?;
    hasher.update(bytes);
    Some(hasher.finish())
}

#[cfg(not(feature = "signed"))]
fn is_signed(_: &[u8]) -> bool {
    true
}

#[cfg(feature = "signed")]
fn is_signed(image: &[u8]) -> bool {
    coracle_firmware_chip::signed::is_good(image)
}
