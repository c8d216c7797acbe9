//! The names of what a session waits for.

/// What is due at a session's deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Timer {
    /// Between exchanges: the connection is closed.
    Idle,
    /// Inside a request: `timeout` is told. Later bytes of the same request do not push it back.
    Request,
    /// While bytes are awaited by or from the peer: the connection is closed. Each byte that moves pushes it back.
    Stall,
    /// While an answer is sent: it is slower than the lowest rate, and the connection is reset.
    Rate,
    /// While a digest is computed: a heartbeat is sent.
    Heartbeat,
    /// While bytes are held that may become the selected file's name: they are text after that.
    #[cfg(feature = "classic")]
    Hold,
}
