//! What a server grants its clients.

use std::num::NonZeroU32;
use std::time::Duration;

use coracle_core::ServerConfig;

/// What a server grants its clients. Start from the default and change what differs.
///
/// Durations are taken in milliseconds, from 1 ms to 49 days; `None` is never.
///
/// ```
/// let mut limits = coracle::server::Limits::default();
/// limits.max_clients = 8;
/// limits.idle_timeout = None;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How many clients are served at a time, each by a thread. At least 1; default 256.
    pub max_clients: usize,
    /// Bytes of a body's chunk, as the headers tell them. Default: 65,536.
    pub chunk_size: NonZeroU32,
    /// How long a connection may rest between exchanges. Default: 60 s.
    pub idle_timeout: Option<Duration>,
    /// How long a request may take from its first byte to its last. Default: 10 s.
    pub request_timeout: Option<Duration>,
    /// How long a client may accept no byte of an answer. Default: 30 s.
    pub stall_timeout: Option<Duration>,
    /// The lowest average rate at which a client has to accept an answer, in bytes per second, counted after a start of
    /// `stall_timeout`; 0 for none, the default.
    pub min_rate: u32,
    /// How long a graceful stop waits for answers under way. `None` waits for ever; default: 10 s.
    pub grace: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        const CHUNK_SIZE: NonZeroU32 = NonZeroU32::new(65_536).unwrap();
        Self {
            max_clients: 256,
            chunk_size: CHUNK_SIZE,
            idle_timeout: Some(Duration::from_secs(60)),
            request_timeout: Some(Duration::from_secs(10)),
            stall_timeout: Some(Duration::from_secs(30)),
            min_rate: 0,
            grace: Some(Duration::from_secs(10)),
        }
    }
}

impl Limits {
    /// The same for the core, without a name.
    pub(super) fn config(&self) -> ServerConfig<'static> {
        const SEND_MAX: NonZeroU32 = NonZeroU32::new(1 << 20).unwrap();
        /// A call that sends a MiB to a slow client hides its rate for too long.
        const SEND_MAX_WITH_RATE: NonZeroU32 = NonZeroU32::new(1 << 16).unwrap();
        ServerConfig::new()
            .chunk_size(self.chunk_size)
            .send_max(if self.min_rate == 0 { SEND_MAX } else { SEND_MAX_WITH_RATE })
            .idle_ms(millis(self.idle_timeout))
            .request_ms(millis(self.request_timeout))
            .stall_ms(millis(self.stall_timeout))
            .min_rate(self.min_rate)
    }
}

/// 0 for never.
pub(super) fn millis(limit: Option<Duration>) -> u32 {
    limit.map_or(0, |limit| u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::millis;

    #[test]
    fn never_is_zero_and_zero_is_not_never() {
        assert_eq!(millis(None), 0);
        assert_eq!(millis(Some(Duration::ZERO)), 1);
        assert_eq!(millis(Some(Duration::from_secs(2))), 2000);
        assert_eq!(millis(Some(Duration::MAX)), u32::MAX);
    }
}
