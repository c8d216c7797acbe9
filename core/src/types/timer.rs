//! The timers of a session.

/// A timer of a session, and what happens when it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Timer {
    /// Runs between exchanges: closes the connection.
    Idle,
    /// Runs inside a request: sends the error `timeout`. Later bytes of the same request do not restart it.
    Request,
    /// Runs while bytes of a response are sent or awaited: closes the connection. Every byte transferred restarts it.
    Stall,
    /// Runs while a response is sent and a minimum rate is set: resets a connection that is slower.
    Rate,
    /// Runs while a digest is computed: sends a heartbeat.
    Heartbeat,
    /// Runs while bytes are held that may become the selected file's name: handles them as text.
    #[cfg(feature = "classic")]
    Hold,
}
