//! Watches no files, where the system has nothing for it: the standard library alone.

use std::fs::File;
use std::io;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::file_changes::{Changes, WatchId};

/// Has a thread wait until it is woken. No file is watched, so those that are followed are looked at again and again.
#[derive(Debug, Default)]
pub(crate) struct FileWatcher {
    is_woken: Mutex<bool>,
    woken: Condvar,
}

impl FileWatcher {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self::default())
    }

    /// Watches no file.
    pub(crate) fn watch(&self, _: &File) -> Option<WatchId> {
        None
    }

    /// Watches no directory.
    pub(crate) fn watch_directory(&self, _: &File, _: &str) -> Option<WatchId> {
        None
    }

    /// Does nothing: nothing is watched.
    pub(crate) fn unwatch(&self, _: WatchId) {}

    /// Wakes the thread that waits.
    pub(crate) fn wake(&self) {
        *self.is_woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.woken.notify_all();
    }

    /// Waits until [`FileWatcher::wake`] is called; `None`: for ever. Nothing is known to have changed then.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Changes {
        let is_woken = self.is_woken.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |is_woken: &mut bool| !*is_woken;
        let mut is_woken = match timeout {
            None => self.woken.wait_while(is_woken, waits).unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                self.woken.wait_timeout_while(is_woken, timeout, waits).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        *is_woken = false;
        self.changes()
    }

    /// Nothing that is known.
    pub(crate) fn changes(&self) -> Changes {
        Changes::default()
    }
}
