//! The numbers that are told when many files were sent.

use std::fmt;

use coracle::client::{Error, PutSummary};
use serde::Serialize;

/// Counts of what was done.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub sent: u64,
    /// Bytes that were sent of these files.
    pub bytes: u64,
    /// Files that were there already.
    #[serde(rename = "equal")]
    pub unchanged: u64,
    pub failed: u64,
    /// Files that were given up after the network failed.
    pub not_tried: usize,
}

impl Summary {
    /// Counts a file.
    pub fn count(&mut self, outcome: &Result<PutSummary, Error>) {
        match outcome {
            Ok(summary) if summary.was_there => self.unchanged += 1,
            Ok(summary) => {
                self.sent += 1;
                self.bytes += summary.size.saturating_sub(summary.resumed);
            }
            Err(_) => self.failed += 1,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, bytes, unchanged, failed, not_tried } = self;
        // Of a run that only shows what it would do.
        let sent_is = if f.alternate() { "would be sent" } else { "sent" };
        write!(f, "{sent} {sent_is} ({bytes} bytes), {unchanged} equal and skipped, {failed} failed")?;
        if *not_tried > 0 {
            write!(f, ", {not_tried} not tried")?;
        }
        Ok(())
    }
}
