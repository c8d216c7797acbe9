//! Notices that files have changed.

use std::path::PathBuf;

use crate::sys::{FileStamp, path_stamp};

/// Files, and what they were when they were last looked at.
#[derive(Debug)]
pub(super) struct Watched(Vec<(PathBuf, Option<Stamp>)>);

/// What differs after a change, with the file's mode.
type Stamp = (FileStamp, u32);

impl Watched {
    /// Looks at the files at `paths`.
    pub(super) fn new<'p>(paths: impl Iterator<Item = &'p PathBuf>) -> Self {
        Self(paths.map(|path| (path.clone(), path_stamp(path).ok())).collect())
    }

    /// Whether one of them has changed, appeared or gone since this was last asked.
    pub(super) fn has_changed(&mut self) -> bool {
        let mut has_changed = false;
        for (path, last) in &mut self.0 {
            let now = path_stamp(path).ok();
            has_changed |= now != *last;
            *last = now;
        }
        has_changed
    }
}
