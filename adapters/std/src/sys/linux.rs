//! What only Linux has.

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use rustix::fs::{RenameFlags, renameat_with};
use rustix::io::Errno;
use socket2::Socket;

/// Time since some moment before the process began, as fine as a tick of the kernel: 1 to 10 ms.
///
/// The deadlines need no more, and it takes less than half as long to read as the fine clock, which is read a dozen times
/// for a request.
pub(crate) fn monotonic() -> Duration {
    // No kernel that the program runs on is without it.
    clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).map_or(Duration::ZERO, Duration::from)
}

/// Whether a segment that is not full waits for more bytes (`TCP_CORK`, tcp(7)).
pub(crate) fn hold_partial_segments(socket: &Socket, is_held: bool) -> io::Result<()> {
    socket.set_tcp_cork(is_held)
}

/// Renames `from` to `to` in `directory`, unless that would replace something.
pub(crate) fn rename_no_replace(directory: BorrowedFd<'_>, from: &OsStr, to: &OsStr) -> io::Result<()> {
    match renameat_with(directory, from, directory, to, RenameFlags::NOREPLACE) {
        // What file systems without it, and kernels before 3.15, say.
        Err(Errno::INVAL | Errno::NOSYS) => Err(io::ErrorKind::Unsupported.into()),
        renamed => Ok(renamed?),
    }
}
