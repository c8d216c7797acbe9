//! The handshake pattern XXpsk0, message by message, in steps of at most one Diffie-Hellman operation:
//!
//! ```text
//! -> psk, e
//! <- e, ee, s, es
//! -> s, se
//! ```
//!
//! Messages stand here as Noise has them, with any prologue and payload. A key in front of its tag is encrypted in place.

use zeroize::{Zeroize, Zeroizing};

use crate::keys::{KeyPair, PublicKey};
use crate::primitives::{TAG_LEN, diffie_hellman, public_key};
use crate::symmetric::SymmetricState;

pub(crate) const KEY_LEN: usize = 32;
/// A static key and its tag.
pub(crate) const SEALED_KEY_LEN: usize = KEY_LEN + TAG_LEN;

/// What a function finds in bytes that are no message: all of them read like this.
type Read<T> = Option<T>;

/// The end that sends the first message and the third: a client.
pub(crate) struct Initiator {
    symmetric: SymmetricState,
    ephemeral: Zeroizing<[u8; KEY_LEN]>,
    peer_ephemeral: [u8; KEY_LEN],
    peer: [u8; KEY_LEN],
}

impl Initiator {
    pub(crate) fn new(prologue: &[u8], ephemeral: Zeroizing<[u8; KEY_LEN]>) -> Self {
        let symmetric = SymmetricState::new(prologue);
        Self { symmetric, ephemeral, peer_ephemeral: [0; KEY_LEN], peer: [0; KEY_LEN] }
    }

    /// Writes `e` and seals the payload, which stands in `message` behind the key's place and before the tag's.
    pub(crate) fn write_first(&mut self, psk: &[u8; 32], message: &mut [u8]) -> Option<()> {
        let (key, payload) = message.split_first_chunk_mut::<KEY_LEN>()?;
        *key = public_key(&self.ephemeral);
        self.symmetric.mix_key_and_hash(psk);
        mix_ephemeral(&mut self.symmetric, key);
        self.symmetric.encrypt_and_hash(payload)
    }

    /// Reads `e`, `ee`, `s`; the key in it is not yet known to be the sender's.
    pub(crate) fn read_second(&mut self, message: &mut [u8]) -> Read<()> {
        let (key, rest) = message.split_first_chunk_mut::<KEY_LEN>()?;
        self.peer_ephemeral = *key;
        mix_ephemeral(&mut self.symmetric, key);
        self.symmetric.mix_key(&diffie_hellman(&self.ephemeral, key));
        let sealed = rest.first_chunk_mut::<SEALED_KEY_LEN>()?;
        self.symmetric.decrypt_and_hash(sealed)?;
        self.peer = *sealed.first_chunk::<KEY_LEN>()?;
        Some(())
    }

    /// Reads `es` and opens the payload: the key was the sender's.
    pub(crate) fn finish_second(&mut self, message: &mut [u8]) -> Read<PublicKey> {
        self.symmetric.mix_key(&diffie_hellman(&self.ephemeral, &self.peer));
        self.symmetric.decrypt_and_hash(message.get_mut(KEY_LEN + SEALED_KEY_LEN..)?)?;
        Some(PublicKey::from_bytes(self.peer))
    }

    /// Writes `s`, `se` and seals the payload, which stands in `message` behind the key's place and before the tag's.
    pub(crate) fn write_third(&mut self, key: &KeyPair, message: &mut [u8]) -> Option<()> {
        let (sealed, payload) = message.split_first_chunk_mut::<SEALED_KEY_LEN>()?;
        *sealed.first_chunk_mut::<KEY_LEN>()? = *key.public().as_bytes();
        self.symmetric.encrypt_and_hash(sealed)?;
        self.symmetric.mix_key(&diffie_hellman(key.secret().as_bytes(), &self.peer_ephemeral));
        self.symmetric.encrypt_and_hash(payload)
    }

