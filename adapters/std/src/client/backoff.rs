//! When a request that failed is made again, and the pause before.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use coracle_core::{Code, Failure};

use super::attempt::FailedAttempt;
use super::error::Error;

/// The pause after an attempt with progress. Each further one without multiplies it by [`GROWTH`].
const SHORTEST: Duration = Duration::from_millis(100);
const GROWTH: u32 = 3;
const LONGEST: Duration = Duration::from_secs(30);
/// The longest pause on the word of a server, before the jitter of a fifth: nothing proves that it is the server's.
const LONGEST_TOLD: Duration = Duration::from_secs(25);
/// How long a server that has no place is waited for, where the user does not say.
const PATIENCE: Duration = Duration::from_secs(600);
/// The same where it has not said so, but reset a handshake: longer than an address is turned away whose handshakes failed.
const RESET_PATIENCE: Duration = Duration::from_secs(30);
/// The longest pause then, by the number of attempts: who is about to get a place has to be there.
const RESET_GROWTHS: u32 = 3;
/// How long a server is waited for that refuses connections, as a small one does while all its places are taken.
const REFUSED_PATIENCE: Duration = Duration::from_secs(10);
/// How often the pauses grow then, until so many were made: as many as [`REFUSED_PATIENCE`] has room for. A place is free for moments
/// only, so that rare attempts would miss it.
const REFUSED_GROWTHS: u32 = 2;
const REFUSED_PAUSES: u32 = 20;

/// How often failed requests are made again, and how long that may take. Shared by all requests of a client.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Attempts in a row without progress after the first one; 0: nothing is tried again.
    pub retries: u32,
    /// The longest sum of the pauses for a server that has no place or restarts; `None`: no limit.
    pub busy_patience: Option<Duration>,
    /// The longest sum of the pauses for a server that has reset a handshake and said nothing; `None`: no limit.
    pub reset_patience: Option<Duration>,
    /// The longest sum of the pauses for a server that is expected to be there and refuses connections; `None`: no limit.
    pub refused_patience: Option<Duration>,
    /// Whether a server that refuses connections is waited for as well where nothing is known of it.
    pub waits_when_refused: bool,
    /// The longest sum of all pauses; `None`: no limit.
    pub patience: Option<Duration>,
    /// Whether a server that has no place is waited for.
    pub waits_when_busy: bool,
}

impl RetryPolicy {
    /// 3 retries, 10 minutes for a server without a place, 30 s for one that resets handshakes, 10 s for one that refuses connections.
    pub const fn new() -> Self {
        Self {
            retries: 3,
            busy_patience: Some(PATIENCE),
            reset_patience: Some(RESET_PATIENCE),
            refused_patience: Some(REFUSED_PATIENCE),
            waits_when_refused: false,
            patience: None,
            waits_when_busy: true,
        }
    }

    /// The same with the user's own patience, which bounds all pauses.
    pub const fn with_patience(self, patience: Option<Duration>) -> Self {
        Self {
            busy_patience: patience,
            reset_patience: patience,
            refused_patience: patience,
            waits_when_refused: true,
            patience,
            ..self
        }
    }
}

/// The failed attempts of one request. What is counted starts over with each attempt that made progress.
///
/// Not counted among the retries is an attempt that found the server busy, or about to restart, that was reset in its handshake, or
/// refused by a server that is expected to be there: it is repeated when the server says, or after growing pauses, as long as the
/// patience lasts.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    policy: RetryPolicy,
    /// Attempts that count.
    failures: u32,
    /// Attempts that do not count, and before whose repetition the server told no time.
    untold: u32,
    waited: Duration,
    waited_busy: Duration,
    /// How sure it is that the server is there, or will be.
    expected: Expected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Expected {
    /// Nothing tells.
    Unknown,
    /// A handshake was reset, so that something is there.
    Reset,
    /// The server said when to come again.
    Told,
}

