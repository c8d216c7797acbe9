//! Heartbeats: spaces that tell a client that the server still works, or waits.

use super::session::Session;
use super::state::State;
use super::timers::HEARTBEAT_MS;
use crate::types::time::Timer;
use crate::wire::line_kind::LineKind;

impl Session<'_> {
    /// Starts the timers of `state`, which has heartbeats.
    #[cfg_attr(not(feature = "wait"), expect(unused_variables, reason = "only a wait has one of its own"))]
    pub(super) fn start_computing_timers(&mut self, state: State) {
        // What comes and goes, such as a look at the file, delays no heartbeat.
        #[cfg(any(feature = "write", feature = "wait"))]
        let from = self.quiet_since;
        #[cfg(not(any(feature = "write", feature = "wait")))]
        let from = self.now;
        self.timers.start(Timer::Heartbeat, from, HEARTBEAT_MS);
        #[cfg(feature = "write")]
        self.start_write_timers();
        #[cfg(feature = "wait")]
        if state == State::Watch {
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
