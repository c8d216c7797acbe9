//! Gives received files their names, many together: all of them are on the disk before the first one gets its name.

use std::io;
use std::sync::Arc;

use super::error::LocalError;
use super::file_system::DirectoryHandle;
use super::finished::{FinishedPart, Stored};
use super::staging::Staging;
use crate::sys::SystemDirectory;

/// Why a file is given up.
const LOST: &str = "the disk failed to write, maybe this file";

/// Makes batches of files durable, and gives them their names.
///
/// One sync of the file system serves two batches: it makes the contents of one durable, and the names of the one before. `T` is
/// what the caller knows a file by.
#[derive(Debug)]
pub struct BatchCommitter<T, D: DirectoryHandle = SystemDirectory> {
    staging: Arc<Staging<D>>,
    is_durable: bool,
    /// Files of the last batch, whose names are not durable yet.
    named: Vec<(T, Stored)>,
}

/// A file of a batch as it was stored, or why it does not have its name or may not survive a power cut.
pub type Committed<T> = (T, Result<Stored, LocalError>);

impl<T, D: DirectoryHandle> BatchCommitter<T, D> {
    /// A committer of files that are written in `staging`. Nothing is synced unless `is_durable`.
    #[must_use]
    pub fn new(staging: Arc<Staging<D>>, is_durable: bool) -> Self {
        Self { staging, is_durable, named: Vec::new() }
    }

    /// Whether there are files whose names are not durable yet.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !self.named.is_empty()
    }

    /// Makes the contents of `batch` durable, then gives its files their names. Returns the outcome of those that failed, and of
    /// those of the batch before, whose names are durable now.
    ///
    /// A sync that fails may have failed for any file: all files of the batch are removed, and those of the next batch that were
    /// begun already.
    pub fn commit(&mut self, batch: Vec<(T, FinishedPart<D>)>) -> Vec<Committed<T>> {
        let synced = self.sync();
        let mut outcomes = self.settle(&synced);
        for (file, part) in batch {
            let path = part.target().path();
            let taken = match &synced {
                Ok(()) if self.is_durable && part.is_doubtful() => {
                    part.discard().and(Err(LocalError::io("write", || path.clone())(io::Error::other(LOST))))
                }
                Ok(()) => part.take_name(),
                Err(error) => part.discard().and(Err(LocalError::io("write", || path.clone())(copy(error)))),
            };
            match taken {
                Ok(stored) if self.is_durable => self.named.push((file, stored)),
                taken => outcomes.push((file, taken)),
            }
        }
        outcomes
    }

    /// Makes the names of the last batch durable, and returns its outcome.
    pub fn flush(&mut self) -> Vec<Committed<T>> {
        if self.named.is_empty() {
            return Vec::new();
        }
        let synced = self.sync();
        self.settle(&synced)
    }

    fn sync(&self) -> io::Result<()> {
        if self.is_durable { self.staging.sync() } else { Ok(()) }
    }

    fn settle(&mut self, synced: &io::Result<()>) -> Vec<Committed<T>> {
        let named = self.named.drain(..);
        let outcome = |stored: Stored| match synced {
            Ok(()) => Ok(stored),
            Err(error) => Err(LocalError::NotDurable { path: stored.path, error: copy(error) }),
        };
        named.map(|(file, stored)| (file, outcome(stored))).collect()
    }
}

/// The same error once more, for another file.
fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}
