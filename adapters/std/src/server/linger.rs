//! Lingering close: connections that end with an error line while the client may still send.
//!
//! Closed at once, unread input would make the kernel send a reset, which can destroy the line on its way. One thread
//! reads such connections off, a bounded number for a bounded time, so that neither acceptors nor workers wait for them.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::sys::{self, AsFd, WakeReader, WakeWriter};

/// Bytes that are read off at most.
const MAX_DRAINED: usize = 1 << 20;
const MAX_TIME: Duration = Duration::from_secs(2);
/// Where the end of input cannot be seen, since the server has shut it down to wake its thread.
const MAX_BLIND_TIME: Duration = Duration::from_millis(200);
/// With more sockets, the oldest are closed.
const MAX_SOCKETS: usize = 1024;

/// The sockets that are read off.
#[derive(Debug)]
pub(super) struct LingeringSockets {
    state: Mutex<State>,
    reader: WakeReader,
    writer: WakeWriter,
}

#[derive(Debug, Default)]
struct State {
    arrivals: VecDeque<LingeringSocket>,
    phase: Phase,
    /// Descriptors are needed for new clients.
    is_short: bool,
    /// There is a byte in the pipe.
    is_woken: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Running,
    /// Ends when no socket is left.
    Finishing,
    /// Ends at once.
    Aborting,
}

#[derive(Debug)]
struct LingeringSocket {
    socket: Socket,
    until: Instant,
    /// Bytes that may still be read off.
    rest: usize,
    /// Its input may have been shut down, so that it looks as if it had always ended.
    is_blind: bool,
}

impl LingeringSockets {
    pub(super) fn new() -> io::Result<Self> {
        let (reader, writer) = sys::wake_pipe()?;
        Ok(Self { state: Mutex::default(), reader, writer })
    }

    /// Shuts down the sending side of `socket`, and keeps the socket unless the client has closed already. `is_blind`:
    /// the receiving side may have been shut down.
    pub(super) fn add(&self, socket: Socket, is_blind: bool) {
        if socket.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let time = if is_blind { MAX_BLIND_TIME } else { MAX_TIME };
        let mut socket = LingeringSocket { socket, until: Instant::now() + time, rest: MAX_DRAINED, is_blind };
        if socket.drain(&mut [0; 4096]) && !is_blind {
            return;
        }
        let mut state = self.state();
        state.arrivals.push_back(socket);
        self.wake(&mut state);
    }

    /// Closes the older half of the sockets: there are no descriptors for new clients.
    pub(super) fn make_room(&self) {
        let mut state = self.state();
        state.is_short = true;
        self.wake(&mut state);
    }

    /// Lets [`LingeringSockets::run`] return when all sockets are closed.
    pub(super) fn finish(&self) {
        self.enter(Phase::Finishing);
    }

    /// Lets [`LingeringSockets::run`] return at once.
    pub(super) fn abort(&self) {
        self.enter(Phase::Aborting);
    }

    /// Reads off the sockets that are added, until told to end.
    pub(super) fn run(&self) {
        let mut sockets: VecDeque<LingeringSocket> = VecDeque::new();
        let mut buf = [0; 16 * 1024];
        loop {
            let (phase, is_short) = {
                let mut state = self.state();
                sockets.append(&mut state.arrivals);
                (state.phase, std::mem::take(&mut state.is_short))
            };
            if phase == Phase::Aborting || (phase == Phase::Finishing && sockets.is_empty()) {
                return;
            }
            let max = if is_short { sockets.len() / 2 } else { MAX_SOCKETS };
            let surplus = sockets.len().saturating_sub(max);
            drop(sockets.drain(..surplus));
            let (is_woken, readable) = self.wait(&sockets);
            if is_woken {
                self.clear();
            }
            let now = Instant::now();
            let mut readable = readable.into_iter();
            sockets.retain_mut(|socket| {
                if socket.is_blind {
                    let is_over = now >= socket.until;
                    if is_over {
                        socket.drain(&mut buf);
                    }
                    return !is_over;
                }
                let is_readable = readable.next().unwrap_or(false);
                now < socket.until && !(is_readable && socket.drain(&mut buf))
            });
        }
    }

    /// Waits for input or time. Returns whether [`LingeringSockets::wake`] was called, and for each socket that is not
    /// blind whether it can be read.
    fn wait(&self, sockets: &VecDeque<LingeringSocket>) -> (bool, Vec<bool>) {
        let first_end = sockets.iter().map(|socket| socket.until).min();
        // One more millisecond than is left, or it would be polled in a loop for the rest of the last one.
        let wait = first_end.map(|end| end.saturating_duration_since(Instant::now()) + Duration::from_millis(1));
        let seeing = sockets.iter().filter(|socket| !socket.is_blind).map(|socket| socket.socket.as_fd());
        match sys::poll_readable(std::iter::once(self.reader.as_fd()).chain(seeing), wait) {
            Ok(mut readable) => (readable.remove(0), readable),
            // Interrupted, or no memory for it: the time-outs still hold.
            Err(_) => {
                std::thread::sleep(Duration::from_millis(10));
                (false, Vec::new())
            }
        }
    }

    fn enter(&self, phase: Phase) {
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
        // One byte is there, as `poll` has said.
        drop((&self.reader).read(&mut [0; 1]));
        state.is_woken = false;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LingeringSocket {
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

    use super::{LingeringSockets, MAX_BLIND_TIME, MAX_TIME};

    fn connection() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let peer = TcpStream::connect(listener.local_addr().expect("its address")).expect("connected");
        (listener.accept().expect("accepted").0.into(), peer)
    }

    #[test]
    fn the_last_line_arrives_though_input_was_not_read() {
        let lingering = LingeringSockets::new().expect("a pipe");
        std::thread::scope(|scope| {
            scope.spawn(|| lingering.run());
            for (is_blind, time) in [(false, MAX_TIME), (true, MAX_BLIND_TIME)] {
                // Again where this machine takes longer than a connection is read off.
                let is_shown = (0..20).any(|_| {
                    let (mut socket, mut peer) = connection();
                    peer.write_all(&[b'x'; 100_000]).expect("sent");
                    socket.write_all(b"the last line\n").expect("sent");
                    if is_blind {
                        socket.shutdown(std::net::Shutdown::Read).expect("shut down");
                    }
                    let started = Instant::now();
                    lingering.add(socket, is_blind);
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
    fn a_quiet_client_and_a_flooding_one_are_closed() {
        let lingering = LingeringSockets::new().expect("a pipe");
        std::thread::scope(|scope| {
            scope.spawn(|| lingering.run());
            let started = Instant::now();
            let (socket, mut quiet) = connection();
            lingering.add(socket, false);
            let (socket, mut flooding) = connection();
            lingering.add(socket, false);
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
    fn aborting_waits_for_no_client() {
        // Again where this machine is too slow for it.
        let is_shown = (0..20).any(|_| {
            let lingering = LingeringSockets::new().expect("a pipe");
            let started = Instant::now();
            std::thread::scope(|scope| {
                scope.spawn(|| lingering.run());
                let (socket, _peer) = connection();
                lingering.add(socket, false);
                lingering.abort();
            });
            started.elapsed() < MAX_TIME
        });
        assert!(is_shown);
    }
}
