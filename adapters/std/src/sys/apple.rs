//! What macOS and its relatives have.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{RenameFlags, fcntl_fullfsync, fsync, renameat_with};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::SendFlags;
use socket2::Socket;

/// Nothing: there is no such flag, and sockets have an option instead. Those of socket2 and of the standard library have it set.
pub(crate) const NO_SIGNAL: SendFlags = SendFlags::empty();

/// Has calls that send raise no signal where the peer is gone.
pub(crate) fn suppress_signal(socket: &Socket) -> io::Result<()> {
    socket.set_nosigpipe(true)
}

/// Renames `from` in `directory` to `to` in `into`, unless that would replace something.
pub(crate) fn rename_no_replace(
    directory: BorrowedFd<'_>,
    from: &OsStr,
    into: BorrowedFd<'_>,
    to: &OsStr,
) -> io::Result<()> {
    match renameat_with(directory, from, into, to, RenameFlags::NOREPLACE) {
        // What file systems without it say.
        Err(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS) => Err(io::ErrorKind::Unsupported.into()),
        Err(Errno::ILSEQ | Errno::NAMETOOLONG) => Err(io::ErrorKind::InvalidFilename.into()),
        renamed => Ok(renamed?),
    }
}

/// Makes a file, its length and its times survive a power cut, or the entries of a directory: `fsync` alone leaves them in the
/// disk's own cache (fcntl(2), `F_FULLFSYNC`).
pub(crate) fn sync_file(file: &File) -> io::Result<()> {
    match retry_on_intr(|| fcntl_fullfsync(file)) {
        // SMB, FAT, some of FUSE: the best that they have.
        Err(Errno::NOTSUP | Errno::OPNOTSUPP | Errno::NOTTY | Errno::INVAL) => Ok(retry_on_intr(|| fsync(file))?),
        synced => Ok(synced?),
    }
}
