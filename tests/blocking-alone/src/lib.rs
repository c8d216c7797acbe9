//! The sources of `coracle_core::blocking` as a crate of their own. It compiles only while they use nothing of the core that
//! is not public.

#[path = "../../../core/src/blocking/mod.rs"]
pub mod blocking;

pub use coracle_core::*;
