//! Writes to standard output, and notices where nothing can be written to it.

use std::io::{self, Write};

pub use crate::sys::check_standard_output as check;

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
