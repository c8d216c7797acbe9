//! Servers, clients, their disks and the links between them in one process: `coracle-core` on both sides, a virtual clock, and
//! one seed that decides everything.
//!
//! What must hold, whatever happens: a file that a client reports is, byte for byte, a version that the server had, and stays so
//! after a power cut; the real name never stands for anything else; no session waits for longer than its deadline, and none is
//! closed before; an honest answer is never refused; links and sessions hold no more than their fixed buffers; and once
//! nothing goes wrong any more, everybody gets what they asked for.
#![allow(missing_docs, reason = "a program for this repository; nobody else calls it")]

mod client;
mod connection;
mod disk;
mod link;
mod random;
mod registry;
pub mod scale;
mod server;
mod storage;
mod store;
mod world;

pub use world::{Counts, run};
