//! What all connections of a store that is written to share.

use std::io;
use std::sync::Arc;

use coracle_core::{FileName, Put, Space, StoreError, WriteError};

use super::super::append_only::AppendOnly;
use super::super::directory::DirectoryStore;
use super::commits::Commits;
use super::deferred::DeferredCommits;
use super::options::WriteOptions;
use super::place::write_error;
use super::shared::SharedState;
use super::uploads::Target;
use crate::local::{DirectoryHandle, SystemDirectory, name_restriction};
use crate::sys::total_space;

/// The kernel's offsets are signed.
const LARGEST_FILE: u64 = i64::MAX.cast_unsigned();

/// The directory, what may be written to it, and what is being written.
#[derive(Debug)]
pub(super) struct Writer {
    pub root: SystemDirectory,
    pub options: WriteOptions,
    pub shared: Arc<SharedState>,
    pub commits: Commits,
    pub deferred: DeferredCommits,
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
            shared: Arc::default(),
            deferred: DeferredCommits::default(),
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
        let left = || self.room_for_uploads().saturating_sub(self.shared.uploads.reserved_by_others(target));
        self.options.quota.map(|_| left())
    }

    /// How many bytes the quota leaves for all uploads together.
    pub fn room_for_uploads(&self) -> u64 {
        let left = |quota: u64| quota.saturating_sub(self.shared.used());
        self.options.quota.map_or(u64::MAX, left)
    }
}
