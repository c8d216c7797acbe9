#![doc = include_str!("../README.md")]
#![no_std]
#![deny(unsafe_code)]
#![deny(missing_docs)]

#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "channel")]
mod channel;
#[cfg(any(feature = "write", feature = "rights"))]
mod client_types;
#[allow(unsafe_code, reason = "pointers come from C, and its functions are called")]
mod ffi;
#[cfg(feature = "channel")]
mod key_types;
mod server;
mod session;
mod store;
mod text;
mod types;
#[cfg(feature = "write")]
mod write_types;
#[cfg(feature = "write")]
mod writer;

#[cfg(any(feature = "write", feature = "rights"))]
pub use client_types::*;
pub use ffi::*;
#[cfg(feature = "channel")]
pub use key_types::*;
pub use types::*;
#[cfg(feature = "write")]
pub use write_types::*;
