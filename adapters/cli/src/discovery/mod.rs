//! Hosts that are found by name in the local network, or were found before.

mod again;
mod last_known;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use coracle::client::Address;
use coracle::discover::{DiscoverError, Found, Search, Service};
use coracle::local::Escaped;

pub use again::locate_again;
pub use last_known::{LastKnown, LastKnownHost};

/// How long a host has to answer that a command is for.
pub const TIMEOUT: Duration = Duration::from_secs(3);

/// What was found in this run for a list of hosts, so that each of them is not searched for again.
static FOUND: Mutex<Option<Found>> = Mutex::new(None);

/// Where a host is, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// At least one.
    pub addresses: Vec<SocketAddr>,
    /// When it was found there; `None` for now.
    pub last_seen: Option<SystemTime>,
}

/// Why a host cannot be located.
#[derive(Debug)]
pub enum LocateError {
    /// Its address is not known.
    Unknown { host: String, resolver: String, mdns: String },
    /// More than one host has the name.
    Ambiguous { host: String, addresses: Vec<SocketAddr> },
}

/// Finds the host of `address` where only the local network can know it: `None` where the resolver knows it, or it is no name of
/// the local network.
pub fn locate(address: &Address) -> Result<Option<Located>, LocateError> {
    let host = address.host();
    if !is_local_name(host) {
        return Ok(None);
    }
    let Err(resolver) = address.resolve() else { return Ok(None) };
    let known = LastKnown::load();
    let recent: Vec<_> = known.named(host).filter(|known| known.is_recent()).map(|known| known.address).collect();
    if let Some(address) = only(host, recent)? {
        return Ok(Some(Located { addresses: vec![address], last_seen: None }));
    }
    let mdns = match search_for(host) {
        Ok(found) => {
            let services: Vec<_> = found.services.into_iter().filter(|service| service.is_called(host)).collect();
            LastKnown::remember(&services);
            only(host, services.iter().filter_map(|service| service.addresses.first().copied()).collect())?;
            match services.into_iter().next() {
                Some(service) => return Ok(Some(Located { addresses: service.addresses, last_seen: None })),
                None if found.is_flooded => "mDNS: the network is flooded with announcements".to_owned(),
                None => format!("no answer to mDNS on {}", found.interfaces),
            }
        }
        Err(error) => error.to_string(),
    };
    let last_seen = known.named(host).next().map(|known| known.seen);
    match only(host, known.named(host).map(|known| known.address).collect())? {
        Some(address) => Ok(Some(Located { addresses: vec![address], last_seen })),
        None => Err(LocateError::Unknown { host: host.to_owned(), resolver: resolver.to_string(), mdns }),
    }
}

/// The one address of `host`; `None` where there is none.
fn only(host: &str, addresses: Vec<SocketAddr>) -> Result<Option<SocketAddr>, LocateError> {
    match addresses.as_slice() {
        [] | [_] => Ok(addresses.first().copied()),
        _ => Err(LocateError::Ambiguous { host: host.to_owned(), addresses }),
    }
}

/// The hosts that announce themselves now, for commands with several hosts that are given `mdns:` for a list: each as HOST or
/// HOST:PORT. What is found is remembered for this run.
pub fn hosts(timeout: Duration) -> Result<Vec<String>, String> {
    let found = Search::new().with_timeout(timeout).run().map_err(|error| error.to_string())?;
    if found.is_flooded {
        return Err("mDNS: the network is flooded with announcements; name the hosts".to_owned());
    }
    if found.services.is_empty() {
        return Err(format!("no answer to mDNS on {}", found.interfaces));
    }
    for service in &found.services {
        let same = found.services.iter().filter(|other| other.name.eq_ignore_ascii_case(&service.name));
        let addresses = same.filter_map(|service| service.addresses.first().copied()).collect();
        only(&service.name, addresses).map_err(|error| error.to_string())?;
    }
    LastKnown::remember(&found.services);
    let hosts = found.services.iter().map(host_text).collect();
    *FOUND.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
    Ok(hosts)
}

/// What stands for a host that was found where HOST is asked for: its name, or its address where that is no name.
pub fn host_text(service: &Service) -> String {
    if is_host_name(&service.name) {
        return service.name.clone();
    }
    service.addresses.first().map(|address| Address::from(*address).to_string()).unwrap_or_default()
}

/// Whether a name that was announced can be typed for a host.
pub fn is_host_name(name: &str) -> bool {
    coracle::discover::check_name(name).is_ok()
}

fn search_for(host: &str) -> Result<Found, DiscoverError> {
    let found = FOUND.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match found {
        Some(found) if found.services.iter().any(|service| service.is_called(host)) => Ok(found),
        _ => Search::new().with_timeout(TIMEOUT).with_name(host).run(),
    }
}

/// Whether the local network can know the host by this name: one word, or one word and `.local`.
fn is_local_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let word = host.strip_suffix(".local").unwrap_or(host);
    host.parse::<IpAddr>().is_err() && !word.is_empty() && !word.contains(['.', ':'])
}

impl fmt::Display for LocateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { host, resolver, mdns } => {
                write!(f, "{}: {resolver}; {mdns}; and it was not found before", Escaped(host))
            }
            Self::Ambiguous { host, addresses } => {
                write!(f, "{} hosts are called {}:", addresses.len(), Escaped(host))?;
                for address in addresses {
                    write!(f, " {}", Address::from(*address))?;
                }
                f.write_str("; give the address of the one that is meant")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_local_name;

    #[test]
    fn only_single_words_are_names_of_the_local_network() {
        for name in ["bench-7", "bench-7.local", "bench-7.local.", "größe", "local"] {
            assert!(is_local_name(name), "{name}");
        }
        for name in ["192.168.7.2", "::1", "fe80::1%eth0", "no.such.host.invalid", "bench-7.lan", "a.b.local", ".local"]
        {
            assert!(!is_local_name(name), "{name}");
        }
    }
}
