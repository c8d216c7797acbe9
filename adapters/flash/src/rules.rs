//! What the owner of a store allows.

use crate::image::Image;

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

    /// Whether an image may be started, by its signature or the board that it is for. `read` is as in
    /// [`StoreRules::accepts`]. Called before the image is committed.
    fn accepts_image(&mut self, image: &Image, read: &mut dyn FnMut(u32, &mut [u8]) -> usize) -> bool {
        let (_, _) = (image, read);
        true
    }

    /// The small file `name` was replaced or deleted.
    fn changed(&mut self, name: &str) {
        let _ = name;
    }
}

impl StoreRules for () {}
