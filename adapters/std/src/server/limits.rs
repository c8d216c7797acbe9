//! Limits of a server: clients, time-outs, admission, text.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::str::FromStr;
use std::time::Duration;

use coracle_core::{ServerConfig, TextPolicy};

use super::retry_estimate::MAX_HELD;

/// Descriptors that a server needs beside a socket and a file for each client, and a socket for each that waits
/// ([`Admission::max_waiting`]). Sockets that linger after their connection has ended are not counted.
pub const SPARE_DESCRIPTORS: usize = 32;

/// Limits of a server.
///
/// Durations are taken in milliseconds, from 1 ms to 49 days; `None` is never.
///
/// ```
/// let limits = coracle::server::Limits::new().with_max_clients(8).with_idle_timeout(None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Clients that are served at a time, each by a thread unless it waits for a file to change. 0 is taken as 1; default: 256.
    pub max_clients: usize,
    /// Clients of one address that are served or queued at a time; more are refused with `busy`, whatever is free, and no
    /// connection is evicted for them. `None`, the default: no limit of its own; 0 is taken as 1.
    ///
    /// An IPv6 address counts by its network of 64 bits, since a host chooses the other 64 itself (RFC 4862), a link-local
    /// one by itself. All clients behind one proxy or address translator are one address.
    pub max_clients_per_address: Option<usize>,
    /// Bytes of a body's chunk, told in headers. Default: 65,536.
    pub chunk_size: NonZeroU32,
    /// Longest time between two requests of a connection. Default: 60 s.
    pub idle_timeout: Option<Duration>,
    /// Longest time from the first byte of a request to its last. Default: 10 s.
    pub request_timeout: Option<Duration>,
    /// Longest time in which a client accepts no byte of a response. Default: 30 s.
    pub stall_timeout: Option<Duration>,
    /// Lowest average rate at which a client has to accept a response, in bytes per second, counted after a start of
    /// `stall_timeout`; 0 for none, the default.
    pub min_rate: u32,
    /// How long a graceful stop waits for responses under way. `None` waits for ever; default: 10 s.
    pub grace: Option<Duration>,
    /// When clients that are told `shuttingDown` come again; `None`: they are not told. Default: 5 s, for a server that is
    /// started again at once.
    pub retry_after_stop: Option<Duration>,
    /// The most that is sent to all clients together, in bytes a second; `None`, the default: no limit.
    pub rate_limit: Option<NonZeroU64>,
    /// The most that is sent over one connection, in bytes a second; `None`, the default: no limit.
    pub connection_rate_limit: Option<NonZeroU64>,
    /// What happens to a client that connects when `max_clients` are served. Default: [`Admission::Busy`].
    pub admission: Admission,
    /// What happens to bytes that are no request. Default: [`OnText::Reject`].
    pub on_text: OnText,
    /// Whether clients of the classic dialect are answered (PROTOCOL.md, "Classic dialect"). Default: they are not.
    pub classic: bool,
}

/// What happens to a client that connects when as many are served as may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Admission {
    /// The oldest connection that has sent no request for more than a second is closed in its favour. Where there is none, it is
    /// refused with `busy`; but while places change hands so fast that one is about to be its own, it waits for that, for a second at
    /// most, and 512 clients do so at a time.
    #[default]
    Busy,
    /// It waits until a connection ends; clients are served in the order in which they connected. No connection is closed
    /// in favour of a new one. A client that finds the queue full, or has waited for too long, is refused with `busy`.
    Queue {
        /// Clients that wait at a time.
        length: usize,
        /// Longest time in the queue; `None`: for ever.
        timeout: Option<Duration>,
    },
}

impl Admission {
    /// Clients that may wait for a place at a time, each of which has a socket.
    #[must_use]
    pub const fn max_waiting(self) -> usize {
        match self {
            Self::Busy => MAX_HELD,
            Self::Queue { length, .. } => length,
        }
    }
}

/// What a server does with bytes that are no request.
///
/// ```
/// use coracle::server::OnText;
///
/// assert_eq!("echo".parse(), Ok(OnText::Echo));
/// assert_eq!("reply:got it".parse(), Ok(OnText::Reply("got it".to_owned())));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnText {
    /// One `badRequest`, then the connection is closed. An echo on an open port would reflect whatever a browser can be
    /// tricked into posting to it.
    #[default]
    Reject,
    /// Every byte is sent back.
    Echo,
    /// This reply, with nothing appended, for each arrival with text in it; at least 1 byte.
    Reply(String),
}

/// Text that is no [`OnText`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnTextError;

impl FromStr for OnText {
    type Err = OnTextError;

    fn from_str(text: &str) -> Result<Self, OnTextError> {
        match (text, text.strip_prefix("reply:")) {
            ("reject", _) => Ok(Self::Reject),
            ("echo", _) => Ok(Self::Echo),
            (_, Some(reply)) if !reply.is_empty() => Ok(Self::Reply(reply.to_owned())),
            _ => Err(OnTextError),
        }
    }
}

impl fmt::Display for OnTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one of reject, echo, or reply:TEXT with at least one character of TEXT")
    }
}

impl std::error::Error for OnTextError {}

