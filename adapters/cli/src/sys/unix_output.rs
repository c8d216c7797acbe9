//! Notices where nothing can be written to standard output.
//!
//! The standard library opens `/dev/null` in the place of a closed standard output, and takes one that is not open for
//! writing for one that swallows everything.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;
#[cfg(target_os = "linux")]
use rustix::io::fcntl_getfd;
use rustix::stdio::stdout;

static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Runs before the standard library's start, which opens what is closed.
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = {
    extern "C" fn look() {
        WAS_CLOSED.store(fcntl_getfd(stdout()).is_err(), Ordering::Relaxed);
    }
    look
};

/// Checks that standard output was open for writing when the program started.
///
/// # Errors
///
/// That of a write to a closed descriptor.
pub fn check_standard_output() -> io::Result<()> {
    let is_read_only = fcntl_getfl(stdout()).is_ok_and(|flags| flags & OFlags::RWMODE == OFlags::RDONLY);
    if WAS_CLOSED.load(Ordering::Relaxed) || is_read_only { Err(Errno::BADF.into()) } else { Ok(()) }
}
