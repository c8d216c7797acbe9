//! Retries and the pauses before them.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// The pause after an attempt with progress. Each further one without multiplies it by [`GROWTH`].
const SHORTEST: Duration = Duration::from_millis(100);
const GROWTH: u32 = 3;
const LONGEST: Duration = Duration::from_secs(30);

/// Counts failed attempts in a row without progress.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    retries: u32,
    failures: u32,
}

impl Backoff {
    /// Allows `retries` retries in a row without progress.
    #[must_use]
    pub const fn new(retries: u32) -> Self {
        Self { retries, failures: 0 }
    }

    /// The pause before the retry of a failed attempt that `progressed` or not; `None` to give up.
    pub fn next_pause(&mut self, progressed: bool) -> Option<Duration> {
        self.failures = if progressed { 0 } else { self.failures.saturating_add(1) };
        (self.retries > 0 && self.failures <= self.retries).then(|| with_jitter(pause(self.failures)))
    }
}

/// The pause before a file is fetched again that has changed `times` times during a fetch, since it may be being written.
pub fn change_pause(times: u32) -> Duration {
    with_jitter(pause(times))
}

fn pause(failures: u32) -> Duration {
    SHORTEST.saturating_mul(GROWTH.saturating_pow(failures)).min(LONGEST)
}

/// Between half of `pause` and all of it, so that clients that lost their connections at once do not reconnect at once.
fn with_jitter(pause: Duration) -> Duration {
    // The standard library's one source of randomness: the keys of its hash maps.
    let random = RandomState::new().build_hasher().finish() % 1024;
    pause / 2 + pause * u32::try_from(random).unwrap_or(0) / 2048
}

#[cfg(test)]
mod tests {
    use super::{Backoff, LONGEST, SHORTEST, pause, with_jitter};

    #[test]
    fn m15_gives_up_only_without_progress() {
        let mut backoff = Backoff::new(3);
        for _ in 0..100 {
            assert!(backoff.next_pause(true).is_some());
        }
        assert!(
            backoff.next_pause(false).is_some()
                && backoff.next_pause(false).is_some()
                && backoff.next_pause(true).is_some()
        );
        assert!((0..3).all(|_| backoff.next_pause(false).is_some()));
        assert_eq!(backoff.next_pause(false), None);
        assert_eq!(Backoff::new(0).next_pause(true), None);
    }

    #[test]
    fn pauses_grow_to_a_limit_and_differ() {
        let pauses: Vec<_> = (0..8).map(pause).collect();
        assert_eq!((pauses[0], pauses[7]), (SHORTEST, LONGEST));
        assert!(pauses.is_sorted() && pauses[1] > pauses[0]);
        assert_eq!(pause(u32::MAX), LONGEST);
        let jittered: std::collections::HashSet<_> = (0..32).map(|_| with_jitter(LONGEST)).collect();
        assert!(jittered.len() > 1);
        assert!(jittered.iter().all(|pause| (LONGEST / 2..LONGEST).contains(pause)));
    }
}
