//! The unpredictable bytes that a handshake needs.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::key_derivation::{expand, hkdf};
use crate::keys::{BlankKey, SecretKey, is_blank};

/// 32 unpredictable bytes for one handshake: they become its ephemeral key. Used up by it, and wiped.
///
/// On a PC they come from the operating system, on a board from its hardware source; where there is none, from
/// [`BoardEntropy`].
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Entropy([u8; 32]);

impl Entropy {
    /// The bytes of a source.
    ///
    /// # Errors
    ///
    /// [`BlankKey`] if the source gave nothing: a server then serves no client.
    pub fn new(bytes: [u8; 32]) -> Result<Self, BlankKey> {
        if is_blank(&bytes) { Err(BlankKey) } else { Ok(Self(bytes)) }
    }

    /// The bytes, for their one use.
    pub(crate) fn take(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0)
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy")
    }
}

/// Entropy for a board without a hardware source, made of what is secret and what never repeats: HKDF-SHA256 of the device's
/// secret key, 32 random bytes that were written when it was provisioned, a counter of its boots and one of its handshakes.
///
/// # Contract
///
/// A repeated ephemeral key lets a listener who recorded both connections read them. So the owner holds to this:
///
/// - The seed is 32 random bytes of a PC, new at *every* provisioning. Reflashing may set the counter back, not the seed.
/// - The counter of boots is greater than at any earlier boot since. It is kept in two records of flash that are written in
///   turn; the greater valid one counts, a torn one counts as used, and the new value is read back before the first handshake.
///   A board without a valid record, or without a seed, offers no encrypted service.
/// - One `BoardEntropy` a boot, used for all handshakes.
///
/// There is no forward secrecy then: who later learns the device's secret key and its seed can read what was recorded.
///
/// ```
/// use coracle_channel::{BoardEntropy, SecretKey};
///
/// let key = SecretKey::from_bytes([0x5e; 32])?; // of the board's flash, as the rest
/// let mut entropy = BoardEntropy::new(&key, &[0x07; 32], 12)?;
/// let first = entropy.next();
/// assert!(first.is_some());
/// # Ok::<(), coracle_channel::BlankKey>(())
/// ```
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct BoardEntropy {
    key: [u8; 32],
    boot: u64,
    handshakes: u64,
}

impl BoardEntropy {
    /// For one boot: the `boot`-th.
    ///
    /// # Errors
    ///
    /// [`BlankKey`] if the seed was never written.
    pub fn new(device: &SecretKey, seed: &[u8; 32], boot: u64) -> Result<Self, BlankKey> {
        if is_blank(seed) {
            return Err(BlankKey);
        }
        let mut entropy = Self { key: [0; 32], boot, handshakes: 0 };
        hkdf(seed, device.as_bytes(), [b"coracle board entropy 1", &[]], &mut [&mut entropy.key]);
        Ok(entropy)
    }

    /// For the next handshake; `None` after 2^64 of them.
    #[expect(clippy::should_implement_trait, reason = "nothing is to be iterated over: each has one use")]
    pub fn next(&mut self) -> Option<Entropy> {
        let handshakes = self.handshakes;
        self.handshakes = handshakes.checked_add(1)?;
        let mut entropy = Entropy([0; 32]);
        expand(&self.key, [&self.boot.to_be_bytes(), &handshakes.to_be_bytes()], &mut [&mut entropy.0]);
        Some(entropy)
    }
}

impl fmt::Debug for BoardEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoardEntropy")
            .field("boot", &self.boot)
            .field("handshakes", &self.handshakes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    fn device(byte: u8) -> SecretKey {
        SecretKey::from_bytes([byte; 32]).expect("not blank")
    }

    #[test]
    fn e8_no_two_handshakes_have_the_same_entropy() {
        let mut seen = Vec::new();
        for (key, seed, boot) in [(1, 1, 0), (1, 1, 1), (1, 2, 0), (2, 1, 0)] {
            let mut entropy = BoardEntropy::new(&device(key), &[seed; 32], boot).expect("a seed");
            for _ in 0..50 {
                seen.push(*entropy.next().expect("more").take());
            }
        }
        let all = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), all);
    }

    #[test]
    fn e8_a_source_that_gives_nothing_is_refused() {
        for blank in [[0; 32], [0xff; 32]] {
            assert!(Entropy::new(blank).is_err());
            assert!(BoardEntropy::new(&device(1), &blank, 1).is_err());
        }
    }

    #[test]
    fn e8_a_used_up_source_gives_nothing() {
        let mut entropy = BoardEntropy::new(&device(1), &[1; 32], 1).expect("a seed");
        entropy.handshakes = u64::MAX;
        assert!(entropy.next().is_none());
    }
}
