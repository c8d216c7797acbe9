//! The limit of open file descriptors.

use coracle::server::SPARE_DESCRIPTORS;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit to the maximum that the system allows. Returns a warning where that is too low for `max_clients`.
pub fn raise(max_clients: usize) -> Option<String> {
    let allowed = raise_to_maximum();
    // A socket and an open file for each client.
    let needed = max_clients.saturating_mul(2).saturating_add(SPARE_DESCRIPTORS);
    let needed = u64::try_from(needed).unwrap_or(u64::MAX);
    let allowed = allowed.filter(|allowed| *allowed < needed)?;
    Some(format!("{max_clients} clients may need {needed} open files, and the limit is {allowed} (see 'ulimit -Hn')"))
}

/// Raises the limit to the maximum that the system allows, and returns it; `None` where there is none.
pub fn raise_to_maximum() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let mut allowed = current;
    if current < maximum || (maximum.is_none() && current.is_some()) {
        // Where raising is refused, the current limit stays.
        if setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok() {
            allowed = maximum;
        }
    }
    allowed
}
