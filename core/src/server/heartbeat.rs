//! Heartbeats: spaces that tell a client that the server still works, or waits.

use super::session::Session;
#[cfg(any(feature = "write", feature = "wait"))]
use super::state::State;
#[cfg(any(feature = "write", feature = "wait"))]
use super::timers::{HEARTBEAT_MS, NEVER};
#[cfg(any(feature = "write", feature = "wait"))]
use crate::types::time::{Instant, Timer};
use crate::wire::line_kind::LineKind;

impl Session<'_> {
    /// Starts the timers of a state with heartbeats, which go on where the one before had them.
    #[cfg(any(feature = "write", feature = "wait"))]
    pub(super) fn keep_heartbeat(&mut self, heartbeat: Instant) {
        if heartbeat < NEVER {
            self.timers.set(Timer::Heartbeat, heartbeat);
        } else if self.state.is_computing() {
            self.timers.start(Timer::Heartbeat, self.now, HEARTBEAT_MS);
        }
        #[cfg(feature = "write")]
        self.start_write_timers();
        #[cfg(feature = "wait")]
        if self.state == State::Watch && !self.watch.awaits_store {
            self.timers.set(Timer::Wait, self.watch.until);
        }
    }

    /// Sends a heartbeat when due.
    pub(super) fn send_heartbeat_when_due(&mut self, buf: &mut [u8]) {
        #[cfg(not(any(feature = "write", feature = "wait")))]
        let is_due = self.timers.next().is_some_and(|(when, _)| when <= self.now);
        #[cfg(any(feature = "write", feature = "wait"))]
        let is_due = self.timers.expiry(Timer::Heartbeat) <= self.now;
        if self.state.is_computing() && is_due {
            #[cfg(feature = "write")]
            if self.state == State::ReceiveBody {
                return self.write(buf, LineKind::Heartbeat, self.state);
            }
            self.answer_began = self.now;
            self.write(buf, LineKind::Heartbeat, self.state);
        }
    }
}
