//! The firmware in the emulated board, with the program and with hostile clients.

mod client;
#[path = "../../../core/tests/transcripts/document.rs"]
mod document;
mod emulator;
mod follow;
mod hostile;
mod media;
#[path = "../../../core/tests/transcripts/other_server.rs"]
mod other_server;
#[path = "../../../core/tests/transcripts/over_tcp.rs"]
mod over_tcp;
#[path = "../../../adapters/littlefs/tests/python/mod.rs"]
mod python;
mod restart;
mod serve;
mod write;
