//! The numbers that `coracle get -r` prints at its end.

use std::fmt;

/// Counts of what was done.
#[derive(Debug, Default)]
pub struct Summary {
    pub fetched: u64,
    /// Bytes that were received for the fetched files.
    pub bytes: u64,
    /// Files that were equal already.
    pub unchanged: u64,
    pub failed: u64,
    /// Entries that the server cannot serve.
    pub skipped: u64,
    /// Links to directories that were not followed.
    pub links: u64,
    /// Tasks that were given up after the network failed.
    pub not_tried: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fetched, bytes, unchanged, failed, skipped, links, not_tried } = self;
        write!(f, "{fetched} fetched ({bytes} bytes), {unchanged} equal and skipped, {failed} failed")?;
        if *skipped > 0 {
            write!(f, ", {skipped} that the server cannot serve")?;
        }
        if *links > 0 {
            write!(f, ", {links} links to directories not followed")?;
        }
        if *not_tried > 0 {
            write!(f, ", {not_tried} not tried")?;
        }
        Ok(())
    }
}
