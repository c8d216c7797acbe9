//! How far a `put` is, on the side of its store.

use coracle_core::PutAttempt;

/// A `put` under way.
pub(crate) struct PutState {
    pub(crate) attempt: PutAttempt,
    /// A file that was there was hashed, in one version.
    pub(crate) is_compared: bool,
}

/// How far an upload is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Bytes are missing, or wait to be verified.
    Open,
    /// The digest was reported.
    Hashed,
    /// That digest was the right one: the session has asked to commit.
    Verified,
}
