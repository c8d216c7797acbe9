//! Storage of downloads on the local disk.
//!
//! A download is written under a temporary name beside its target, with a sidecar that records what it is the
//! beginning of. The sidecar is created first, and stays locked while a process works on the download, so two
//! processes never write to one part. The part is renamed to its target when it is whole, verified and synced; that
//! replaces an existing file only when the user asked for it. No name leads out of the chosen directory.
//!
//! The code is generic over a [`DirectoryHandle`], so that a simulated disk can stand in for the operating system's.

mod acquire;
mod batch;
// Windows has no batches.
#[cfg(all(test, unix))]
mod batch_tests;
mod directory;
mod error;
mod escaped;
mod fetched;
mod file_system;
mod finished;
mod index;
mod names;
mod part;
mod place;
mod sidecar;
mod staging;
mod target;
#[cfg(test)]
mod tests;
mod unsupported;

pub use acquire::ExistingPart;
pub use batch::{BatchCommitter, Committed};
pub use directory::Directory;
pub use error::LocalError;
pub use escaped::{Escaped, escape_json, escape_path};
pub use fetched::Fetched;
pub use file_system::{
    Access, DirectoryHandle, FileHandle, FileKind, FileStatus, FileSystemHandle, Identity, Opened, Stamp,
};
pub use finished::{FinishedPart, Stored};
pub use index::Index;
pub use names::name_restriction;
pub use part::{Part, Proof};
pub use sidecar::Origin;
pub use staging::Staging;
pub use target::{DownloadTarget, Replace};
pub use unsupported::{Operation, Unsupported};

pub use crate::sys::{SystemDirectory, SystemFileSystem};
