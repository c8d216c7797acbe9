//! A TCP socket as a transport of the core's blocking drivers.

use std::borrow::Borrow;
use std::fmt;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::thread::sleep;
use std::time::{Duration, Instant};

use coracle_core::blocking::{SendFile, SendFileError, Transport};
use coracle_core::{StaticFile, Store};
use embedded_io::{ErrorKind, ErrorType, Read, Write};
use socket2::Socket;

use crate::rate_limit::RateLimit;
use crate::sys;

/// Bodies of at least so many bytes leave in whole segments, which takes two system calls.
const MIN_LARGE: usize = 256 * 1024;
/// What the first `sendfile` of a connection is given: a file of the usual size leaves by one call, and a slow peer, of which nothing
/// is known yet, is sent less from the second on.
const FIRST_SENDFILE: usize = 1024 * 1024;
/// As much as the kernel's send buffer takes at most, unless `net.ipv4.tcp_wmem` was changed.
const MAX_SENDFILE: usize = 4 * 1024 * 1024;

/// A connected TCP socket as a [`Transport`]: waits are bounded by the socket's own time-outs, pieces that belong
/// together leave together (`MSG_MORE`), and files leave by `sendfile(2)` where [`KernelFile`] allows it (feature `kernel-send`,
/// on Linux).
///
/// Writing raises no `SIGPIPE`; on macOS the socket's option `SO_NOSIGPIPE` sees to that, which the standard library and socket2
/// set. `sendfile(2)` has nothing against it: where the program does not ignore the signal, as those of Rust do from their start,
/// the thread has to block it. A [`Server`](crate::Server) does so in its own threads.
///
/// `S` is what holds the socket: the socket itself, a reference or an [`Arc`](std::sync::Arc).
#[derive(Debug)]
pub struct TcpTransport<S> {
    socket: S,
    /// Limit of the next call.
    limit_ms: Option<u64>,
    /// The socket's options `SO_RCVTIMEO` and `SO_SNDTIMEO`.
    read_timeout_ms: Option<u64>,
    write_timeout_ms: Option<u64>,
    can_sendfile: bool,
    is_corked: bool,
    /// The most that the next `sendfile` is given.
    sendfile_len: usize,
    /// Limits of what is sent, all of which hold.
    send_limits: Vec<RateLimit>,
    last_error: Option<io::Error>,
    option_error: Option<io::Error>,
}

impl<S: Borrow<Socket>> TcpTransport<S> {
    /// A transport over a socket that has no time-outs.
    pub const fn new(socket: S) -> Self {
        Self {
            socket,
            limit_ms: None,
            read_timeout_ms: None,
            write_timeout_ms: None,
            can_sendfile: true,
            is_corked: false,
            sendfile_len: FIRST_SENDFILE,
            send_limits: Vec::new(),
            last_error: None,
            option_error: None,
        }
    }

    /// Says which time-outs the socket has already, inherited from its listener for example.
    #[must_use]
    pub fn with_timeouts(self, read: Option<Duration>, write: Option<Duration>) -> Self {
        Self { read_timeout_ms: read.map(whole_millis), write_timeout_ms: write.map(whole_millis), ..self }
    }

    /// Adds a limit of what is sent, which other connections may share. Waits for it after sending.
    #[must_use]
    pub fn with_send_limit(mut self, limit: RateLimit) -> Self {
        self.send_limits.push(limit);
        self
    }

    /// The most that is sent at once.
    fn piece(&self) -> usize {
        self.send_limits.iter().map(RateLimit::piece).min().unwrap_or(usize::MAX)
    }

