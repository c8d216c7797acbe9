//! Room for the descriptors of all clients.

use std::io;
use std::os::unix::net::UnixDatagram;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, getrlimit};

/// How many descriptors a server may have beside a socket and a file for each client: its own. Sockets that linger after their clients' visits are not counted.
pub const SPARE_DESCRIPTORS: usize = 32;

/// Lets the process's table of descriptors have room for `max_clients` from the beginning, as far as the limit goes.
///
/// Linux makes a full table twice as long, and has a process with several threads wait each time until all processors have
/// taken note (expand_fdtable in the kernel's fs/file.c). In a crowd of clients that wait is longer than the kernel's queue of
/// those that were not accepted yet (`tests/bench/run --only idle`). The table does not get shorter again.
pub(super) fn make_room(max_clients: usize) {
    let limit = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let last = max_clients.saturating_add(SPARE_DESCRIPTORS).min(limit).saturating_sub(1);
    // Where there is no room, the server does without.
    drop(reach(last));
}

/// Opens a descriptor that is `number` at least, and closes it again.
fn reach(number: usize) -> io::Result<()> {
    let number = i32::try_from(number).map_err(io::Error::other)?;
    drop(fcntl_dupfd_cloexec(UnixDatagram::unbound()?, number)?);
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{Resource, getrlimit};

    use super::{SPARE_DESCRIPTORS, make_room};

    /// The length of the table, by proc_pid_status(5).
    fn table_len() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("FDSize:")).expect("a length");
        line.trim().parse().expect("a number")
    }

    #[test]
    fn there_is_room_for_all_or_as_many_as_may_be() {
        make_room(600);
        assert!(table_len() >= 600 + SPARE_DESCRIPTORS, "{}", table_len());
        // No more than the limit allows is asked for, which would fail.
        let limit = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
        if let Some(limit) = limit.filter(|limit| *limit <= 1 << 20) {
            make_room(usize::MAX);
            assert!(table_len() >= limit, "{} of {limit}", table_len());
        }
    }
}
