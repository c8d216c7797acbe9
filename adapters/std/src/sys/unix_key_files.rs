//! Files with keys, as Unix systems have them.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::types::FileStamp;
use super::{rename_no_replace, sync_file};

/// Has the options open a file without waiting, for the other end of a FIFO for example.
pub(crate) fn without_waiting(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags(OFlags::NONBLOCK.bits().cast_signed())
}

/// The permission bits of a file; `None` where the system has others.
#[allow(clippy::unnecessary_wraps, reason = "not every system has them")]
pub(crate) fn mode(metadata: &Metadata) -> Option<u32> {
    Some(metadata.mode())
}

/// The stamp of the file `path`, links followed, and its mode.
pub(crate) fn path_stamp(path: &Path) -> io::Result<(FileStamp, u32)> {
    let metadata = fs::metadata(path)?;
    let stamp = FileStamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    };
    Ok((stamp, metadata.mode()))
}

/// Gives the file `from` the name `to` in the same directory, unless something has it, and makes that survive a power cut.
pub(crate) fn name_new_file(from: &Path, to: &Path) -> io::Result<()> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let (from_name, to_name) = (from.file_name().ok_or_else(invalid)?, to.file_name().ok_or_else(invalid)?);
    let directory = File::open(directory_of(to))?;
    let named = match rename_no_replace(directory.as_fd(), from_name, directory.as_fd(), to_name) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => fs::hard_link(from, to),
        renamed => renamed,
    };
    match fs::remove_file(from) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => named.and(Err(error)),
        _ => named,
    }?;
    sync_file(&directory)
}

/// The directory that the file `path` is in.
fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
