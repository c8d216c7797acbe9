//! Notices that files have changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files, and what they were when they were last looked at.
#[derive(Debug)]
pub(super) struct Watched(Vec<(PathBuf, Option<Stamp>)>);

/// What differs after a change: device, inode, size, mode, and the time of the last change of contents or inode.
type Stamp = (u64, u64, u64, u32, (i64, i64), (i64, i64));

impl Watched {
    /// Looks at the files at `paths`.
    pub(super) fn new<'p>(paths: impl Iterator<Item = &'p PathBuf>) -> Self {
        Self(paths.map(|path| (path.clone(), stamp(path))).collect())
    }

    /// Whether one of them has changed, appeared or gone since this was last asked.
    pub(super) fn has_changed(&mut self) -> bool {
        let mut has_changed = false;
        for (path, last) in &mut self.0 {
            let now = stamp(path);
            has_changed |= now != *last;
            *last = now;
        }
        has_changed
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    let modified = (metadata.mtime(), metadata.mtime_nsec());
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    Some((metadata.dev(), metadata.ino(), metadata.size(), metadata.mode(), modified, changed))
}