impl Default for Limits {
    fn default() -> Self {
        const CHUNK_SIZE: NonZeroU32 = NonZeroU32::new(65_536).unwrap();
        Self {
            max_clients: 256,
            max_clients_per_address: None,
            chunk_size: CHUNK_SIZE,
            idle_timeout: Some(Duration::from_secs(60)),
            request_timeout: Some(Duration::from_secs(10)),
            stall_timeout: Some(Duration::from_secs(30)),
            min_rate: 0,
            grace: Some(Duration::from_secs(10)),
            retry_after_stop: Some(Duration::from_secs(5)),
            rate_limit: None,
            connection_rate_limit: None,
            admission: Admission::Busy,
            on_text: OnText::Reject,
            classic: false,
        }
    }
}

impl Limits {
    /// The default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`Limits::max_clients`].
    #[must_use]
    pub const fn with_max_clients(mut self, max_clients: usize) -> Self {
        self.max_clients = max_clients;
        self
    }

    /// Sets [`Limits::max_clients_per_address`].
    #[must_use]
    pub const fn with_max_clients_per_address(mut self, max_clients: Option<usize>) -> Self {
        self.max_clients_per_address = max_clients;
        self
    }

    /// Sets [`Limits::chunk_size`].
    #[must_use]
    pub const fn with_chunk_size(mut self, chunk_size: NonZeroU32) -> Self {
        self.chunk_size = chunk_size;
        self
    }

    /// Sets [`Limits::idle_timeout`].
    #[must_use]
    pub const fn with_idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Sets [`Limits::request_timeout`].
    #[must_use]
    pub const fn with_request_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Sets [`Limits::stall_timeout`].
    #[must_use]
    pub const fn with_stall_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.stall_timeout = timeout;
        self
    }

    /// Sets [`Limits::min_rate`].
    #[must_use]
    pub const fn with_min_rate(mut self, bytes_per_second: u32) -> Self {
        self.min_rate = bytes_per_second;
        self
    }

    /// Sets [`Limits::grace`].
    #[must_use]
    pub const fn with_grace(mut self, grace: Option<Duration>) -> Self {
        self.grace = grace;
        self
    }

    /// Sets [`Limits::retry_after_stop`].
    #[must_use]
    pub const fn with_retry_after_stop(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after_stop = retry_after;
        self
    }

    /// Sets [`Limits::rate_limit`].
    #[must_use]
    pub const fn with_rate_limit(mut self, bytes_per_second: Option<NonZeroU64>) -> Self {
        self.rate_limit = bytes_per_second;
        self
    }

    /// Sets [`Limits::connection_rate_limit`].
    #[must_use]
    pub const fn with_connection_rate_limit(mut self, bytes_per_second: Option<NonZeroU64>) -> Self {
        self.connection_rate_limit = bytes_per_second;
        self
    }

    /// Sets [`Limits::admission`].
    #[must_use]
    pub const fn with_admission(mut self, admission: Admission) -> Self {
        self.admission = admission;
        self
    }

    /// Sets [`Limits::classic`].
    #[must_use]
    pub const fn with_classic(mut self, classic: bool) -> Self {
        self.classic = classic;
        self
    }

    /// Sets [`Limits::on_text`].
    #[must_use]
    pub fn with_on_text(mut self, on_text: OnText) -> Self {
        self.on_text = on_text;
        self
    }

    /// The configuration of sessions, without a name.
    pub(super) fn config(&self) -> ServerConfig<'_> {
        /// The transport sends less at a time where the client is slow.
        const SEND_MAX: NonZeroU32 = NonZeroU32::new(1 << 22).unwrap();
        /// A call that sends a MiB to a slow client would hide its rate for too long.
        const SEND_MAX_WITH_RATE: NonZeroU32 = NonZeroU32::new(1 << 16).unwrap();
        /// A descriptor is free again when any other client has its file.
        const OUT_OF_FILES_RETRY_MS: u32 = 1_000;
        /// As long as a connection may usually be idle.
        const WAIT_MAX_MS: u32 = 60_000;
        ServerConfig::new()
            .with_chunk_size(self.chunk_size)
            .with_send_max(if self.min_rate == 0 { SEND_MAX } else { SEND_MAX_WITH_RATE })
            .with_idle_ms(millis(self.idle_timeout))
            .with_request_ms(millis(self.request_timeout))
            .with_stall_ms(millis(self.stall_timeout))
            .with_min_rate(self.min_rate)
            .with_busy_retry_ms(OUT_OF_FILES_RETRY_MS)
            .with_stop_retry_ms(millis(self.retry_after_stop))
            .with_wait_max_ms(WAIT_MAX_MS)
            .with_classic(self.classic)
            .with_text_policy(match &self.on_text {
                OnText::Reject => TextPolicy::Reject,
                OnText::Echo => TextPolicy::Echo,
                OnText::Reply(text) => TextPolicy::Reply(text),
            })
    }
}

/// 0 for never.
pub(super) fn millis(limit: Option<Duration>) -> u32 {
    limit.map_or(0, |limit| u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{OnText, OnTextError, millis};

    #[test]
    fn no_limit_is_zero_and_a_limit_of_zero_is_not() {
        assert_eq!(millis(None), 0);
        assert_eq!(millis(Some(Duration::ZERO)), 1);
        assert_eq!(millis(Some(Duration::from_secs(2))), 2000);
        assert_eq!(millis(Some(Duration::MAX)), u32::MAX);
    }

    #[test]
    fn text_policies_are_parsed() {
        assert_eq!("reject".parse(), Ok(OnText::Reject));
        assert_eq!("reply:收到: echo".parse(), Ok(OnText::Reply("收到: echo".to_owned())));
        for wrong in ["", "reply", "reply:", "Echo", "echo "] {
            assert_eq!(wrong.parse::<OnText>(), Err(OnTextError), "{wrong:?}");
        }
    }
}
