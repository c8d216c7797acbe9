//! A limit of bytes a second, for one connection or for many together.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What may be moved at once after a pause.
const BURST: Duration = Duration::from_millis(100);
/// Pieces in a second: connections that share a limit take turns with them.
const PIECES: u64 = 64;
const SHORTEST_PIECE: u64 = 256;

/// A limit of bytes a second. Clones share it.
#[derive(Clone, Debug)]
pub struct RateLimit {
    bytes_per_second: NonZeroU64,
    /// When all that was moved so far is paid for.
    paid: Arc<Mutex<Instant>>,
}

impl RateLimit {
    /// A limit that nothing has used yet.
    #[must_use]
    pub fn new(bytes_per_second: NonZeroU64) -> Self {
        Self { bytes_per_second, paid: Arc::new(Mutex::new(Instant::now())) }
    }

    /// The most to move at once, in bytes; at least 1.
    #[must_use]
    pub fn piece(&self) -> usize {
        usize::try_from((self.bytes_per_second.get() / PIECES).max(SHORTEST_PIECE)).unwrap_or(usize::MAX)
    }

    /// Counts `len` bytes that were moved just now, and returns how long to wait before more are.
    #[must_use]
    pub fn take(&self, len: usize) -> Duration {
        self.take_at(len, Instant::now())
    }

    fn take_at(&self, len: usize, now: Instant) -> Duration {
        let nanos = u128::from(len as u64) * 1_000_000_000 / u128::from(self.bytes_per_second.get());
        let price = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = now.checked_sub(BURST).map_or(*paid, |earliest| paid.max(earliest));
        *paid = begin.checked_add(price).unwrap_or(begin);
        paid.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::time::{Duration, Instant};

    use super::RateLimit;

    #[test]
    fn many_share_one_limit() {
        let limit = RateLimit::new(NonZeroU64::new(100_000).expect("not 0"));
        let shared = limit.clone();
        let mut now = Instant::now() + Duration::from_secs(1);
        let began = now;
        let mut moved = 0;
        for turn in 0..1_000 {
            let len = limit.piece();
            moved += len;
            now += if turn % 2 == 0 { limit.take_at(len, now) } else { shared.take_at(len, now) };
        }
        let fair = Duration::from_secs_f64(moved as f64 / 100_000.0);
        let took = now - began;
        // The burst at the beginning is free.
        assert!(took <= fair && took >= fair - Duration::from_millis(110), "{took:?} for {moved} bytes");
        // A pause earns no more than a burst.
        now += Duration::from_secs(3_600);
        assert_eq!(limit.take_at(10_000, now), Duration::ZERO);
        assert_eq!(limit.take_at(10_000, now), Duration::from_millis(100));
    }

    #[test]
    fn no_rate_is_too_low_or_too_high() {
        for rate in [1, u64::MAX] {
            let limit = RateLimit::new(NonZeroU64::new(rate).expect("not 0"));
            assert!(limit.piece() > 0);
            let _wait = limit.take(usize::MAX);
            assert!(limit.take(0) >= Duration::ZERO);
        }
    }
}
