//! The thread that speaks multicast DNS, on the interfaces that are chosen, with a bounded memory.

use std::net::IpAddr;
use std::time::Duration;

use mdns_sd::{IfKind, IfPredicate, Receiver, ServiceDaemon, ServiceEvent};

use super::interfaces::is_used;
use super::{DiscoverError, SERVICE};

/// How many records may be remembered. A host has about five.
const MAX_RECORDS: i64 = 20_000;
/// The names of the counters of what is remembered.
const REMEMBERED: &str = "cached-";
/// How long the thread may take to answer. It does so between two packets.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A thread that speaks multicast DNS until this is stopped.
pub(super) struct Daemon(ServiceDaemon);

impl Daemon {
    /// Starts it; `allowed` are the addresses of this machine that may be told, all for `None`.
    pub fn start(allowed: Option<Vec<IpAddr>>) -> Result<Self, DiscoverError> {
        let daemon = ServiceDaemon::new().map_err(system)?;
        let unused = IfPredicate::new(move |interface| !is_used(interface, allowed.as_deref()));
        daemon.disable_interface(IfKind::Predicate(unused)).map_err(system)?;
        Ok(Self(daemon))
    }

    /// Asks who is there, again and again.
    pub fn browse(&self) -> Result<Receiver<ServiceEvent>, DiscoverError> {
        self.0.browse(SERVICE).map_err(system)
    }

    pub fn inner(&self) -> &ServiceDaemon {
        &self.0
    }

    /// Whether the thread has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.0.status().is_err()
    }

    /// Whether more is remembered than honest hosts send.
    pub fn is_flooded(&self) -> bool {
        let metrics = self.0.get_metrics().ok().and_then(|answer| answer.recv_timeout(ANSWER_TIMEOUT).ok());
        metrics.is_some_and(|metrics| {
            let counters = metrics.iter().filter(|(name, _)| name.starts_with(REMEMBERED));
            counters.map(|(_, count)| *count).sum::<i64>() > MAX_RECORDS
        })
    }

    /// Stops it, and waits until what is announced is withdrawn.
    pub fn stop(&self) {
        if let Ok(answer) = self.0.shutdown() {
            // It has ended already where this fails.
            let _ = answer.recv_timeout(ANSWER_TIMEOUT);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(super) fn system(error: mdns_sd::Error) -> DiscoverError {
    DiscoverError::System(error.to_string())
}
