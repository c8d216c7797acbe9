//! Interface of what observes a server.

#[cfg(feature = "manage")]
use coracle_core::StoreError;
use coracle_core::{Close, Exchange, FileInfo, Request};
#[cfg(feature = "rights")]
use coracle_core::{Demand, Permit};
use smoltcp::wire::IpEndpoint;

/// Observes the connections of a server, for logs and counters.
///
/// `slot` identifies a connection: 0 to N - 1 are sessions, N is the spare, whose client is told `busy`. A client keeps its
/// slot while it is connected. One that stays in the spare's place until there is another for it has connected when it has got that,
/// or is refused.
pub trait Observer {
    /// A client has connected.
    fn connected(&mut self, slot: usize, peer: Option<IpEndpoint>) {
        let (_, _) = (slot, peer);
    }

    /// Whether the client may do what it asks for. Asked before anything is looked up, only where the server's settings say so
    /// ([`ServerConfig::with_permits`](coracle_core::ServerConfig::with_permits)). Default: it may not.
    #[cfg(feature = "rights")]
    fn permit<'a>(&'a mut self, slot: usize, demand: &Demand<'_>) -> Permit<'a> {
        let (_, _) = (slot, demand);
        Permit::Denied
    }

    /// A request is about to be passed to the store.
    fn request(&mut self, slot: usize, request: &Request<'_>) {
        let (_, _) = (slot, request);
    }

    /// The requested file was opened.
    fn opened(&mut self, slot: usize, info: &FileInfo) {
        let (_, _) = (slot, info);
    }

    /// `len` more bytes of a body were passed to the socket, or to the store.
    fn body(&mut self, slot: usize, len: usize) {
        let (_, _) = (slot, len);
    }

    /// A file was put, and has its name. `info` is what it is now.
    #[cfg(feature = "write")]
    fn stored(&mut self, slot: usize, info: &FileInfo) {
        let (_, _) = (slot, info);
    }

    /// Does one of the owner's actions, for `do`. An action after which no answer could be sent (a restart) is only noted here,
    /// and done when the client is disconnected or its answer has left.
    ///
    /// # Errors
    ///
    /// The action failed.
    #[cfg(feature = "manage")]
    fn perform(&mut self, slot: usize, action: &str) -> Result<(), StoreError> {
        let (_, _) = (slot, action);
        Err(StoreError::Io)
    }

    /// An exchange has ended. Includes malformed requests.
    fn exchange(&mut self, slot: usize, exchange: &Exchange) {
        let (_, _) = (slot, exchange);
    }

    /// The session has ended. Its socket may still be closing.
    fn disconnected(&mut self, slot: usize, why: DisconnectReason) {
        let (_, _) = (slot, why);
    }
}

impl Observer for () {}

/// Why a client was disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DisconnectReason {
    /// Its session ended.
    Closed(Close),
    /// It had made no request for a second when another client needed the slot.
    Evicted,
    /// Its handshake came to nothing.
    #[cfg(feature = "channel")]
    Handshake(crate::HandshakeFailure),
    /// What it sent was no record of its own, or was cut off.
    #[cfg(feature = "channel")]
    Record(#[cfg_attr(feature = "defmt", defmt(Display2Format))] coracle_channel::RecordError),
}
