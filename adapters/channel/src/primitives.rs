//! The only calls of the cryptographic primitives. Their bounds checks contain panics that a linker cannot remove, so
//! `tests/no-panic` links everything else with `--cfg without_primitives`, where these functions return anything.

/// Length of a cipher's tag.
pub(crate) const TAG_LEN: usize = 16;

/// ChaCha20-Poly1305 of RFC 8439, in place, with the nonce of Noise: 4 bytes of zero and `nonce`, little-endian.
pub(crate) trait Cipher {
    /// Encrypts all of `bytes` but the last 16, which become the tag. `None` where nothing was sealed.
    fn seal(key: &[u8; 32], nonce: u64, associated: &[u8], bytes: &mut [u8]) -> Option<()>;

    /// Decrypts all of `bytes` but the last 16, the tag. `None` if it is not theirs; what stands in `bytes` is ciphertext or
    /// nothing then.
    fn open(key: &[u8; 32], nonce: u64, associated: &[u8], bytes: &mut [u8]) -> Option<()>;
}

/// The cipher of the records.
#[cfg(all(feature = "ring", not(without_primitives)))]
pub(crate) type RecordCipher = Ring;
#[cfg(not(all(feature = "ring", not(without_primitives))))]
pub(crate) type RecordCipher = Portable;

/// The cipher in Rust, for every processor.
pub(crate) struct Portable;

#[cfg(not(without_primitives))]
pub(crate) use real::*;

#[cfg(not(without_primitives))]
mod real {
    use chacha20::cipher::{KeyIvInit, StreamCipherCore};
    use chacha20::variants::Ietf;
    use chacha20::{ChaChaCore, R20};
    use hmac::block_api::HmacCore;
    use hmac::digest::FixedOutput;
    use hmac::digest::block_api::CoreProxy;
    use hmac::{Hmac, KeyInit, Mac};
    use poly1305::Poly1305;
    use poly1305::universal_hash::UniversalHash;
    use sha2::{Digest as _, Sha256};
    use subtle::ConstantTimeEq;
    use x25519_dalek::{PublicKey, StaticSecret};
    use zeroize::{Zeroize, Zeroizing};

    use super::{Cipher, Portable, TAG_LEN};

    /// The public half of a secret key: one Diffie-Hellman operation.
    #[inline(never)]
    pub(crate) fn public_key(secret: &[u8; 32]) -> [u8; 32] {
        let secret = StaticSecret::from(*secret);
        // Tables are faster, and flash.
        #[cfg(feature = "ring")]
        let public = PublicKey::from(&secret);
        #[cfg(not(feature = "ring"))]
        let public = secret.diffie_hellman(&PublicKey::from(x25519_dalek::X25519_BASEPOINT_BYTES));
        public.to_bytes()
    }

    /// What both ends compute of one's secret and the other's public key.
    #[inline(never)]
    pub(crate) fn diffie_hellman(secret: &[u8; 32], public: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(StaticSecret::from(*secret).diffie_hellman(&PublicKey::from(*public)).to_bytes())
    }

    /// SHA-256 of `first` and then `second`.
    #[inline(never)]
    pub(crate) fn sha256(first: &[u8], second: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update(first).chain_update(second).finalize().into()
    }

    /// HMAC-SHA256 under `key`, again and again: for each output of the one before it, `text`, and, if they are counted, its
    /// number from 1 on.
    #[inline(never)]
    pub(crate) fn hmac_chain(key: &[u8; 32], text: [&[u8]; 2], is_counted: bool, outputs: &mut [&mut [u8; 32]]) {
        let mut padded = hmac::digest::Key::<Hmac<Sha256>>::default();
        padded[..32].copy_from_slice(key);
        // Half of the work is the key, which is the same for all.
        let keyed = HmacCore::<Sha256>::new(&padded);
        padded.zeroize();
        let mut before: &[u8] = &[];
        for (number, output) in (1..=u8::MAX).zip(outputs) {
            let mut mac = Hmac::<Sha256>::compose(keyed.clone(), Default::default());
            for part in [before, text[0], text[1], &[number][..usize::from(is_counted)]] {
                mac.update(part);
            }
            mac.finalize_into((&mut **output).into());
            before = &**output;
        }
    }

