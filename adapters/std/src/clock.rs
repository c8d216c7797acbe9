//! The clock by which time-outs and the like are counted.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Milliseconds since a start of the kernel's choice.
pub(crate) fn coarse_ms() -> u64 {
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC_COARSE;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;
    // No kernel that the program runs on is without it.
    clock_gettime(CLOCK).map_or(0, |time| whole_millis(Duration::from(time)))
}

/// As the transport counts them; the kernel's own count of a time-out is finer.
pub(crate) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