impl Backoff {
    /// Nothing has failed yet.
    #[must_use]
    pub const fn new(policy: RetryPolicy) -> Self {
        Self {
            policy,
            failures: 0,
            untold: 0,
            waited: Duration::ZERO,
            waited_busy: Duration::ZERO,
            expected: Expected::Unknown,
        }
    }

    /// The pause before `failed` is repeated, which `progressed` or not; `None` to give up.
    pub fn next_pause(&mut self, failed: &FailedAttempt, progressed: bool) -> Option<Duration> {
        if progressed {
            *self = Self::new(self.policy);
        }
        let ended = match &failed.error {
            Error::Connection { failure: Failure::Ended(code), .. } => Some(*code),
            _ => None,
        };
        let told_ms = failed.retry_ms.filter(|_| ended.is_some());
        // A connection of an earlier request may be long closed, which says nothing of the server now.
        if failed.was_reused && !progressed && told_ms.is_none() && ended != Some(Code::Busy) {
            return Some(Duration::ZERO);
        }
        if self.policy.retries == 0 || (failed.error.is_busy() && !self.policy.waits_when_busy) {
            return None;
        }
        self.expected = self.expected.max(match told_ms {
            Some(_) => Expected::Told,
            None if failed.error.is_reset_handshake() => Expected::Reset,
            None => Expected::Unknown,
        });
        let is_refused = failed.error.is_refused_connection()
            && self.expected == Expected::Unknown
            && (failed.is_server_known || self.policy.waits_when_refused);
        let is_away = self.expected > Expected::Unknown && matches!(failed.error, Error::Connect { .. });
        let is_busy = told_ms.is_some() || failed.error.is_busy() || is_away || is_refused;
        let (pause, busy_rest) = match told_ms {
            Some(told_ms) => {
                self.untold = 0;
                (told_pause(told_ms), self.rest_when_busy(self.policy.busy_patience))
            }
            None if is_busy => {
                self.untold = self.untold.saturating_add(1);
                let (growths, limit) = match self.expected {
                    _ if is_refused => (refused_growths(self.untold), self.policy.refused_patience),
                    Expected::Reset => (self.untold.min(RESET_GROWTHS), self.policy.reset_patience),
                    Expected::Unknown | Expected::Told => (self.untold, self.policy.busy_patience),
                };
                (with_jitter(pause(growths)), self.rest_when_busy(limit))
            }
            None => {
                self.failures = if progressed { 0 } else { self.failures.saturating_add(1) };
                if self.failures > self.policy.retries {
                    return None;
                }
                (with_jitter(pause(self.failures)), Duration::MAX)
            }
        };
        let rest = self.policy.patience.map_or(Duration::MAX, |limit| limit.saturating_sub(self.waited));
        // The last attempt is made at the end of the patience.
        let pause = pause.min(rest).min(busy_rest);
        if pause.is_zero() {
            return None;
        }
        self.waited = self.waited.saturating_add(pause);
        if is_busy {
            self.waited_busy = self.waited_busy.saturating_add(pause);
        }
        Some(pause)
    }

    fn rest_when_busy(&self, limit: Option<Duration>) -> Duration {
        limit.map_or(Duration::MAX, |limit| limit.saturating_sub(self.waited_busy))
    }
}

/// The pause before a file is fetched again that has changed `times` times during a fetch, since it may be being written.
pub fn change_pause(times: u32) -> Duration {
    with_jitter(pause(times))
}

fn pause(failures: u32) -> Duration {
    SHORTEST.saturating_mul(GROWTH.saturating_pow(failures)).min(LONGEST)
}

/// How often the pause has grown where the server has refused connections `times` times.
const fn refused_growths(times: u32) -> u32 {
    if times <= REFUSED_GROWTHS { times } else { REFUSED_GROWTHS + times.saturating_sub(REFUSED_PAUSES) }
}

