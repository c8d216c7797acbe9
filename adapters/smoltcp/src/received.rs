//! What comes of receiving for a session.

/// What was received. `R` is what the receiver made of it.
pub(crate) enum Received<R> {
    Some(R),
    Nothing,
    /// The peer has ended what it sends.
    End,
    /// The connection is of no use any more.
    Failed,
}
