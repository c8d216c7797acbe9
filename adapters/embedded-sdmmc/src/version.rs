//! Versions of files, made of their directory entries.

use coracle_core::{StoreError, Version};

use crate::layout::FatKind;
use crate::slot::Slot;

/// Number of hexadecimal digits in a version.
const DIGITS: usize = 34;

/// The version of the file that `slot` names: where it begins, its size, and both its times.
pub(crate) fn version_of(slot: &Slot) -> Result<Version, StoreError> {
    let (created, hundredths) = slot.created();
    let modified = slot.modified();
    let fields = [
        (slot.cluster(FatKind::Fat32), 8),
        (slot.size(), 8),
        (u32::from(modified.date) << 16 | u32::from(modified.time), 8),
        (u32::from(created.date) << 16 | u32::from(created.time), 8),
        (u32::from(hundredths), 2),
    ];
    let digits =
        fields.iter().flat_map(|(value, len)| (0..*len).rev().map(move |place: u32| value >> (4 * place) & 0xf));
    let mut text = [0; DIGITS];
    for (to, digit) in text.iter_mut().zip(digits) {
        let digit = u8::try_from(digit).unwrap_or(0);
        *to = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
    }
    let text = core::str::from_utf8(&text).map_err(|_| StoreError::Io)?;
    Version::new(text).map_err(|_| StoreError::Io)
}

#[cfg(test)]
mod tests {
    use super::{Slot, version_of};

    #[test]
    fn a_version_tells_where_how_long_and_when() {
        let mut slot = [0; 32];
        slot[13..32].copy_from_slice(&[
            0xc7, 0x34, 0x12, 0x78, 0x56, 0, 0, 0x0f, 0, 0xbc, 0x9a, 0xf0, 0xde, 0x01, 0xef, 0x44, 0x33, 0x22, 0x11,
        ]);
        let version = version_of(&Slot(slot)).expect("a version");
        assert_eq!(version.as_str(), "000fef0111223344def09abc56781234c7");
    }
}