    impl Cipher for Portable {
        fn seal(key: &[u8; 32], nonce: u64, associated: &[u8], bytes: &mut [u8]) -> Option<()> {
            Self::apply(key, nonce, associated, bytes, true)
        }

        fn open(key: &[u8; 32], nonce: u64, associated: &[u8], bytes: &mut [u8]) -> Option<()> {
            Self::apply(key, nonce, associated, bytes, false)
        }
    }

    impl Portable {
        /// Both, which is smaller. The AEAD of RFC 8439, section 2.8, over its two primitives: the crate that has it adds the
        /// keystream byte by byte, which costs a board a fifth of an encrypted body.
        #[inline(never)]
        fn apply(key: &[u8; 32], nonce: u64, associated: &[u8], bytes: &mut [u8], is_sealing: bool) -> Option<()> {
            let (text, tag) = bytes.split_last_chunk_mut::<TAG_LEN>()?;
            let mut cipher = ChaCha20::new(key.into(), &noise_nonce(nonce).into());
            let mut block = Zeroizing::new([0; BLOCK_LEN]);
            cipher.write_keystream_block((&mut *block).into());
            let mac = Poly1305::new(block.first_chunk::<32>()?.into());
            if is_sealing {
                add_keystream(&mut cipher, &mut block, text);
                *tag = authenticate(mac, associated, text)?;
                return Some(());
            }
            let expected = authenticate(mac, associated, text)?;
            if !bool::from(expected.ct_eq(tag)) {
                return None;
            }
            add_keystream(&mut cipher, &mut block, text);
            Some(())
        }
    }

    type ChaCha20 = ChaChaCore<R20, Ietf>;
    const BLOCK_LEN: usize = 64;

    /// Adds the keystream from the next block on, word by word. A record has far fewer blocks than the counter.
    fn add_keystream(cipher: &mut ChaCha20, block: &mut [u8; BLOCK_LEN], text: &mut [u8]) {
        for chunk in text.chunks_mut(BLOCK_LEN) {
            cipher.write_keystream_block((&mut *block).into());
            let (words, rest) = chunk.as_chunks_mut::<4>();
            let (key_words, _) = block.as_chunks::<4>();
            for (word, key_word) in words.iter_mut().zip(key_words) {
                *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(*key_word)).to_ne_bytes();
            }
            let done = words.len() * 4;
            for (byte, key_byte) in rest.iter_mut().zip(block.iter().skip(done)) {
                *byte ^= key_byte;
            }
        }
    }

    /// The tag of section 2.8.1.
    fn authenticate(mut mac: Poly1305, associated: &[u8], text: &[u8]) -> Option<[u8; TAG_LEN]> {
        mac.update_padded(associated);
        mac.update_padded(text);
        let mut lengths = [0; 16];
        let (first, second) = lengths.split_at_mut(8);
        first.copy_from_slice(&u64::try_from(associated.len()).ok()?.to_le_bytes());
        second.copy_from_slice(&u64::try_from(text.len()).ok()?.to_le_bytes());
        mac.update(&[lengths.into()]);
        Some(mac.finalize().into())
    }

    /// The cipher of ring.
    #[cfg(feature = "ring")]
    pub(crate) struct Ring;

    #[cfg(feature = "ring")]
    impl Ring {
        fn key(key: &[u8; 32]) -> Option<ring::aead::LessSafeKey> {
            Some(ring::aead::LessSafeKey::new(ring::aead::UnboundKey::new(&ring::aead::CHACHA20_POLY1305, key).ok()?))
        }
    }

    #[cfg(feature = "ring")]
    impl Cipher for Ring {
        fn seal(key: &[u8; 32], nonce: u64, associated: &[u8], bytes: &mut [u8]) -> Option<()> {
            use ring::aead::{Aad, Nonce};
            let (text, tag) = bytes.split_last_chunk_mut::<TAG_LEN>()?;
            let nonce = Nonce::assume_unique_for_key(noise_nonce(nonce));
            let sealed = Self::key(key)?.seal_in_place_separate_tag(nonce, Aad::from(associated), text).ok()?;
            *tag = sealed.as_ref().try_into().ok()?;
            Some(())
        }

        fn open(key: &[u8; 32], nonce: u64, associated: &[u8], bytes: &mut [u8]) -> Option<()> {
            use ring::aead::{Aad, Nonce};
            let nonce = Nonce::assume_unique_for_key(noise_nonce(nonce));
            Self::key(key)?.open_in_place(nonce, Aad::from(associated), bytes).ok().map(drop)
        }
    }

    fn noise_nonce(nonce: u64) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[4..].copy_from_slice(&nonce.to_le_bytes());
        bytes
    }
}

