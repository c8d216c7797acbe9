//! Files that are read and sent: by wish, or where no library says how many bytes the kernel has sent before time ran out, as on
//! macOS, FreeBSD and where the standard library is all that is known.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;

use socket2::Socket;

/// Refuses, so that the file is read.
pub(crate) fn send_file(_: &Socket, _: &File, _: usize, _: NonZeroUsize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Does nothing: the calls that send raise no signal.
pub(crate) const fn block_pipe_signal() {}

/// No error is one of a file, since none is sent so.
pub(crate) fn is_file_error(_: &io::Error) -> bool {
    false
}
