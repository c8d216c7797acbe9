//! Sessions over the sockets of `embassy-net`.

mod close;
#[cfg(feature = "channel")]
mod encrypted;
mod event;
mod listen;
mod observer;
mod places;
mod server;
mod slot;
mod slot_observer;
mod transport;

pub use close::close;
#[cfg(feature = "channel")]
pub use encrypted::Encrypted;
pub use observer::{DisconnectReason, ServerObserver};
pub use server::Server;
