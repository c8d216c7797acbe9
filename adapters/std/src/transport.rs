//! A TCP socket as the drivers of the core want it.

use std::borrow::Borrow;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant as Moment};

use coracle_core::blocking::{SendFile, SendFileError, Transport};
use coracle_core::{StaticFile, Store};
use embedded_io::{ErrorKind, ErrorType, Read, Write};
use socket2::Socket;

use crate::sys;

/// From this many bytes of a file on, whole segments are worth two system calls.
const LARGE: usize = 256 * 1024;
/// As much as the kernel's send buffer takes at most (the last of `net.ipv4.tcp_wmem`, unless somebody changed it).
const LARGEST_BITE: usize = 4 * 1024 * 1024;

/// A connected TCP socket as a [`Transport`]: waiting is bounded by the socket's own time-outs, pieces that belong
/// together leave together (`MSG_MORE`), and files leave by `sendfile(2)` where [`KernelFile`] allows it.
///
/// `S` is what holds the socket: the socket itself, a reference or an [`Arc`](std::sync::Arc).
#[derive(Debug)]
pub struct TcpTransport<S> {
    socket: S,
    /// What is wanted of the next call.
    limit_ms: Option<u64>,
    /// What the socket's options say: `SO_RCVTIMEO` and `SO_SNDTIMEO`.
    read_limit_ms: Option<u64>,
    write_limit_ms: Option<u64>,
    can_sendfile: bool,
    is_corked: bool,
    /// The most that the next `sendfile` gets.
    bite: usize,
    last_error: Option<io::Error>,
    option_error: Option<io::Error>,
}

impl<S: Borrow<Socket>> TcpTransport<S> {
    /// A transport over a socket whose time-outs were not touched yet.
    pub fn new(socket: S) -> Self {
        Self::with_limits(socket, None, None)
    }

    /// A transport over a socket that has these time-outs already (inherited from its listener, say).
    pub fn with_limits(socket: S, read_limit: Option<Duration>, write_limit: Option<Duration>) -> Self {
        Self {
            socket,
            limit_ms: None,
            read_limit_ms: read_limit.map(whole_millis),
            write_limit_ms: write_limit.map(whole_millis),
            can_sendfile: true,
            is_corked: false,
            bite: LARGE,
            last_error: None,
            option_error: None,
        }
    }

    /// The socket.
    pub fn socket(&self) -> &Socket {
        self.socket.borrow()
    }

    /// Gives the socket back.
    pub fn into_inner(self) -> S {
        self.socket
    }

    /// The error of the last call that failed for another reason than time.
    pub const fn last_error(&self) -> Option<&io::Error> {
        self.last_error.as_ref()
    }

    /// The error with which the socket refused an option (a time-out, say); the connection goes on with the one that it had.
    pub const fn option_error(&self) -> Option<&io::Error> {
        self.option_error.as_ref()
    }

    fn arm_read(&mut self) {
        if needs_change(self.read_limit_ms, self.limit_ms) {
            self.read_limit_ms = self.limit_ms;
            let set = self.socket().set_read_timeout(self.limit_ms.map(Duration::from_millis));
            self.note_option(set);
        }
    }

    fn arm_write(&mut self) {
        if needs_change(self.write_limit_ms, self.limit_ms) {
            self.write_limit_ms = self.limit_ms;
            let set = self.socket().set_write_timeout(self.limit_ms.map(Duration::from_millis));
            self.note_option(set);
        }
    }

    /// Whether the end of what was written waits for more (`TCP_CORK`, tcp(7)). Without that every acknowledgement that
    /// arrives between two pages of a large body lets the last, short segment out: a third more segments on loopback, and a
    /// tenth less throughput.
    fn cork(&mut self, is_wanted: bool) {
        if self.is_corked == is_wanted {
            return;
        }
        self.is_corked = is_wanted;
        let set = sys::hold_partial_segments(self.socket(), is_wanted);
        self.note_option(set);
    }

    fn note_option(&mut self, set: io::Result<()>) {
        if let Err(error) = set {
            self.option_error = Some(error);
        }
    }

    fn fail(&mut self, error: io::Error) -> TransportError {
        let kind = error.kind();
        if !matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) {
            self.last_error = Some(error);
        }
        TransportError { kind }
    }
}

/// The kernel's own count of a time-out is finer.
pub(crate) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whether a socket's time-out `set_ms` will not do for a wait of `wanted_ms`. One that is a little short costs a turn of
/// the loop when it expires, one that is a little long is noticed a little late; a system call for each costs more.
fn needs_change(set_ms: Option<u64>, wanted_ms: Option<u64>) -> bool {
    match (set_ms, wanted_ms) {
        (None, None) => false,
        (Some(set), Some(wanted)) => set > wanted.saturating_add(wanted / 64) || set < wanted - wanted / 8,
        _ => true,
    }
}

