//! What the owner of a server may want to see.

use coracle_core::{Close, Exchange, FileInfo, Request};
use smoltcp::wire::IpEndpoint;

/// Sees what a server's connections do, for logs and counters.
///
/// `place` tells connections apart: 0 to N - 1 are the sessions, N is the one whose client is told that the server is busy.
/// A client keeps its place while it is connected.
pub trait Observer {
    /// A client has connected.
    fn connected(&mut self, place: usize, peer: Option<IpEndpoint>) {
        let (_, _) = (place, peer);
    }

    /// A request was read and goes to the store.
    fn request(&mut self, place: usize, request: &Request<'_>) {
        let (_, _) = (place, request);
    }

    /// The file that was asked for is open.
    fn opened(&mut self, place: usize, info: &FileInfo) {
        let (_, _) = (place, info);
    }

    /// `len` more bytes of a body were given to the socket.
    fn body(&mut self, place: usize, len: usize) {
        let (_, _) = (place, len);
    }

    /// An exchange has ended; one that could not be read as a request, too.
    fn exchange(&mut self, place: usize, exchange: &Exchange) {
        let (_, _) = (place, exchange);
    }

    /// The session is over. The socket may take some time yet.
    fn gone(&mut self, place: usize, why: Gone) {
        let (_, _) = (place, why);
    }
}

impl Observer for () {}

/// Why a client is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Gone {
    /// Its session ended.
    Closed(Close),
    /// It had asked nothing for a second when another client needed the place.
    Evicted,
}
