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
//!
//! Without the feature `kernel-send` no file leaves by `sendfile`. That directories are confined is no feature: opening them with
//! nothing that keeps paths below them would not be safe.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "channel")]
pub mod channel;
pub mod client;
#[cfg(feature = "discover")]
pub mod discover;
pub mod local;
#[cfg(feature = "metrics")]
pub mod metrics;
pub mod rate_limit;
pub mod server;
pub mod store;
mod sys;
pub mod transport;

pub use client::{Address, Client, GetOptions};
pub use coracle_core::{
    Digest, DigestKind, Entry, EntryKind, FileInfo, FileName, Header, Listed, Listing, ServerName, StaticFile,
    StaticStore, Store, StoreError, Version,
};
pub use local::{Escaped, escape_json};
pub use server::{BoundServer, Event, Limits, Observer, Server, ServerHandle, Summary};
pub use store::{DirectoryStore, SingleFileStore, SwappableStore, WritableDirectoryStore, WriteOptions};
