//! Tests of the directory store over real files. A test's name begins with the number of its fault.

mod append;
mod digests;
// seccompiler does not know ARM of 32 bits.
#[cfg(not(target_arch = "arm"))]
mod faults;
mod fixture;
mod links;
mod listing;
mod names;
mod reading;
mod replicas;
