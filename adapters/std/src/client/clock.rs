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

    /// A file that was last modified at this time or before would have got another time, had it been modified again since then.
    /// Times of files may be no finer than two seconds.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.now().saturating_sub(3)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::ServerClock;

    #[test]
    fn files_settle_after_two_seconds() {
        let clock = ServerClock::new(1_000);
        assert!((1_000..1_100).contains(&clock.now()));
        assert!((997..1_097).contains(&clock.settled()));
        assert_eq!(ServerClock { secs: 1, told: Instant::now() }.settled(), 0);
    }
}
