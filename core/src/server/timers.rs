//! The timers of a server session: a table with one moment for each name.

use crate::types::time::Instant;
use crate::types::timer::Timer;

/// Later than any deadline.
const NEVER: Instant = Instant::from_millis(u64::MAX);

/// When each [`Timer`] expires, for those that are running.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timers([Instant; ALL.len()]);

const ALL: &[Timer] = &[
    Timer::Idle,
    Timer::Request,
    Timer::Stall,
    Timer::Rate,
    Timer::Heartbeat,
    #[cfg(feature = "classic")]
    Timer::Hold,
];

impl Timers {
    /// No timer is running.
    pub(super) const fn new() -> Self {
        Self([NEVER; ALL.len()])
    }

    /// Starts `timer`, or moves it. It expires `after_ms` milliseconds after `from`; with 0 it never does.
    pub(super) fn start(&mut self, timer: Timer, from: Instant, after_ms: u32) {
        self.set(timer, if after_ms > 0 { from.after(after_ms.into()) } else { NEVER });
    }

    /// Lets `timer` expire at `at`.
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        for (name, expiry) in ALL.iter().zip(&mut self.0) {
            if *name == timer {
                *expiry = at;
            }
        }
    }

    pub(super) fn stop_all(&mut self) {
        *self = Self::new();
    }

    /// The timer that expires first.
    pub(super) fn next(&self) -> Option<(Instant, Timer)> {
        let running = self.0.iter().copied().zip(ALL.iter().copied()).filter(|(at, _)| *at < NEVER);
        running.min_by_key(|(at, _)| *at)
    }
}
