//! Coracle on a PC: the protocol core over real sockets, threads and directories.

#[allow(dead_code, unused_imports)]
mod local;
#[cfg(unix)]
pub mod store;
pub mod transport;
