//! A client's transport, and how long it is waited for.
//!
//! A time-out of the socket's makes the kernel set a timer before each wait and take it back after, nearly always for nothing.
//! So the long waits of a client that stays are watched by one thread for all ([`watch`]), which shows where small files are
//! asked for over kept connections (`tests/bench/run --only kept`); the socket's own time-out is for short ones.

use std::io;

use coracle_core::Store;
use coracle_core::blocking::{SendFile, SendFileError, Transport};
use embedded_io::{ErrorType, Read, Write};
use socket2::Socket;

use super::hall::Hall;
use super::schedule::Turns;
use super::seat::{Fate, Seat};
use crate::clock::coarse_ms;
use crate::transport::{KernelFile, TcpTransport, TransportError};

/// Waits of at least this many milliseconds are watched.
const LONG_MS: u64 = 5_000;
/// Who waits this often for input is worth the system call that takes the inherited time-out from its socket.
const FEW_WAITS: u32 = 2;
/// How much later than it should a wait may end, in milliseconds.
const PAUSE_MS: u64 = 500;

/// The transport of the client in a seat.
pub(super) struct Patient<'v> {
    transport: TcpTransport<&'v Socket>,
    seat: &'v Seat,
    hall: &'v Hall,
    turns: Turns,
    limit_ms: Option<u64>,
    waits: u32,
}

impl<'v> Patient<'v> {
    /// `seat`'s transport; its socket has these time-outs, in milliseconds.
    pub(super) fn new(hall: &'v Hall, seat: &'v Seat, read_limit_ms: Option<u64>, write_limit_ms: Option<u64>) -> Self {
        let transport = TcpTransport::with_limits(&seat.socket, read_limit_ms, write_limit_ms);
        Self { transport, seat, hall, turns: Turns::new(), limit_ms: None, waits: 0 }
    }

    pub(super) const fn last_error(&self) -> Option<&io::Error> {
        self.transport.last_error()
    }

    pub(super) const fn option_error(&self) -> Option<&io::Error> {
        self.transport.option_error()
    }

    fn limit(&mut self, limit_ms: Option<u64>) -> Result<(), TransportError> {
        self.transport.limit_wait(limit_ms)
    }

    /// Reads while somebody else looks at the clock.
    #[inline(always)] // as `Transport` advises
    fn read_watched(&mut self, buf: &mut [u8], limit_ms: u64) -> Result<usize, TransportError> {
        let now_ms = coarse_ms();
        let until_ms = now_ms.saturating_add(limit_ms);
        self.seat.wait_until(until_ms);
        self.turns.before_wait(&self.seat.socket, self.hall, now_ms);
        let read = self.transport.read(buf);
        self.seat.wait_no_longer();
        match read {
            // Where something came in the last moment, the end of input that follows it is just that.
            Ok(0) if self.seat.fate() == Fate::Overdue && coarse_ms() >= until_ms => Err(TransportError::timed_out()),
            read => read,
        }
    }
}

impl ErrorType for Patient<'_> {
    type Error = TransportError;
}

impl Read for Patient<'_> {
    #[inline(always)] // as `Transport` advises
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, TransportError> {
        self.waits = self.waits.saturating_add(1);
        match self.limit_ms {
            Some(limit_ms) if limit_ms >= LONG_MS && self.waits > FEW_WAITS => {
                self.limit(None)?;
                self.read_watched(buf, limit_ms)
            }
            limit_ms => {
                self.limit(limit_ms)?;
                self.transport.read(buf)
            }
        }
    }
}

impl Write for Patient<'_> {
    fn write(&mut self, buf: &[u8]) -> Result<usize, TransportError> {
        self.write_part(buf, false)
    }

    fn flush(&mut self) -> Result<(), TransportError> {
        self.transport.flush()
    }
}

impl Transport for Patient<'_> {
    fn limit_wait(&mut self, limit_ms: Option<u64>) -> Result<(), TransportError> {
        self.limit_ms = limit_ms;
        Ok(())
    }

    #[inline(always)] // as `Transport` advises
    fn write_part(&mut self, bytes: &[u8], more: bool) -> Result<usize, TransportError> {
        self.limit(self.limit_ms)?;
        self.transport.write_part(bytes, more)
    }
}

