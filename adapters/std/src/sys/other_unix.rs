//! What only Linux has, as other Unix systems do without it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use rustix::io::Errno;
use rustix::net::SendFlags;
use socket2::Socket;

use super::suppress_signal;

/// Time since some moment before the process began.
pub(crate) fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

/// Says that more bytes follow at once: nothing here.
pub(crate) const MORE: SendFlags = SendFlags::empty();

/// Whether to shut down a listener ends the calls that wait for its clients.
pub(crate) const ENDS_ACCEPT: bool = false;

/// Gives an accepted socket its time-outs, and has it raise no signal, whatever it has of its listener.
pub(crate) fn complete_accepted(socket: &Socket, read: Duration, write: Duration) -> io::Result<()> {
    let set = suppress_signal(socket)
        .and_then(|()| socket.set_nonblocking(false))
        .and_then(|()| socket.set_read_timeout(Some(read)))
        .and_then(|()| socket.set_write_timeout(Some(write)));
    set.map_err(|error| match Errno::from_io_error(&error) {
        // How macOS says that the client is gone already.
        Some(Errno::INVAL) => Errno::CONNABORTED.into(),
        _ => error,
    })
}

/// Without effect here.
pub(crate) fn hold_partial_segments(_: &Socket, _: bool) -> io::Result<()> {
    Ok(())
}

/// Whether the kernel makes the contents of a file when it is read: unknown here.
pub(crate) fn is_generated(_: &File) -> bool {
    false
}

/// Whether a file keeps its inode number for as long as it exists, as POSIX has it.
pub(crate) fn has_lasting_inodes(_: impl AsFd) -> bool {
    true
}

/// Does nothing: only Linux begins without waiting.
pub(crate) fn begin_to_write_out(_: &File, _: u64, _: u64) {}

/// Refuses: POSIX changes the length, too.
pub(crate) fn preallocate(_: BorrowedFd<'_>, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// POSIX has no sync of one file system.
pub(crate) fn has_file_system_sync(_: BorrowedFd<'_>) -> bool {
    false
}

/// Refuses, as above.
pub(crate) fn sync_file_system(_: BorrowedFd<'_>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Unknown here.
pub(crate) fn inherited_attributes(_: BorrowedFd<'_>) -> io::Result<[Vec<u8>; 2]> {
    Err(io::ErrorKind::Unsupported.into())
}
