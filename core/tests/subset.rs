//! Most of this directory as one program, which builds faster; tests/mutants and tests/coverage run it. `cargo test` does not,
//! since it runs each of these files by itself.
#![allow(clippy::duplicate_mod, reason = "each test program has what it shares with others")]

#[path = "classic.rs"]
mod classic;
#[path = "client.rs"]
mod client;
#[cfg(feature = "blocking")]
#[path = "client_driver.rs"]
mod client_driver;
#[path = "client_lies.rs"]
mod client_lies;
#[cfg(feature = "write")]
#[path = "counted.rs"]
mod counted;
#[path = "deadlines.rs"]
mod deadlines;
#[path = "exec.rs"]
mod exec;
#[path = "misuse.rs"]
mod misuse;
#[path = "pair.rs"]
mod pair;
#[path = "properties.rs"]
mod properties;
#[cfg(feature = "blocking")]
#[path = "requests_ahead.rs"]
mod requests_ahead;
#[cfg(feature = "rights")]
#[path = "rights.rs"]
mod rights;
#[path = "scan_grammar.rs"]
mod scan_grammar;
#[path = "server.rs"]
mod server;
#[cfg(feature = "blocking")]
#[path = "server_driver.rs"]
mod server_driver;
#[path = "transcripts/main.rs"]
mod transcripts;
#[cfg(all(feature = "wait", feature = "absolute", feature = "blocking"))]
#[path = "waiting.rs"]
mod waiting;
#[cfg(feature = "write")]
#[path = "write_answers.rs"]
mod write_answers;
#[cfg(all(feature = "manage", feature = "blocking"))]
#[path = "write_driver.rs"]
mod write_driver;
#[cfg(all(feature = "manage", feature = "sha256"))]
#[path = "write_exchange.rs"]
mod write_exchange;
#[cfg(all(feature = "write", feature = "sha256"))]
#[path = "writing.rs"]
mod writing;
