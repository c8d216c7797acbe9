//! Tests of the directory store over real files. A test's name begins with the number of its fault.

mod append;
mod digests;
// seccompiler knows Linux, and not ARM of 32 bits.
#[cfg(all(target_os = "linux", not(target_arch = "arm")))]
mod faults;
mod fixture;
#[cfg(unix)]
mod links;
mod listing;
#[cfg(unix)]
mod names;
mod reading;
mod replicas;
