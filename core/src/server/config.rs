//! Settings of a server.

use core::num::NonZeroU32;

#[cfg(feature = "manage")]
use super::actions::ActionWords;
#[cfg(feature = "write")]
use crate::wire::request_kinds::{RequestKind, RequestKinds};

/// The settings of a server, shared by all its sessions.
///
/// The defaults are for a board: chunks of 1,024 bytes, idle 60 s, request 10 s, stall 30 s, no minimum rate.
#[derive(Clone, Copy, Debug)]
pub struct ServerConfig<'a> {
    pub(crate) name: ServerName<'a>,
    pub(crate) chunk_size: NonZeroU32,
    pub(crate) send_max: NonZeroU32,
    pub(crate) idle_ms: u32,
    pub(crate) request_ms: u32,
    pub(crate) stall_ms: u32,
    pub(crate) min_rate: u32,
    pub(crate) busy_retry_ms: u32,
    pub(crate) stop_retry_ms: u32,
    #[cfg(feature = "classic")]
    pub(crate) text: TextPolicy<'a>,
    #[cfg(feature = "classic")]
    pub(crate) is_classic: bool,
    #[cfg(feature = "write")]
    pub(crate) offered: RequestKinds,
    #[cfg(feature = "manage")]
    pub(crate) actions: ActionWords<'a>,
    #[cfg(feature = "rights")]
    pub(crate) asks_permits: bool,
    #[cfg(feature = "wait")]
    pub(crate) wait_max_ms: u32,
    #[cfg(feature = "absolute")]
    pub(crate) is_absolute: bool,
}

/// What a server does with bytes that are not a request.
#[cfg(feature = "classic")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextPolicy<'a> {
    /// Sends one `badRequest` and closes. An echo on an open port would reflect whatever a browser can be tricked into
    /// posting to it.
    #[default]
    Reject,
    /// Sends every byte back.
    Echo,
    /// Sends this text, with nothing appended, for each arrival that contains text.
    Reply(&'a str),
}

