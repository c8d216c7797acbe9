//! Waits for the clients of a listening socket that other processes have, too.
//!
//! It cannot be shut down to wake the threads that wait, since it would end for all. One thread at a time waits for the
//! socket or a pipe, the others for their turn, so that one client wakes one thread.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use socket2::{SockAddr, Socket};

use crate::sys::{self, AsFd, WakeReader, WakeWriter};

#[derive(Debug)]
pub(super) struct SharedAccept {
    turn: Mutex<()>,
    reader: WakeReader,
    /// Dropped when no more clients are accepted.
    writer: Mutex<Option<WakeWriter>>,
    timeout: Duration,
}

impl SharedAccept {
    /// `timeout`: how long a thread waits for a client.
    pub(super) fn new(timeout: Duration) -> io::Result<Self> {
        let (reader, writer) = sys::wake_pipe()?;
        Ok(Self { turn: Mutex::new(()), reader, writer: Mutex::new(Some(writer)), timeout })
    }

    /// Waits for a client of `socket`, which does not block. The error is that of a time-out when it is closed.
    pub(super) fn accept(&self, socket: &Socket) -> io::Result<(Socket, SockAddr)> {
        let until = Instant::now() + self.timeout;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match sys::poll_readable([socket.as_fd(), self.reader.as_fd()].into_iter(), Some(left))?.as_slice() {
                [true, false] => match socket.accept() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    accepted => return accepted,
                },
                _ => return Err(sys::timed_out()),
            }
        }
    }

    /// Wakes all threads that wait, now and later.
    pub(super) fn close(&self) {
        *self.writer.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