    /// The keys of what it sends and of what it receives. The handshake's own keys are wiped.
    pub(crate) fn split(&mut self) -> Zeroizing<[[u8; 32]; 2]> {
        let keys = self.symmetric.split();
        self.symmetric.zeroize();
        self.ephemeral.zeroize();
        keys
    }
}

/// The end that sends the second message: a server.
pub(crate) struct Responder {
    symmetric: SymmetricState,
    ephemeral: Zeroizing<[u8; KEY_LEN]>,
    peer_ephemeral: [u8; KEY_LEN],
}

impl Responder {
    pub(crate) fn new(prologue: &[u8], ephemeral: Zeroizing<[u8; KEY_LEN]>) -> Self {
        Self { symmetric: SymmetricState::new(prologue), ephemeral, peer_ephemeral: [0; KEY_LEN] }
    }

    /// Reads `psk`, `e` and opens the payload. No Diffie-Hellman. `None` if the message was made with another key: nothing has
    /// changed then, and the next key can be tried.
    pub(crate) fn read_first(&mut self, psk: &[u8; 32], message: &mut [u8]) -> Read<()> {
        let (key, payload) = message.split_first_chunk_mut::<KEY_LEN>()?;
        let mut symmetric = self.symmetric.clone();
        symmetric.mix_key_and_hash(psk);
        mix_ephemeral(&mut symmetric, key);
        symmetric.decrypt_and_hash(payload)?;
        self.symmetric = symmetric;
        self.peer_ephemeral = *key;
        Some(())
    }

    /// Writes `e`.
    pub(crate) fn begin_second(&mut self, message: &mut [u8]) -> Option<()> {
        let key = message.first_chunk_mut::<KEY_LEN>()?;
        *key = public_key(&self.ephemeral);
        mix_ephemeral(&mut self.symmetric, key);
        Some(())
    }

    /// Writes `ee`.
    pub(crate) fn continue_second(&mut self) {
        self.symmetric.mix_key(&diffie_hellman(&self.ephemeral, &self.peer_ephemeral));
    }

    /// Writes `s`, `es` and seals the payload, which stands in `message` behind the keys' places and before the tag's.
    pub(crate) fn finish_second(&mut self, key: &KeyPair, message: &mut [u8]) -> Option<()> {
        let (sealed, payload) = message.get_mut(KEY_LEN..)?.split_first_chunk_mut::<SEALED_KEY_LEN>()?;
        *sealed.first_chunk_mut::<KEY_LEN>()? = *key.public().as_bytes();
        self.symmetric.encrypt_and_hash(sealed)?;
        self.symmetric.mix_key(&diffie_hellman(key.secret().as_bytes(), &self.peer_ephemeral));
        self.symmetric.encrypt_and_hash(payload)
    }

    /// Reads `s`, `se` and opens the payload: the key was the sender's.
    pub(crate) fn read_third(&mut self, message: &mut [u8]) -> Read<PublicKey> {
        let (sealed, payload) = message.split_first_chunk_mut::<SEALED_KEY_LEN>()?;
        self.symmetric.decrypt_and_hash(sealed)?;
        let key = *sealed.first_chunk::<KEY_LEN>()?;
        self.symmetric.mix_key(&diffie_hellman(&self.ephemeral, &key));
        self.symmetric.decrypt_and_hash(payload)?;
        Some(PublicKey::from_bytes(key))
    }

    /// The keys of what it receives and of what it sends. The handshake's own keys are wiped.
    pub(crate) fn split(&mut self) -> Zeroizing<[[u8; 32]; 2]> {
        let keys = self.symmetric.split();
        self.symmetric.zeroize();
        self.ephemeral.zeroize();
        keys
    }
}

