//! The board that the firmware is built for: its drivers, and what of the application fits it.

mod mps2_an385;

pub use mps2_an385::*;