/// The pause on the word of a server, with a jitter of a fifth both ways: many clients may have been told the same.
fn told_pause(told_ms: u32) -> Duration {
    let told = Duration::from_millis(told_ms.into()).min(LONGEST_TOLD);
    told * 4 / 5 + told * random(1024) * 2 / (5 * 1024)
}

/// Between half of `pause` and all of it, so that clients that lost their connections at once do not reconnect at once.
fn with_jitter(pause: Duration) -> Duration {
    pause / 2 + pause * random(1024) / 2048
}

/// A number below `end`.
fn random(end: u32) -> u32 {
    // The standard library's one source of randomness: the keys of its hash maps.
    let random = RandomState::new().build_hasher().finish() % u64::from(end);
    u32::try_from(random).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use coracle_core::{Code, Failure};

    use super::{
        Backoff, LONGEST, LONGEST_TOLD, PATIENCE, REFUSED_PATIENCE, RetryPolicy, SHORTEST, pause, told_pause,
        with_jitter,
    };
    use crate::client::attempt::FailedAttempt;
    use crate::client::error::Error;

    fn ended(failure: Failure, retry_ms: Option<u32>) -> FailedAttempt {
        let error = Error::Connection { peer: "there".to_owned(), error: None, failure };
        FailedAttempt { retry_ms, ..FailedAttempt::new(error) }
    }

    fn broken() -> FailedAttempt {
        ended(Failure::Closed, None)
    }

    fn unreachable() -> FailedAttempt {
        let error = io::ErrorKind::ConnectionRefused.into();
        FailedAttempt::new(Error::Connect { peer: "there".to_owned(), error })
    }

    fn known_and_refusing() -> FailedAttempt {
        FailedAttempt { is_server_known: true, ..unreachable() }
    }

    /// How often `failed` is repeated, up to 10,000 times, and how long that takes.
    fn waits(backoff: &mut Backoff, failed: &FailedAttempt) -> (usize, Duration) {
        let pauses: Vec<Duration> = std::iter::from_fn(|| backoff.next_pause(failed, false)).take(10_000).collect();
        (pauses.len(), pauses.iter().sum())
    }

    #[test]
    fn m15_gives_up_only_without_progress() {
        let mut backoff = Backoff::new(RetryPolicy::new());
        for _ in 0..100 {
            assert!(backoff.next_pause(&broken(), true).is_some());
        }
        assert!(
            backoff.next_pause(&broken(), false).is_some()
                && backoff.next_pause(&broken(), false).is_some()
                && backoff.next_pause(&broken(), true).is_some()
        );
        assert_eq!(waits(&mut backoff, &broken()).0, 3);
        let none = RetryPolicy { retries: 0, ..RetryPolicy::new() };
        for failed in [broken(), ended(Failure::Ended(Code::Busy), Some(1))] {
            assert_eq!(Backoff::new(none).next_pause(&failed, true), None);
        }
    }

    #[test]
    fn c20_a_busy_server_is_waited_for_as_long_as_the_patience_lasts() {
        for (code, retry_ms) in
            [(Code::Busy, Some(2_000)), (Code::Busy, None), (Code::ShuttingDown, Some(600_000)), (Code::Busy, Some(1))]
        {
            let mut backoff = Backoff::new(RetryPolicy::new());
            let failed = ended(Failure::Ended(code), retry_ms);
            let (count, waited) = waits(&mut backoff, &failed);
            assert!(count > 20, "{code} {retry_ms:?}: {count} attempts");
            assert!(waited == PATIENCE || count == 10_000, "{code} {retry_ms:?}: {waited:?}");
            // They did not count, so that other failures are still tried again.
            assert_eq!(waits(&mut backoff, &broken()).0, 3, "{code}");
        }
        // A server that says nothing of its return is given up soon.
        assert_eq!(waits(&mut Backoff::new(RetryPolicy::new()), &ended(Failure::Ended(Code::ShuttingDown), None)).0, 3);
        assert_eq!(waits(&mut Backoff::new(RetryPolicy::new()), &unreachable()).0, 3);
    }

    #[test]
    fn c20_a_server_that_restarts_is_waited_for_while_nobody_answers() {
        let mut backoff = Backoff::new(RetryPolicy::new());
        assert!(backoff.next_pause(&ended(Failure::Ended(Code::ShuttingDown), Some(5_000)), false).is_some());
        let (count, waited) = waits(&mut backoff, &unreachable());
        assert!(count > 20 && waited > PATIENCE - Duration::from_secs(7), "{count} attempts in {waited:?}");
    }

    #[cfg(feature = "channel")]
    #[test]
    fn e7_a_server_that_resets_handshakes_is_waited_for_a_while_and_one_that_never_was_there_is_not() {
        use super::RESET_PATIENCE;
        use crate::channel::{HandshakeCause, HandshakeFailure};
        use crate::transport::TransportError;

        let reset = |message| {
            let cause = HandshakeCause::Transport(TransportError::new(io::ErrorKind::ConnectionReset));
            let failure = Box::new(HandshakeFailure { message, cause, received: Vec::new() });
            FailedAttempt::new(Error::Handshake { peer: "there".to_owned(), failure, is_temporary: true })
        };
        let (count, waited) = waits(&mut Backoff::new(RetryPolicy::new()), &reset(2));
        assert!((10..=24).contains(&count) && waited == RESET_PATIENCE, "{count} attempts in {waited:?}");
        // Between them nobody listens, where too many come.
        let mut backoff = Backoff::new(RetryPolicy::new());
        assert!(backoff.next_pause(&reset(2), false).is_some());
        let (count, waited) = waits(&mut backoff, &unreachable());
        assert!(count >= 10 && waited > RESET_PATIENCE - Duration::from_secs(1), "{count} attempts in {waited:?}");
        assert_eq!(waits(&mut Backoff::new(RetryPolicy::new()), &reset(3)).0, 3, "what comes after message 2 counts");
        let patient = RetryPolicy::new().with_patience(Some(Duration::from_secs(100)));
        assert_eq!(waits(&mut Backoff::new(patient), &reset(2)).1, Duration::from_secs(100));
        // With a word of its own it is waited for longer.
        let mut backoff = Backoff::new(RetryPolicy::new());
        assert!(backoff.next_pause(&ended(Failure::Ended(Code::Busy), Some(1_000)), false).is_some());
        assert!(waits(&mut backoff, &reset(2)).1 > RESET_PATIENCE * 2);
        let none = RetryPolicy { waits_when_busy: false, ..RetryPolicy::new() };
        assert_eq!(Backoff::new(none).next_pause(&reset(2), false), None);
    }

    #[test]
    fn e7_a_known_server_that_refuses_connections_is_waited_for_a_while() {
        let (count, waited) = waits(&mut Backoff::new(RetryPolicy::new()), &known_and_refusing());
        assert!((10..=22).contains(&count) && waited == REFUSED_PATIENCE, "{count} attempts in {waited:?}");
        // Refusals do not use the retries up, nor do they make others be waited for.
        let mut backoff = Backoff::new(RetryPolicy::new());
        assert!(backoff.next_pause(&known_and_refusing(), false).is_some());
        assert_eq!(waits(&mut backoff, &broken()).0, 3);
        // With a word of its own it is waited for longer.
        let mut backoff = Backoff::new(RetryPolicy::new());
        assert_eq!(waits(&mut backoff, &known_and_refusing()).1, REFUSED_PATIENCE);
        assert!(waits(&mut backoff, &ended(Failure::Ended(Code::Busy), None)).1 > REFUSED_PATIENCE * 10);
        let error = io::ErrorKind::TimedOut.into();
        let silent = FailedAttempt::new(Error::Connect { peer: "there".to_owned(), error });
        let silent = FailedAttempt { is_server_known: true, ..silent };
        assert_eq!(waits(&mut Backoff::new(RetryPolicy::new()), &silent).0, 3);
        // The user's patience is for any server, and as long as it is.
        let limit = Duration::from_secs(120);
        for failed in [unreachable(), known_and_refusing()] {
            let patient = RetryPolicy::new().with_patience(Some(limit));
            let (count, waited) = waits(&mut Backoff::new(patient), &failed);
            assert!((18..=36).contains(&count) && waited == limit, "{count} attempts in {waited:?}");
            let endless = RetryPolicy::new().with_patience(None);
            let (count, waited) = waits(&mut Backoff::new(endless), &failed);
            assert!(count == 10_000 && waited > LONGEST * 4_000, "{count} attempts in {waited:?}");
            let none = RetryPolicy { retries: 0, ..RetryPolicy::new() };
            assert_eq!(Backoff::new(none).next_pause(&failed, false), None);
        }
    }

    #[test]
    fn the_users_patience_bounds_all_pauses() {
        let limit = Duration::from_secs(20);
        let policy = RetryPolicy { retries: 100, ..RetryPolicy::new() }.with_patience(Some(limit));
        let mut backoff = Backoff::new(policy);
        assert!(backoff.next_pause(&ended(Failure::Ended(Code::Busy), Some(5_000)), false).is_some());
        let (_, waited) = waits(&mut backoff, &broken());
        assert!((limit - Duration::from_secs(6)..limit).contains(&waited), "{waited:?}");
        assert_eq!(backoff.next_pause(&ended(Failure::Ended(Code::Busy), None), false), None);
        assert!(backoff.next_pause(&broken(), true).is_some(), "progress begins anew");
        // Without a limit, longer than a day.
        let policy = policy.with_patience(None);
        let (count, waited) = waits(&mut Backoff::new(policy), &ended(Failure::Ended(Code::Busy), Some(600_000)));
        assert!(count == 10_000 && waited > Duration::from_secs(86_400));
    }

    #[test]
    fn who_does_not_wait_hears_busy_at_once() {
        let mut backoff = Backoff::new(RetryPolicy { waits_when_busy: false, ..RetryPolicy::new() });
        assert_eq!(backoff.next_pause(&ended(Failure::Ended(Code::Busy), Some(1_000)), false), None);
        assert!(backoff.next_pause(&ended(Failure::Ended(Code::ShuttingDown), Some(1_000)), false).is_some());
    }

    #[test]
    fn a_connection_that_was_closed_meanwhile_is_replaced_at_once() {
        let mut backoff = Backoff::new(RetryPolicy::new());
        let reused = |failure, retry_ms| FailedAttempt { was_reused: true, ..ended(failure, retry_ms) };
        for failed in [reused(Failure::Closed, None), reused(Failure::Ended(Code::ShuttingDown), None)] {
            assert_eq!(backoff.next_pause(&failed, false), Some(Duration::ZERO));
        }
        let told = reused(Failure::Ended(Code::ShuttingDown), Some(5_000));
        assert!(backoff.next_pause(&told, false).is_some_and(|pause| pause >= Duration::from_secs(4)));
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

    #[test]
    fn pauses_that_are_told_differ_by_a_fifth_and_have_a_limit() {
        for (told_ms, told) in
            [(1, Duration::from_millis(1)), (10_000, Duration::from_secs(10)), (600_000, LONGEST_TOLD)]
        {
            let pauses: Vec<_> = (0..64).map(|_| told_pause(told_ms)).collect();
            assert!(pauses.iter().all(|pause| (told * 4 / 5..=told * 6 / 5).contains(pause)), "{pauses:?}");
            assert!(pauses.iter().any(|pause| *pause < told) && pauses.iter().any(|pause| *pause > told));
        }
        assert!(LONGEST_TOLD * 6 / 5 <= LONGEST);
    }
}
