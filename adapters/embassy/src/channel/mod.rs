//! The encrypted channel between transports and sessions: `coracle-channel` over any [`Transport`](crate::Transport).

mod accept;
mod buffers;
mod connect;
mod error;
mod keys;
mod line;
mod transport;

pub use accept::{accept, begin_session};
pub use buffers::ChannelBuffers;
pub use connect::connect;
pub use coracle_channel::{
    BlankKey, BoardEntropy, Entropy, HandshakeError, KeyPair, Psk, PublicKey, RecordError, SecretKey,
};
pub use error::{ChannelError, ConnectError, HandshakeFailure};
pub use keys::{ChannelKeys, ClientKeys, Encryption};
pub use transport::ChannelTransport;
