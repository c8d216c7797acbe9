//! Connections that a proxy makes for its clients: the PROXY protocol, version 2.

mod arriving;
mod header;
mod network;

pub(super) use arriving::{Arriving, ArrivingSockets, Greeted, Proxies};
pub(super) use header::HeaderReader;
pub use header::ProxyFault;
pub use network::{ProxyNetwork, ProxyNetworkError};
