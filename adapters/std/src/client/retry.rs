//! How often to try again, and how long to wait before.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// The pause after a try that made progress; after one that made none it is this times [`GROWTH`], and so on.
const SHORTEST: Duration = Duration::from_millis(100);
const GROWTH: u32 = 3;
const LONGEST: Duration = Duration::from_secs(30);

/// Tries without progress, counted.
#[derive(Clone, Copy, Debug)]
pub struct Tries {
    retries: u32,
    fruitless: u32,
}

impl Tries {
    /// After `retries` retries that brought nothing it is over; with 0 there are none.
    #[must_use]
    pub const fn new(retries: u32) -> Self {
        Self { retries, fruitless: 0 }
    }

    /// A try failed, after it `progressed` or not: how long to wait before the next one, or `None` to give up.
    pub fn failed(&mut self, progressed: bool) -> Option<Duration> {
        self.fruitless = if progressed { 0 } else { self.fruitless.saturating_add(1) };
        (self.retries > 0 && self.fruitless <= self.retries).then(|| jittered(pause(self.fruitless)))
    }
}

/// How long to wait before the file is fetched again that has changed `times` times while it was fetched: it may well be
/// being written.
pub fn pause_for_change(times: u32) -> Duration {
    jittered(pause(times))
}

fn pause(fruitless: u32) -> Duration {
    SHORTEST.saturating_mul(GROWTH.saturating_pow(fruitless)).min(LONGEST)
}

/// Between half of `pause` and all of it, so that clients that were cut off together do not come back together.
fn jittered(pause: Duration) -> Duration {
    // The standard library's one source of randomness: the keys of its hash maps.
    let random = RandomState::new().build_hasher().finish() % 1024;
    pause / 2 + pause * u32::try_from(random).unwrap_or(0) / 2048
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, SHORTEST, Tries, jittered, pause};

    #[test]
    fn m15_gives_up_only_without_progress() {
        let mut tries = Tries::new(3);
        for _ in 0..100 {
            assert!(tries.failed(true).is_some());
        }
        assert!(tries.failed(false).is_some() && tries.failed(false).is_some() && tries.failed(true).is_some());
        assert!((0..3).all(|_| tries.failed(false).is_some()));
        assert_eq!(tries.failed(false), None);
        assert_eq!(Tries::new(0).failed(true), None);
    }

    #[test]
    fn pauses_grow_to_a_limit_and_differ() {
        let pauses: Vec<_> = (0..8).map(pause).collect();
        assert_eq!((pauses[0], pauses[7]), (SHORTEST, LONGEST));
        assert!(pauses.is_sorted() && pauses[1] > pauses[0]);
        assert_eq!(pause(u32::MAX), LONGEST);
        let jittered: std::collections::HashSet<_> = (0..32).map(|_| jittered(LONGEST)).collect();
        assert!(jittered.len() > 1);
        assert!(jittered.iter().all(|pause| (LONGEST / 2..LONGEST).contains(pause)));
    }
}
