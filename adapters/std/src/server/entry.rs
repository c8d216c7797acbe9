//! Record of one connection in the registry, shared by what serves it and those that may close it.

use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use portable_atomic::AtomicU64;
use socket2::Socket;

use super::wake_list::WakeList;

/// An admitted connection.
#[derive(Debug)]
pub(super) struct ConnectionEntry {
    /// 1 for the first connection of a server.
    pub id: u64,
    pub address: SocketAddr,
    pub socket: Socket,
    pub admitted: Instant,
    /// Connections when this one was admitted, itself included.
    pub live: usize,
    /// A whole request has arrived, so the connection is not evicted.
    is_active: AtomicBool,
    /// A proxy has made it for itself, to see whether the server is there.
    is_proxy: AtomicBool,
    /// The client has made the handshake of an encrypted connection, or comes without.
    is_introduced: AtomicBool,
    forced_close: AtomicU8,
    /// The client is sending a body, which a server that stops lets it finish.
    is_sending: Mutex<bool>,
    /// Its place is needed for another client.
    is_displaced: AtomicBool,
    /// Came when all places were taken: the one that has waited longest for a file gives way when it has made a request.
    pub is_spare: AtomicBool,
    /// Number of the wait for a file that its request has begun; 0: none.
    wait: AtomicU64,
    /// Where it waits for a file to change, without a thread.
    waiting: Mutex<Option<Arc<WakeList>>>,
}

/// Why another thread closed a connection, or its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ForcedClose {
    /// In favour of a new client.
    Evicted = 1,
    /// The server stops: only the input was shut down, to wake the thread that waits for it.
    Stopping,
    /// The server stops at once.
    Aborted,
}

impl ConnectionEntry {
    pub(super) fn new(id: u64, address: SocketAddr, socket: Socket, live: usize) -> Self {
        let [is_active, is_proxy, is_introduced, is_displaced, is_spare] = [false; 5].map(AtomicBool::new);
        Self {
            id,
            address,
            socket,
            admitted: Instant::now(),
            live,
            is_active,
            is_proxy,
            is_introduced,
            forced_close: AtomicU8::new(0),
            is_sending: Mutex::new(false),
            is_displaced,
            is_spare,
            wait: AtomicU64::new(0),
            waiting: Mutex::new(None),
        }
    }

    /// Waits for input, its end or the time-out, and leaves it to the next read. A thread has no buffers before that, so
    /// clients that connect and send nothing cost little more than its stack.
    pub(super) fn wait_for_input(&self) {
        drop(self.socket.peek(&mut [MaybeUninit::uninit()]));
    }

    /// A whole request has arrived, or a piece of text.
    pub(super) fn mark_active(&self) {
        self.is_active.store(true, Ordering::Relaxed);
    }

    /// The client has made the handshake, or begun without one.
    #[cfg(feature = "channel")]
    pub(super) fn mark_introduced(&self) {
        self.is_introduced.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_introduced(&self) -> bool {
        self.is_introduced.load(Ordering::Relaxed)
    }

    /// A proxy has made the connection for itself.
    pub(super) fn mark_proxy(&self) {
        self.is_proxy.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_proxy(&self) -> bool {
        self.is_proxy.load(Ordering::Relaxed)
    }

    pub(super) fn is_active(&self) -> bool {
        self.is_active.load(Ordering::Relaxed)
    }

    pub(super) fn forced_close(&self) -> Option<ForcedClose> {
        let value = self.forced_close.load(Ordering::Acquire);
        [ForcedClose::Evicted, ForcedClose::Stopping, ForcedClose::Aborted].into_iter().find(|why| *why as u8 == value)
    }

    /// Closes the connection from another thread than the one that serves it.
    pub(super) fn force_close(&self, why: ForcedClose) {
        self.forced_close.store(why as u8, Ordering::Release);
        // Held, so that no body begins meanwhile.
        let is_sending = self.is_sending();
        // Fails where the client is gone already: then its thread does not wait for it either.
        match why {
            ForcedClose::Stopping if *is_sending => {}
            ForcedClose::Stopping => drop(self.socket.shutdown(Shutdown::Read)),
            ForcedClose::Evicted | ForcedClose::Aborted => drop(self.socket.shutdown(Shutdown::Both)),
        }
        drop(is_sending);
        self.wake();
    }

    /// The client has begun to send a body, or has sent it.
    pub(super) fn set_sending(&self, is_sending: bool) {
        *self.is_sending() = is_sending;
    }

    /// Sets the number of the wait that its request has begun.
    pub(super) fn set_wait(&self, number: u64) {
        self.wait.store(number, Ordering::Release);
    }

    pub(super) fn wait(&self) -> u64 {
        self.wait.load(Ordering::Acquire)
    }

    /// It waits for a file from now on, or no longer (`None`): it is added to this list when something else is wanted of it.
    pub(super) fn set_waiting(&self, list: Option<Arc<WakeList>>) {
        *self.waiting() = list;
    }

    /// Whether it waits for a file, without a thread.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting().is_some()
    }

    /// Asks for the place of a connection that waits for a file.
    pub(super) fn displace(&self) {
        self.is_displaced.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn is_displaced(&self) -> bool {
        self.is_displaced.load(Ordering::Acquire)
    }

    fn wake(&self) {
        if let Some(list) = &*self.waiting() {
            list.add(self.id);
        }
    }

    fn is_sending(&self) -> MutexGuard<'_, bool> {
        self.is_sending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Arc<WakeList>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
