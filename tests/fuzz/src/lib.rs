//! Fuzz targets: functions that check properties for any bytes, and panic where one is violated.
//!
//! `tests/fuzz/run` runs them under LLVM's libFuzzer; `cargo test -p coracle-fuzz` replays the committed corpus with any
//! compiler.
#![allow(missing_docs, reason = "each target says what must hold")]

mod channel;
mod client;
pub mod corpus;
mod judge;
mod media;
#[allow(dead_code, reason = "the core's tests need more of it")]
#[path = "../../../core/tests/memory/mod.rs"]
mod memory;
mod reply;
mod request;
mod scanner;
mod server;
mod upload;
mod volumes;

/// Checks bytes, and panics where a property is violated.
pub type Target = fn(&[u8]);

/// The targets, by name.
pub const TARGETS: [(&str, Target); 9] = [
    ("scanner", scanner::target),
    ("request", request::target),
    ("reply", reply::target),
    ("server", server::target),
    ("client", client::target),
    ("upload", upload::target),
    ("channel-server", channel::server),
    ("channel-client", channel::client),
    ("volumes", volumes::target),
];

/// Splits the bytes into pieces, by `seed`. Every third seed splits them byte by byte.
fn pieces(bytes: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut rest = bytes;
    let mut state = u32::from(seed);
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        let len = if seed.is_multiple_of(3) { 1 } else { 1 + (state >> 16) as usize % 90 };
        let (piece, behind) = rest.split_at(len.min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}
