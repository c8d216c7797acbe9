//! Writes to standard output, and notices where nothing can be written to it.
//!
//! The standard library opens `/dev/null` in the place of a closed standard output, and takes one that is not open for
//! writing for one that swallows everything.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{Errno, fcntl_getfd};
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
pub fn check() -> io::Result<()> {
    let is_read_only = fcntl_getfl(stdout()).is_ok_and(|flags| flags & OFlags::RWMODE == OFlags::RDONLY);
    if WAS_CLOSED.load(Ordering::Relaxed) || is_read_only { Err(Errno::BADF.into()) } else { Ok(()) }
}

/// Writes `bytes`, all of them.
///
/// # Errors
///
/// The operating system's.
pub fn write(bytes: &[u8]) -> io::Result<()> {
    check()?;
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}
