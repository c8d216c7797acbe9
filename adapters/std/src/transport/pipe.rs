//! Long files on their way through a pipe.
//!
//! `sendfile(2)` moves 64 KiB at a time, through a pipe of its own; through one of 1 MiB the same bytes take the kernel up to a
//! tenth less time. And a client that reads as fast as it can is held up by having to wake who sends, so that one looks after it by
//! the clock. `tests/bench/run --only bulk` shows the first where the client splices, and the second where it reads.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant as Moment};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio, retry_on_intr};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use socket2::Socket;

use super::MOST_PIPES;

/// From this many bytes on, a pipe is worth making.
pub(super) const LONG: usize = 1024 * 1024;
/// Bytes of the page cache in a pipe: as many as everybody may have, unless somebody changed that
/// (`/proc/sys/fs/pipe-max-size`, pipe(7)).
const PIPE_LEN: usize = 1024 * 1024;
/// How long a client that fetches fast is left alone with a full socket, at most: a part of the time in which it empties one.
const LONGEST_NAP: Duration = Duration::from_micros(250);
/// The system may let one take as much longer (`PR_SET_TIMERSLACK`, prctl(2)).
const SHORTEST_NAP: Duration = Duration::from_micros(50);
/// A socket that has room again so soon belongs to a client that fetches fast.
const BRIEF: Duration = Duration::from_micros(600);
/// Bytes of a body behind which the windows of a connection have grown. Naps before leave both sides with nothing to do.
const STEADY: usize = 128 * 1024 * 1024;
/// Bytes that a nap has to make room for.
const WORTH_A_NAP: usize = 256 * 1024;

static PIPES: AtomicUsize = AtomicUsize::new(0);

/// A pipe between a long file and its socket, which does not wait until this is closed.
#[derive(Debug)]
pub(super) struct FilePipe {
    out: OwnedFd,
    into: OwnedFd,
    /// Bytes in the pipe, and where in the file they stand.
    held: usize,
    offset: u64,
    pace: Pace,
    _place: Place,
}

/// Why nothing was sent.
#[derive(Debug)]
pub(super) enum Fault {
    /// The system does not do this, or not with this file.
    Unable,
    File,
    Socket(io::Error),
}

impl FilePipe {
    /// `None` where there is none to be had.
    pub(super) fn open(socket: &Socket) -> Option<Self> {
        let place = Place::take()?;
        let (out, into) = pipe_with(PipeFlags::CLOEXEC).ok()?;
        fcntl_setpipe_size(&into, PIPE_LEN).ok()?;
        ioctl_fionbio(socket, true).ok()?;
        Some(Self { out, into, held: 0, offset: 0, pace: Pace::new(), _place: place })
    }

    /// Lets the socket wait again, as before.
    pub(super) fn close(self, socket: &Socket) -> io::Result<()> {
        Ok(ioctl_fionbio(socket, false)?)
    }

    /// Sends up to `len` bytes of a file; 0 at its end. A socket that has no room within `limit_ms` is `WouldBlock`.
    ///
    /// After a fault the pipe has to be closed: what is in it is in the file, too.
    pub(super) fn send(
        &mut self,
        socket: &Socket,
        file: BorrowedFd<'_>,
        offset: u64,
        len: usize,
        limit_ms: Option<u64>,
    ) -> Result<usize, Fault> {
        if self.held == 0 {
            let most = len.min(PIPE_LEN);
            let fill = || splice(file, Some(&mut { offset }), &self.into, None, most, SpliceFlags::empty());
            (self.held, self.offset) = (retry_on_intr(fill).map_err(|error| fault(error, |_| Fault::File))?, offset);
        }
        if self.offset != offset || self.held > len {
            return Err(Fault::Unable);
        }
        let mut asked_first = None;
        while self.held > 0 {
            match splice(&self.out, None, socket, None, self.held, SpliceFlags::MORE) {
                Ok(sent) => {
                    self.held = self.held.saturating_sub(sent);
                    self.offset = self.offset.saturating_add(sent as u64);
                    self.pace.sent(sent);
                    return Ok(sent);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => match self.pace.nap(|| socket.send_buffer_size().unwrap_or(0)) {
                    Some(nap) => thread::sleep(nap),
                    None => self.pace.asked(wait_for_room(socket, &mut asked_first, limit_ms).map_err(Fault::Socket)?),
                },
                Err(error) => return Err(fault(error, |error| Fault::Socket(error.into()))),
            }
        }
        Ok(0)
    }
}

/// How fast a client fetches, seen from how much is sent between waits for room.
#[derive(Debug)]
struct Pace {
    is_fast: bool,
    nap: Duration,
    /// Bytes that left, and those of them that left since the last wait.
    total: usize,
    sent: usize,
    /// Whether the last wait was a nap.
    has_napped: bool,
}

impl Pace {
    const fn new() -> Self {
        Self { is_fast: false, nap: LONGEST_NAP, total: 0, sent: 0, has_napped: false }
    }

    const fn sent(&mut self, len: usize) {
        self.sent = self.sent.saturating_add(len);
        self.total = self.total.saturating_add(len);
    }

