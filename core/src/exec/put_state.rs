//! How far a `put` is, on the side of its store.

use crate::store::PutAttempt;

/// A `put` under way.
#[derive(Debug)]
pub(super) struct PutState {
    pub(super) attempt: PutAttempt,
    /// A file that was there was hashed, in one version.
    pub(super) is_compared: bool,
}

/// How far an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Bytes are missing, or wait to be verified.
    Open,
    /// The digest was reported.
    Hashed,
    /// That digest was the right one: the session has asked to commit.
    Verified,
}
