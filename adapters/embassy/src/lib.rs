#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![allow(clippy::manual_async_fn, reason = "the future of an `async fn` keeps its arguments twice")]

mod access;
#[cfg(feature = "channel")]
pub mod channel;
mod client;
mod clock;
mod discard;
mod driver;
mod exchange;
#[cfg(feature = "embassy-net")]
pub mod net;
mod observer;
#[cfg(feature = "write")]
mod progress;
mod serve;
mod shared;
mod sink;
#[cfg(feature = "write")]
mod source;
mod store;
mod transport;
#[cfg(feature = "write")]
mod upload;
#[cfg(feature = "write")]
mod writable;

pub use client::{Client, ClientError};
#[cfg(feature = "wait")]
pub use client::{FollowFrom, Followed, Follower};
pub use clock::Clock;
#[cfg(feature = "embassy-time")]
pub use clock::EmbassyClock;
pub use discard::discard;
pub use observer::Observer;
#[cfg(feature = "write")]
pub use serve::serve_writable;
pub use serve::{Buffers, serve};
pub use shared::SharedStore;
pub use sink::AsyncSink;
#[cfg(feature = "write")]
pub use source::AsyncSource;
pub use store::AsyncStore;
pub use transport::{Stream, Transport};
#[cfg(feature = "write")]
pub use writable::AsyncWritableStore;
