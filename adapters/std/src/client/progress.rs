//! The progress of a fetch.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::error::Error;
use crate::local::escape_path;

/// Observes the progress of a fetch. `()` ignores it.
pub trait Progress {
    /// A file of `size` bytes is coming, of which the first `offset` were received before. Called again when the fetch starts
    /// over or resumes after a failure.
    fn started(&mut self, size: u64, offset: u64) {
        let (_, _) = (size, offset);
    }

    /// The first `position` bytes were received.
    fn advanced(&mut self, position: u64) {
        let _ = position;
    }

    /// The fetch does not go on as usual.
    fn event(&mut self, event: &ProgressEvent<'_>) {
        let _ = event;
    }
}

impl Progress for () {}

impl<P: Progress + ?Sized> Progress for &mut P {
    fn started(&mut self, size: u64, offset: u64) {
        (**self).started(size, offset);
    }

    fn advanced(&mut self, position: u64) {
        (**self).advanced(position);
    }

    fn event(&mut self, event: &ProgressEvent<'_>) {
        (**self).event(event);
    }
}

/// A retry, or a file that starts over. Displayed as a fragment of a sentence, without control characters.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProgressEvent<'a> {
    /// An attempt failed, and the next one is made after a pause.
    Retry {
        /// Why it failed.
        error: &'a Error,
        /// The pause before the next attempt.
        pause: Duration,
    },
    /// The file changed at the server: the fetch starts over.
    Changed,
    /// The digest is wrong: the fetch starts over.
    DigestMismatch,
    /// What stood at the temporary name, and is no unfinished download, was renamed to this path.
    SetAside(&'a Path),
}

impl fmt::Display for ProgressEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry { error, pause } => write!(f, "{error}; trying again in {:.1} s", pause.as_secs_f32()),
            Self::Changed => f.write_str("the file changed at the server: starting over"),
            Self::DigestMismatch => f.write_str("the digest is wrong: starting over"),
            Self::SetAside(path) => write!(f, "what was in the way lies at {} now", escape_path(path)),
        }
    }
}
