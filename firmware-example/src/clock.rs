//! Time since start-up, from a free-running hardware counter.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::board::{CLOCK_HZ, Counter};

/// The timestamp of log lines, in milliseconds.
static UPTIME_MS: AtomicU32 = AtomicU32::new(0);

defmt::timestamp!("{=u32:tms}", UPTIME_MS.load(Ordering::Relaxed));

/// Extends the board's counter to 64 bits. Has to be read more often than that wraps.
pub struct Clock {
    counter: Counter,
    last: u32,
    ticks: u64,
}

impl Clock {
    pub fn new(counter: Counter) -> Self {
        let last = counter.read();
        Self { counter, last, ticks: 0 }
    }

    /// Milliseconds since start-up.
    pub fn millis(&mut self) -> u64 {
        let millis = self.ticks() / u64::from(CLOCK_HZ / 1_000);
        // The log's timestamp wraps after 49 days.
        UPTIME_MS.store((millis & u64::from(u32::MAX)) as u32, Ordering::Relaxed);
        millis
    }

    /// Ticks of [`CLOCK_HZ`] since start-up.
    pub fn ticks(&mut self) -> u64 {
        let counter = self.counter.read();
        self.ticks += u64::from(counter.wrapping_sub(self.last) & Counter::MASK);
        self.last = counter;
        self.ticks
    }
}
