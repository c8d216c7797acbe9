//! A client's place.

use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use socket2::Socket;

use super::observer::Peer;

/// A client's place.
///
/// The socket and when it is waited for lie in one line of the processor's cache: with many clients each line that an answer
/// needs has to be fetched again (`tests/bench/run --only "kept 64"`).
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Seat {
    pub peer: Peer,
    pub socket: Socket,
    pub since: Instant,
    /// A whole request has arrived, so nobody takes its place.
    has_asked: AtomicBool,
    fate: AtomicU8,
    /// When it has waited for input for as long as it may ([`coarse_ms`](crate::clock::coarse_ms)), where that is watched.
    waits_until_ms: AtomicU64,
}

/// Later than any wait ends.
const NEVER: u64 = u64::MAX;

/// What others have done to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    None,
    /// Its place was given to a newcomer.
    Dropped,
    /// Its input was ended so that it hears that the server stops.
    Told,
    /// Its input was ended since it had waited for it for as long as it may.
    Overdue,
    /// It was cut off.
    Cut,
}

impl Seat {
    pub(super) fn new(peer: Peer, socket: Socket) -> Self {
        Self {
            peer,
            socket,
            since: Instant::now(),
            has_asked: AtomicBool::new(false),
            fate: AtomicU8::new(Fate::None as u8),
            waits_until_ms: AtomicU64::new(NEVER),
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
        [Fate::Dropped, Fate::Told, Fate::Overdue, Fate::Cut]
            .into_iter()
            .find(|known| *known as u8 == fate)
            .unwrap_or(Fate::None)
    }

    /// From now on it waits for input, which [`Seat::end_wait`] ends.
    pub(super) fn wait_until(&self, until_ms: u64) {
        self.waits_until_ms.store(until_ms, Ordering::Relaxed);
    }

    pub(super) fn wait_no_longer(&self) {
        self.waits_until_ms.store(NEVER, Ordering::Relaxed);
    }

    /// Ends its wait, if that has taken as long as it may; otherwise returns when it will have.
    pub(super) fn end_wait(&self, now_ms: u64) -> u64 {
        let until_ms = self.waits_until_ms.load(Ordering::Relaxed);
        if until_ms > now_ms {
            return until_ms;
        }
        self.wait_no_longer();
        self.end(Fate::Overdue, Shutdown::Read);
        NEVER
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
