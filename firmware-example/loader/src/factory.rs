//! The first image of a chip, which a product's factory writes.

use core::ffi::CStr;

use coracle_core::{DigestKind, Hasher};
use coracle_firmware_chip::Chip;
use coracle_flash::{ImageSlots, Slot, UploadTarget};
use semihosting::fs::File;
use semihosting::io::{Read as _, Seek as _, SeekFrom};

/// Writes the image in the host's file `path` to a chip that has none, and confirms it.
pub fn install(slots: &mut ImageSlots<Chip>, path: &CStr) -> Result<(), &'static str> {
    if Slot::ALL.into_iter().any(|slot| slots.image(slot).is_some_and(|image| slots_are_in_use(&image))) {
        return Ok(());
    }
    let mut file = File::open(path).map_err(|_| "loader: the factory's image cannot be opened\n")?;
    let mut hasher = Hasher::new(DigestKind::Sha256).ok_or("loader: no SHA-256\n")?;
    let mut size = 0;
    let mut buf = [0; 4_096];
    loop {
        let len = file.read(&mut buf).map_err(|_| "loader: the factory's image cannot be read\n")?;
        if len == 0 {
            break;
        }
        hasher.update(&buf[..len]);
        size += len as u32;
    }
    let digest = hasher.finish();
    file.seek(SeekFrom::Start(0)).map_err(|_| "loader: the factory's image cannot be read\n")?;
    let failed = "loader: the factory's image cannot be written\n";
    slots.begin(None, &UploadTarget::new(size, digest)).map_err(|_| failed)?;
    let (begun, _) = slots.upload_progress().ok_or(failed)?;
    file.seek(SeekFrom::Start(begun.into())).map_err(|_| failed)?;
    loop {
        let len = file.read(&mut buf).map_err(|_| failed)?;
        let mut rest = &buf[..len];
        while !rest.is_empty() {
            let taken = slots.write(rest).map_err(|_| failed)?;
            rest = &rest[taken..];
        }
        if len == 0 {
            break;
        }
    }
    let read_back = slots.upload_digest(&mut buf).map_err(|_| failed)?;
    slots.commit(&read_back).map_err(|_| failed)?;
    let slot = Slot::ALL.into_iter().find(|&slot| slots.image(slot).is_some());
    slots.confirm(slot.ok_or(failed)?).map_err(|_| failed)
}

/// Whether an image is there, or was: only what was never complete is replaced.
fn slots_are_in_use(image: &coracle_flash::Image) -> bool {
    image.state != coracle_flash::ImageState::Receiving
}
