//! Files by their paths, and what this process is told about its machine, as Windows has them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;

use windows_sys::Win32::Storage::FileSystem::{FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT};

#[cfg(feature = "channel")]
use super::types::FileStamp;
#[cfg(feature = "channel")]
use super::windows::{open_any, stamp_of};
#[cfg(feature = "channel")]
use super::windows_calls::{information, move_to_free_name};

/// Has the options open a symbolic link itself, which is no regular file.
pub(crate) fn without_links(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
}

/// The stamp of the file `path`, links followed, and no mode.
#[cfg(feature = "channel")]
pub(crate) fn path_stamp(path: &Path) -> io::Result<(FileStamp, u32)> {
    Ok((stamp_of(&information(&open_any(path)?)?), 0))
}

/// Gives the file `from` the name `to` in the same directory, unless something has it, and makes that survive a power cut.
#[cfg(feature = "channel")]
pub(crate) fn name_new_file(from: &Path, to: &Path) -> io::Result<()> {
    move_to_free_name(from, to)?;
    sync_directory(to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Makes the entries of a directory survive a power cut, where the file system can.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    match flush_directory(path) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        flushed => flushed,
    }
}

/// The same; [`io::ErrorKind::Unsupported`] where the file system, or this user's rights, have nothing for it.
pub(super) fn flush_directory(path: &Path) -> io::Result<()> {
    let open = || OpenOptions::new().write(true).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(path);
    let is_refused = |error: &io::Error| {
        /// `ERROR_INVALID_FUNCTION`, `ERROR_INVALID_HANDLE`, `ERROR_NOT_SUPPORTED`, `ERROR_INVALID_PARAMETER`.
        const REFUSALS: [i32; 4] = [1, 6, 50, 87];
        error.kind() == io::ErrorKind::PermissionDenied
            || error.raw_os_error().is_some_and(|code| REFUSALS.contains(&code))
    };
    match open().and_then(|directory: File| directory.sync_all()) {
        Err(error) if is_refused(&error) => Err(io::Error::new(io::ErrorKind::Unsupported, error)),
        flushed => flushed,
    }
}

/// The name of this host.
#[cfg(feature = "discover")]
pub(crate) fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}
