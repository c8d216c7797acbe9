//! Blocking drivers: run both sessions over any `embedded_io::Read + Write`.
//!
//! A driver asks its session what to do, does it, reports, and asks again. It uses only the public interface of this crate, so
//! that any other owner of a session can do the same.

mod client;
mod observer;
#[cfg(feature = "write")]
mod put;
mod send_buffer;
mod serve;
#[cfg(feature = "wait")]
mod served;
mod server;
mod transport;

pub use client::{ClientError, Connection};
pub use observer::SessionObserver;
#[cfg(feature = "write")]
pub use put::NextPut;
pub use serve::serve;
#[cfg(feature = "wait")]
pub use serve::serve_until_watch;
#[cfg(feature = "write")]
pub use serve::serve_writable;
#[cfg(feature = "wait")]
pub use served::Served;
pub use server::{Buffers, SendFile, SendFileError};
pub use transport::{Clock, NoTimeout, Transport};
