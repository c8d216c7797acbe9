//! Waits for the clients of a listening socket that cannot be shut down to wake the threads that wait: other processes have it, too,
//! or the system has no such call.
//!
//! One thread at a time waits for the socket or a pipe, the others for their turn, so that one client wakes one thread.

use std::io;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use socket2::{SockAddr, Socket};

use crate::sys::{self, AsFd, WakeReader, WakeWriter};

#[derive(Debug)]
pub(super) struct SharedAccept {
    /// Does not block. Dropped when no more clients are accepted, however long others keep this: nothing listens then.
    socket: RwLock<Option<Socket>>,
    turn: Mutex<()>,
    reader: WakeReader,
    /// Dropped when no more clients are accepted.
    writer: Mutex<Option<WakeWriter>>,
    timeout: Duration,
}

impl SharedAccept {
    /// `timeout`: how long a thread waits for a client.
    pub(super) fn new(socket: Socket, timeout: Duration) -> io::Result<Self> {
        // Another process, or thread, may take the client that made it readable.
        socket.set_nonblocking(true)?;
        let (reader, writer) = sys::wake_pipe()?;
        let (socket, writer) = (RwLock::new(Some(socket)), Mutex::new(Some(writer)));
        Ok(Self { socket, turn: Mutex::new(()), reader, writer, timeout })
    }

    /// Waits for a client. The error is that of a time-out when it is closed.
    pub(super) fn accept(&self) -> io::Result<(Socket, SockAddr)> {
        let until = Instant::now() + self.timeout;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = self.socket();
        let Some(socket) = &*socket else { return Err(sys::timed_out()) };
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

    /// Whether a client waits to be accepted.
    pub(super) fn has_pending(&self) -> bool {
        self.socket().as_ref().is_some_and(sys::is_readable)
    }

    /// Wakes all threads that wait, now and later, and closes the socket of this process.
    pub(super) fn close(&self) {
        *self.writer.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // The thread whose turn it is gives it up, since it was woken.
        *self.socket.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn socket(&self) -> RwLockReadGuard<'_, Option<Socket>> {
        self.socket.read().unwrap_or_else(PoisonError::into_inner)
    }
}
