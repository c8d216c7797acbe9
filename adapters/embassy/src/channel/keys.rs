//! The keys of both ends.

use coracle_channel::{Entropy, KeyPair, Psk};

/// The keys of a server, and who may use it.
///
/// What a client may do is the observer's to say, which is asked where the server's settings have
/// [`with_permits`](coracle_core::ServerConfig::with_permits); without it a client that completes the handshake may do everything.
///
/// They are asked for at each step, so that they may change while the server runs.
pub trait ChannelKeys {
    /// The server's static key. `None`: no client is served encrypted.
    fn key(&self) -> Option<&KeyPair>;

    /// The pre-shared keys that are accepted now. Without any the key is 32 bytes of zero, as for a client without one.
    fn psks(&self) -> &[Psk];

    /// What nobody can predict, for the next handshake: of the board's source of noise, or of
    /// [`BoardEntropy`](coracle_channel::BoardEntropy) in a `RefCell`. `None`: no client is served encrypted.
    fn entropy(&self) -> Option<Entropy>;

    /// Which clients are served. Default: only encrypted ones.
    fn encryption(&self) -> Encryption {
        Encryption::Only
    }
}

impl<K: ChannelKeys> ChannelKeys for &K {
    fn key(&self) -> Option<&KeyPair> {
        (**self).key()
    }

    fn psks(&self) -> &[Psk] {
        (**self).psks()
    }

    fn entropy(&self) -> Option<Entropy> {
        (**self).entropy()
    }

    fn encryption(&self) -> Encryption {
        (**self).encryption()
    }
}

/// Which clients are served on the one port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Encryption {
    /// Only encrypted ones: others are told so in plain, and nothing of what they sent is read.
    #[default]
    Only,
    /// Both.
    Offer,
}

/// The keys of a client.
#[derive(Clone, Copy, Debug)]
pub struct ClientKeys<'k> {
    pub(super) key: &'k KeyPair,
    pub(super) psk: Option<&'k Psk>,
}

impl<'k> ClientKeys<'k> {
    /// A client with this static key, and without a pre-shared one.
    #[must_use]
    pub const fn new(key: &'k KeyPair) -> Self {
        Self { key, psk: None }
    }

    /// Sets the pre-shared key.
    #[must_use]
    pub const fn with_psk(self, psk: Option<&'k Psk>) -> Self {
        Self { psk, ..self }
    }
}
