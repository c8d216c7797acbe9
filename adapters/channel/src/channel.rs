//! What a handshake results in: who the peer is, and both directions.

use crate::keys::PublicKey;
use crate::message::RecordLimit;
use crate::opener::Opener;
use crate::sealer::Sealer;

/// A complete handshake: the peer's identity, and the two directions, each on its own.
#[derive(Debug)]
#[non_exhaustive]
pub struct Channel {
    /// Who the peer is: it has shown that it has the secret half.
    pub peer: PublicKey,
    /// What is sent.
    pub sealer: Sealer,
    /// What is received.
    pub opener: Opener,
}

impl Channel {
    /// `keys` are that of what is sent and that of what is received; `own` and `peer` limits those of what each end takes.
    pub(crate) fn new(keys: [&[u8; 32]; 2], own: RecordLimit, peer_limit: RecordLimit, peer: PublicKey) -> Self {
        Self { peer, sealer: Sealer::new(keys[0], peer_limit), opener: Opener::new(keys[1], own) }
    }
}
