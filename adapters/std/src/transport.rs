//! A TCP socket as the drivers of the core want it.

use std::borrow::Borrow;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant as Moment};

use coracle_core::drive::{SendFile, SendFileError, Transport};
use coracle_core::{StaticFile, Store};
use embedded_io::{ErrorKind, ErrorType, Read, Write};
use rustix::net::{RecvFlags, SendFlags};
use socket2::Socket;

use crate::store;

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
    pub const fn new(socket: S) -> Self {
        Self::with_limits(socket, None, None)
    }

    /// A transport over a socket that has these time-outs already, in milliseconds (inherited from its listener, say).
    pub const fn with_limits(socket: S, read_limit_ms: Option<u64>, write_limit_ms: Option<u64>) -> Self {
        Self {
            socket,
            limit_ms: None,
            read_limit_ms,
            write_limit_ms,
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
        #[cfg(target_os = "linux")]
        {
            let set = self.socket().set_tcp_cork(is_wanted);
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

impl TransportError {
    /// The time for it was over.
    pub(crate) const fn timed_out() -> Self {
        Self { kind: io::ErrorKind::WouldBlock }
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
            #[cfg(planted)]
            io::ErrorKind::WouldBlock if coracle_core::planted("K5") => ErrorKind::Other,
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
    #[inline(always)] // as `Transport` advises
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, TransportError> {
        self.cork(false);
        self.arm_read();
        let received = rustix::net::recv(self.socket.borrow(), buf, RecvFlags::empty());
        received.map(|(len, _)| len).map_err(|error| self.fail(error.into()))
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

    #[inline(always)] // as `Transport` advises
    fn write_part(&mut self, bytes: &[u8], more: bool) -> Result<usize, TransportError> {
        self.arm_write();
        let flags = if more { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
        let sent = rustix::net::send(self.socket.borrow(), bytes, flags).map_err(|error| self.fail(error.into()))?;
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
        match self.socket().sendfile(&file, start, Some(bite)) {
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
                _ if is_of_the_file(&error) => Some(Err(SendFileError::File)),
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

/// Whether an error of `sendfile` tells of the file rather than of the socket.
fn is_of_the_file(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::IO | Errno::STALE | Errno::ISDIR | Errno::OVERFLOW | Errno::NOMEM | Errno::BADF)
    )
}

/// An open file of a store, as far as the kernel can send it by itself.
pub trait KernelFile {
    /// The file for `sendfile(2)`, whose position means nothing; `None` where its bytes have to be read: because they are
    /// none of the kernel's, or since the file may be changing, and then a digest has to cover the very bytes sent.
    fn kernel_file(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl KernelFile for &StaticFile<'_> {}

impl KernelFile for store::File {
    fn kernel_file(&self) -> Option<BorrowedFd<'_>> {
        self.as_std().filter(|_| self.is_settled()).map(AsFd::as_fd)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::time::{Duration, Instant};

    use coracle_core::StaticStore;
    use coracle_core::drive::{SendFile, SendFileError, Transport};
    use embedded_io::{Error as _, ErrorKind, Read as _};
    use socket2::Socket;

    use super::{KernelFile, LARGE, LARGEST_BITE, TcpTransport, needs_change, next_bite};

    struct Disk(std::fs::File);

    impl KernelFile for Disk {
        fn kernel_file(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
            Some(self.0.as_fd())
        }
    }

    /// Nothing but the type of file counts.
    struct DiskStore;

    impl coracle_core::Store for DiskStore {
        type File = Disk;
        type Listing = ();

        fn open(&mut self, _: coracle_core::FileName<'_>) -> Result<Disk, coracle_core::StoreError> {
            Err(coracle_core::StoreError::NotFound)
        }
        fn info(&mut self, _: &Disk) -> Result<coracle_core::FileInfo, coracle_core::StoreError> {
            Err(coracle_core::StoreError::Io)
        }
        fn read(&mut self, _: &mut Disk, _: u64, _: &mut [u8]) -> Result<usize, coracle_core::StoreError> {
            Err(coracle_core::StoreError::Io)
        }
        fn list(&mut self, _: Option<coracle_core::FileName<'_>>) -> Result<(), coracle_core::StoreError> {
            Err(coracle_core::StoreError::NotFound)
        }
        fn next<'a>(&mut self, _: &'a mut ()) -> Result<coracle_core::Listed<'a>, coracle_core::StoreError> {
            Err(coracle_core::StoreError::Io)
        }
    }

    fn pair() -> (TcpTransport<Socket>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let peer = TcpStream::connect(listener.local_addr().expect("its address")).expect("connected");
        let (socket, _) = listener.accept().expect("accepted");
        (TcpTransport::new(socket.into()), peer)
    }

    #[test]
    fn k5_an_expired_wait_is_timed_out() {
        let (mut transport, _peer) = pair();
        transport.limit_wait(Some(40)).expect("a limit");
        let started = Instant::now();
        let error = transport.read(&mut [0; 8]).expect_err("nothing was sent");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(started.elapsed() >= Duration::from_millis(35), "{:?}", started.elapsed());
        assert!(transport.last_error().is_none());

        let block = vec![0; 1 << 20];
        let error = loop {
            match transport.write_part(&block, true) {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn the_end_of_input_is_no_error_and_a_reset_is() {
        let (mut transport, peer) = pair();
        drop(peer);
        assert_eq!(transport.read(&mut [0; 8]), Ok(0));

        let (mut transport, peer) = pair();
        Socket::from(peer).set_linger(Some(Duration::ZERO)).expect("an option");
        let error = transport.read(&mut [0; 8]).expect_err("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(transport.last_error().is_some());
    }

    #[test]
    fn sends_files_from_any_offset_and_says_whose_fault_it_is() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"0123456789").expect("written");
        let mut file = Disk(file);
        let (mut transport, mut peer) = pair();
        assert_eq!(transport.send_file(&mut DiskStore, &mut file, 4, 3, false), Some(Ok(3)));
        assert_eq!(transport.send_file(&mut DiskStore, &mut file, 9, 64, false), Some(Ok(1)));
        assert_eq!(transport.send_file(&mut DiskStore, &mut file, 10, 64, false), Some(Ok(0)));
        let mut directory = Disk(std::fs::File::open("/").expect("the root"));
        let refused = transport.send_file(&mut DiskStore, &mut directory, 0, 1, false);
        assert!(matches!(refused, None | Some(Err(SendFileError::File))), "{refused:?}");
        drop(transport);
        let mut got = Vec::new();
        peer.read_to_end(&mut got).expect("read");
        assert_eq!(got, b"4569");

        let mut slice = &coracle_core::StaticFile::new("a", "1", b"a");
        let (mut transport, _peer) = pair();
        assert_eq!(transport.send_file(&mut StaticStore::new(&[]), &mut slice, 0, 1, false), None);
    }

    /// The end of a large body, and what is written behind it, leave at once.
    #[test]
    #[cfg(target_os = "linux")]
    fn large_bodies_leave_in_whole_segments() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&vec![7; LARGE + 1]).expect("written");
        let mut file = Disk(file);
        for (len, more, corked) in [(LARGE - 1, true, false), (LARGE, true, true), (LARGE, false, false)] {
            let (mut transport, mut peer) = pair();
            let is_corked = |transport: &TcpTransport<Socket>| transport.socket().tcp_cork().expect("an option");
            let reader = std::thread::spawn(move || {
                peer.set_nodelay(true).expect("an option");
                peer.read_exact(&mut vec![0; len]).expect("all of it");
                peer
            });
            let mut rest = len;
            while rest > 0 {
                let sent = transport.send_file(&mut DiskStore, &mut file, (len - rest) as u64, rest, more);
                rest -= sent.expect("possible").expect("sent");
                assert!(rest > 0 || is_corked(&transport) == corked);
            }
            let last_word = b"the end";
            if corked {
                assert_eq!(transport.write_part(&last_word[..3], true), Ok(3));
                assert!(is_corked(&transport));
                assert_eq!(transport.write_part(&last_word[3..], false), Ok(4));
                assert!(!is_corked(&transport));
            }
            let mut peer = reader.join().expect("no panic");
            if corked {
                let mut got = [0; 7];
                peer.read_exact(&mut got).expect("the rest");
                assert_eq!(&got, last_word);
            }
            // Whoever reads has nothing more to say, whatever it has left open.
            transport.cork(true);
            drop(peer);
            assert_eq!(transport.read(&mut [0; 8]), Ok(0));
            assert!(!is_corked(&transport));
        }
    }

    #[test]
    fn slow_peers_get_smaller_bites() {
        let millis = Duration::from_millis;
        assert_eq!(next_bite(LARGE, millis(50)), 2 * LARGE);
        assert_eq!(next_bite(LARGEST_BITE, millis(0)), LARGEST_BITE);
        assert_eq!(next_bite(LARGEST_BITE, millis(51)), LARGEST_BITE);
        assert_eq!(next_bite(LARGEST_BITE, millis(251)), LARGEST_BITE / 2);
        assert_eq!(next_bite(LARGE, millis(100_000)), LARGE);
    }

    #[test]
    fn a_limit_that_is_near_enough_stays() {
        assert!(!needs_change(Some(60_000), Some(59_999)));
        assert!(!needs_change(Some(55_000), Some(60_000)));
        assert!(needs_change(Some(60_000), Some(10_000)));
        assert!(needs_change(Some(10_000), Some(60_000)));
        assert!(needs_change(Some(2), Some(1)));
        assert!(needs_change(None, Some(1)) && needs_change(Some(1), None) && !needs_change(None, None));
    }
}
