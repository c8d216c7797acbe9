//! What the threads of a running server share.

use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use coracle_core::{Instant, ServerConfig};
use portable_atomic::AtomicU64;

#[cfg(feature = "channel")]
use super::encryption::Encryption;
use super::event::Event;
use super::linger::LingeringSockets;
use super::listener::SocketTimeouts;
use super::observer::Observer;
use super::proxy::Proxies;
use super::registry::ConnectionRegistry;
use crate::rate_limit::RateLimit;
use crate::sys;
use crate::transport::whole_millis;

pub(super) struct ServerContext<'c> {
    pub registry: &'c ConnectionRegistry,
    pub lingering: &'c LingeringSockets,
    pub config: ServerConfig<'c>,
    pub observers: &'c [Box<dyn Observer + 'c>],
    /// Whether one of the observers needs the events of single requests.
    pub sees_requests: bool,
    pub timeouts: SocketTimeouts,
    pub proxies: Proxies,
    /// Of all connections together.
    pub rate_limit: Option<RateLimit>,
    /// Of each connection, in bytes a second.
    pub connection_rate_limit: Option<NonZeroU64>,
    /// Zero of the sessions' time.
    pub began: Duration,
    pub threads_spawned: AtomicU64,
    /// Where there are keys.
    #[cfg(feature = "channel")]
    pub encryption: Option<Encryption<'c>>,
}

impl ServerContext<'_> {
    /// Tells all observers.
    pub(super) fn emit(&self, event: &Event<'_>) {
        for observer in self.observers {
            // A panic of an observer must leave no connection half done. The panic hook has reported it.
            drop(catch_unwind(AssertUnwindSafe(|| observer.event(event))));
        }
    }

    /// This moment in the sessions' time.
    pub(super) fn now(&self) -> Instant {
        Instant::from_millis(whole_millis(sys::monotonic().saturating_sub(self.began)))
    }
}
