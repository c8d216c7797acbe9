//! Connections that end with an error line: closed at once, unread input would make the kernel send a reset, which can
//! destroy that line on its way. One thread reads them off, a bounded number for a bounded time, so that neither `accept`
//! nor a client's thread waits for them.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::sys;

/// Bytes that are read off at most.
const MAX_DRAINED: usize = 1 << 20;
const MAX_TIME: Duration = Duration::from_secs(2);
/// Where the end of input cannot be seen, since the server itself has ended it to wake its thread.
const BLIND_TIME: Duration = Duration::from_millis(200);
/// Past it, the connection that has been at it for longest is closed.
const MAX_SOCKETS: usize = 1024;

/// The connections that are being read off.
#[derive(Debug)]
pub(super) struct Lingering {
    state: Mutex<State>,
    reader: PipeReader,
    writer: PipeWriter,
}

#[derive(Debug, Default)]
struct State {
    arrivals: VecDeque<Leaving>,
    phase: Phase,
    /// Descriptors are needed for others.
    is_short: bool,
    /// A byte lies in the pipe.
    is_woken: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    /// Ends when nothing is left.
    Finishing,
    /// Ends at once.
    Cut,
}

#[derive(Debug)]
struct Leaving {
    socket: Socket,
    until: Instant,
    rest: usize,
    is_blind: bool,
}

