//! The contents of files of a tree, read for their digests.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coracle::client::Progress;
use coracle::local::FileHandle;
use coracle::store::{DirectoryStore, File};
use coracle_core::{Digest, DigestKind, FileName, Hasher, Store, StoreError};

use crate::sys;

/// After so long, a later change has another time, on every file system.
const SETTLING: Duration = Duration::from_secs(2);
/// Bytes that are read at once.
const BUF_LEN: usize = 256 * 1024;

/// What reading a file has led to.
pub enum Contents {
    /// The SHA-256 of all of it.
    Read(Digest),
    /// It was changed meanwhile.
    Changed,
}

/// Why a file has no digest.
#[derive(Debug)]
pub enum Unread {
    /// There is none of that name any more.
    Gone,
    /// It was changed each time while it was read.
    Changing,
    /// Its time lies in the future: a change might not show.
    Future,
    /// It cannot be opened.
    Store(StoreError),
    /// It cannot be read.
    Io(io::Error),
}

/// Opens the file `name` of `store`.
pub fn open(mut store: &DirectoryStore, name: FileName<'_>) -> Result<File, Unread> {
    store.open(name).map_err(|error| if error == StoreError::NotFound { Unread::Gone } else { Unread::Store(error) })
}

/// Seconds and nanoseconds.
pub fn modified(metadata: &Metadata) -> (i64, i64) {
    sys::modified(metadata)
}

/// Whether a change from now on shows in the time.
pub fn is_settled(metadata: &Metadata) -> bool {
    unsettled_for(metadata).is_none()
}

/// Waits until a change shows in the time. Returns whether that took any.
pub fn wait_until_settled(metadata: &Metadata) -> Result<bool, Unread> {
    let Some(time) = unsettled_for(metadata) else { return Ok(false) };
    if time > SETTLING {
        return Err(Unread::Future);
    }
    thread::sleep(time);
    Ok(true)
}

fn unsettled_for(metadata: &Metadata) -> Option<Duration> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // One before 1970 is long ago.
    let (seconds, nanos) = modified(metadata);
    let seconds = u64::try_from(seconds).ok()?;
    let nanos = u32::try_from(nanos).unwrap_or(0);
    let until = Duration::new(seconds, 0).saturating_add(Duration::new(0, nanos)).saturating_add(SETTLING);
    until.checked_sub(now).filter(|time| !time.is_zero())
}

/// The SHA-256 of `file`, which was `before` when it was opened.
pub fn contents_of(file: &File, before: &Metadata, progress: &mut impl Progress) -> Result<Contents, Unread> {
    let Some(mut hasher) = Hasher::new(DigestKind::Sha256) else { return Err(Unread::Store(StoreError::Io)) };
    let mut buf = vec![0; BUF_LEN];
    let mut position = 0;
    progress.started(before.len(), 0);
    loop {
        match FileHandle::read_at(file.as_std(), &mut buf, position) {
            Ok(0) => break,
            Ok(len) => {
                hasher.update(buf.get(..len).unwrap_or_default());
                position += len as u64;
                progress.advanced(position);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Unread::Io(error)),
        }
    }
    let after = file.as_std().metadata()?;
    let is_same = position == before.len() && after.len() == before.len() && modified(&after) == modified(before);
    Ok(if is_same { Contents::Read(hasher.finish()) } else { Contents::Changed })
}

/// Counts a file that need not be read.
pub fn count_known(progress: &mut impl Progress, size: u64) {
    progress.started(size, size);
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("it is gone"),
            Self::Changing => f.write_str("it is changed each time while it is read"),
            Self::Future => {
                f.write_str("its time lies in the future, so that a change would not show: 'touch' sets it")
            }
            Self::Store(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
