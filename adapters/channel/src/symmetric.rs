//! Noise's SymmetricState: what both ends of a handshake have computed so far.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::key_derivation::hkdf;
use crate::primitives::{Cipher, Portable, sha256};

/// SHA-256 of `Noise_XXpsk0_25519_ChaChaPoly_SHA256`.
#[rustfmt::skip]
const PROTOCOL_NAME: [u8; 32] = [
    0x70, 0xf7, 0x5e, 0xb8, 0xbf, 0xd5, 0x15, 0xeb, 0xbb, 0xe6, 0x8f, 0xb1, 0x17, 0x16, 0x12, 0x78,
    0x52, 0x0d, 0x73, 0x00, 0xd8, 0x8f, 0xd8, 0x09, 0xeb, 0x41, 0x6c, 0xae, 0xce, 0xc6, 0x03, 0x39,
];

/// The state of section 5.2 of the Noise specification, revision 34. A handshake with a pre-shared key has a cipher's key before
/// it encrypts anything, so there is no state without one.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct SymmetricState {
    chaining_key: [u8; 32],
    hash: [u8; 32],
    key: [u8; 32],
    nonce: u64,
}

impl SymmetricState {
    pub(crate) fn new(prologue: &[u8]) -> Self {
        Self { chaining_key: PROTOCOL_NAME, hash: sha256(&PROTOCOL_NAME, prologue), key: [0; 32], nonce: 0 }
    }

    /// MixHash.
    pub(crate) fn mix_hash(&mut self, bytes: &[u8]) {
        self.hash = sha256(&self.hash, bytes);
    }

    /// MixKey.
    pub(crate) fn mix_key(&mut self, material: &[u8; 32]) {
        self.mix(material, false);
    }

    /// MixKeyAndHash.
    pub(crate) fn mix_key_and_hash(&mut self, material: &[u8; 32]) {
        self.mix(material, true);
    }

    /// Both, which is smaller.
    #[inline(never)]
    fn mix(&mut self, material: &[u8; 32], into_hash: bool) {
        let mut derived = Zeroizing::new([[0; 32]; 3]);
        let [chaining_key, second, third] = &mut *derived;
        if into_hash {
            hkdf(&self.chaining_key, material, [&[], &[]], &mut [chaining_key, second, third]);
            self.mix_hash(second);
            self.key = *third;
        } else {
            hkdf(&self.chaining_key, material, [&[], &[]], &mut [chaining_key, second]);
            self.key = *second;
        }
        self.chaining_key = *chaining_key;
        self.nonce = 0;
    }

    /// EncryptAndHash, in place: the last 16 of `bytes` become the tag.
    pub(crate) fn encrypt_and_hash(&mut self, bytes: &mut [u8]) -> Option<()> {
        Portable::seal(&self.key, self.nonce, &self.hash, bytes)?;
        self.mix_hash(bytes);
        self.nonce = self.nonce.saturating_add(1);
        Some(())
    }

    /// DecryptAndHash, in place: the last 16 of `bytes` are the tag. Where they are not, nothing changes.
    pub(crate) fn decrypt_and_hash(&mut self, bytes: &mut [u8]) -> Option<()> {
        let hash = sha256(&self.hash, bytes);
        Portable::open(&self.key, self.nonce, &self.hash, bytes)?;
        self.hash = hash;
        self.nonce = self.nonce.saturating_add(1);
        Some(())
    }

    /// Split: the keys of what the initiator sends and of what the responder sends.
    pub(crate) fn split(&self) -> Zeroizing<[[u8; 32]; 2]> {
        let mut derived = Zeroizing::new([[0; 32]; 2]);
        let [first, second] = &mut *derived;
        hkdf(&self.chaining_key, &[], [&[], &[]], &mut [first, second]);
        derived
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_the_name_is_right() {
        assert_eq!(PROTOCOL_NAME, sha256(b"Noise_XXpsk0_25519_ChaChaPoly_SHA256", b""));
    }
}
