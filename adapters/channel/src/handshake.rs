//! What the two roles of a handshake share.

use crate::keys::PublicKey;
use crate::message::HandshakeError;

/// The one thing that a handshake needs next. It stays the same until its owner has reported that it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeAction<'a> {
    /// Bytes of the peer: `receive`, or `receive_eof`.
    Receive,
    /// A step of computing: `compute`. It takes one Diffie-Hellman operation at the most, so that a board can do other things
    /// in between.
    Compute,
    /// These bytes have to be sent: `sent` with the number of those that were.
    Send(&'a [u8]),
    /// A client's owner decides whether this is the server that it means: `permit`, or it closes the connection. The server has
    /// shown that it has the secret half; it does not know yet who the client is.
    Decide(PublicKey),
    /// The handshake is complete: `finish`.
    Done,
    /// It failed: the connection is to be closed without a byte.
    Failed(HandshakeError),
}
