//! Whole-system tests of Coracle.

/// Its Rust code compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
