//! What only Linux has.

use std::io;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
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
