//! Hosts that were found by name, and may be elsewhere by now.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use coracle::client::Address;
use coracle::discover::{Found, Search};

use super::{LastKnown, Located, TIMEOUT, is_local_name, only};

/// How long what was found for one host is good for others.
const FRESH: Duration = Duration::from_secs(5);

/// What the last search for all hosts has found, and when. One searches at a time.
static LATEST: Mutex<Option<(Instant, Found)>> = Mutex::new(None);

/// How many wait for their turn.
static SEARCHING: AtomicUsize = AtomicUsize::new(0);

/// Where the host of `address` is now, by the resolver or the local network; `None` where nobody says, or more than one is called
/// so.
pub fn locate_again(address: &Address) -> Option<Located> {
    let host = address.host();
    if let Ok(addresses) = address.resolve() {
        return Some(Located { addresses, last_seen: None });
    }
    if !is_local_name(host) {
        return None;
    }
    let is_alone = SEARCHING.fetch_add(1, Ordering::SeqCst) == 0;
    let found = if is_alone { search(Some(host)) } else { find_all() };
    SEARCHING.fetch_sub(1, Ordering::SeqCst);
    let mut services = found?.services;
    services.retain(|service| service.is_called(host));
    LastKnown::remember(&services);
    only(host, services.iter().filter_map(|service| service.addresses.first().copied()).collect()).ok()?;
    services.into_iter().next().map(|service| Located { addresses: service.addresses, last_seen: None })
}

/// Where several hosts are missing, one search is for all of them.
fn find_all() -> Option<Found> {
    let mut latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
    if latest.as_ref().is_none_or(|(when, _)| when.elapsed() >= FRESH) {
        *latest = search(None).map(|found| (Instant::now(), found));
    }
    latest.as_ref().map(|(_, found)| found.clone())
}

fn search(name: Option<&str>) -> Option<Found> {
    let search = Search::new().with_timeout(TIMEOUT);
    let search = match name {
        Some(name) => search.with_name(name),
        None => search,
    };
    search.run().ok().filter(|found| !found.is_flooded)
}
