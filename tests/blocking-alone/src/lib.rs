//! The sources of `coracle_core::blocking` as a separate crate, which compiles only while they use the public interface of the
//! core alone.

#[path = "../../../core/src/blocking/mod.rs"]
pub mod blocking;

pub use coracle_core::*;
