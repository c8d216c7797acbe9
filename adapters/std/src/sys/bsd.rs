//! What FreeBSD and others do where macOS has a way of its own.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::net::SendFlags;
use socket2::Socket;

/// Has a call that sends raise no signal where the peer is gone.
pub(crate) const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;

/// Does nothing: each call has a flag for it.
#[allow(clippy::unnecessary_wraps, reason = "macOS makes a call for it")]
pub(crate) const fn suppress_signal(_: &Socket) -> io::Result<()> {
    Ok(())
}

/// Refuses: POSIX has no rename that replaces nothing.
pub(crate) fn rename_no_replace(_: BorrowedFd<'_>, _: &OsStr, _: BorrowedFd<'_>, _: &OsStr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Makes a file, its length and its times survive a power cut, or the entries of a directory.
pub(crate) fn sync_file(file: &File) -> io::Result<()> {
    file.sync_all()
}
