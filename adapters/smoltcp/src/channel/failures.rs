//! How often handshakes failed, by address.

use coracle_core::Instant;
use smoltcp::wire::IpAddress;

/// So many failed handshakes in [`WINDOW_MS`] block an address.
const LIMIT: u8 = 5;
const WINDOW_MS: u64 = 60_000;
/// For how long.
const BLOCK_MS: u64 = 10_000;
/// How many addresses are remembered; beyond that the one is forgotten that has failed longest ago.
const ADDRESSES: usize = 8;

/// The addresses whose handshakes failed lately.
pub(super) struct Failures([Entry; ADDRESSES]);

/// An `Option` whose `None` is all zero bytes, so that a server in a static takes no flash.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Entry {
    None,
    Some(Address),
}

#[derive(Clone, Copy)]
struct Address {
    address: IpAddress,
    /// The first and the last failure that count.
    since: Instant,
    last: Instant,
    count: u8,
}

impl Failures {
    pub(super) const fn new() -> Self {
        Self([Entry::None; ADDRESSES])
    }

    /// Whether connections of this address are aborted.
    pub(super) fn is_blocked(&self, address: IpAddress, now: Instant) -> bool {
        self.0.iter().any(|entry| {
            matches!(entry, Entry::Some(known) if known.address == address
                && known.count >= LIMIT && now.since(known.last) < BLOCK_MS)
        })
    }

    /// Counts a failure.
    pub(super) fn count(&mut self, address: IpAddress, now: Instant) {
        let place = self.0.iter().position(|entry| entry.is_of(address)).or_else(|| {
            let ages = self.0.iter().enumerate().map(|(index, entry)| (entry.last(), index));
            ages.min().map(|(_, index)| index)
        });
        let Some(entry) = place.and_then(|index| self.0.get_mut(index)) else { return };
        let (since, count) = match entry {
            // A block that is over has been paid for.
            Entry::Some(known)
                if known.address == address && now.since(known.since) < WINDOW_MS && known.count < LIMIT =>
            {
                (known.since, known.count.saturating_add(1))
            }
            _ => (now, 1),
        };
        *entry = Entry::Some(Address { address, since, last: now, count });
    }

    /// Forgets the failures of an address.
    pub(super) fn clear(&mut self, address: IpAddress) {
        for entry in self.0.iter_mut().filter(|entry| entry.is_of(address)) {
            *entry = Entry::None;
        }
    }
}

impl Entry {
    fn is_of(&self, address: IpAddress) -> bool {
        matches!(self, Self::Some(known) if known.address == address)
    }

    /// When it failed last; `None`, which is before every time, where it is free.
    fn last(&self) -> Option<Instant> {
        match self {
            Self::None => None,
            Self::Some(known) => Some(known.last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddress = IpAddress::v4(10, 0, 0, 2);

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn e7_the_fifth_failure_within_a_minute_blocks_for_10_s() {
        let mut failures = Failures::new();
        for second in 0..4 {
            failures.count(A, at(second * 1_000));
            assert!(!failures.is_blocked(A, at(second * 1_000)));
        }
        failures.count(A, at(4_000));
        assert!(failures.is_blocked(A, at(4_000)) && failures.is_blocked(A, at(13_999)));
        assert!(!failures.is_blocked(A, at(14_000)));
        assert!(!failures.is_blocked(IpAddress::v4(10, 0, 0, 3), at(4_000)));
        // It has five more.
        failures.count(A, at(14_000));
        assert!(!failures.is_blocked(A, at(14_000)));
    }

    #[test]
    fn e7_failures_that_are_rare_or_followed_by_a_success_do_not_block() {
        let mut failures = Failures::new();
        for minute in 0..10 {
            failures.count(A, at(minute * 60_000));
            assert!(!failures.is_blocked(A, at(minute * 60_000)));
        }
        for _ in 0..4 {
            failures.count(A, at(600_000));
        }
        failures.clear(A);
        failures.count(A, at(600_000));
        assert!(!failures.is_blocked(A, at(600_000)));
    }

    #[test]
    fn e7_a_crowd_of_addresses_takes_no_more_memory() {
        let mut failures = Failures::new();
        for _ in 0..5 {
            failures.count(A, at(1_000));
        }
        for last in 3..=9 {
            failures.count(IpAddress::v4(10, 0, 0, last), at(2_000));
        }
        assert!(failures.is_blocked(A, at(2_000)), "there was room");
        failures.count(IpAddress::v4(10, 0, 0, 10), at(2_000));
        assert!(!failures.is_blocked(A, at(2_000)), "the oldest is forgotten");
    }
}
