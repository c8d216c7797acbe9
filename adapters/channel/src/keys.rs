//! Keys: static ones, whose public halves are identities, and pre-shared ones.

use core::fmt;

use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::key_derivation::hkdf;
use crate::primitives;

/// What a key is made of that its owner never set: zeros, or the bytes of erased flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlankKey;

impl fmt::Display for BlankKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key of nothing but 0x00 or nothing but 0xff was never set: write 32 random bytes")
    }
}

impl core::error::Error for BlankKey {}

/// The public half of a static key: who a peer is. 32 bytes; as text `ck1…`, 61 characters.
///
/// Comparing takes the same time whatever is compared.
#[derive(Clone, Copy, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// The secret half of a static key. Wiped when it is dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// The key of 32 unpredictable bytes.
    ///
    /// # Errors
    ///
    /// [`BlankKey`] if they were never written.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, BlankKey> {
        if is_blank(&bytes) { Err(BlankKey) } else { Ok(Self(bytes)) }
    }

    /// The key of the device `name` in a fleet: HKDF-SHA256 of the fleet's secret. It is made on a PC; a device holds its own
    /// key alone, of which neither the fleet's nor another device's can be computed.
    #[must_use]
    pub fn derive(fleet: &SecretKey, name: &str) -> SecretKey {
        let mut key = Self([0; 32]);
        hkdf(&[0; 32], &fleet.0, [b"coracle device key 1:", name.as_bytes()], &mut [&mut key.0]);
        key
    }

    /// Its bytes, to be stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

/// A static key: both halves, since computing the public one takes a Diffie-Hellman operation.
#[derive(Clone)]
pub struct KeyPair {
    secret: SecretKey,
    public: PublicKey,
}

impl KeyPair {
    /// Computes the public half: one Diffie-Hellman operation.
    #[must_use]
    pub fn new(secret: SecretKey) -> Self {
        let public = PublicKey(primitives::public_key(&secret.0));
        Self { secret, public }
    }

    /// The secret half.
    #[must_use]
    pub const fn secret(&self) -> &SecretKey {
        &self.secret
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}

/// A pre-shared key: a server does not answer clients without it. Wiped when it is dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Psk([u8; 32]);

impl Psk {
    /// The key of 32 unpredictable bytes.
    ///
    /// # Errors
    ///
    /// [`BlankKey`] if they were never written: 32 bytes of zero stand for no pre-shared key at all.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, BlankKey> {
        if is_blank(&bytes) { Err(BlankKey) } else { Ok(Self(bytes)) }
    }

    /// Its bytes, to be stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for Psk {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Psk {}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Psk")
    }
}

/// Whether these bytes are what memory holds that was never written. Its time depends on nothing.
pub(crate) fn is_blank(bytes: &[u8; 32]) -> bool {
    let (any, all) = bytes.iter().fold((0, 0xff), |(any, all), byte| (any | byte, all & byte));
    let blank: Choice = any.ct_eq(&0_u8) | all.ct_eq(&0xff_u8);
    blank.into()
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::format;

    use super::*;

    #[test]
    fn e5_a_blank_key_is_refused() {
        for blank in [[0; 32], [0xff; 32]] {
            assert_eq!(Psk::from_bytes(blank).err(), Some(BlankKey));
            assert_eq!(SecretKey::from_bytes(blank).err(), Some(BlankKey));
        }
        let mut bytes = [0; 32];
        bytes[31] = 1;
        assert!(Psk::from_bytes(bytes).is_ok() && SecretKey::from_bytes(bytes).is_ok());
    }

    #[test]
    fn a_devices_key_depends_on_the_fleet_and_its_name() {
        let fleet = SecretKey::from_bytes([1; 32]).expect("not blank");
        let other = SecretKey::from_bytes([2; 32]).expect("not blank");
        let keys = [(&fleet, "bench-1"), (&fleet, "bench-2"), (&fleet, ""), (&other, "bench-1")]
            .map(|(fleet, name)| *SecretKey::derive(fleet, name).as_bytes());
        for (place, key) in keys.iter().enumerate() {
            assert!(!keys[..place].contains(key) && *key != [1; 32]);
        }
        assert_eq!(keys[0], *SecretKey::derive(&fleet, "bench-1").as_bytes());
    }

    #[test]
    fn e11_debug_shows_no_secret() {
        let secret = SecretKey::from_bytes([0xa5; 32]).expect("not blank");
        let psk = Psk::from_bytes([0xa5; 32]).expect("not blank");
        let shown = format!("{secret:?} {psk:?} {:?}", KeyPair::new(secret.clone()));
        assert!(!shown.contains("165") && !shown.to_lowercase().contains("a5a5"), "{shown}");
    }
}