/// What failed on a [`TcpTransport`], as the drivers see it. The operating system's own words are kept in
/// [`TcpTransport::last_error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportError {
    kind: io::ErrorKind,
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            io::ErrorKind::WouldBlock => f.write_str("the time for it was over"),
            kind => kind.fmt(f),
        }
    }
}

impl std::error::Error for TransportError {}

impl embedded_io::Error for TransportError {
    fn kind(&self) -> ErrorKind {
        match self.kind {
            // How an expired SO_RCVTIMEO or SO_SNDTIMEO is told.
            io::ErrorKind::WouldBlock => ErrorKind::TimedOut,
            // ETIMEDOUT: the peer's machine is gone. That is no deadline of ours, and trying again would not help.
            io::ErrorKind::TimedOut | io::ErrorKind::ConnectionAborted => ErrorKind::ConnectionAborted,
            io::ErrorKind::Interrupted => ErrorKind::Interrupted,
            io::ErrorKind::ConnectionReset => ErrorKind::ConnectionReset,
            io::ErrorKind::BrokenPipe => ErrorKind::BrokenPipe,
            io::ErrorKind::NotConnected => ErrorKind::NotConnected,
            _ => ErrorKind::Other,
        }
    }
}

impl<S> ErrorType for TcpTransport<S> {
    type Error = TransportError;
}

impl<S: Borrow<Socket>> Read for TcpTransport<S> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, TransportError> {
        self.cork(false);
        self.arm_read();
        sys::receive(self.socket(), buf).map_err(|error| self.fail(error))
    }
}

impl<S: Borrow<Socket>> Write for TcpTransport<S> {
    fn write(&mut self, buf: &[u8]) -> Result<usize, TransportError> {
        self.write_part(buf, false)
    }

    fn flush(&mut self) -> Result<(), TransportError> {
        Ok(())
    }
}

impl<S: Borrow<Socket>> Transport for TcpTransport<S> {
    fn limit_wait(&mut self, limit_ms: Option<u64>) -> Result<(), TransportError> {
        // Reading and writing have a time-out each, so the one that is needed is set when it is known which.
        self.limit_ms = limit_ms;
        Ok(())
    }

    fn write_part(&mut self, bytes: &[u8], more: bool) -> Result<usize, TransportError> {
        self.arm_write();
        let sent = sys::send(self.socket(), bytes, more).map_err(|error| self.fail(error))?;
        if !more && sent == bytes.len() {
            self.cork(false);
        }
        Ok(sent)
    }
}

impl<T: Store, S: Borrow<Socket>> SendFile<T> for TcpTransport<S>
where
    T::File: KernelFile,
{
    fn send_file(
        &mut self,
        _store: &mut T,
        file: &mut T::File,
        offset: u64,
        len: usize,
        more: bool,
    ) -> Option<Result<usize, SendFileError<TransportError>>> {
        let len = NonZeroUsize::new(len).filter(|_| self.can_sendfile)?;
        let start = usize::try_from(offset).ok()?;
        let file = file.kernel_file()?;
        let is_large = len.get() >= LARGE;
        if is_large {
            self.cork(true);
        }
        let bite = len.min(NonZeroUsize::new(self.bite).unwrap_or(len));
        let began = is_large.then(Moment::now);
        self.arm_write();
        match sys::send_file(self.socket(), file, start, bite) {
            Ok(sent) => {
                if let Some(began) = began {
                    self.bite = next_bite(self.bite, began.elapsed());
                }
                if !more && sent == len.get() {
                    self.cork(false);
                }
                Some(Ok(sent))
            }
            Err(error) => match error.kind() {
                // A file system that cannot: its files are read.
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => {
                    self.can_sendfile = false;
                    None
                }
                _ if sys::is_file_error(&error) => Some(Err(SendFileError::File)),
                _ => Some(Err(SendFileError::Transport(self.fail(error)))),
            },
        }
    }
}

/// How much to give the kernel at once after `bite` bytes took so long: the more the better, as long as progress is seen, and a
/// wish to stop, before a person gets impatient.
fn next_bite(bite: usize, took: Duration) -> usize {
    match took.as_millis() {
        0..=50 => bite.saturating_mul(2).min(LARGEST_BITE),
        51..=250 => bite,
        _ => (bite / 2).max(LARGE),
    }
}

/// An open file of a store, as far as the kernel can send it by itself.
pub trait KernelFile {
    /// The file for `sendfile(2)`, whose position means nothing; `None` where its bytes have to be read:
    /// because they are none of the kernel's, or since the file may be changing, and then a digest has to cover the very
    /// bytes sent.
    fn kernel_file(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl KernelFile for &StaticFile<'_> {}

#[cfg(test)]
mod tests;