impl Lingering {
    pub(super) fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self { state: Mutex::default(), reader, writer })
    }

    /// Ends the sending side of `socket` and takes it over, unless the client has closed already. `is_blind`: its
    /// receiving side was shut down.
    pub(super) fn take(&self, socket: Socket, is_blind: bool) {
        if socket.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let time = if is_blind { BLIND_TIME } else { MAX_TIME };
        let mut leaving = Leaving { socket, until: Instant::now() + time, rest: MAX_DRAINED, is_blind };
        if leaving.drain(&mut [0; 4096]) && !is_blind {
            return;
        }
        let mut state = self.state();
        state.arrivals.push_back(leaving);
        self.wake(&mut state);
    }

    /// Closes half of what it has, the oldest: there are no descriptors for newcomers.
    pub(super) fn make_room(&self) {
        let mut state = self.state();
        state.is_short = true;
        self.wake(&mut state);
    }

    /// Lets [`Lingering::run`] return when the connections that it has are closed.
    pub(super) fn finish(&self) {
        self.end(Phase::Finishing);
    }

    /// Lets [`Lingering::run`] return at once.
    pub(super) fn cut(&self) {
        self.end(Phase::Cut);
    }

    /// Reads off what it is given, until told to end.
    pub(super) fn run(&self) {
        let mut sockets: VecDeque<Leaving> = VecDeque::new();
        let mut buf = [0; 16 * 1024];
        loop {
            let (phase, is_short) = {
                let mut state = self.state();
                sockets.append(&mut state.arrivals);
                (state.phase, std::mem::take(&mut state.is_short))
            };
            if phase == Phase::Cut || (phase == Phase::Finishing && sockets.is_empty()) {
                return;
            }
            let most = if is_short { sockets.len() / 2 } else { MAX_SOCKETS };
            let surplus = sockets.len().saturating_sub(most);
            drop(sockets.drain(..surplus));
            let (is_woken, readable) = self.wait(&sockets);
            if is_woken {
                self.clear();
            }
            let now = Instant::now();
            let mut readable = readable.into_iter();
            sockets.retain_mut(|leaving| {
                if leaving.is_blind {
                    return now < leaving.until || !leaving.drain(&mut buf);
                }
                let is_readable = readable.next().unwrap_or(false);
                now < leaving.until && !(is_readable && leaving.drain(&mut buf))
            });
        }
    }

    /// Waits for input or time. Returns whether [`Lingering::wake`] was called, and for each socket that is not blind
    /// whether it can be read.
    fn wait(&self, sockets: &VecDeque<Leaving>) -> (bool, Vec<bool>) {
        let first_end = sockets.iter().map(|leaving| leaving.until).min();
        // One more millisecond than there is, or it would be polled in a loop for the rest of the last one.
        let wait = first_end.map(|end| end.saturating_duration_since(Instant::now()) + Duration::from_millis(1));
        let seeing = sockets.iter().filter(|leaving| !leaving.is_blind).map(|leaving| leaving.socket.as_fd());
        match sys::poll_readable(std::iter::once(self.reader.as_fd()).chain(seeing), wait) {
            Ok(mut readable) => (readable.remove(0), readable),
            // Interrupted, or no memory for it: the time-outs still hold.
            Err(_) => {
                std::thread::sleep(Duration::from_millis(10));
                (false, Vec::new())
            }
        }
    }

    fn end(&self, phase: Phase) {
        let mut state = self.state();
        state.phase = phase;
        self.wake(&mut state);
    }

    fn wake(&self, state: &mut State) {
        if !state.is_woken {
            state.is_woken = true;
            // Cannot fill up, and the reader lives as long as the writer.
            drop((&self.writer).write_all(&[0]));
        }
    }

    fn clear(&self) {
        let mut state = self.state();
        // Only what is there is read: one byte, told by `poll`.
        drop((&self.reader).read(&mut [0; 1]));
        state.is_woken = false;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leaving {
    /// Reads what there is, without waiting; true when there is nothing more to come or to be read.
    fn drain(&mut self, buf: &mut [u8]) -> bool {
        loop {
            match sys::receive_now(&self.socket, buf) {
                Ok(0) => return true,
                Ok(len) => match self.rest.checked_sub(len) {
                    Some(rest) => self.rest = rest,
                    None => return true,
                },
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use socket2::Socket;

    use super::{BLIND_TIME, Lingering, MAX_TIME};

    fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let peer = TcpStream::connect(listener.local_addr().expect("its address")).expect("connected");
        (listener.accept().expect("accepted").0.into(), peer)
    }

    #[test]
    fn the_last_line_arrives_though_input_was_not_read() {
        let lingering = Lingering::new().expect("a pipe");
        std::thread::scope(|scope| {
            scope.spawn(|| lingering.run());
            for (is_blind, time) in [(false, MAX_TIME), (true, BLIND_TIME)] {
                // Again where this machine takes longer than a connection is read off.
                let is_shown = (0..20).any(|_| {
                    let (mut socket, mut peer) = pair();
                    peer.write_all(&[b'x'; 100_000]).expect("sent");
                    socket.write_all(b"the last line\n").expect("sent");
                    if is_blind {
                        socket.shutdown(std::net::Shutdown::Read).expect("shut down");
                    }
                    let started = Instant::now();
                    lingering.take(socket, is_blind);
                    std::thread::sleep(Duration::from_millis(30));
                    let sent = peer.write_all(&[b'x'; 100_000]);
                    let mut got = String::new();
                    let read = peer.read_to_string(&mut got);
                    let is_in_time = started.elapsed() < time;
                    assert!(!is_in_time || sent.is_ok() && read.is_ok(), "{sent:?} {read:?}");
                    assert!(!is_in_time || got == "the last line\n", "{got:?}");
                    is_in_time
                });
                assert!(is_shown, "too slow for it");
            }
            lingering.finish();
        });
    }

    #[test]
    fn a_peer_that_stays_is_left_and_one_that_floods_too() {
        let lingering = Lingering::new().expect("a pipe");
        std::thread::scope(|scope| {
            scope.spawn(|| lingering.run());
            let started = Instant::now();
            let (socket, mut quiet) = pair();
            lingering.take(socket, false);
            let (socket, mut flooding) = pair();
            lingering.take(socket, false);
            let block = [0; 64 * 1024];
            let mut sent = 0;
            while flooding.write_all(&block).is_ok() {
                sent += block.len();
                assert!(sent < 64 << 20, "it is still read");
            }
            lingering.finish();
            assert_eq!(quiet.read(&mut [0; 1]).expect("shut down"), 0);
            while quiet.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
                assert!(started.elapsed() < Duration::from_secs(20), "it is still open");
            }
            assert!(started.elapsed() > Duration::from_millis(1500), "it was closed too early");
        });
    }

    #[test]
    fn cutting_waits_for_nobody() {
        let is_cut_at_once = || {
            let lingering = Lingering::new().expect("a pipe");
            let started = Instant::now();
            std::thread::scope(|scope| {
                scope.spawn(|| lingering.run());
                let (socket, _peer) = pair();
                lingering.take(socket, false);
                lingering.cut();
            });
            started.elapsed() < MAX_TIME
        };
        // A busy machine may take that long, too, but not every time.
        assert!((0..10).any(|_| is_cut_at_once()));
    }
}