#[cfg(without_primitives)]
pub(crate) use absent::*;

#[cfg(without_primitives)]
mod absent {
    use core::hint::black_box;

    use zeroize::Zeroizing;

    use super::{Cipher, Portable};

    #[inline(never)]
    pub(crate) fn public_key(secret: &[u8; 32]) -> [u8; 32] {
        black_box(*secret)
    }

    #[inline(never)]
    pub(crate) fn diffie_hellman(secret: &[u8; 32], public: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        black_box(secret);
        Zeroizing::new(black_box(*public))
    }

    #[inline(never)]
    pub(crate) fn sha256(first: &[u8], second: &[u8]) -> [u8; 32] {
        black_box((first, second));
        black_box([0; 32])
    }

    #[inline(never)]
    pub(crate) fn hmac_chain(key: &[u8; 32], text: [&[u8]; 2], is_counted: bool, outputs: &mut [&mut [u8; 32]]) {
        black_box((key, text, is_counted, outputs));
    }

    impl Cipher for Portable {
        #[inline(never)]
        fn seal(key: &[u8; 32], nonce: u64, associated: &[u8], bytes: &mut [u8]) -> Option<()> {
            black_box((key, nonce, associated, bytes));
            black_box(None)
        }

        #[inline(never)]
        fn open(key: &[u8; 32], nonce: u64, associated: &[u8], bytes: &mut [u8]) -> Option<()> {
            black_box((key, nonce, associated, bytes));
            black_box(None)
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    #[test]
    fn a_cipher_opens_what_it_sealed_and_nothing_else() {
        for len in [0, 1, 63, 64, 65, 512] {
            let text: Vec<u8> = (0..len).map(|place| place as u8).collect();
            let mut sealed = [text.as_slice(), &[0; TAG_LEN]].concat();
            assert_eq!(RecordCipher::seal(&KEY, 3, b"ad", &mut sealed), Some(()));
            let mut portable = [text.as_slice(), &[0; TAG_LEN]].concat();
            assert_eq!(Portable::seal(&KEY, 3, b"ad", &mut portable), Some(()));
            assert_eq!(sealed, portable, "both ciphers are the same");
            for (key, nonce, associated) in [([8; 32], 3, b"ad"), (KEY, 4, b"ad"), (KEY, 3, b"da")] {
                assert_eq!(RecordCipher::open(&key, nonce, associated, &mut sealed.clone()), None);
                assert_eq!(Portable::open(&key, nonce, associated, &mut sealed.clone()), None);
            }
            assert_eq!(RecordCipher::open(&KEY, 3, b"ad", &mut sealed), Some(()));
            assert_eq!(&sealed[..len], text);
        }
    }

    #[test]
    fn what_is_shorter_than_a_tag_is_refused() {
        let mut short = [0; TAG_LEN - 1];
        assert_eq!(RecordCipher::seal(&KEY, 0, b"", &mut short), None);
        assert_eq!(RecordCipher::open(&KEY, 0, b"", &mut short), None);
        assert_eq!(Portable::seal(&KEY, 0, b"", &mut short), None);
        assert_eq!(Portable::open(&KEY, 0, b"", &mut short), None);
    }
}
