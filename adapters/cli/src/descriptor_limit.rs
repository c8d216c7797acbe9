//! The limit of open file descriptors.

use coracle::server::SPARE_DESCRIPTORS;

use crate::sys;

/// Raises the limit to the maximum that the system allows. Returns a warning where that is too low for so many clients, and so
/// many more that wait to be served.
pub fn raise(clients: usize, waiting: usize) -> Option<String> {
    let allowed = sys::raise_descriptor_limit();
    let needed = needed(clients, waiting);
    let allowed = allowed.filter(|allowed| *allowed < needed)?;
    let waiting = if waiting == 0 { String::new() } else { format!(", and {waiting} that wait,") };
    Some(format!(
        "{clients} clients{waiting} may need {needed} open files, and the limit is {allowed} (see 'ulimit -Hn')"
    ))
}

/// A socket and an open file for each client, and a socket for each that waits.
fn needed(clients: usize, waiting: usize) -> u64 {
    let needed = clients.saturating_mul(2).saturating_add(waiting).saturating_add(SPARE_DESCRIPTORS);
    u64::try_from(needed).unwrap_or(u64::MAX)
}