/// The token `e` of a handshake with a pre-shared key, which also mixes it into the key.
fn mix_ephemeral(symmetric: &mut SymmetricState, key: &[u8; KEY_LEN]) {
    symmetric.mix_hash(key);
    symmetric.mix_key(key);
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::String;
    use std::vec::Vec;
    use std::{format, vec};

    use super::*;
    use crate::keys::SecretKey;
    use crate::primitives::{Cipher, RecordCipher};

    /// The vector for this protocol with prologue and payloads, of `vectors.txt` in github.com/flynn/noise (generated by
    /// github.com/titanous/noise, BSD-3-Clause).
    const PROLOGUE: &[u8] = b"notsecret";
    const PSK: &[u8; 32] = b"!verysecretverysecretverysecret!";
    const MESSAGES: [(&[u8], &str); 5] = [
        (
            b"test_msg_0",
            "358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd1662547f533cf20723ac4407c87f43dc5dc6f6d1867a322a706af8\
             1adb",
        ),
        (
            b"test_msg_1",
            "64b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d4846622df46c0ac1e0fc71795a84e37cc0e963d131c8e84c02cd5\
             cfcfe8def3fe128b59d623ffc18ae67b1acba43eb87910b02dc6c1642ae7e8ae8c8e861ed15d8d6b65ff99f73d8286cc9819",
        ),
        (
            b"test_msg_2",
            "462127adbe047db3d1fce0581b5447d99b606c591545a7719132e0c91fe93d1294b31017013e8ac0a697b42922a5fe204111b0bfa4fdeb47\
             04a4b5492137b40088f810ee4d1a58882e25",
        ),
        (b"yellowsubmarine", "75fff8afebd2f14da1cac9cc5b5201395cdf2ad65f3a97804e360c16f4e2ac"),
        (b"submarineyellow", "150cc85f79f9ca0f0730b8b4707805ed1969ff6b2770a5d466cd2754802805"),
    ];

    /// 32 bytes that count from `first`.
    fn counting(first: u8) -> [u8; 32] {
        core::array::from_fn(|place| first + u8::try_from(place).expect("small"))
    }

    fn key(first: u8) -> KeyPair {
        KeyPair::new(SecretKey::from_bytes(counting(first)).expect("not blank"))
    }

    /// `keys` empty places for keys, the payload of the message, a place for the tag.
    fn message(number: usize, places: usize) -> Vec<u8> {
        [&vec![0; places], MESSAGES[number].0, &[0; TAG_LEN]].concat()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_handshake_is_the_published_vector() {
        let mut initiator = Initiator::new(PROLOGUE, Zeroizing::new(counting(0x20)));
        let mut responder = Responder::new(PROLOGUE, Zeroizing::new(counting(0x41)));

        let mut first = message(0, KEY_LEN);
        initiator.write_first(PSK, &mut first).expect("sealed");
        assert_eq!(hex(&first), MESSAGES[0].1);
        responder.read_first(PSK, &mut first).expect("opened");
        assert_eq!(&first[KEY_LEN..][..10], MESSAGES[0].0);

        let mut second = message(1, KEY_LEN + SEALED_KEY_LEN);
        responder.begin_second(&mut second).expect("long enough");
        responder.continue_second();
        responder.finish_second(&key(0x01), &mut second).expect("sealed");
        assert_eq!(hex(&second), MESSAGES[1].1);
        initiator.read_second(&mut second).expect("opened");
        assert_eq!(initiator.finish_second(&mut second).as_ref(), Some(key(0x01).public()));
        assert_eq!(&second[KEY_LEN + SEALED_KEY_LEN..][..10], MESSAGES[1].0);

        let mut third = message(2, SEALED_KEY_LEN);
        initiator.write_third(&key(0x00), &mut third).expect("sealed");
        assert_eq!(hex(&third), MESSAGES[2].1);
        assert_eq!(responder.read_third(&mut third).as_ref(), Some(key(0x00).public()));
        assert_eq!(&third[SEALED_KEY_LEN..][..10], MESSAGES[2].0);

        let keys = initiator.split();
        assert_eq!(keys, responder.split());
        for (number, key) in (3..).zip(keys.iter()) {
            let mut record = message(number, 0);
            RecordCipher::seal(key, 0, b"", &mut record).expect("sealed");
            assert_eq!(hex(&record), MESSAGES[number].1);
        }
    }
}
