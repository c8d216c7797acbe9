//! What the standard library can do with paths on any system, and Windows does in its own way.

#[cfg(feature = "channel")]
use std::fs;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use super::SystemDirectory;
#[cfg(feature = "channel")]
use super::plain::stamp_of;
#[cfg(feature = "channel")]
use super::types::FileStamp;

pub(crate) type Pages = Box<[u8]>;

/// `len` bytes, all zero.
#[expect(clippy::unnecessary_wraps, reason = "on other systems it can fail")]
pub(crate) fn pages(len: usize) -> io::Result<Pages> {
    Ok(vec![0; len].into())
}

/// Nothing keeps a link from being followed.
pub(crate) fn without_links(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// The stamp of the file `path`, links followed, and no mode.
#[cfg(feature = "channel")]
pub(crate) fn path_stamp(path: &Path) -> io::Result<(FileStamp, u32)> {
    Ok((stamp_of(&fs::metadata(path)?), 0))
}

/// Gives the file `from` the name `to` in the same directory, unless something has it, and makes that survive a power cut.
#[cfg(feature = "channel")]
pub(crate) fn name_new_file(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
        // A file system without links: another program can win the race between the look and the rename.
        Err(_) if fs::symlink_metadata(to).is_ok() => return Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(from, to)?,
    }
    sync_directory(to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Makes the entries of a directory survive a power cut, where the file system can.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    match sync_entries(path) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        synced => synced,
    }
}

/// The same; [`io::ErrorKind::Unsupported`] where directories cannot be opened, as on many systems.
pub(super) fn sync_entries(path: &Path) -> io::Result<()> {
    let unsupported = |error| io::Error::new(io::ErrorKind::Unsupported, error);
    match File::open(path).map_err(unsupported)?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory) => {
            Err(unsupported(error))
        }
        synced => synced,
    }
}

/// Makes the contents of `file` survive a power cut.
pub(crate) fn sync_contents(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// The size of the file system, which the standard library does not say.
#[expect(clippy::unnecessary_wraps, reason = "on other systems it can fail")]
pub(crate) const fn total_space(_: &SystemDirectory) -> io::Result<Option<u64>> {
    Ok(None)
}

/// The name of this host, which the standard library does not say.
#[cfg(feature = "discover")]
pub(crate) fn host_name() -> String {
    std::env::var("HOSTNAME").unwrap_or_default()
}
