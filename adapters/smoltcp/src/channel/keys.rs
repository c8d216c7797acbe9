//! What a server's owner decides about the encrypted channel.

use coracle_channel::{Entropy, HandshakeError, KeyPair, Psk, PublicKey};

/// The keys of a server, and who may use it: what a [`Server`](crate::Server) asks of its owner for the encrypted channel.
///
/// Who may do what is the [`Observer`](crate::Observer)'s to say, which is asked where the server's settings have
/// [`with_permits`](coracle_core::ServerConfig::with_permits); without it every client that completes the handshake may do
/// everything.
///
/// They are asked for at each step, so that they may change while the server runs.
pub trait ChannelKeys {
    /// The server's static key. `None`: no client is served encrypted.
    fn key(&self) -> Option<&KeyPair>;

    /// The pre-shared keys that are accepted now. Without any the key is 32 bytes of zero, as for a client without one.
    fn psks(&self) -> &[Psk];

    /// Unpredictable bytes for the next handshake: of the board's source of noise, or of
    /// [`BoardEntropy`](coracle_channel::BoardEntropy). `None`: no client is served encrypted.
    fn entropy(&mut self) -> Option<Entropy>;

    /// Which clients are served: only encrypted ones, if it is not said otherwise.
    fn encryption(&self) -> Encryption {
        Encryption::Only
    }

    /// A client has shown who it is. `slot` is its connection, as for an [`Observer`](crate::Observer), and `psk` the place of its
    /// pre-shared key in [`psks`](Self::psks). What it may do is asked of the observer, at each request.
    fn identify(&mut self, slot: usize, client: &PublicKey, psk: usize);

    /// Whether a client with this key may end the wait of another one for its place, where all are taken: it may if it may do anything
    /// here. Default: yes.
    #[cfg(feature = "wait")]
    fn may_displace(&self, client: &PublicKey) -> bool {
        let _ = client;
        true
    }

    /// A client without encryption is about to be served, where that is [offered](Encryption::Offer).
    fn plain(&mut self, slot: usize) {
        let _ = slot;
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

/// Why a handshake came to nothing. Its connection was ended without a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum HandshakeFailure {
    /// The client does not follow the protocol, or has another pre-shared key.
    Failed(#[cfg_attr(feature = "defmt", defmt(Display2Format))] HandshakeError),
    /// Message 1 was answered before: it is a recording of another connection, which was reset.
    Repeated,
    /// The client did not go on in time.
    TimedOut,
    /// The client was silent for more than a second when another address asked for the handshake's place.
    GaveWay,
    /// There is no static key, or no entropy: no client is served encrypted.
    NoKeys,
}
