//! Sockets, as Unix systems have them.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use socket2::{Socket, TcpKeepalive};

use super::types::{AcceptError, Ready};
use super::{MORE, NO_SIGNAL};

/// Waits for bytes, at most for the socket's time-out: past it, the error is [`io::ErrorKind::WouldBlock`].
pub(crate) fn receive(socket: &Socket, buf: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, buf, RecvFlags::empty())?.1)
}

/// Takes what has arrived, without waiting.
pub(crate) fn receive_now(socket: &Socket, buf: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, buf, RecvFlags::DONTWAIT)?.1)
}

/// Looks at what has arrived, and waits for it as [`receive`] does; it stays to be taken.
#[cfg(feature = "channel")]
pub(crate) fn peek(socket: &Socket, buf: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, buf, RecvFlags::PEEK)?.1)
}

/// Looks at what has arrived, without waiting and without taking it.
pub(crate) fn peek_now(socket: &Socket, buf: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, buf, RecvFlags::PEEK | RecvFlags::DONTWAIT)?.1)
}

/// Sends bytes, and waits for room at most for the socket's time-out: past it, the error is
/// [`io::ErrorKind::WouldBlock`]. `more`: others follow at once, so a segment may wait for them. Raises no signal.
pub(crate) fn send(socket: &Socket, bytes: &[u8], more: bool) -> io::Result<usize> {
    let flags = if more { NO_SIGNAL | MORE } else { NO_SIGNAL };
    Ok(rustix::net::send(socket, bytes, flags)?)
}

/// Sends as many bytes as there is room for, without waiting.
pub(crate) fn send_now(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(socket, bytes, NO_SIGNAL | SendFlags::DONTWAIT)?)
}

/// Whether reading would not wait; for a listener, whether a client waits to be accepted.
pub(crate) fn is_readable(socket: &Socket) -> bool {
    let mut polled = [PollFd::new(socket, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec::default())).is_ok_and(|count| count > 0)
}

/// Waits until one of `descriptors` can be read; says of each whether it can. `None`: for ever.
pub(crate) fn poll_readable<'d>(
    descriptors: impl Iterator<Item = BorrowedFd<'d>>,
    timeout: Option<Duration>,
) -> io::Result<Vec<bool>> {
    let mut polled: Vec<_> =
        descriptors.map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN)).collect();
    // What is too long for the system is no limit.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    poll(&mut polled, timeout.as_ref())?;
    Ok(polled.iter().map(|polled| !polled.revents().is_empty()).collect())
}

/// Waits until `socket` can be read or written. `None`: for ever.
pub(crate) fn poll_ready(socket: &Socket, timeout: Option<Duration>) -> io::Result<Ready> {
    let mut polled = [PollFd::new(socket, PollFlags::IN | PollFlags::OUT)];
    // What is too long for the system is no limit.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    poll(&mut polled, timeout.as_ref())?;
    let seen = polled[0].revents();
    let can_write = seen.contains(PollFlags::OUT);
    Ok(Ready { can_read: !(seen - PollFlags::OUT).is_empty(), can_write })
}

/// Waits until one of `sockets` is connected or could not be; says of each whether it is so. `None`: for ever.
pub(crate) fn poll_connected(sockets: &[Socket], timeout: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<_> = sockets.iter().map(|socket| PollFd::new(socket, PollFlags::OUT)).collect();
    // What is too long for the system is no limit.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    poll(&mut polled, timeout.as_ref())?;
    Ok(polled.iter().map(|polled| !polled.revents().is_empty()).collect())
}

/// Lets a socket listen at a port of which closing connections are left.
pub(crate) fn allow_restart(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)
}

/// When a peer that says nothing is asked whether it is still there.
pub(crate) fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4)
}

/// Has `registry` tell when the socket can be read.
pub(crate) fn register(registry: &Registry, socket: &Socket, token: Token) -> io::Result<()> {
    registry.register(&mut SourceFd(&socket.as_raw_fd()), token, Interest::READABLE)
}

/// Ends that.
pub(crate) fn deregister(registry: &Registry, socket: &Socket) -> io::Result<()> {
    registry.deregister(&mut SourceFd(&socket.as_raw_fd()))
}

/// Whether a connect that failed is under way nevertheless.
pub(crate) fn is_connecting(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::INPROGRESS)
}

pub(crate) fn accept_error(error: &io::Error) -> AcceptError {
    match Errno::from_io_error(error) {
        Some(Errno::AGAIN) => AcceptError::TimedOut,
        Some(
            Errno::INTR
            | Errno::CONNABORTED
            | Errno::PROTO
            | Errno::PERM
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::HOSTUNREACH
            | Errno::HOSTDOWN
            | Errno::NOPROTOOPT
            | Errno::OPNOTSUPP,
        ) => AcceptError::ClientGone,
        // EMFILE, ENFILE, ENOBUFS, ENOMEM, and whatever else a system may have: the acceptor must not spin.
        _ => AcceptError::Exhausted,
    }
}

/// The error of a call that has waited for long enough.
pub(crate) fn timed_out() -> io::Error {
    Errno::AGAIN.into()
}

/// Whether an error of listening means that this machine has no IPv6.
pub(crate) fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::{AcceptError, accept_error};

    #[test]
    fn k6_errors_of_accept_are_classified() {
        for errno in [Errno::CONNABORTED, Errno::PROTO, Errno::PERM, Errno::INTR] {
            assert_eq!(accept_error(&errno.into()), AcceptError::ClientGone);
        }
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::IO] {
            assert_eq!(accept_error(&errno.into()), AcceptError::Exhausted);
        }
        assert_eq!(accept_error(&Errno::AGAIN.into()), AcceptError::TimedOut);
    }
}
