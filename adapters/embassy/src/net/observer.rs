//! What a server tells and asks its owner.

use coracle_core::Close;
use embassy_net::IpEndpoint;

#[cfg(feature = "channel")]
use crate::channel::{HandshakeFailure, PublicKey};
use crate::observer::Observer;

/// Observes the connections of one socket of a [`Server`](super::Server).
pub trait ServerObserver: Observer {
    /// A client has connected. `is_served` is false for one that is told `busy`.
    fn connected(&mut self, peer: Option<IpEndpoint>, is_served: bool) {
        let (_, _) = (peer, is_served);
    }

    /// The client has shown who it is, by its handshake; `None` for one without encryption, where that is offered. `psk` is the place of
    /// its pre-shared key among those that are accepted. What it may do is asked at each request ([`Observer::permit`]).
    #[cfg(feature = "channel")]
    fn identified(&mut self, client: Option<&PublicKey>, psk: Option<usize>) {
        let (_, _) = (client, psk);
    }

    /// The session has ended. Its socket is still to be closed.
    fn disconnected(&mut self, why: DisconnectReason) {
        let _ = why;
    }
}

impl ServerObserver for () {}

/// Why a client was disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DisconnectReason {
    /// Its session ended.
    Closed(Close),
    /// It had made no request for a second when another client needed the place.
    Evicted,
    /// Its handshake failed.
    #[cfg(feature = "channel")]
    Handshake(HandshakeFailure),
}
