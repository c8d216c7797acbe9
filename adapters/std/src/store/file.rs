//! An open file of a directory store.

use std::cell::Cell;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::SystemTime;

use coracle_core::{FileInfo, StoreError, Version};
use rustix::fs::{FileType, fstat};

use super::kept::{Kept, KeptFiles};
use super::version::Stamp;

/// An open regular file of a [`DirectoryStore`](super::DirectoryStore). It goes on being readable, with the contents it
/// has, when its name is removed or given to another file.
#[derive(Debug)]
pub struct File {
    source: Source,
}

/// Where the bytes are. Drivers hand a file about, so it is small.
#[derive(Debug)]
enum Source {
    Open(Box<Open>),
    /// They cannot change any more.
    Kept(Arc<Kept>),
}

#[derive(Debug)]
struct Open {
    file: std::fs::File,
    opened: Stamp,
    version: Version,
    settled: bool,
    /// What was last told of it; `None` until it was asked for the first time, which follows the opening at once and
    /// needs no second look.
    told: Cell<Option<Stamp>>,
}

impl File {
    /// `file`, if it is a regular one.
    pub(super) fn new(file: std::fs::File) -> Result<Self, StoreError> {
        let stat = fstat(&file).map_err(|_| StoreError::Io)?;
        let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !is_regular {
            return Err(StoreError::NotFile);
        }
        let opened = Stamp::new(&stat);
        let settled = opened.is_settled(SystemTime::now());
        let open = Open { file, opened, version: opened.version(), settled, told: Cell::new(None) };
        Ok(Self { source: Source::Open(Box::new(open)) })
    }

    /// A small file that has not changed since it was read.
    pub(super) const fn kept(kept: Arc<Kept>) -> Self {
        Self { source: Source::Kept(kept) }
    }

    /// All of it, if every change while it is read would show.
    pub(super) fn read_all(&self) -> Option<Box<[u8]>> {
        let Source::Open(open) = &self.source else { return None };
        if !open.settled {
            return None;
        }
        let mut contents = vec![0; usize::try_from(open.opened.size).ok()?].into_boxed_slice();
        open.file.read_exact_at(&mut contents, 0).ok()?;
        let now = Stamp::new(&fstat(&open.file).ok()?);
        (now == open.opened).then_some(contents)
    }

    /// This file from now on: its `contents`, as they were read.
    pub(super) fn keep(self, contents: Box<[u8]>, files: &KeptFiles, name: &str) -> Self {
        let Source::Open(open) = self.source else { return self };
        let Open { file, opened: stamp, version, .. } = *open;
        let info = FileInfo { size: stamp.size, version, modified: stamp.modified() };
        Self::kept(files.insert(name, file, stamp, info, contents))
    }

    /// The same file, if its contents cannot change any more.
    pub(super) fn as_kept(&self) -> Option<&Kept> {
        match &self.source {
            Source::Open(_) => None,
            Source::Kept(kept) => Some(kept),
        }
    }

    /// Whether the file was last changed more than 2 s before it was opened.
    ///
    /// Otherwise its times are too coarse to tell whether it changes while it is read: send it by read, hash and write,
    /// so that the digest covers the very bytes that were sent. A file with a time in the future (a clock was set
    /// back) counts as just changed.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        match &self.source {
            Source::Open(open) => open.settled,
            Source::Kept(_) => true,
        }
    }

    /// The operating system's file, for `sendfile` and its like; its position means nothing. `None` for a small file whose
    /// contents were kept from an earlier opening.
    #[must_use]
    pub const fn as_std(&self) -> Option<&std::fs::File> {
        match &self.source {
            Source::Open(open) => Some(&open.file),
            Source::Kept(_) => None,
        }
    }

    /// The first answer is what the file was when it was opened.
    pub(super) fn info(&self) -> Result<FileInfo, StoreError> {
        let open = match &self.source {
            Source::Open(open) => open,
            Source::Kept(kept) => return Ok(kept.info.clone()),
        };
        let stamp = match open.told.get() {
            Some(_) => Stamp::new(&fstat(&open.file).map_err(|_| StoreError::Io)?),
            None => open.opened,
        };
        open.told.set(Some(stamp));
        let version = if stamp == open.opened { open.version.clone() } else { stamp.version() };
        Ok(FileInfo { size: stamp.size, version, modified: stamp.modified() })
    }

    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        match &self.source {
            Source::Open(open) => read_at(&open.file, offset, buf),
            Source::Kept(kept) => {
                let rest = usize::try_from(offset).ok().and_then(|offset| kept.contents.get(offset..));
                let mut rest = rest.unwrap_or_default();
                std::io::Read::read(&mut rest, buf).map_err(|_| StoreError::Io)
            }
        }
    }

    /// The state that was last told.
    pub(super) fn stamp(&self) -> Stamp {
        match &self.source {
            Source::Open(open) => open.told.get().unwrap_or(open.opened),
            Source::Kept(kept) => kept.stamp,
        }
    }

    /// Whether a digest that was computed while the file was as `info` says may be given out later for the same state:
    /// only where every change since the opening would have shown.
    pub(super) fn is_lasting(&self, info: &FileInfo) -> bool {
        match &self.source {
            Source::Open(open) => {
                let is_same = self.stamp() == open.opened && info.size == open.opened.size;
                open.settled && is_same && info.version == open.version
            }
            Source::Kept(kept) => *info == kept.info,
        }
    }
}

fn read_at(file: &std::fs::File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
    // Offsets are signed for the kernel, which refuses a read that would reach past the last one. No file does.
    let room = i64::MAX.cast_unsigned().saturating_sub(offset);
    let len = usize::try_from(room).map_or(buf.len(), |room| room.min(buf.len()));
    let buf = buf.get_mut(..len).unwrap_or_default();
    if buf.is_empty() {
        return Ok(0);
    }
    loop {
        match file.read_at(buf, offset) {
            Ok(len) => return Ok(len),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(StoreError::Io),
        }
    }
}
