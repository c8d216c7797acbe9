//! Noise's SymmetricState: what both ends of a handshake have computed so far.

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::primitives::{Cipher, Portable, hkdf, sha256};

const PROTOCOL_NAME: &[u8] = b"Noise_XXpsk0_25519_ChaChaPoly_SHA256";

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
        let name = sha256(PROTOCOL_NAME, &[]);
        Self { chaining_key: name, hash: sha256(&name, prologue), key: [0; 32], nonce: 0 }
    }

    /// MixHash.
    pub(crate) fn mix_hash(&mut self, bytes: &[u8]) {
        self.hash = sha256(&self.hash, bytes);
    }

    /// MixKey.
    pub(crate) fn mix_key(&mut self, material: &[u8; 32]) {
        let mut derived = [[0; 32]; 2];
        hkdf(&self.chaining_key, material, &[], derived.as_flattened_mut());
        [self.chaining_key, self.key] = derived;
        self.nonce = 0;
        derived.zeroize();
    }

    /// MixKeyAndHash.
    pub(crate) fn mix_key_and_hash(&mut self, material: &[u8; 32]) {
        let mut derived = [[0; 32]; 3];
        hkdf(&self.chaining_key, material, &[], derived.as_flattened_mut());
        let [chaining_key, hash, key] = &derived;
        (self.chaining_key, self.key) = (*chaining_key, *key);
        self.mix_hash(hash);
        self.nonce = 0;
        derived.zeroize();
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
    pub(crate) fn split(&self) -> [[u8; 32]; 2] {
        let mut derived = [[0; 32]; 2];
        hkdf(&self.chaining_key, &[], &[], derived.as_flattened_mut());
        derived
    }
}
