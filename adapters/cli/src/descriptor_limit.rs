//! The limit of open file descriptors.

use coracle::server::SPARE_DESCRIPTORS;

use crate::sys;

/// Raises the limit to the maximum that the system allows. Returns a warning where that is too low for `max_clients`.
pub fn raise(max_clients: usize) -> Option<String> {
    let allowed = sys::raise_descriptor_limit();
    // A socket and an open file for each client.
    let needed = max_clients.saturating_mul(2).saturating_add(SPARE_DESCRIPTORS);
    let needed = u64::try_from(needed).unwrap_or(u64::MAX);
    let allowed = allowed.filter(|allowed| *allowed < needed)?;
    Some(format!("{max_clients} clients may need {needed} open files, and the limit is {allowed} (see 'ulimit -Hn')"))
}
