//! The store's side of an exchange, without I/O of its own: opens, lists, reads, hashes, and checks the version at the end.
//!
//! Every owner of a [`ServerSession`](crate::ServerSession) has the same work to do between the session and its
//! [`Store`](crate::Store). [`StoreExchange`] does it; the owner is left with the connection.
//!
//! | action | method |
//! | --- | --- |
//! | [`Action::Reply`](crate::Action::Reply) | [`open`](StoreExchange::open) |
//! | [`Action::Entry`](crate::Action::Entry) | [`entry`](StoreExchange::entry) |
//! | [`Action::Hash`](crate::Action::Hash) | [`read`](StoreExchange::read); the bytes are then dropped |
//! | [`Action::SendFile`](crate::Action::SendFile) | [`read`](StoreExchange::read), or [`hash_range`](StoreExchange::hash_range) where the transport sends files itself |
//! | [`Action::Finish`](crate::Action::Finish) | [`finish`](StoreExchange::finish) |
//!
//! With the feature `write`, `answer` and `hash` serve all exchanges, and `end` closes them; `write` takes the body of a `put`,
//! and `commit` gives it its name.
//!
//! ```
//! use coracle_core::exec::StoreExchange;
//! use coracle_core::{Action, Instant, ServerConfig, ServerSession, StaticFile, StaticStore};
//!
//! static FILES: [StaticFile<'static>; 1] = [StaticFile::new("motd", "build-17", b"Mind the step.\n")];
//! let mut store = StaticStore::new(&FILES);
//! let mut exchange = StoreExchange::new();
//! let now = Instant::from_millis(0);
//! let config = ServerConfig::new();
//! let mut session = ServerSession::new(&config, [0; 512], now);
//! session.receive(br#"{"type":"stat","fileName":"motd"}"#, now);
//! let Action::Reply(request) = session.action() else { panic!("a stat has to be looked up") };
//! let reply = exchange.open(&mut store, &request);
//! session.reply(reply, now);
//! assert!(matches!(session.action(), Action::SendBytes { .. }));
//! ```

mod access;
mod exchange;
#[cfg(feature = "write")]
mod put_state;
mod sink;
#[cfg(feature = "write")]
mod source;
#[cfg(feature = "write")]
mod upload;

#[cfg(feature = "write")]
pub use access::ReadWrite;
pub use access::{Access, ReadOnly};
pub use exchange::StoreExchange;
pub use sink::{ReadBackError, Sink, read_back};
#[cfg(feature = "write")]
pub use source::Source;
