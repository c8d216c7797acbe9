//! A file protocol over TCP: control as JSON lines, bodies as raw bytes.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod answer;
mod ask;
mod client;
mod digest;
pub mod drive;
mod error;
mod name;
mod reply;
mod request;
mod scan;
mod server;
mod store;
mod text;
mod time;

pub use ask::{Ask, Get};
pub use client::{
    Breach, ClientAction, ClientSession, Digests, End, Event, Failure, Features, Header, Hello, Listing, Refusal,
    StartError, Verified,
};
pub use digest::{Digest, DigestKind, Hasher, Hex};
pub use error::Code;
pub use name::{FileName, NameError, Version, VersionError};
pub use request::Kind as RequestKind;
pub use scan::{ScanError, Scanned, Scanner};
#[cfg(feature = "classic")]
pub use server::TextPolicy;
pub use server::{
    Action, Close, CloseHow, CloseReason, Deadline, Exchange, Finished, Reply, Request, ServerConfig, ServerName,
    ServerNameError, ServerSession,
};
pub use store::{Entry, EntryKind, FileInfo, Listed, StaticFile, StaticListing, StaticStore, Store, StoreError};
pub use time::Instant;
