//! What the owner of a store allows.

use coracle_core::WriteError;

use crate::image::Image;

/// How far the owner has checked an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageCheck {
    /// It may be started.
    Accepted,
    /// There is more to check: the owner wants to be asked again, behind the other clients.
    Pending,
}

/// What the owner of a [`FlashStore`](crate::FlashStore) allows its clients. The unit type allows everything.
pub trait StoreRules {
    /// Whether clients may put and delete the small file `name`.
    fn may_write(&mut self, name: &str) -> bool {
        let _ = name;
        true
    }

    /// Whether the small file `name` may have the contents of `size` bytes that `read` reads, from an offset into a buffer, and
    /// returns how many. Called before it gets its name.
    fn accepts(&mut self, name: &str, size: u32, read: &mut dyn FnMut(u32, &mut [u8]) -> usize) -> bool {
        let (_, _, _) = (name, size, read);
        true
    }

    /// Whether clients may put and delete images. Where they may not, `image` is `denied` before its body is sent.
    fn takes_images(&mut self) -> bool {
        true
    }

    /// Whether an image may be started, by its signature or the board that it is for. `read` is as in
    /// [`StoreRules::accepts`]. Called before the image is committed, again and again until it is no longer
    /// [`ImageCheck::Pending`]: a call takes no longer than the watchdog and the other clients can wait, so that an owner that
    /// reads the whole image does it in parts. An upload that is given up meanwhile is not announced; `image` tells another
    /// one by its number.
    ///
    /// # Errors
    ///
    /// What the client is told, as `denied` for an image that the owner does not want and [`WriteError::Corrupt`] for one that
    /// is not what it should be. The upload is dropped.
    fn accepts_image(
        &mut self,
        image: &Image,
        read: &mut dyn FnMut(u32, &mut [u8]) -> usize,
    ) -> Result<ImageCheck, WriteError> {
        let (_, _) = (image, read);
        Ok(ImageCheck::Accepted)
    }

    /// The small file `name` was replaced or deleted.
    fn changed(&mut self, name: &str) {
        let _ = name;
    }
}

impl StoreRules for () {}
