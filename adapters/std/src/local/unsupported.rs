//! Operations that a file system does not have, and what is gone without there.

use std::fmt;
use std::io;

/// An operation that a file system does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Locking a file, so that no other process writes to the same download.
    Lock,
    /// Syncing a directory, so that its names survive a power cut.
    SyncDirectory,
}

/// An operation that was gone without, since the file system does not have it. Displayed as a sentence for people, on one
/// line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsupported {
    /// The operation.
    pub operation: Operation,
    /// What the operating system said.
    pub reason: String,
}

impl Unsupported {
    pub(super) fn new(operation: Operation, error: &io::Error) -> Self {
        Self { operation, reason: error.to_string() }
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = &self.reason;
        match self.operation {
            Operation::Lock => write!(
                f,
                "file locking is not to be had here ({reason}): another run that writes to the same files at the same time is \
                 not kept out; what it spoils is found by the digest, and fetched again"
            ),
            Operation::SyncDirectory => write!(
                f,
                "directories cannot be synced here ({reason}): the contents of files are on the disk, but after a power cut \
                 the last names may be missing"
            ),
        }
    }
}
