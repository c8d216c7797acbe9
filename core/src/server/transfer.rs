//! How much of a body or a line was moved, and the timers that watch it.

use super::session::Session;
use super::state::State;
use crate::types::time::Timer;
use crate::wire::decimal::div_rem;

/// Where the stall timer is off, the minimum rate is enforced after this time.
const RATE_START_MS: u32 = 30_000;

impl Session<'_> {
    /// Records that `len` more bytes of a body were sent or stored.
    #[cfg_attr(feature = "write", inline(never))]
    pub(super) fn advance(&mut self, len: usize) {
        self.moved(len);
        self.position = self.position_after(len);
        self.last.body_len = self.last.body_len.wrapping_add(wide(len));
    }

    /// Records that `len` bytes of the response were sent.
    #[inline(never)]
    pub(super) fn moved(&mut self, len: usize) {
        self.answer_len = self.answer_len.wrapping_add(wide(len));
        self.start_send_timers();
    }

    /// Restarts the stall timer, and the rate timer by the number of bytes sent so far.
    pub(super) fn start_send_timers(&mut self) {
        let config = self.context.config;
        #[cfg(any(feature = "write", feature = "wait"))]
        {
            self.quiet_since = self.now;
        }
        self.timers.start(Timer::Stall, self.now, config.stall_ms);
        if config.min_rate > 0 {
            let (earned_ms, _) = div_rem(self.answer_len.min(u64::MAX / 1000) * 1000, config.min_rate);
            let start_ms = if config.stall_ms == 0 { RATE_START_MS } else { config.stall_ms };
            self.timers.start(Timer::Rate, self.answer_began.after(earned_ms), start_ms);
        }
    }

    /// The position behind the next `len` bytes.
    pub(super) fn position_after(&self, len: usize) -> u64 {
        self.position.wrapping_add(wide(len))
    }

    /// The maximum length of the next action, in bytes: never beyond the end, so that sums with the position and the counts
    /// cannot wrap.
    #[inline(never)]
    pub(super) fn span(&self) -> usize {
        let end = if self.state == State::Hash { self.hash_end() } else { self.context.end };
        self.up_to(end, self.context.config.span())
    }

    /// The number of bytes up to `end`, but not more than `most`.
    #[cfg_attr(feature = "write", inline(never))]
    pub(super) fn up_to(&self, end: u64, most: u32) -> usize {
        let rest = end.saturating_sub(self.position).min(u64::from(most));
        usize::try_from(rest).unwrap_or(usize::MAX)
    }
}

/// Lengths of slices fit in 64 bits on every target.
fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
