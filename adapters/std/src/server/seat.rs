//! A client's place.

use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Instant;

use socket2::Socket;

/// A client's place.
#[derive(Debug)]
pub(super) struct Seat {
    /// 1 for the first client of a server.
    pub id: u64,
    pub address: SocketAddr,
    pub socket: Socket,
    /// Clients that had a place when this one got its own, itself included.
    pub live: usize,
    pub since: Instant,
    /// A whole request has arrived, so nobody takes its place.
    has_asked: AtomicBool,
    fate: AtomicU8,
}

/// What others have done to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    None,
    /// Its place was given to a newcomer.
    Dropped,
    /// Its input was ended so that it hears that the server stops.
    Told,
    /// It was cut off.
    Cut,
}

impl Seat {
    pub(super) fn new(id: u64, address: SocketAddr, socket: Socket, live: usize) -> Self {
        Self {
            id,
            address,
            socket,
            live,
            since: Instant::now(),
            has_asked: AtomicBool::new(false),
            fate: AtomicU8::new(Fate::None as u8),
        }
    }

    /// Waits until something arrives, an end or the time-out included; whatever it is, it is there for who reads next. A
    /// thread has no buffers before that: clients that connect and rest cost little more than its stack.
    pub(super) fn wait_for_input(&self) {
        drop(self.socket.peek(&mut [MaybeUninit::uninit()]));
    }

    /// A whole request has arrived, or a piece of text.
    pub(super) fn note_asked(&self) {
        self.has_asked.store(true, Ordering::Relaxed);
    }

    pub(super) fn fate(&self) -> Fate {
        let fate = self.fate.load(Ordering::Acquire);
        [Fate::Dropped, Fate::Told, Fate::Cut].into_iter().find(|known| *known as u8 == fate).unwrap_or(Fate::None)
    }

    pub(super) fn is_silent(&self) -> bool {
        !self.has_asked.load(Ordering::Relaxed)
    }

    pub(super) fn end(&self, fate: Fate, how: Shutdown) {
        self.fate.store(fate as u8, Ordering::Release);
        // Fails where the client is gone already: then its thread does not wait for it either.
        drop(self.socket.shutdown(how));
    }
}