    /// Waits until more than the `len` bytes that were sent may be.
    fn keep_to_limits(&self, len: usize) {
        if let Some(pause) = self.send_limits.iter().map(|limit| limit.take(len)).max() {
            sleep(pause);
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

    /// Error of the last call that failed for another reason than time.
    pub const fn last_error(&self) -> Option<&io::Error> {
        self.last_error.as_ref()
    }

    /// Error with which the socket refused an option, a time-out for example; the connection continues with the old one.
    pub const fn option_error(&self) -> Option<&io::Error> {
        self.option_error.as_ref()
    }

    fn set_read_timeout(&mut self) {
        if needs_change(self.read_timeout_ms, self.limit_ms) {
            self.read_timeout_ms = self.limit_ms;
            let set = self.socket().set_read_timeout(self.limit_ms.map(Duration::from_millis));
            self.note_option(set);
        }
    }

    fn set_write_timeout(&mut self) {
        if needs_change(self.write_timeout_ms, self.limit_ms) {
            self.write_timeout_ms = self.limit_ms;
            let set = self.socket().set_write_timeout(self.limit_ms.map(Duration::from_millis));
            self.note_option(set);
        }
    }

    /// Sets whether the end of what was written waits for more. Without that, every acknowledgement that arrives between
    /// two pages of a large body lets the last, short segment out: a third more segments on loopback, and a tenth less
    /// throughput.
    fn cork(&mut self, is_corked: bool) {
        if self.is_corked != is_corked {
            self.is_corked = is_corked;
            let set = sys::hold_partial_segments(self.socket(), is_corked);
            self.note_option(set);
        }
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

/// Milliseconds of a duration; the kernel's own count of a time-out is finer.
pub(crate) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whether a socket's time-out `set_ms` will not do for a wait of `wanted_ms`. One that is a little short costs a turn of
/// the driver's loop when it expires, one that is a little long is noticed a little late; a system call for each costs
/// more.
fn needs_change(set_ms: Option<u64>, wanted_ms: Option<u64>) -> bool {
    match (set_ms, wanted_ms) {
        (None, None) => false,
        (Some(set), Some(wanted)) => set > wanted.saturating_add(wanted / 64) || set < wanted - wanted / 8,
        _ => true,
    }
}

/// Error of a [`TcpTransport`] as the drivers see it. [`TcpTransport::last_error`] has the operating system's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportError {
    kind: io::ErrorKind,
}

impl TransportError {
    pub(crate) const fn new(kind: io::ErrorKind) -> Self {
        Self { kind }
    }
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
            // How an expired SO_RCVTIMEO or SO_SNDTIMEO is reported.
            io::ErrorKind::WouldBlock => ErrorKind::TimedOut,
            // ETIMEDOUT: the peer's machine is gone. That is no deadline of the session, and trying again would not help.
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
        self.set_read_timeout();
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
        // Reading and writing have a time-out each; the one that is needed is set by the next call.
        self.limit_ms = limit_ms;
        Ok(())
    }

    fn read_ready(&mut self, buf: &mut [u8]) -> Result<Option<usize>, TransportError> {
        match sys::receive_now(self.socket(), buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            received => received.map(Some).map_err(|error| self.fail(error)),
        }
    }

    fn write_part(&mut self, bytes: &[u8], more: bool) -> Result<usize, TransportError> {
        self.set_write_timeout();
        let piece = bytes.get(..self.piece()).unwrap_or(bytes);
        let sent =
            sys::send(self.socket(), piece, more || piece.len() < bytes.len()).map_err(|error| self.fail(error))?;
        if !more && sent == bytes.len() {
            self.cork(false);
        }
        self.keep_to_limits(sent);
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
        // Pieces that have to wait for their turn are not held back beyond that.
        let is_large = len.get() >= MIN_LARGE && self.send_limits.is_empty();
        if is_large {
            self.cork(true);
        }
        let most = self.sendfile_len.min(self.piece());
        let sendfile_len = len.min(NonZeroUsize::new(most).unwrap_or(len));
        let began = is_large.then(Instant::now);
        self.set_write_timeout();
        match sys::send_file(self.socket(), file, start, sendfile_len) {
            Ok(sent) => {
                if let Some(began) = began {
                    self.sendfile_len = next_sendfile_len(self.sendfile_len, began.elapsed());
                }
                if !more && sent == len.get() {
                    self.cork(false);
                }
                self.keep_to_limits(sent);
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

/// How much the next `sendfile` is given after `len` bytes took so long: as much as possible, as long as progress, and a
/// request to stop, are noticed within some 250 ms.
fn next_sendfile_len(len: usize, took: Duration) -> usize {
    match took.as_millis() {
        0..=50 => len.saturating_mul(2).min(MAX_SENDFILE),
        51..=250 => len,
        _ => (len / 2).max(MIN_LARGE),
    }
}

/// An open file of a store, as far as the kernel can send it by itself.
pub trait KernelFile {
    /// The file for `sendfile(2)`, whose position means nothing; `None` where its bytes have to be read: because it is
    /// none of the kernel's, or because it may be changing, and a digest has to cover the very bytes that are sent.
    fn kernel_file(&self) -> Option<&File> {
        None
    }

    /// The file to watch for clients that wait until it changes, whether or not its bytes have to be read; `None`: it is looked at
    /// once a second.
    fn followed_file(&self) -> Option<&File> {
        None
    }
}

impl KernelFile for &StaticFile<'_> {}

#[cfg(test)]
mod tests;
