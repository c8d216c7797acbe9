//! Downloads on this machine's disk: nothing half-written has a real name, nothing is replaced unasked, nothing is
//! written outside of the chosen directory.
//!
//! A download lies under a temporary name beside its target, with a sidecar that says of what it is the beginning.
//! The sidecar is created first and locked while a process works on the download, so two never write to one part. The
//! part takes its real name only when it is whole, proven and on the disk.

mod directory;
mod error;
mod escaped;
mod names;
mod part;
mod sidecar;
mod target;
#[cfg(test)]
mod tests;

pub use directory::{Directory, FileStatus};
pub use error::LocalError;
pub use escaped::{Escaped, escape_json, escape_path};
pub use names::{Naming, name_restriction};
pub use part::{Part, Proof};
pub use sidecar::Origin;
pub use target::{DownloadTarget, ExistingPart};
