//! Simulation of servers, clients, their disks and the links between them, in one process and one thread: `coracle-core`
//! on both sides, the code of `coracle::local` on the disks, a virtual clock, and one seed that decides everything.
//!
//! The rules that are checked, whatever faults are injected:
//!
//! - A file that a client reports is, byte for byte, a version that the server had, and is durable at once.
//! - The final name never stands for anything else, and replaces nothing unasked.
//! - A file of a batch has its name only when its bytes are durable, and is reported only when its name is, too.
//! - A program that is killed loses nothing of what it has fetched; files of users stay what they were.
//! - No session waits for longer than its deadline, and none is closed before; no honest answer is refused.
//! - Links and sessions hold no more than their fixed buffers.
//! - Once faults have ended, every client gets its files.
//!
//! The rules of writing stand at the top of `puts`.
#![allow(missing_docs, reason = "only the program and the tests of this repository use it")]

pub mod batches;
mod client;
mod connection;
mod context;
mod disk;
mod link;
pub mod puts;
mod random;
mod registry;
mod run;
pub mod scale;
mod server;
mod storage;
mod store;

pub use context::Counts;
pub use run::run;
