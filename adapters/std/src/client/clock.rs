//! The clock of a server.

use std::time::Instant;

/// The time at a server, as its answer to a hello told.
#[derive(Clone, Copy, Debug)]
pub struct ServerClock {
    secs: u64,
    told: Instant,
}

impl ServerClock {
    /// The clock that told `secs` since 1970 just now.
    #[must_use]
    pub fn new(secs: u64) -> Self {
        Self { secs, told: Instant::now() }
    }

    /// The time there in seconds since 1970, or some time before: never later than it is.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.secs.saturating_add(self.told.elapsed().as_secs())
    }

    /// Whether a file that was last modified at `modified` would have got another time, had it been modified again since then.
    /// Times of files may be no finer than two seconds.
    #[must_use]
    pub fn is_settled(&self, modified: u64) -> bool {
        modified.saturating_add(2) < self.now()
    }
}

#[cfg(test)]
mod tests {
    use super::ServerClock;

    #[test]
    fn files_settle_after_two_seconds() {
        let clock = ServerClock::new(1_000);
        assert!(clock.is_settled(997) && clock.is_settled(0));
        assert!(!clock.is_settled(1_000) && !clock.is_settled(2_000) && !clock.is_settled(u64::MAX));
        assert!(clock.now() >= 1_000);
    }
}
