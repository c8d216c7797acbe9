//! Files that the kernel sends by itself, as Linux does it.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;

use nix::sys::signal::{SigSet, Signal};
use rustix::io::Errno;
use socket2::Socket;

/// Sends up to `len` bytes of a file; 0 at its end. [`io::ErrorKind::InvalidInput`] and
/// [`io::ErrorKind::Unsupported`] mean that this file cannot be sent so.
pub(crate) fn send_file(socket: &Socket, file: &File, offset: usize, len: NonZeroUsize) -> io::Result<usize> {
    socket.sendfile(file, offset, Some(len))
}

/// Has this thread get no `SIGPIPE`: unlike other calls that send, `sendfile` has no flag against it.
pub(crate) fn block_pipe_signal() {
    // That the signal exists is all that the call asks for.
    let _ = SigSet::from(Signal::SIGPIPE).thread_block();
}

/// Whether an error of [`send_file`] is the file's rather than the socket's.
pub(crate) fn is_file_error(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::IO | Errno::STALE | Errno::ISDIR | Errno::OVERFLOW | Errno::NOMEM | Errno::BADF)
    )
}