impl<S: Store<File: KernelFile>> SendFile<S> for Patient<'_> {
    fn send_file(
        &mut self,
        store: &mut S,
        file: &mut S::File,
        offset: u64,
        len: usize,
        more: bool,
    ) -> Option<Result<usize, SendFileError<TransportError>>> {
        if let Err(error) = self.limit(self.limit_ms) {
            return Some(Err(SendFileError::Transport(error)));
        }
        self.transport.send_file(store, file, offset, len, more)
    }
}

/// Ends the waits that have taken as long as they may, until the server is being stopped: then nobody waits for long.
pub(super) fn watch(hall: &Hall) {
    // No wait that begins meanwhile ends before the next look.
    let mut pause_ms = LONG_MS;
    while let Some(next_ms) = hall.end_waits(pause_ms) {
        pause_ms = next_ms.saturating_sub(coarse_ms()).clamp(PAUSE_MS, LONG_MS);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use coracle_core::blocking::Transport;
    use embedded_io::{Error as _, ErrorKind, Read as _};

    use super::super::hall::Hall;
    use super::super::limits::Limits;
    use super::super::observer::Peer;
    use super::super::seat::{Fate, Seat};
    use super::{FEW_WAITS, LONG_MS, Patient};
    use crate::clock::coarse_ms;

    fn seat() -> (Hall, Seat, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let peer = TcpStream::connect(listener.local_addr().expect("its address")).expect("connected");
        let (socket, address) = listener.accept().expect("accepted");
        let seat = Seat::new(Peer::new(1, address, "test".into()), socket.into());
        (Hall::new(&Limits::default()), seat, peer)
    }

    #[test]
    fn who_stays_has_no_timer_of_its_own_for_long_waits() {
        let (hall, seat, mut peer) = seat();
        let mut transport = Patient::new(&hall, &seat, None, None);
        let limit = || seat.socket.read_timeout().expect("an option");
        let long = Some(Duration::from_millis(LONG_MS));
        let mut read = |limit_ms| {
            peer.write_all(b"x").expect("sent");
            transport.limit_wait(Some(limit_ms)).expect("a limit");
            assert_eq!(transport.read(&mut [0; 8]), Ok(1));
        };
        for _ in 0..FEW_WAITS {
            read(LONG_MS);
            assert_eq!(limit(), long);
        }
        read(LONG_MS);
        assert_eq!(limit(), None);
        read(LONG_MS - 1000);
        assert_eq!(limit(), long.map(|long| long - Duration::from_secs(1)));
        read(LONG_MS);
        assert_eq!(limit(), None);
    }

    #[test]
    fn a_wait_that_is_ended_is_over_only_when_it_is_time() {
        // To the end of its time, and from outside before that: as where an answer came between the two.
        for (limit_ms, looked_at_ms, expected) in [(1, 0, Err(ErrorKind::TimedOut)), (LONG_MS, LONG_MS, Ok(0))] {
            let (hall, seat, _peer) = seat();
            let mut transport = Patient::new(&hall, &seat, None, None);
            let read = std::thread::scope(|scope| {
                let reading = scope.spawn(|| transport.read_watched(&mut [0; 8], limit_ms));
                while !reading.is_finished() {
                    std::thread::sleep(Duration::from_millis(20));
                    seat.end_wait(coarse_ms() + looked_at_ms);
                }
                reading.join().expect("no panic")
            });
            assert_eq!(read.map_err(|error| error.kind()), expected);
            assert_eq!(seat.end_wait(u64::MAX - 1), u64::MAX, "nobody waits any more");
        }
    }

    #[test]
    fn a_wait_goes_on_until_its_time_is_over() {
        let (hall, seat, mut peer) = seat();
        let mut transport = Patient::new(&hall, &seat, None, None);
        let now_ms = coarse_ms();
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| transport.read_watched(&mut [0; 8], 60_000));
            let until_ms = loop {
                match seat.end_wait(now_ms) {
                    u64::MAX => std::thread::yield_now(),
                    until_ms => break until_ms,
                }
            };
            assert!((now_ms + 60_000..now_ms + 90_000).contains(&until_ms), "{now_ms} {until_ms}");
            peer.write_all(b"x").expect("sent");
            assert_eq!(reading.join().expect("no panic"), Ok(1));
        });
        // While it is answered, which may take longer than it could wait.
        assert_eq!((seat.end_wait(u64::MAX - 1), seat.fate()), (u64::MAX, Fate::None));
    }
}
