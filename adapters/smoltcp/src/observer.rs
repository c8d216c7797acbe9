//! What the owner of a server may want to see.

use coracle_core::{Close, Exchange, FileInfo, Request};
use smoltcp::wire::IpEndpoint;

/// Sees what a server's connections do, for logs and counters.
///
/// `slot` tells connections apart: 0 to N - 1 are the sessions, N is the one whose client is told that the server is busy.
/// A client keeps its slot while it is connected.
pub trait Observer {
    /// A client has connected.
    fn connected(&mut self, slot: usize, peer: Option<IpEndpoint>) {
        let (_, _) = (slot, peer);
    }

    /// A request was read and goes to the store.
    fn request(&mut self, slot: usize, request: &Request<'_>) {
        let (_, _) = (slot, request);
    }

    /// The file that was asked for is open.
    fn opened(&mut self, slot: usize, info: &FileInfo) {
        let (_, _) = (slot, info);
    }

    /// `len` more bytes of a body were given to the socket.
    fn body(&mut self, slot: usize, len: usize) {
        let (_, _) = (slot, len);
    }

    /// An exchange has ended; one that could not be read as a request, too.
    fn exchange(&mut self, slot: usize, exchange: &Exchange) {
        let (_, _) = (slot, exchange);
    }

    /// The session is over. The socket may take some time yet.
    fn disconnected(&mut self, slot: usize, why: DisconnectReason) {
        let (_, _) = (slot, why);
    }
}

impl Observer for () {}

/// Why a client is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DisconnectReason {
    /// Its session ended.
    Closed(Close),
    /// It had asked nothing for a second when another client needed the slot.
    Evicted,
}
