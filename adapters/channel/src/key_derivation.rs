//! HKDF-SHA256 (RFC 5869), which is also Noise's HKDF where there is no `info`.

use zeroize::Zeroizing;

use crate::primitives::hmac_chain;

/// Derives up to 255 keys from `material`, which is unpredictable but need not be uniform.
pub(crate) fn hkdf(salt: &[u8; 32], material: &[u8], info: [&[u8]; 2], keys: &mut [&mut [u8; 32]]) {
    let mut extracted = Zeroizing::new([0; 32]);
    hmac_chain(salt, [material, &[]], false, &mut [&mut extracted]);
    expand(&extracted, info, keys);
}

/// The second half of it, for `material` that is uniform already.
pub(crate) fn expand(material: &[u8; 32], info: [&[u8]; 2], keys: &mut [&mut [u8; 32]]) {
    hmac_chain(material, info, true, keys);
}
