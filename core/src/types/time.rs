//! Time as an argument: the core never reads a clock.

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
    pub const fn after(self, millis: u64) -> Self {
        Self { millis: self.millis.saturating_add(millis) }
    }

    /// Milliseconds from `earlier` to this time; 0 where `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.millis.saturating_sub(earlier.millis)
    }
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