impl Default for ServerConfig<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> ServerConfig<'a> {
    /// The default settings.
    #[must_use]
    pub const fn new() -> Self {
        const BOARD_CHUNK_SIZE: NonZeroU32 = NonZeroU32::new(1024).unwrap();
        Self {
            name: ServerName(""),
            chunk_size: BOARD_CHUNK_SIZE,
            send_max: NonZeroU32::MIN,
            idle_ms: 60_000,
            request_ms: 10_000,
            stall_ms: 30_000,
            min_rate: 0,
            busy_retry_ms: 0,
            stop_retry_ms: 0,
            #[cfg(feature = "classic")]
            text: TextPolicy::Reject,
            #[cfg(feature = "classic")]
            is_classic: false,
            #[cfg(feature = "write")]
            offered: RequestKinds::READING,
            #[cfg(feature = "manage")]
            actions: ActionWords::NONE,
            #[cfg(feature = "rights")]
            asks_permits: false,
            #[cfg(feature = "wait")]
            wait_max_ms: 0,
            #[cfg(feature = "absolute")]
            is_absolute: false,
        }
    }

    /// Sets the name of this server, sent in `hello`. Default: empty.
    #[must_use]
    pub const fn with_name(self, name: ServerName<'a>) -> Self {
        Self { name, ..self }
    }

    /// Sets the chunk size of bodies, in bytes. Default: 1,024.
    #[must_use]
    pub const fn with_chunk_size(self, bytes: NonZeroU32) -> Self {
        Self { chunk_size: bytes, ..self }
    }

    /// Sets the maximum number of bytes of a body in one action, rounded down to whole chunks, at least one chunk. Sending
    /// them in one call should not block past the deadlines. Default: one chunk.
    #[must_use]
    pub const fn with_send_max(self, bytes: NonZeroU32) -> Self {
        Self { send_max: bytes, ..self }
    }

    /// Sets how long a connection may be idle between exchanges, in milliseconds; 0: no limit. Default: 60,000.
    #[must_use]
    pub const fn with_idle_ms(self, idle_ms: u32) -> Self {
        Self { idle_ms, ..self }
    }

    /// Sets how long a request may take from its first byte to its last, in milliseconds; 0: no limit. Default: 10,000.
    #[must_use]
    pub const fn with_request_ms(self, request_ms: u32) -> Self {
        Self { request_ms, ..self }
    }

    /// Sets how long sending may stall without a byte accepted, in milliseconds; 0: no limit. Default: 30,000.
    #[must_use]
    pub const fn with_stall_ms(self, stall_ms: u32) -> Self {
        Self { stall_ms, ..self }
    }

    /// Sets the minimum average rate while a response is sent, in bytes per second; 0: none (the default). It is enforced
    /// after the first `stall_ms` (30 s where that is 0).
    #[must_use]
    pub const fn with_min_rate(self, bytes_per_second: u32) -> Self {
        Self { min_rate: bytes_per_second, ..self }
    }

    /// Sets when a client that is told `busy` is to come again, in milliseconds; 0, the default: it is not told. An estimate that
    /// changes belongs into the configuration that [`ServerSession::refusing`](crate::ServerSession::refusing) is given.
    #[must_use]
    pub const fn with_busy_retry_ms(self, retry_ms: u32) -> Self {
        Self { busy_retry_ms: retry_ms, ..self }
    }

    /// Sets when a client that is told `shuttingDown` is to come again, in milliseconds; 0, the default: it is not told.
    #[must_use]
    pub const fn with_stop_retry_ms(self, retry_ms: u32) -> Self {
        Self { stop_retry_ms: retry_ms, ..self }
    }

    /// How long a connection may be idle, in milliseconds; 0: no limit. For an owner that waits for a client's first byte itself.
    #[must_use]
    pub const fn idle_ms(&self) -> u32 {
        self.idle_ms
    }

    /// How long a request may take, in milliseconds; 0: no limit. For an owner that waits for a handshake before the session.
    #[must_use]
    pub const fn request_ms(&self) -> u32 {
        self.request_ms
    }

    /// Sets what is done with bytes that are not a request. Default: [`TextPolicy::Reject`].
    #[cfg(feature = "classic")]
    #[must_use]
    pub const fn with_text_policy(self, text: TextPolicy<'a>) -> Self {
        Self { text, ..self }
    }

    /// Sets whether the classic dialect is spoken. Default: no, also where the feature `classic` is enabled, which another crate
    /// of the same program may have done.
    #[cfg(feature = "classic")]
    #[must_use]
    pub const fn with_classic(self, is_classic: bool) -> Self {
        Self { is_classic, ..self }
    }

    /// Adds `kind` to the requests that are offered. Default: those that only read, also where the feature `write` is enabled, which
    /// another crate of the same program may have done. For `do` see `with_actions`.
    #[cfg(feature = "write")]
    #[must_use]
    pub const fn with_offered(self, kind: RequestKind) -> Self {
        Self { offered: self.offered.with(kind), ..self }
    }

    /// Sets the actions that a client may ask for by `do`. Default: none, and `do` is not offered.
    #[cfg(feature = "manage")]
    #[must_use]
    pub const fn with_actions(self, actions: ActionWords<'a>) -> Self {
        let offered = if actions.as_str().is_empty() { self.offered } else { self.offered.with(RequestKind::Do) };
        Self { actions, offered, ..self }
    }

    /// Sets whether the owner decides at each request if this client may do that
    /// ([`Action::Permit`](crate::Action::Permit)). Default: no, every client may do what is offered.
    #[cfg(feature = "rights")]
    #[must_use]
    pub const fn with_permits(self, asks_permits: bool) -> Self {
        Self { asks_permits, ..self }
    }

    /// Sets how long a `get` waits at most at the end of its file, in milliseconds; 0, the default: it is answered at once, and
    /// waiting is not offered. Its owner has to be one that knows [`Action::Watch`](crate::Action::Watch).
    #[cfg(feature = "wait")]
    #[must_use]
    pub const fn with_wait_max_ms(self, wait_max_ms: u32) -> Self {
        Self { wait_max_ms, ..self }
    }

    /// Sets whether offsets in logs may be absolute, for a store with
    /// [`Store::open_absolute`](crate::Store::open_absolute). Default: no.
    #[cfg(feature = "absolute")]
    #[must_use]
    pub const fn with_absolute(self, is_absolute: bool) -> Self {
        Self { is_absolute, ..self }
    }

    /// The actions that are offered.
    #[cfg(feature = "rights")]
    pub(crate) const fn action_words(&self) -> super::ActionWords<'a> {
        #[cfg(feature = "manage")]
        return self.actions;
        #[cfg(not(feature = "manage"))]
        super::ActionWords::NONE
    }

    /// The requests that are offered.
    #[cfg(feature = "rights")]
    pub(crate) const fn offered(&self) -> crate::RequestKinds {
        #[cfg(feature = "write")]
        return self.offered;
        #[cfg(not(feature = "write"))]
        crate::RequestKinds::READING
    }

    /// The shortest buffer of a session with these settings, in bytes, which is also the least `maxRequest`.
    #[cfg(feature = "write")]
    #[must_use]
    pub const fn min_buf_len(&self) -> usize {
        #[cfg(feature = "manage")]
        if self.offered.has(RequestKind::Rename) {
            return 768;
        }
        if self.offered.has(RequestKind::Put) { 640 } else { 512 }
    }

    /// The maximum `len` of an action.
    pub(crate) const fn span(&self) -> u32 {
        let chunk = self.chunk_size.get();
        let whole = self.send_max.get() - self.send_max.get() % chunk;
        if whole == 0 { chunk } else { whole }
    }
}

