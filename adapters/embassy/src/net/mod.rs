//! Sessions over the sockets of `embassy-net`.

mod close;
mod event;
mod listen;
mod observer;
mod places;
mod server;
mod transport;

pub use close::close;
pub use observer::{DisconnectReason, ServerObserver};
pub use server::Server;
