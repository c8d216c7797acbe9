//! The clock of a server.

/// The time at a server when it was asked.
#[derive(Clone, Copy, Debug)]
pub struct ServerClock {
    secs: u64,
}

impl ServerClock {
    /// The clock that told `secs` since 1970.
    #[must_use]
    pub const fn new(secs: u64) -> Self {
        Self { secs }
    }

    /// A file that was last modified at this time or before would have got another time, had it been modified again after the
    /// server was asked. Times of files may be no finer than two seconds.
    #[must_use]
    pub const fn settled(&self) -> u64 {
        self.secs.saturating_sub(3)
    }
}

#[cfg(test)]
mod tests {
    use super::ServerClock;

    #[test]
    fn files_settle_after_two_seconds() {
        assert_eq!(ServerClock::new(1_000).settled(), 997);
        assert_eq!(ServerClock::new(1).settled(), 0);
    }
}
