#![doc = include_str!("../README.md")]
#![no_std]
#![deny(unsafe_code)]
#![deny(missing_docs)]

#[cfg(feature = "std")]
extern crate std;

#[allow(unsafe_code, reason = "pointers come from C, and its functions are called")]
mod ffi;
mod session;
mod store;
mod text;
mod types;
#[cfg(feature = "write")]
mod write_types;
#[cfg(feature = "write")]
mod writer;

pub use ffi::*;
pub use types::*;
#[cfg(feature = "write")]
pub use write_types::*;
