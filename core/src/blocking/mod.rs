//! The blocking drivers: both sessions over anything that is `embedded_io::Read + Write`.
//!
//! A driver asks its session what to do, does it, reports, and asks again. It is written on the public interface of this
//! crate alone, so whatever it does can be done differently elsewhere.

mod client;
mod send_buffer;
mod server;
mod transport;

pub use client::{ClientError, Connection};
pub use server::{Buffers, SendFile, SendFileError, SessionObserver, serve};
pub use transport::{Clock, NoTimeout, Transport};
