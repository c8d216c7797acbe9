//! The numbers that `coracle get -r` prints at its end.

use std::fmt;

use serde::Serialize;

/// Counts of what was done.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub fetched: u64,
    /// Bytes that were received for the fetched files.
    pub bytes: u64,
    /// Files that were equal already.
    #[serde(rename = "equal")]
    pub unchanged: u64,
    /// Files that are not new enough.
    pub not_newer: u64,
    pub failed: u64,
    /// Entries that the server cannot serve.
    pub skipped: u64,
    /// Entries that the server keeps hidden.
    pub hidden: u64,
    /// Links to directories that were not followed.
    pub links: u64,
    /// Tasks that were given up after the network failed.
    pub not_tried: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fetched, bytes, unchanged, not_newer, failed, skipped, hidden, links, not_tried } = self;
        // Of a run that only shows what it would do.
        let fetched_is = if f.alternate() { "would be fetched" } else { "fetched" };
        write!(f, "{fetched} {fetched_is} ({bytes} bytes), {unchanged} equal and skipped, {failed} failed")?;
        if *not_newer > 0 {
            write!(f, ", {not_newer} not newer")?;
        }
        if *skipped > 0 {
            write!(f, ", {skipped} that the server cannot serve")?;
        }
        if *hidden > 0 {
            write!(f, ", {hidden} hidden at the server")?;
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
