//! The timers of a server session: a table of expiry times, indexed by [`Timer`].

use crate::types::time::{Instant, Timer};

/// The time between two heartbeats.
pub(super) const HEARTBEAT_MS: u32 = 10_000;
/// Later than any deadline.
pub(super) const NEVER: Instant = Instant::from_millis(u64::MAX);

/// When each running [`Timer`] expires.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timers([Instant; ALL.len()]);

/// In the order of their declaration, since their discriminants index the table.
const ALL: &[Timer] = &[
    Timer::Idle,
    Timer::Request,
    Timer::Stall,
    Timer::Rate,
    #[cfg(feature = "wait")]
    Timer::Wait,
    Timer::Heartbeat,
    #[cfg(feature = "write")]
    Timer::Retry,
    #[cfg(feature = "classic")]
    Timer::Hold,
];

impl Timers {
    /// No timer is running.
    pub(super) const fn new() -> Self {
        Self([NEVER; ALL.len()])
    }

    /// Starts `timer`, to expire `after_ms` milliseconds after `from`; stops it where `after_ms` is 0.
    #[inline(never)]
    pub(super) fn start(&mut self, timer: Timer, from: Instant, after_ms: u32) {
        let at = if after_ms > 0 { from.after(after_ms.into()) } else { NEVER };
        if let Some(expiry) = self.0.get_mut(timer as usize) {
            *expiry = at;
        }
    }

    /// When `timer` expires; [`NEVER`] where it is not running.
    #[cfg(any(feature = "write", feature = "wait"))]
    pub(super) fn expiry(&self, timer: Timer) -> Instant {
        self.0.get(timer as usize).copied().unwrap_or(NEVER)
    }

    /// Sets when `timer` expires.
    #[cfg(any(feature = "write", feature = "wait"))]
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        if let Some(expiry) = self.0.get_mut(timer as usize) {
            *expiry = at;
        }
    }

    pub(super) fn stop_all(&mut self) {
        *self = Self::new();
    }

    /// The timer that expires next.
    #[inline(never)]
    pub(super) fn next(&self) -> Option<(Instant, Timer)> {
        let mut first = (NEVER, None);
        for (expiry, timer) in self.0.iter().zip(ALL) {
            if *expiry < first.0 {
                first = (*expiry, Some(*timer));
            }
        }
        first.1.map(|timer| (first.0, timer))
    }
}
