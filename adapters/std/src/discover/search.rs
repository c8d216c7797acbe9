//! Looks for servers in the local network.

use std::time::{Duration, Instant};

use mdns_sd::{RecvTimeoutError, ServiceEvent};

use super::DiscoverError;
use super::daemon::Daemon;
use super::interfaces::Interfaces;
use super::service::{Service, instance};

/// How long a search takes where nothing else is asked for: the first question, and two that repeat it.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How long another host of the same name has to answer: responders wait for up to 120 ms (RFC 6762, section 6).
const SETTLE: Duration = Duration::from_millis(250);
/// How many servers are found at most.
const MAX_SERVICES: usize = 4_096;
/// How often it is looked how much is remembered.
const LOOK_AFTER: Duration = Duration::from_millis(100);

/// A search for the servers that announce themselves.
#[derive(Clone, Debug)]
#[must_use]
pub struct Search {
    timeout: Duration,
    name: Option<String>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Found {
    /// The servers, by name; at most 4,096. Two of one name are two.
    pub services: Vec<Service>,
    /// The interfaces that were asked on.
    pub interfaces: Interfaces,
    /// Whether the search ended early, since more was announced than can be: the network is being flooded.
    pub is_flooded: bool,
}

impl Search {
    /// A search of 3 s, for all servers.
    pub const fn new() -> Self {
        Self { timeout: TIMEOUT, name: None }
    }

    /// Sets how long it takes. The question is asked at once, and then after 1 s, 2 s, 4 s and so on.
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the name that is looked for: the search ends soon after a server that [`Service::is_called`] so has answered, and
    /// finds others of that name that answer within 250 ms.
    pub fn with_name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Searches.
    ///
    /// # Errors
    ///
    /// The network cannot be asked: [`DiscoverError::NoInterface`], [`DiscoverError::System`].
    pub fn run(&self) -> Result<Found, DiscoverError> {
        let mut found = Found { interfaces: Interfaces::now(), ..Found::default() };
        if found.interfaces.used.is_empty() {
            return Err(DiscoverError::NoInterface(found.interfaces));
        }
        let daemon = Daemon::start(None)?;
        let events = daemon.browse()?;
        let mut end = Instant::now() + self.timeout;
        let mut look_at = Instant::now() + LOOK_AFTER;
        while Instant::now() < end {
            if look_at <= Instant::now() {
                found.is_flooded = daemon.is_flooded();
                look_at = Instant::now() + LOOK_AFTER;
            }
            if found.is_flooded || found.services.len() >= MAX_SERVICES {
                found.is_flooded = true;
                break;
            }
            match events.recv_deadline(end.min(look_at)) {
                Ok(ServiceEvent::ServiceResolved(resolved)) => {
                    let Some(service) = Service::new(&resolved) else { continue };
                    if self.name.as_ref().is_some_and(|name| service.is_called(name)) {
                        end = end.min(Instant::now() + SETTLE);
                    }
                    found.add(service);
                }
                Ok(ServiceEvent::ServiceRemoved(_, full_name)) => found.remove(&full_name),
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                // More events than were taken have come.
                Err(RecvTimeoutError::Disconnected) => found.is_flooded = true,
            }
        }
        found.services.sort_by(|one, other| (&one.name, &one.host).cmp(&(&other.name, &other.host)));
        Ok(found)
    }
}

impl Default for Search {
    fn default() -> Self {
        Self::new()
    }
}

impl Found {
    fn add(&mut self, service: Service) {
        match self.services.iter_mut().find(|known| known.is_same(&service)) {
            Some(known) => *known = service,
            None => self.services.push(service),
        }
    }

    /// Removes what was withdrawn.
    fn remove(&mut self, full_name: &str) {
        if let Some(name) = instance(full_name) {
            self.services.retain(|service| service.name != name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, Service};

    fn service(name: &str, host: &str, address: &str) -> Service {
        let addresses = vec![address.parse().expect("an address")];
        Service { name: name.to_owned(), host: host.to_owned(), addresses }
    }

    #[test]
    fn n1_hosts_of_one_name_stay_apart_and_a_host_that_moves_is_one() {
        let mut found = Found::default();
        found.add(service("bench-7", "a.local", "10.0.0.1:8888"));
        found.add(service("bench-7", "b.local", "10.0.0.2:8888"));
        found.add(service("Bench-7", "A.local", "10.0.0.3:8888"));
        let addresses: Vec<_> = found.services.iter().map(|service| service.addresses[0].to_string()).collect();
        assert_eq!(addresses, ["10.0.0.3:8888", "10.0.0.2:8888"]);
        found.remove("b._coracle._tcp.local.");
        assert_eq!(found.services.len(), 2);
        found.remove("bench-7._coracle._tcp.local.");
        assert_eq!(found.services.len(), 1);
    }
}
