//! An attempt of a request that failed.

use super::error::Error;

/// An attempt that failed.
pub struct FailedAttempt {
    pub error: Error,
    /// When to come again, in milliseconds, as told by the server.
    pub retry_ms: Option<u32>,
    /// The first byte that the server still has of a log, where one before it was asked for.
    pub first: Option<u64>,
    /// It was made on the connection of an earlier request. The server may have closed that long ago, so it does not count as
    /// an attempt.
    pub was_reused: bool,
    /// The server answered this client before, or the user has a key of it: where it refuses connections, it may have no place.
    pub is_server_known: bool,
    /// No other attempt may follow, whatever the error is.
    pub is_final: bool,
}

impl FailedAttempt {
    /// One on a new connection.
    pub fn new(error: Error) -> Self {
        Self { error, retry_ms: None, first: None, was_reused: false, is_server_known: false, is_final: false }
    }
}
