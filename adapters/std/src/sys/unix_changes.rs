//! What a server with writing asks of the file system, as Unix systems have it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{Access, AtFlags, accessat, fstatvfs};
use rustix::io::Errno;

use super::{SystemDirectory, preallocate, sync_file};

/// Reserves room for the first `len` bytes of `file`, without changing its length. Does nothing on file systems without
/// that operation.
pub(crate) fn reserve(file: &File, len: u64) -> io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    match preallocate(file.as_fd(), len) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        reserved => reserved,
    }
}

/// Makes the contents of `file`, which may be open for reading alone, survive a power cut.
pub(crate) fn sync_contents(file: &File) -> io::Result<()> {
    sync_file(file)
}

/// The size of the file system in bytes; `None` where it does not say.
pub(crate) fn total_space(directory: &SystemDirectory) -> io::Result<Option<u64>> {
    let stat = fstatvfs(directory)?;
    Ok((stat.f_blocks > 0).then(|| stat.f_blocks.saturating_mul(stat.f_frsize)))
}

/// Whether an error means that no room is left: on the file system, in the quota, or in the largest possible file.
pub(crate) fn is_out_of_space(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG))
}

/// Whether an error means that nothing can be written here.
pub(crate) fn is_read_only(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::ROFS)
}

/// Whether this process may write to the file `name`, or nothing has that name.
pub(crate) fn may_write(directory: &SystemDirectory, name: &OsStr) -> bool {
    // A name is given to another file by its directory's permission alone, so a protected file has to be looked at.
    matches!(accessat(directory, name, Access::WRITE_OK, AtFlags::EACCESS), Ok(()) | Err(Errno::NOENT))
}