/// Name of a server: at most 32 bytes of UTF-8 without control characters. May be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerName<'a>(&'a str);

/// Text that is not a [`ServerName`]: over 32 bytes, or with a control character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerNameError;

impl<'a> ServerName<'a> {
    /// The longest name, in bytes of UTF-8.
    pub const MAX_LEN: usize = 32;

    /// Checks `name`.
    ///
    /// # Errors
    ///
    /// [`ServerNameError`] when it is too long or holds a control character.
    pub fn new(name: &'a str) -> Result<Self, ServerNameError> {
        if name.len() > Self::MAX_LEN || name.chars().any(char::is_control) {
            return Err(ServerNameError);
        }
        Ok(Self(name))
    }

    /// The characters.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl core::fmt::Display for ServerNameError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("a server's name has at most 32 bytes and no control character")
    }
}

impl core::error::Error for ServerNameError {}

#[cfg(test)]
mod tests {
    extern crate std;
    use core::num::NonZeroU32;
    use std::string::ToString;

    use super::{ServerConfig, ServerName, ServerNameError};

    #[test]
    fn names() {
        assert_eq!(ServerName::new("bench-7").map(ServerName::as_str), Ok("bench-7"));
        assert!(ServerName::new(&"x".repeat(32)).is_ok());
        assert_eq!(ServerName::new(&"x".repeat(33)), Err(ServerNameError));
        assert_eq!(ServerName::new("a\u{9b}b"), Err(ServerNameError));
        assert_eq!(ServerNameError.to_string(), "a server's name has at most 32 bytes and no control character");
    }

    #[test]
    fn a_span_is_whole_chunks() {
        let bytes = |bytes| NonZeroU32::new(bytes).expect("not 0");
        let config = ServerConfig::new().with_chunk_size(bytes(1000));
        assert_eq!(config.span(), 1000);
        assert_eq!(config.with_send_max(bytes(999)).span(), 1000);
        assert_eq!(config.with_send_max(bytes(2999)).span(), 2000);
        assert_eq!(config.with_chunk_size(bytes(1)).with_send_max(bytes(u32::MAX)).span(), u32::MAX);
    }
}
