//! Coracle on a PC: the protocol core over real sockets, threads and directories.

#[cfg(unix)]
pub mod client;
#[cfg(unix)]
pub mod local;
#[cfg(all(unix, feature = "metrics"))]
pub mod metrics;
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
pub use store::{DirectoryStore, SwappableStore};
