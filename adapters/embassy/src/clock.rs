//! The clock of a session's owner.

use coracle_core::Instant;

/// A clock that can be awaited.
#[allow(async_fn_in_trait, reason = "tasks of boards stay on their executor")]
pub trait Clock {
    /// The current time. Must not run backwards.
    fn now(&self) -> Instant;

    /// Completes at `when`, immediately if that has passed. May be dropped at any time. `when` may be as late as an `Instant` can
    /// be, which is never.
    async fn sleep_until(&self, when: Instant);
}

impl<C: Clock> Clock for &C {
    fn now(&self) -> Instant {
        (**self).now()
    }

    async fn sleep_until(&self, when: Instant) {
        (**self).sleep_until(when).await;
    }
}

/// The clock of `embassy-time`, which needs a time driver: the chip's support crate has one.
#[cfg(feature = "embassy-time")]
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbassyClock;

#[cfg(feature = "embassy-time")]
impl Clock for EmbassyClock {
    fn now(&self) -> Instant {
        Instant::from_millis(embassy_time::Instant::now().as_millis())
    }

    async fn sleep_until(&self, when: Instant) {
        let when = embassy_time::Instant::try_from_millis(when.as_millis());
        embassy_time::Timer::at(when.unwrap_or(embassy_time::Instant::MAX)).await;
    }
}
