//! The machine has no watchdog: the interrupt of the ticks sees when the main loop hangs.

use core::sync::atomic::{AtomicU32, Ordering};

use super::{CLOCK_HZ, counter};

/// How long one round of the main loop may take.
const TIMEOUT_S: u32 = 5;

/// Where the counter was when the watchdog was fed.
static FED: AtomicU32 = AtomicU32::new(0);
/// 1 once there is a watchdog.
static IS_STARTED: AtomicU32 = AtomicU32::new(0);

/// What calls [`is_late`].
pub struct Ticks;

pub struct Watchdog(());

impl Watchdog {
    /// Starts the countdown.
    pub fn start(_: Ticks) -> Self {
        let mut this = Self(());
        this.feed();
        IS_STARTED.store(1, Ordering::Relaxed);
        this
    }

    /// Restarts the countdown.
    pub fn feed(&mut self) {
        FED.store(counter(), Ordering::Relaxed);
    }
}

/// Whether the main loop has stood still for too long. To be asked more often than the counter wraps.
pub fn is_late() -> bool {
    let since = counter().wrapping_sub(FED.load(Ordering::Relaxed));
    IS_STARTED.load(Ordering::Relaxed) == 1 && since > TIMEOUT_S * CLOCK_HZ
}
