//! What all connections of a store that is written to share.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use coracle_core::{FileName, Put, Space, StoreError, WriteError};

use super::super::append_only::AppendOnly;
use super::super::directory::DirectoryStore;
use super::commits::Commits;
use super::deferred::DeferredCommits;
use super::options::WriteOptions;
use super::place::write_error;
use super::uploads::{Target, Uploads};
use crate::local::{DirectoryHandle, SystemDirectory, name_restriction};
use crate::sys::total_space;

/// The kernel's offsets are signed.
const LARGEST_FILE: u64 = i64::MAX.cast_unsigned();

/// The directory, what may be written to it, and what is being written.
#[derive(Debug)]
pub(super) struct Writer {
    pub root: SystemDirectory,
    pub options: WriteOptions,
    pub uploads: Uploads,
    pub commits: Commits,
    pub deferred: DeferredCommits,
    /// Held while a name is given, taken or removed, from the check of its precondition on.
    pub names: Mutex<()>,
    /// Bytes of all files beneath the directory, unfinished uploads left out; counted where there is a quota.
    pub used: AtomicU64,
    pub is_hidden_served: bool,
    pub append_only: AppendOnly,
}

impl Writer {
    pub fn new(store: &DirectoryStore, options: WriteOptions) -> io::Result<Self> {
        let root = store.to_system_directory()?;
        Ok(Self {
            commits: Commits::new(&root),
            root,
            options,
            uploads: Uploads::default(),
            deferred: DeferredCommits::default(),
            names: Mutex::new(()),
            used: AtomicU64::new(0),
            is_hidden_served: store.is_hidden_served(),
            append_only: store.append_only().clone(),
        })
    }

    /// Checks a name that is to be written.
    pub fn check_name(&self, name: FileName<'_>) -> Result<(), WriteError> {
        if name.as_str().split('/').any(|component| name_restriction(component).is_some()) {
            return Err(StoreError::BadName.into());
        }
        if name.is_hidden() && !self.is_hidden_served {
            return Err(StoreError::Denied.into());
        }
        if !self.options.everywhere && !self.options.is_write_only(name) {
            return Err(StoreError::Denied.into());
        }
        Ok(())
    }

    /// The room of the file system and of the quota.
    pub fn space(&self) -> Result<Space, WriteError> {
        let io = |error: io::Error| write_error(&error);
        let free = self.root.free_space().map_err(io)?;
        let total = total_space(&self.root).map_err(io)?;
        let Some(quota) = self.options.quota else {
            return Ok(Space::new().with_total(total).with_free(free).with_max_file(self.options.max_file));
        };
        let left = self.quota_left(None).unwrap_or(u64::MAX);
        let space = Space::new().with_total(Some(total.map_or(quota, |total| total.min(quota))));
        Ok(space.with_free(Some(free.map_or(left, |free| free.min(left)))).with_max_file(self.options.max_file))
    }

    /// Counts a file of `new_len` bytes in place of one of `old_len` bytes; 0 where there is none.
    pub fn change_used(&self, old_len: u64, new_len: u64) {
        let change = |used: u64| Some(used.saturating_sub(old_len).saturating_add(new_len));
        // It never refuses.
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// Checks that an upload to `target` fits: by the limits, then by what is free. One that `is_begun` has its room already.
    pub fn check_room(&self, put: &Put<'_>, target: Option<&Target>, is_begun: bool) -> Result<(), WriteError> {
        let max = self.options.max_file.unwrap_or(LARGEST_FILE).min(LARGEST_FILE);
        if put.size > max {
            return Err(WriteError::TooLarge { max });
        }
        if let Some(left) = self.quota_left(target).filter(|left| put.size > *left) {
            return Err(WriteError::NoSpace { free: Some(left) });
        }
        if is_begun {
            return Ok(());
        }
        let free = self.root.free_space().map_err(|error| write_error(&error))?;
        match free {
            Some(free) if put.size > free => Err(WriteError::NoSpace { free: Some(free) }),
            _ => Ok(()),
        }
    }

    /// The bytes that the quota leaves for an upload to `target`; `None` where there is none.
    fn quota_left(&self, target: Option<&Target>) -> Option<u64> {
        let left = || self.room_for_uploads().saturating_sub(self.uploads.reserved_by_others(target));
        self.options.quota.map(|_| left())
    }

    /// How many bytes the quota leaves for all uploads together.
    pub fn room_for_uploads(&self) -> u64 {
        let left = |quota: u64| quota.saturating_sub(self.used.load(Ordering::Relaxed));
        self.options.quota.map_or(u64::MAX, left)
    }
}