    /// How long to leave the client alone with the full socket, which has a buffer of so many bytes; `None` where the socket is
    /// to be asked.
    fn nap(&mut self, buffer_len: impl FnOnce() -> usize) -> Option<Duration> {
        let sent = std::mem::take(&mut self.sent);
        if std::mem::take(&mut self.has_napped) {
            let buffer_len = buffer_len();
            if sent < WORTH_A_NAP {
                self.is_fast = false;
            } else if sent >= buffer_len {
                // It may have found nothing any more.
                self.nap /= 2;
            } else if sent < buffer_len / 2 {
                self.nap = (self.nap * 2).min(LONGEST_NAP);
            }
        }
        self.has_napped = self.is_fast && self.total >= STEADY && self.nap >= SHORTEST_NAP;
        self.has_napped.then_some(self.nap)
    }

    /// The socket was asked, and had room after so long.
    fn asked(&mut self, waited: Duration) {
        self.is_fast = waited < BRIEF;
    }
}

/// Waits until a socket has room, but no longer than `limit_ms` since `asked_first`; how long it took.
fn wait_for_room(socket: &Socket, asked_first: &mut Option<Moment>, limit_ms: Option<u64>) -> io::Result<Duration> {
    if asked_first.is_some() {
        // It had room, and nothing left all the same: the kernel is short of something else.
        thread::sleep(SHORTEST_NAP);
    }
    let asked = Moment::now();
    let waited = asked.duration_since(*asked_first.get_or_insert(asked));
    let rest = limit_ms.map(|limit_ms| Duration::from_millis(limit_ms).saturating_sub(waited));
    // What is too long for the system is no limit.
    let rest = rest.and_then(|rest| Timespec::try_from(rest).ok());
    match poll(&mut [PollFd::new(socket, PollFlags::OUT)], rest.as_ref()) {
        Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
        Ok(_) | Err(Errno::INTR) => Ok(asked.elapsed()),
        Err(error) => Err(error.into()),
    }
}

fn fault(error: Errno, other: fn(Errno) -> Fault) -> Fault {
    match error {
        Errno::INVAL | Errno::NOSYS | Errno::PERM | Errno::OPNOTSUPP => Fault::Unable,
        error => other(error),
    }
}

/// One of [`MOST_PIPES`].
#[derive(Debug)]
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let taken =
            PIPES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < MOST_PIPES).then_some(open + 1));
        // Not `then_some`: a place that was not taken must not be given back.
        taken.is_ok().then(|| Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        PIPES.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BRIEF, LONGEST_NAP, MOST_PIPES, Pace, Place, STEADY, WORTH_A_NAP};

    const BUFFER_LEN: usize = 4 * 1024 * 1024;

    fn fast_and_steady() -> Pace {
        let mut pace = Pace::new();
        pace.sent(STEADY);
        pace.asked(Duration::ZERO);
        assert_eq!(pace.nap(|| BUFFER_LEN), Some(LONGEST_NAP));
        pace
    }

    #[test]
    fn there_are_so_many_pipes_at_once() {
        // Other tests have some, too.
        let places: Vec<_> = std::iter::from_fn(Place::take).take(2 * MOST_PIPES).collect();
        assert!((1..=MOST_PIPES).contains(&places.len()), "{}", places.len());
        drop(places);
        assert!(Place::take().is_some());
    }

    #[test]
    fn naps_are_for_clients_that_have_been_fast_for_long() {
        let mut pace = Pace::new();
        pace.asked(Duration::ZERO);
        pace.sent(STEADY - 1);
        assert_eq!(pace.nap(|| BUFFER_LEN), None);
        pace.sent(1);
        pace.asked(BRIEF);
        assert_eq!(pace.nap(|| BUFFER_LEN), None);
        pace.asked(BRIEF / 2);
        assert_eq!(pace.nap(|| BUFFER_LEN), Some(LONGEST_NAP));
    }

    #[test]
    fn who_hardly_took_anything_meanwhile_is_waited_for() {
        let mut pace = fast_and_steady();
        pace.sent(WORTH_A_NAP);
        assert_eq!(pace.nap(|| BUFFER_LEN), Some(LONGEST_NAP));
        pace.sent(WORTH_A_NAP - 1);
        assert_eq!(pace.nap(|| BUFFER_LEN), None);
        pace.asked(Duration::ZERO);
        assert_eq!(pace.nap(|| BUFFER_LEN), Some(LONGEST_NAP));
    }

    #[test]
    fn who_may_have_taken_everything_gets_shorter_naps_or_none() {
        let mut pace = fast_and_steady();
        let mut nap = |sent| {
            pace.sent(sent);
            pace.nap(|| BUFFER_LEN)
        };
        assert_eq!(nap(BUFFER_LEN), Some(LONGEST_NAP / 2));
        assert_eq!(nap(BUFFER_LEN - 1), Some(LONGEST_NAP / 2));
        assert_eq!(nap(BUFFER_LEN / 2 - 1), Some(LONGEST_NAP));
        assert_eq!(nap(BUFFER_LEN / 2 - 1), Some(LONGEST_NAP));
        for shorter in [2, 4] {
            assert_eq!(nap(BUFFER_LEN), Some(LONGEST_NAP / shorter));
        }
        assert_eq!([nap(BUFFER_LEN), nap(WORTH_A_NAP)], [None; 2]);
    }
}
