//! Counts the failed handshakes of each address, and bars those with too many for a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::address_limits::limit_key;

/// So many failures of one address within [`WINDOW`] bar it.
const MAX_FAILURES: u32 = 5;
const WINDOW: Duration = Duration::from_secs(60);
/// For how long.
const BAR: Duration = Duration::from_secs(10);
/// Addresses that are counted at a time. With more, those whose window began first are forgotten: an attacker with so many addresses
/// is not kept off by counting them.
const MAX_ADDRESSES: usize = 16 * 1024;

/// Failed handshakes by address.
#[derive(Debug, Default)]
pub(super) struct HandshakeLimits(Mutex<HashMap<IpAddr, Failures>>);

#[derive(Clone, Copy, Debug)]
struct Failures {
    since: Instant,
    count: u32,
    barred_until: Option<Instant>,
}

impl HandshakeLimits {
    /// Whether clients of `address` are to be turned away at `now`.
    pub(super) fn is_barred(&self, address: IpAddr, now: Instant) -> bool {
        let failures = self.failures();
        !failures.is_empty()
            && failures.get(&limit_key(address)).is_some_and(|one| one.barred_until.is_some_and(|until| now < until))
    }

    /// Counts a failure of `address`; true where that bars it.
    pub(super) fn failed(&self, address: IpAddr, now: Instant) -> bool {
        let mut failures = self.failures();
        if failures.len() >= MAX_ADDRESSES {
            forget_half(&mut failures, now);
        }
        let one = failures.entry(limit_key(address)).or_insert(Failures { since: now, count: 0, barred_until: None });
        if now.saturating_duration_since(one.since) >= WINDOW {
            *one = Failures { since: now, count: 0, barred_until: None };
        }
        one.count += 1;
        let is_over = one.count >= MAX_FAILURES;
        if is_over {
            *one = Failures { since: now, count: 0, barred_until: Some(now + BAR) };
        }
        is_over
    }

    /// Forgets the failures of `address`, which has completed a handshake.
    pub(super) fn completed(&self, address: IpAddr) {
        let mut failures = self.failures();
        if !failures.is_empty() {
            failures.remove(&limit_key(address));
        }
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<IpAddr, Failures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the addresses whose time is over, and of the others the older half.
fn forget_half(failures: &mut HashMap<IpAddr, Failures>, now: Instant) {
    failures.retain(|_, one| now.saturating_duration_since(one.since) < WINDOW);
    if failures.len() >= MAX_ADDRESSES {
        let mut times: Vec<Instant> = failures.values().map(|one| one.since).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        failures.retain(|_, one| one.since > median);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::{Duration, Instant};

    use super::{BAR, HandshakeLimits, MAX_ADDRESSES, MAX_FAILURES, WINDOW};

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn e7_an_address_with_too_many_failures_is_barred_for_a_while() {
        let limits = HandshakeLimits::default();
        let now = Instant::now();
        for _ in 1..MAX_FAILURES {
            assert!(!limits.failed(ADDRESS, now) && !limits.is_barred(ADDRESS, now));
        }
        assert!(limits.failed(ADDRESS, now) && limits.is_barred(ADDRESS, now) && !limits.is_barred(OTHER, now));
        assert!(limits.is_barred(ADDRESS, now + BAR - Duration::from_millis(1)));
        assert!(!limits.is_barred(ADDRESS, now + BAR));
    }

    #[test]
    fn failures_are_forgotten_in_time_and_by_a_handshake() {
        let limits = HandshakeLimits::default();
        let mut now = Instant::now();
        for _ in 0..10 * MAX_FAILURES {
            assert!(!limits.failed(ADDRESS, now));
            now += WINDOW / (MAX_FAILURES - 2);
        }
        for _ in 0..10 {
            for _ in 1..MAX_FAILURES {
                assert!(!limits.failed(OTHER, now));
            }
            limits.completed(OTHER);
        }
    }

    #[test]
    fn e7_many_addresses_take_bounded_memory() {
        let limits = HandshakeLimits::default();
        let now = Instant::now();
        for address in 0..3 * u32::try_from(MAX_ADDRESSES).expect("few") {
            limits.failed(IpAddr::V4(Ipv4Addr::from(address)), now);
            assert!(limits.failures().len() <= MAX_ADDRESSES);
        }
    }
}
