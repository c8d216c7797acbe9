//! Removes unfinished uploads that no client continues, and counts what there is.

use std::ffi::OsStr;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::uploads::Target;
use super::writer::Writer;
use crate::local::{DirectoryHandle, FileKind, FileStatus, SystemDirectory};

/// What [`WritableDirectoryStore::sweep`](super::WritableDirectoryStore::sweep) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swept {
    /// Unfinished uploads that were removed.
    pub removed: usize,
    /// Unfinished uploads that were left, since they may be continued.
    pub left: usize,
}

impl Writer {
    pub(super) fn sweep(&self, age: Duration) -> io::Result<Swept> {
        let limit = SystemTime::now().checked_sub(age).and_then(|limit| limit.duration_since(UNIX_EPOCH).ok());
        let limit_ns = limit.and_then(|limit| i64::try_from(limit.as_nanos()).ok()).unwrap_or(i64::MIN);
        let mut sweep = Sweep { writer: self, limit_ns, swept: Swept::default(), used: 0 };
        sweep.walk(&self.root, MAX_DEPTH)?;
        if self.options.quota.is_some() {
            self.shared.set_used(sweep.used);
        }
        Ok(sweep.swept)
    }
}

/// How deep directories may be nested: each level holds a descriptor.
const MAX_DEPTH: usize = 128;

struct Sweep<'w> {
    writer: &'w Writer,
    limit_ns: i64,
    swept: Swept,
    used: u64,
}

impl Sweep<'_> {
    fn walk(&mut self, directory: &SystemDirectory, depth: usize) -> io::Result<()> {
        let Some(identity) = directory.status(OsStr::new("."))?.map(|status| status.identity) else { return Ok(()) };
        for name in directory.names()? {
            let Ok(Some(status)) = directory.status(&name) else { continue };
            match status.kind {
                FileKind::Regular => match Target::of_partial(identity, &name) {
                    Some(target) => self.partial(directory, target, &name, status),
                    None => self.used = self.used.saturating_add(status.size),
                },
                FileKind::Symlink => {}
                FileKind::Other => {
                    let inside = name.to_str().and_then(|name| directory.open_directory(name).ok());
                    if let Some(inside) = inside.filter(|_| depth > 0) {
                        // What cannot be read cannot have been written to.
                        let _ = self.walk(&inside, depth - 1);
                    }
                }
            }
        }
        Ok(())
    }

    fn partial(&mut self, directory: &SystemDirectory, target: Target, name: &OsStr, status: FileStatus) {
        let is_old = status.modified_ns < self.limit_ns;
        if self.writer.shared.uploads.sweep(target, name, status.size, is_old, || directory.remove(name)) {
            self.swept.removed += 1;
        } else {
            self.swept.left += 1;
        }
    }
}
