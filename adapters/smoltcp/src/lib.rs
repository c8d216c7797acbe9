//! Coracle over smoltcp: a file server and a client for boards, without a heap and without `async`.
//!
//! `coracle-core` has the protocol; this crate moves bytes between its sessions and smoltcp's TCP sockets. Bodies are copied once,
//! from the store to a socket's transmit buffer, and from a socket's receive buffer to a sink. Nothing blocks: both sides are
//! polled from the loop that polls the interface, and return when to poll them again.
//!
//! ```text
//!             Interface::poll          Server::poll              Store
//!  frames <=> [ smoltcp: IP, TCP ] <=> [ N sessions, 1 spare ] <=> files
//! ```
//!
//! ```
//! use coracle_core::{ServerConfig, StaticFile, StaticStore};
//! use coracle_smoltcp::Server;
//! use smoltcp::iface::{Interface, SocketHandle, SocketSet};
//! use smoltcp::phy::Device;
//! use smoltcp::time::{Duration, Instant};
//!
//! static FILES: [StaticFile<'static>; 1] = [StaticFile::new("motd", "build-17", b"Mind the step.\n")];
//! static CONFIG: ServerConfig<'static> = ServerConfig::new();
//!
//! /// `handles` belong to TCP sockets in `sockets`: for four clients at once; `spare` tells a fifth `busy`.
//! fn run(
//!     server: &mut Server<'static, StaticStore<'static>, 4>,
//!     interface: &mut Interface,
//!     device: &mut impl Device,
//!     sockets: &mut SocketSet<'_>,
//!     handles: [SocketHandle; 4],
//!     spare: SocketHandle,
//!     mut now: impl FnMut() -> Instant,
//!     mut sleep: impl FnMut(Option<Duration>),
//! ) -> ! {
//!     let mut store = StaticStore::new(&FILES);
//!     server.bind(&CONFIG, 8888, handles, spare);
//!     loop {
//!         let at = now();
//!         interface.poll(at, device, sockets);
//!         let server_at = server.poll(at, sockets, &mut store, &mut ());
//!         let interface_at = interface.poll_at(at, sockets);
//!         let next = [server_at, interface_at].into_iter().flatten().min();
//!         sleep(next.map(|next| if next > at { next - at } else { Duration::ZERO })); // or until a frame arrives
//!     }
//! }
//! ```
//!
//! With the feature `channel` clients come encrypted: [`Server::poll_encrypted`] takes the place of [`Server::poll`], and asks the
//! owner's [`ChannelKeys`]. Each session then takes 700 bytes more. What is sent is read from the store into the socket's transmit
//! buffer and sealed there.
//!
//! A session takes about 1.3 KB beside its socket's buffers. A receive buffer of 512 bytes is enough for the longest request;
//! the transmit buffer limits the throughput to its length for each round trip.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod access;
#[cfg(feature = "channel")]
mod channel;
mod connection;
mod fetch;
#[cfg(feature = "embedded-storage")]
mod flash;
mod link;
#[cfg(feature = "mdns")]
mod mdns;
mod observer;
mod received;
mod server;
mod socket_slot;

pub use access::ServerAccess;
#[cfg(feature = "channel")]
pub use channel::{ChannelKeys, Encryption, HandshakeFailure};
#[cfg(feature = "channel")]
pub use coracle_channel;
pub use fetch::{Fetch, FetchError, Progress, sink_fn};
#[cfg(feature = "embedded-storage")]
pub use flash::{FlashError, FlashSink};
#[cfg(feature = "mdns")]
pub use mdns::Responder;
pub use observer::{DisconnectReason, Observer};
pub use server::Server;

/// The same time for the core. A time before smoltcp's start counts as the start.
fn moment(now: smoltcp::time::Instant) -> coracle_core::Instant {
    coracle_core::Instant::from_millis(u64::try_from(now.total_millis()).unwrap_or(0))
}

/// The same time for smoltcp.
fn instant(moment: coracle_core::Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_millis(i64::try_from(moment.as_millis()).unwrap_or(i64::MAX))
}
