//! Sockets, as Windows has them, and as any system has that can poll them.
//!
//! Every socket is set not to block before it is used, and polled for as long as its time-outs say: Windows knows no call that
//! alone does not block, and does not say in what state a socket is whose own time-out has expired.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use mio::{Registry, Token};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use socket2::{Socket, TcpKeepalive};

use super::types::{AcceptError, Ready};

/// How long is waited before a socket is looked at again: to shut it down in another thread does not end a poll.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// `WSAESHUTDOWN`: the socket was shut down for reading, or for writing. Others report the end of input themselves.
const SHUT_DOWN: i32 = 10058;

/// Waits for bytes, at most for the socket's time-out: past it, the error is [`io::ErrorKind::WouldBlock`].
pub(crate) fn receive(socket: &Socket, buf: &mut [u8]) -> io::Result<usize> {
    let until = deadline(socket.read_timeout()?);
    repeat(socket, PollFlags::IN, until, || receive_now(socket, buf))
}

/// Takes what has arrived, without waiting.
pub(crate) fn receive_now(socket: &Socket, buf: &mut [u8]) -> io::Result<usize> {
    socket.set_nonblocking(true)?;
    end_if_shut_down((&*socket).read(buf))
}

/// Looks at what has arrived, and waits for it as [`receive`] does; it stays to be taken.
#[cfg(feature = "channel")]
pub(crate) fn peek(socket: &Socket, buf: &mut [u8]) -> io::Result<usize> {
    let until = deadline(socket.read_timeout()?);
    repeat(socket, PollFlags::IN, until, || peek_now(socket, buf))
}

/// Looks at what has arrived, without waiting and without taking it.
pub(crate) fn peek_now(socket: &Socket, buf: &mut [u8]) -> io::Result<usize> {
    socket.set_nonblocking(true)?;
    end_if_shut_down(rustix::net::recv(socket, buf, RecvFlags::PEEK).map(|(_, len)| len).map_err(io::Error::from))
}

/// Sends bytes, and waits for room at most for the socket's time-out: past it, the error is
/// [`io::ErrorKind::WouldBlock`]. Whether others follow at once makes no difference here.
pub(crate) fn send(socket: &Socket, bytes: &[u8], _more: bool) -> io::Result<usize> {
    let until = deadline(socket.write_timeout()?);
    repeat(socket, PollFlags::OUT, until, || send_now(socket, bytes))
}

/// Sends as many bytes as there is room for, without waiting.
pub(crate) fn send_now(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    socket.set_nonblocking(true)?;
    socket.send(bytes)
}

fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

/// The end of input where reading was shut down by this process.
fn end_if_shut_down(received: io::Result<usize>) -> io::Result<usize> {
    match received {
        Err(error) if error.raw_os_error() == Some(SHUT_DOWN) => Ok(0),
        received => received,
    }
}

/// Calls `call` until it need not wait, and waits until `until`.
fn repeat(
    socket: &Socket,
    flags: PollFlags,
    until: Option<Instant>,
    mut call: impl FnMut() -> io::Result<usize>,
) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(timed_out());
        }
        let wait = left.map_or(LOOK_INTERVAL, |left| left.min(LOOK_INTERVAL));
        wait_for(&mut [PollFd::new(socket, flags)], Some(wait))?;
    }
}

fn wait_for(polled: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<usize> {
    // What is too long for the system is no limit.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    Ok(poll(polled, timeout.as_ref())?)
}

/// Whether reading would not wait; for a listener, whether a client waits to be accepted.
pub(crate) fn is_readable(socket: &Socket) -> bool {
    wait_for(&mut [PollFd::new(socket, PollFlags::IN)], Some(Duration::ZERO)).is_ok_and(|count| count > 0)
}

/// Waits until one of `descriptors` can be read; says of each whether it can. `None`: for ever.
pub(crate) fn poll_readable<'d>(
    descriptors: impl Iterator<Item = BorrowedFd<'d>>,
    timeout: Option<Duration>,
) -> io::Result<Vec<bool>> {
    let mut polled: Vec<_> =
        descriptors.map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN)).collect();
    wait_for(&mut polled, timeout)?;
    Ok(polled.iter().map(|polled| !polled.revents().is_empty()).collect())
}

/// Waits until `socket` can be read or written. `None`: for ever.
pub(crate) fn poll_ready(socket: &Socket, timeout: Option<Duration>) -> io::Result<Ready> {
    let mut polled = [PollFd::new(socket, PollFlags::IN | PollFlags::OUT)];
    wait_for(&mut polled, timeout)?;
    let seen = polled[0].revents();
    let can_write = seen.contains(PollFlags::OUT);
    Ok(Ready { can_read: !(seen - PollFlags::OUT).is_empty(), can_write })
}

/// Waits until one of `sockets` is connected or could not be; says of each whether it is so. `None`: for ever.
pub(crate) fn poll_connected(sockets: &[Socket], timeout: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<_> = sockets.iter().map(|socket| PollFd::new(socket, PollFlags::OUT)).collect();
    wait_for(&mut polled, timeout)?;
    Ok(polled.iter().map(|polled| !polled.revents().is_empty()).collect())
}

/// Refuses: a thread waits for each connection.
pub(crate) fn register(_: &Registry, _: &Socket, _: Token) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Does nothing, since nothing was registered.
pub(crate) fn deregister(_: &Registry, _: &Socket) -> io::Result<()> {
    Ok(())
}

/// Whether to shut down a listener ends the calls that wait for its clients.
pub(crate) const ENDS_ACCEPT: bool = false;

/// Gives an accepted socket its time-outs, whatever it has of its listener.
pub(crate) fn complete_accepted(socket: &Socket, read: Duration, write: Duration) -> io::Result<()> {
    socket.set_read_timeout(Some(read))?;
    socket.set_write_timeout(Some(write))
}

/// Lets a server have a port of which only closing connections are left. It is free on Windows, where the option would let two
/// servers have it.
pub(crate) fn allow_restart(listener: &Socket) -> io::Result<()> {
    if cfg!(windows) { Ok(()) } else { listener.set_reuse_address(true) }
}

/// When a peer that says nothing is asked whether it is still there.
pub(crate) fn keepalive() -> TcpKeepalive {
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(60));
    // There socket2 has no more of it.
    #[cfg(not(target_os = "espidf"))]
    let keepalive = keepalive.with_interval(Duration::from_secs(15)).with_retries(4);
    keepalive
}

/// Without effect here.
pub(crate) fn hold_partial_segments(_: &Socket, _: bool) -> io::Result<()> {
    Ok(())
}

/// Whether a connect that failed is under way nevertheless.
pub(crate) fn is_connecting(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || Errno::from_io_error(error) == Some(Errno::INPROGRESS)
}

/// What an `accept` that failed means.
pub(crate) fn accept_error(error: &io::Error) -> AcceptError {
    match error.kind() {
        io::ErrorKind::WouldBlock => AcceptError::TimedOut,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {
            AcceptError::ClientGone
        }
        // Too many sockets, no memory, and whatever else there may be: the acceptor must not spin.
        _ => AcceptError::Exhausted,
    }
}

/// The error of a call that has waited for long enough.
pub(crate) fn timed_out() -> io::Error {
    io::ErrorKind::WouldBlock.into()
}

/// Whether an error of listening means that this machine has no IPv6.
pub(crate) fn is_without_ipv6(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::AFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable
}
