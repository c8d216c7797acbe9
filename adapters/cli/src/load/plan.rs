//! What the clients of `coracle load` do.

use std::net::SocketAddr;
use std::time::Duration;

use coracle::client::ClientChannel;
use coracle_core::DigestKind;

/// What all clients do.
pub struct Plan {
    /// The server's addresses, at least one.
    pub addresses: Vec<SocketAddr>,
    /// How connections are encrypted.
    pub channel: Option<ClientChannel>,
    pub request: RequestKind,
    pub clients: usize,
    pub stop: StopCondition,
    /// Whether each request has a connection of its own.
    pub new_connection: bool,
    /// Requests per second of all clients together.
    pub rate: Option<f64>,
    /// One client after the other, with this pause after each request.
    pub serial: Option<Duration>,
    pub connect_timeout: Option<Duration>,
    pub stall_timeout: Option<Duration>,
}

/// A kind of request.
pub enum RequestKind {
    Hello,
    List,
    /// A valid file name.
    Get(String, Option<DigestKind>),
    Text(String),
}

/// When clients stop.
#[derive(Clone, Copy)]
pub enum StopCondition {
    /// After this many requests of all clients together.
    Requests(u64),
    /// This long after the start, no further request is begun.
    After(Duration),
}
