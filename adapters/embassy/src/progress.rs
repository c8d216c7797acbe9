//! How far an upload is.

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
