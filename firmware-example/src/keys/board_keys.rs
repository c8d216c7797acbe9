//! What the server asks for at each step of a handshake.

use coracle_channel::{BoardEntropy, Entropy, KeyPair, Psk, PublicKey};
use coracle_smoltcp::ChannelKeys;
use heapless::Vec;

use super::trust::Trust;

/// The keys of this boot.
pub struct BoardKeys {
    pub(super) key: Option<KeyPair>,
    entropy: Option<BoardEntropy>,
    trust: &'static Trust,
    psks: Vec<Psk, 2>,
    generation: u32,
}

impl BoardKeys {
    pub(super) fn new(trust: &'static Trust, key: Option<KeyPair>, entropy: Option<BoardEntropy>) -> Self {
        let (psks, generation) = trust.psks();
        Self { key, entropy, trust, psks, generation }
    }

    /// Takes over pre-shared keys that have changed. Called in each round of the main loop.
    pub fn refresh(&mut self) {
        if self.trust.generation() != self.generation {
            (self.psks, self.generation) = self.trust.psks();
        }
    }
}

impl ChannelKeys for BoardKeys {
    fn key(&self) -> Option<&KeyPair> {
        self.key.as_ref()
    }

    fn psks(&self) -> &[Psk] {
        &self.psks
    }

    fn entropy(&mut self) -> Option<Entropy> {
        // Without a pre-shared key, strangers would be answered.
        if self.psks.is_empty() { None } else { self.entropy.as_mut()?.next() }
    }

    fn identify(&mut self, slot: usize, client: &PublicKey, psk: usize) {
        self.trust.identify(slot, client, psk);
    }

    fn may_displace(&self, client: &PublicKey) -> bool {
        self.trust.is_known(client)
    }
}
