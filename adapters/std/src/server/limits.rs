//! What a server grants its clients.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use coracle_core::{ServerConfig, TextPolicy};

/// How many descriptors a server needs beside a socket and a file for each client. Sockets that linger after their client
/// was served are not counted.
pub const SPARE_DESCRIPTORS: usize = 32;

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
    /// How many of them may come from one address; who comes on top of those is told `busy`, whatever is free, and nobody
    /// loses a place to it. Clients that wait for a place ([`Admission::Queue`]) count, too. `None`, the default: as many
    /// as there are places; 0 is taken as 1.
    ///
    /// An IPv6 address counts by its network of 64 bits, as that is what a single host has to itself (RFC 4862: it makes
    /// up the other 64), a link-local one by itself. All who come through one proxy or address translator are one address.
    pub max_clients_per_address: Option<usize>,
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
    /// What becomes of a client for whom there is no place. Default: [`Admission::Busy`].
    pub admission: Admission,
    /// What is done with bytes that are no request. Default: [`OnText::Reject`].
    pub on_text: OnText,
}

/// What becomes of a client who connects when every place is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Admission {
    /// It gets the place of the oldest client that has asked nothing for more than a second; where there is none, it is told
    /// `busy`.
    #[default]
    Busy,
    /// It waits until a client leaves; who came first is served first. Nobody is dropped for a newcomer. Told `busy` is who
    /// finds the queue full, and who has waited for too long.
    Queue {
        /// How many may wait at a time.
        length: usize,
        /// How long; `None`: for ever.
        timeout: Option<Duration>,
    },
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
    /// tricked into posting at it.
    #[default]
    Reject,
    /// Every byte goes back as it came.
    Echo,
    /// This reply, with nothing appended, for each arrival that holds text; at least 1 byte.
    Reply(String),
}

/// Text that is no [`OnText`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
            admission: Admission::Busy,
            on_text: OnText::Reject,
        }
    }
}

impl Limits {
    /// The same for the core, without a name.
    pub(super) fn config(&self) -> ServerConfig<'_> {
        /// The transport takes less of it where the client is slow.
        const SEND_MAX: NonZeroU32 = NonZeroU32::new(1 << 22).unwrap();
        /// A call that sends a MiB to a slow client hides its rate for too long.
        const SEND_MAX_WITH_RATE: NonZeroU32 = NonZeroU32::new(1 << 16).unwrap();
        ServerConfig::new()
            .chunk_size(self.chunk_size)
            .send_max(if self.min_rate == 0 { SEND_MAX } else { SEND_MAX_WITH_RATE })
            .idle_ms(millis(self.idle_timeout))
            .request_ms(millis(self.request_timeout))
            .stall_ms(millis(self.stall_timeout))
            .min_rate(self.min_rate)
            .text(match &self.on_text {
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
    fn never_is_zero_and_zero_is_not_never() {
        assert_eq!(millis(None), 0);
        assert_eq!(millis(Some(Duration::ZERO)), 1);
        assert_eq!(millis(Some(Duration::from_secs(2))), 2000);
        assert_eq!(millis(Some(Duration::MAX)), u32::MAX);
    }

    #[test]
    fn what_to_do_with_text() {
        assert_eq!("reject".parse(), Ok(OnText::Reject));
        assert_eq!("reply:收到: echo".parse(), Ok(OnText::Reply("收到: echo".to_owned())));
        for wrong in ["", "reply", "reply:", "Echo", "echo "] {
            assert_eq!(wrong.parse::<OnText>(), Err(OnTextError), "{wrong:?}");
        }
    }
}
