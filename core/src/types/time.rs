//! Time as an argument, since the core never reads a clock, and the names of the timers.

/// A point in time, in milliseconds since a start that the caller chooses (power-up, for example).
///
/// Every session is given times of one clock that does not run backwards. A time before the last one that was given counts
/// as that last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Instant {
    millis: u64,
}

impl Instant {
    /// The time `millis` milliseconds after the clock's start.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self { millis }
    }

    /// Milliseconds since the clock's start.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.millis
    }

    /// The time `millis` milliseconds later; the last representable one where that would overflow.
    #[must_use]
    #[cfg_attr(feature = "write", inline(never))]
    pub const fn after(self, millis: u64) -> Self {
        Self { millis: self.millis.saturating_add(millis) }
    }

    /// Milliseconds from `earlier` to this time; 0 where `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.millis.saturating_sub(earlier.millis)
    }
}

/// A timer of a session, and what happens when it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Timer {
    /// Runs between exchanges: closes the connection.
    Idle,
    /// Runs inside a request: sends the error `timeout`. Later bytes of the same request do not restart it.
    Request,
    /// Runs while bytes of a response are sent or awaited: closes the connection. Every byte transferred restarts it.
    Stall,
    /// Runs while a response is sent and a minimum rate is set: resets a connection that is slower.
    Rate,
    /// Runs while a `get` waits for its file to change: answers it as the file is.
    #[cfg(feature = "wait")]
    Wait,
    /// Runs while a digest is computed, a file is put, or a `get` waits: sends a heartbeat.
    Heartbeat,
    /// Runs while another connection has the same upload: asks the store again.
    #[cfg(feature = "write")]
    Retry,
    /// Runs while bytes are held that may become the selected file's name: handles them as text.
    #[cfg(feature = "classic")]
    Hold,
}

#[cfg(test)]
mod tests {
    use super::Instant;

    #[test]
    fn saturates_at_both_ends() {
        let late = Instant::from_millis(u64::MAX);
        assert_eq!(late.after(1), late);
        assert_eq!(Instant::default().since(late), 0);
        assert_eq!(late.since(Instant::from_millis(1)), u64::MAX - 1);
        assert_eq!(Instant::from_millis(5).as_millis(), 5);
    }
}
