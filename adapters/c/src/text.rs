//! Text for C: bytes that end with 0.

use core::ffi::{CStr, c_char};

#[cfg(feature = "channel")]
use coracle_channel::PublicKey;
use coracle_core::FileName;

#[cfg(feature = "channel")]
use crate::key_types::KEY_TEXT_SIZE;

/// A copy of a text of fewer than `N` bytes, with a 0 behind it. A longer text, or one with a 0 in it, is empty.
pub(crate) struct CText<const N: usize>([u8; N]);

/// A file's name.
pub(crate) type CName = CText<{ FileName::MAX_LEN + 1 }>;
/// A file's version.
#[cfg(feature = "write")]
pub(crate) type CVersion = CText<{ coracle_core::Version::MAX_LEN + 1 }>;
/// A word of `do`.
#[cfg(feature = "manage")]
pub(crate) type CAction = CText<{ coracle_core::ActionWords::MAX_LEN + 1 }>;

/// A key.
#[cfg(feature = "channel")]
pub(crate) type CKey = CText<KEY_TEXT_SIZE>;

impl<const N: usize> CText<N> {
    #[cfg(feature = "channel")]
    pub(crate) const EMPTY: Self = Self([0; N]);

    // Out of line, so that a caller's frame has the text but once.
    #[inline(never)]
    pub(crate) fn new(text: &str) -> Self {
        let mut this = Self([0; N]);
        if let Some((_, place)) = this.0.split_last_mut()
            && let Some(place) = place.get_mut(..text.len())
            && !text.as_bytes().contains(&0)
        {
            place.copy_from_slice(text.as_bytes());
        }
        this
    }

    pub(crate) const fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }

    /// With the 0.
    #[cfg(feature = "channel")]
    pub(crate) const fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }

    #[cfg(feature = "channel")]
    pub(crate) fn as_str(&self) -> &str {
        text_in(&self.0).unwrap_or_default()
    }
}

#[cfg(feature = "channel")]
impl<const N: usize> core::fmt::Write for CText<N> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let len = self.as_str().len();
        let (Some((_, place)), bytes) = (self.0.split_last_mut(), text.as_bytes()) else {
            return Err(core::fmt::Error);
        };
        let place = place.get_mut(len..len.saturating_add(bytes.len())).ok_or(core::fmt::Error)?;
        place.copy_from_slice(bytes);
        Ok(())
    }
}

/// A public key as people write it.
#[cfg(feature = "channel")]
#[inline(never)]
pub(crate) fn key_text(key: &PublicKey) -> CKey {
    let mut text = CKey::EMPTY;
    // A key has room.
    let _ = core::fmt::write(&mut text, format_args!("{key}"));
    text
}

/// The UTF-8 in `bytes` before the first 0; `None` where there is no 0, or no UTF-8.
pub(crate) fn text_in(bytes: &[u8]) -> Option<&str> {
    CStr::from_bytes_until_nul(bytes).ok()?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::{CText, text_in};

    #[test]
    fn a_text_that_does_not_fit_is_empty() {
        for (text, expected) in [("", ""), ("abc", "abc"), ("abcd", ""), ("a\0b", "")] {
            let copy = CText::<4>::new(text);
            assert_eq!(text_in(&copy.0), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn text_ends_with_a_zero_and_is_utf_8() {
        assert_eq!((text_in(b"ab\0c"), text_in(b"ab"), text_in(b"\xff\0")), (Some("ab"), None, None));
    }
}
