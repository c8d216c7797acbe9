//! The clock of a session's owner.

use core::future::Future;

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

    fn sleep_until(&self, when: Instant) -> impl Future<Output = ()> {
        (**self).sleep_until(when)
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

    fn sleep_until(&self, when: Instant) -> impl Future<Output = ()> {
        let when = embassy_time::Instant::try_from_millis(when.as_millis());
        embassy_time::Timer::at(when.unwrap_or(embassy_time::Instant::MAX))
    }
}
