//! Coracle on a PC: the protocol core over real sockets, threads and directories.
//!
//! A [`Server`] serves the files of a [`DirectoryStore`], or of any other [`Store`]; a [`Client`] lists and fetches them.
//!
//! ```
//! use coracle::{Client, DirectoryStore, FileName, GetOptions, Server};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! std::fs::write(directory.join("motd"), "Mind the step.\n")?;
//! let store = DirectoryStore::open(directory)?;
//! let server = Server::new(&store).with_address("127.0.0.1:0".parse()?).bind()?;
//! let (address, handle) = (server.addresses()[0], server.handle());
//! std::thread::scope(|scope| {
//!     scope.spawn(|| server.run());
//!     let mut client = Client::new(address.to_string().parse()?);
//!     let mut contents = Vec::new();
//!     let fetched = client.get_to_writer(FileName::new("motd")?, &mut contents, &GetOptions::new(), &mut ());
//!     handle.stop();
//!     assert_eq!(fetched?.size, 15);
//!     assert_eq!(contents, b"Mind the step.\n");
//!     Ok(())
//! })
//! # }
//! ```
//!
//! - [`server`]: limits, events and the log of a server, and the handle that controls it
//! - [`store`]: directories as stores, confined to their root, single files, and objects of S3 (feature `s3`)
//! - [`client`]: retries, resumed downloads, progress
//! - [`local`]: where downloads get their names, and text that is safe for a terminal
//! - [`rate_limit`]: a limit of bytes a second, for one connection or many
//! - [`transport`]: a TCP socket as a transport of the core's drivers
//! - `channel`: the encrypted channel around a transport (feature `channel`)
//! - `discover`: finding servers in the local network, and being found (feature `discover`)
//! - `metrics`: the numbers of a server for Prometheus (feature `metrics`)
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(all(unix, feature = "channel"))]
pub mod channel;
#[cfg(unix)]
pub mod client;
#[cfg(all(unix, feature = "discover"))]
pub mod discover;
#[cfg(unix)]
pub mod local;
#[cfg(all(unix, feature = "metrics"))]
pub mod metrics;
#[cfg(unix)]
pub mod rate_limit;
#[cfg(unix)]
pub mod server;
#[cfg(unix)]
pub mod store;
#[cfg(unix)]
mod sys;
#[cfg(unix)]
pub mod transport;

#[cfg(unix)]
pub use client::{Address, Client, GetOptions};
#[cfg(unix)]
pub use coracle_core::{
    Digest, DigestKind, Entry, EntryKind, FileInfo, FileName, Header, Listed, Listing, ServerName, StaticFile,
    StaticStore, Store, StoreError, Version,
};
#[cfg(unix)]
pub use local::{Escaped, escape_json};
#[cfg(unix)]
pub use server::{BoundServer, Event, Limits, Observer, Server, ServerHandle, Summary};
#[cfg(unix)]
pub use store::{DirectoryStore, SingleFileStore, SwappableStore, WritableDirectoryStore, WriteOptions};
