//! A file protocol over TCP for small devices and the PCs that talk to them, as a deterministic state machine: it does no
//! input or output, reads no clock, allocates nothing. A request is one JSON object; the response is lines of JSON and, for a
//! file, its raw bytes. `PROTOCOL.md` beside this crate's sources describes the wire.
//!
//! # Bytes in, actions out
//!
//! ```text
//!                bytes that arrived                        the one thing to do next
//!   socket ──────── receive() ────────▶ ┌───────────────┐ ──────── action() ────────▶ owner of the socket
//!                                       │ ServerSession │                              │ send these bytes
//!   clock ───────── now ──────────────▶ │  (or Client-) │ ◀─ sent(), reply(), ... ─────┤ send this range of the file
//!                                       └───────────────┘    how far it came           │ look this name up
//!                                                                                      └ close, and how
//! ```
//!
//! A session makes no calls of its own. Its owner asks [`ServerSession::action`] what to do, does that one thing, reports how
//! far it came, and asks again. Without a report in between the answer stays the same: nothing has to be drained, and no order
//! of calls has to be known. A body is a range of a file (`offset`, `len`), never bytes that the session holds: Linux sends
//! it with `sendfile(2)`, a board copies flash into the transmit buffer of its network stack, a test takes a slice. While a
//! response is under way `receive` takes nothing, which is the only back-pressure.
//!
//! - [`ServerSession`] is the server's side of a connection, [`ClientSession`] the client's.
//! - [`Store`] is what is served; [`exec`] does the store's side of an exchange for every owner.
//! - `blocking`, a module behind the feature of that name, runs either session over any blocking stream that implements
//!   `embedded_io::Read + Write`.
//! - [`FileName`], [`Version`], [`Digest`] exist only when they are valid.
//!
//! # A session in a test, without a socket
//!
//! ```
//! use coracle_core::exec::StoreExchange;
//! use coracle_core::{Action, Instant, ServerConfig, ServerSession, StaticFile, StaticStore};
//!
//! static FILES: [StaticFile<'static>; 1] = [StaticFile::new("motd", "build-17", b"Mind the step.\n")];
//! let mut store = StaticStore::new(&FILES);
//! let mut exchange = StoreExchange::new();
//! let now = Instant::from_millis(0); // the clock is a variable
//!
//! let config = ServerConfig::new();
//! let mut session = ServerSession::new(&config, [0; 512], now);
//! let (taken, _event) = session.receive(br#"{"type":"get","fileName":"motd"}"#, now);
//! assert_eq!(taken, 32);
//!
//! let mut output = Vec::new();
//! loop {
//!     match session.action() {
//!         Action::Receive | Action::Close(_) => break,
//!         Action::Reply(request) => {
//!             let reply = exchange.open(&mut store, &request);
//!             session.reply(reply, now);
//!         }
//!         Action::SendBytes { bytes, .. } => {
//!             output.extend_from_slice(bytes); // a socket may take fewer
//!             let len = bytes.len();
//!             session.sent(len, now);
//!         }
//!         Action::SendFile { offset, len, hash, .. } => {
//!             let mut chunk = vec![0; len];
//!             match exchange.read(&mut store, offset, &mut chunk, hash) {
//!                 Ok(len) => {
//!                     output.extend_from_slice(&chunk[..len]);
//!                     session.sent(len, now);
//!                 }
//!                 Err(_) => session.file_fault(now),
//!             }
//!         }
//!         Action::Finish { from, to } => match exchange.finish(&mut store, from, to) {
//!             Ok(finished) => session.finished(finished, now),
//!             Err(_) => session.file_fault(now),
//!         },
//!         _ => unreachable!("no listing and no resume was asked for"),
//!     }
//! }
//! let text = String::from_utf8(output).unwrap();
//! assert!(text.starts_with(r#"{"type":"file","fileName":"motd","fileSize":15,"#));
//! assert!(text.ends_with("\nMind the step.\n{\"type\":\"end\",\"crc32\":\"e7e0539f\"}\n"));
//! ```
//!
//! # Features
//!
//! - `sha256` (default): SHA-256 as a digest beside CRC-32.
//! - `crc32-table` (default): CRC-32 by a table of 1 KiB, about four times as fast as without.
//! - `blocking` (default): the drivers over embedded-io's blocking traits.
//! - `classic`: the dialect of two older programs' clients, and the text policies `echo` and `reply`.
//! - `write`: files can be put and deleted.
//! - `manage`: files can be renamed, directories made; the room of a store; the owner's actions.
//! - `rights`: the owner decides at each request whether this client may do that.
//! - `wait`: a `get` at the end of its file waits until the file changes.
//! - `replaced`: a file that has lost its name to another one is read to its end by who follows it, where the store keeps it.
//! - `absolute`: offsets in logs that drop their head count from the log's beginning.
//! - `crc32fast`: CRC-32 by the processor's own instructions, for hosts.
//! - `defmt`: `defmt::Format` for the public types.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(feature = "blocking")]
pub mod blocking;
mod client;
pub mod exec;
mod server;
mod store;
mod types;
mod wire;

#[cfg(feature = "write")]
pub use client::{Actions, Ready, Stored, WriteRequest};
pub use client::{
    ClientAction, ClientEvent, ClientRequest, ClientSession, Digests, End, Failure, Features, GetRequest, Header,
    Hello, Listing, Refusal, StartError, Verified, Violation,
};
#[cfg(feature = "classic")]
pub use server::TextPolicy;
pub use server::{
    Action, Close, CloseHow, CloseReason, Exchange, Finished, Reply, Request, ServerConfig, ServerEvent, ServerName,
    ServerNameError, ServerSession,
};
#[cfg(any(feature = "manage", feature = "rights"))]
pub use server::{ActionWords, ActionWordsError};
#[cfg(feature = "rights")]
pub use server::{Demand, Grant, Permit, Rights, RightsError};
#[cfg(feature = "write")]
pub use store::{
    Begun, Committed, Delete, Put, PutAttempt, Rename, Replace, Space, UploadClaim, UploadTicket, UploadTurn,
    WritableStore, WriteError,
};
pub use store::{
    CountedFile, CountedStore, Entry, EntryKind, FileInfo, Listed, StaticFile, StaticListing, StaticStore, Store,
    StoreError,
};
#[cfg(feature = "sync")]
pub use store::{Deferral, Synced};
pub use types::digest::{Digest, DigestKind, Hasher, Hex};
pub use types::file_name::{FileName, NameError};
pub use types::time::{Instant, Timer};
pub use types::version::{Version, VersionError};
pub use wire::code::Code;
pub use wire::request_kinds::RequestKind;
#[cfg(any(feature = "write", feature = "rights"))]
pub use wire::request_kinds::RequestKinds;
pub use wire::scanner::{ScanError, Scanned, Scanner};
