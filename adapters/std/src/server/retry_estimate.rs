//! Estimates when a client that finds no place should come again.
//!
//! Every such client is given an appointment: they follow each other as places become free, so that a crowd comes one after
//! the other rather than all at once. How often a place becomes free follows from how long connections last on average, over
//! the latest ones, and from the number of places (Little's law). Appointments are a little closer together than that, since a
//! place that no client comes for is lost, and a client who comes too early is only given another one.
//!
//! While places change hands so fast that one is free soon, clients wait for it instead, in the order in which they came: those that
//! kept their appointment and find no place as well as newcomers. So no place stays empty between two appointments, and who comes at
//! the right moment overtakes few of those who were told to come again.

use std::time::{Duration, Instant};

/// How long a connection lasts, before one has ended.
const FIRST_GUESS: Duration = Duration::from_secs(1);
/// The share of the latest connection in the average.
const SHARE: u32 = 8;
/// Appointments in the time in which three places become free.
const OVERBOOKED: u32 = 4;
const SHORTEST: Duration = Duration::from_millis(100);
/// How long a client waits at most for a place that is about to become free: as long as a crowd may take to come.
pub(crate) const HELD: Duration = Duration::from_secs(1);
/// As many clients do so at a time, each of which takes a descriptor.
pub(crate) const MAX_HELD: usize = 512;
/// The most that `retry_ms` can tell.
const LONGEST: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(crate) struct RetryEstimate {
    places: u32,
    /// How long connections last, on average.
    lasting: Duration,
    /// Whether one has ended, so that this is no guess.
    is_known: bool,
    /// When the number of connections changed last.
    changed: Instant,
    /// The last appointment.
    booked: Instant,
}

impl RetryEstimate {
    /// For a server with `places`, from `now` on.
    pub(crate) fn new(places: usize, now: Instant) -> Self {
        let places = u32::try_from(places).unwrap_or(u32::MAX).max(1);
        Self { places, lasting: FIRST_GUESS, is_known: false, changed: now, booked: now }
    }

    /// A connection was admitted.
    pub(crate) fn taken(&mut self, now: Instant) {
        self.changed = now;
    }

    /// A connection has ended after `lasted`.
    pub(crate) fn freed(&mut self, lasted: Duration, now: Instant) {
        self.lasting = self.lasting - self.lasting / SHARE + lasted / SHARE;
        self.is_known = true;
        self.changed = now;
    }

    /// Whether a client that finds all places taken, and `held` clients that wait before it, gets one within [`HELD`], since places
    /// change hands that fast.
    pub(crate) fn is_soon(&self, held: usize, now: Instant) -> bool {
        let held = u32::try_from(held).unwrap_or(u32::MAX);
        let is_moving = now.saturating_duration_since(self.changed) < HELD;
        self.is_known && is_moving && (self.lasting / self.places).saturating_mul(held.saturating_add(1)) < HELD
    }

    /// When a client comes again that found all places taken, and `queued` clients waiting for one.
    pub(crate) fn book(&mut self, queued: usize, now: Instant) -> Duration {
        let interval = self.lasting / self.places;
        let queued = u32::try_from(queued).unwrap_or(u32::MAX);
        // Where nothing has changed for long, nothing will at once.
        let first = interval.saturating_mul(queued.saturating_add(1)).max(now.saturating_duration_since(self.changed));
        let earliest = now + first.min(LONGEST);
        let appointment = self.booked.max(earliest) + interval / OVERBOOKED * (OVERBOOKED - 1);
        self.booked = appointment.min(now + LONGEST);
        self.booked.saturating_duration_since(now).max(SHORTEST)
    }

    /// When a client comes again whose address has `share` connections, which are all that it may have. It takes no
    /// appointment from others.
    pub(crate) fn share(&self, share: usize) -> Duration {
        let share = u32::try_from(share).unwrap_or(u32::MAX).max(1);
        (self.lasting / share).clamp(SHORTEST, LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{HELD, LONGEST, RetryEstimate, SHORTEST};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn appointments_follow_each_other_as_places_become_free() {
        let began = Instant::now();
        let mut estimate = RetryEstimate::new(4, began);
        for _ in 0..200 {
            estimate.freed(seconds(20), began);
        }
        // A place becomes free every five seconds, so the appointments are 3.75 s apart.
        let booked: Vec<Duration> = (0..10).map(|_| estimate.book(0, began)).collect();
        assert!(booked.windows(2).all(|two| (3_700..3_800).contains(&(two[1] - two[0]).as_millis())), "{booked:?}");
        assert!((seconds(8)..seconds(9)).contains(&booked[0]), "{booked:?}");
        // They pass.
        let later = began + seconds(40);
        estimate.taken(later);
        let next = estimate.book(0, later);
        assert!((SHORTEST..seconds(10)).contains(&next), "{next:?}");
        // Who waits in the queue comes first.
        let mut estimate = RetryEstimate { booked: began, ..estimate };
        assert!(estimate.book(10, began) > seconds(50));
    }

    #[test]
    fn a_server_where_nothing_moves_is_asked_less_and_less_often() {
        let began = Instant::now();
        let mut estimate = RetryEstimate::new(1_000, began);
        assert!(estimate.book(0, began) < seconds(1));
        assert!(estimate.book(0, began + seconds(30)) > seconds(29));
        assert_eq!(estimate.book(0, began + seconds(100_000)), LONGEST);
        estimate.freed(seconds(1), began + seconds(200_000));
        assert!(estimate.book(0, began + seconds(200_000)) < seconds(1));
    }

    #[test]
    fn a_place_is_soon_free_while_places_become_free() {
        let began = Instant::now();
        let mut estimate = RetryEstimate::new(64, began);
        estimate.taken(began);
        assert!(!estimate.is_soon(0, began), "none has become free yet");
        for _ in 0..200 {
            estimate.freed(Duration::from_millis(128), began);
        }
        // One in two milliseconds, so that the five hundredth waits for a second.
        assert!(estimate.is_soon(0, began) && estimate.is_soon(490, began));
        assert!(!estimate.is_soon(500, began) && !estimate.is_soon(usize::MAX, began));
        assert!(estimate.is_soon(0, began + HELD - Duration::from_millis(1)));
        assert!(!estimate.is_soon(0, began + HELD), "none becomes free any more");
        estimate.taken(began + HELD);
        assert!(estimate.is_soon(0, began + HELD), "the places were taken a moment ago");
        // Appointments of others change nothing.
        assert!((0..1_000).all(|_| estimate.book(0, began + HELD) > Duration::ZERO));
        assert!(estimate.is_soon(0, began + HELD));
        for _ in 0..200 {
            estimate.freed(seconds(65), began + HELD);
        }
        assert!(!estimate.is_soon(0, began + HELD), "one becomes free in a second");
    }

    #[test]
    fn estimates_have_limits() {
        let began = Instant::now();
        let mut estimate = RetryEstimate::new(usize::MAX, began);
        estimate.freed(Duration::ZERO, began);
        assert!((0..10_000).all(|_| (SHORTEST..=LONGEST).contains(&estimate.book(0, began))));
        assert_eq!(estimate.share(usize::MAX), SHORTEST);
        let mut estimate = RetryEstimate::new(0, began);
        estimate.freed(seconds(1 << 40), began);
        assert!((0..10_000).all(|_| (SHORTEST..=LONGEST).contains(&estimate.book(usize::MAX, began))));
        assert_eq!(estimate.share(0), LONGEST);
    }
}
