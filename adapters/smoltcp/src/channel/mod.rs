//! The encrypted channel between sockets and sessions.

mod answered;
mod arrival;
mod failures;
mod handshakes;
mod keys;
mod places;
mod records;

pub(crate) use arrival::Arrival;
pub(crate) use handshakes::Handshakes;
pub use keys::{ChannelKeys, Encryption, HandshakeFailure};
pub(crate) use places::Places;
pub(crate) use records::Records;
