//! Errors of a client, and their kinds.

use std::convert::Infallible;
use std::fmt;
use std::io;

use coracle_core::{Code, Failure, StartError, Violation};

#[cfg(feature = "channel")]
use crate::channel::{HandshakeCause, HandshakeFailure, PublicKey};
use crate::local::{Escaped, LocalError};
#[cfg(feature = "channel")]
use crate::transport::TransportError;

/// Why a request failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The host could not be looked up, or there was no connection in time.
    Connect {
        /// The server, as the user wrote it.
        peer: String,
        /// The error of the last address that was tried.
        error: io::Error,
    },
    /// The connection broke, or nothing was received for too long.
    Connection {
        /// The server, as the user wrote it.
        peer: String,
        /// The error of the operating system, where there is one.
        error: Option<io::Error>,
        /// The failure of the session.
        failure: Failure,
    },
    /// The encrypted channel was not made, and nothing was asked.
    #[cfg(feature = "channel")]
    Handshake {
        /// The server, as the user wrote it.
        peer: String,
        /// What went wrong.
        failure: Box<HandshakeFailure<TransportError>>,
        /// Whether a retry may succeed.
        is_temporary: bool,
    },
    /// The server is not the one that is meant. It has learned nothing, and nothing was asked.
    #[cfg(feature = "channel")]
    Untrusted {
        /// The server, as the user wrote it.
        peer: String,
        /// The key that it has shown.
        key: Box<PublicKey>,
        /// Why it is not trusted.
        why: String,
    },
    /// The server refused the request.
    Refused {
        /// The code; `None` for one that this version does not know.
        code: Option<Code>,
        /// The name of the code as received, not escaped.
        code_name: String,
        /// The server's explanation as received, not escaped.
        message: String,
    },
    /// It took longer than the user gave it.
    OutOfTime,
    /// The server sent less in a second than the user demands.
    TooSlow,
    /// The file changed during each attempt to fetch it.
    Changed,
    /// The server violated the protocol.
    Violation(Violation),
    /// The digest of what was received is not the server's, in two attempts.
    DigestMismatch,
    /// The request is invalid.
    InvalidRequest(StartError),
    /// The file is larger than the limit.
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The names of directories and files to fetch occupy more memory than the limit.
    ListingTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A local file or directory.
    Local(LocalError),
    /// The output of the caller could not be written.
    Write(io::Error),
    /// The file to send could not be read.
    Read(io::Error),
    /// The file to send changed while it was hashed or sent. It is not stored.
    SourceChanged,
}

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The server refused the request.
    Refused,
    /// The request is invalid.
    Usage,
    /// The network failed, or the server did not answer in time.
    Network,
    /// What was received could not be verified, or violates the protocol.
    Verification,
    /// A local file, or a limit of the caller.
    Local,
}

impl Error {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Connect { .. } | Self::Connection { .. } | Self::OutOfTime | Self::TooSlow => ErrorKind::Network,
            #[cfg(feature = "channel")]
            Self::Handshake { failure, .. } if matches!(failure.cause, HandshakeCause::Entropy(_)) => ErrorKind::Local,
            #[cfg(feature = "channel")]
            Self::Handshake { .. } => ErrorKind::Network,
            #[cfg(feature = "channel")]
            Self::Untrusted { .. } => ErrorKind::Verification,
            Self::Refused { .. } | Self::Changed => ErrorKind::Refused,
            Self::Violation(_) | Self::DigestMismatch => ErrorKind::Verification,
            Self::InvalidRequest(_) => ErrorKind::Usage,
            Self::TooLarge { .. }
            | Self::ListingTooLarge { .. }
            | Self::Local(_)
            | Self::Write(_)
            | Self::Read(_)
            | Self::SourceChanged => ErrorKind::Local,
        }
    }

    /// Whether the server had no place for one more connection: it said so, or reset the connection before it answered the
    /// handshake.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Connection { failure: Failure::Ended(Code::Busy), .. }) || self.is_reset_handshake()
    }

    /// Whether the connection was reset in place of message 2 of the handshake.
    pub(super) fn is_reset_handshake(&self) -> bool {
        #[cfg(feature = "channel")]
        if let Self::Handshake { failure, .. } = self {
            return failure.is_reset();
        }
        false
    }

    /// Whether nothing listens at the address now, or what listens takes no more connections.
    pub(super) fn is_refused_connection(&self) -> bool {
        matches!(self, Self::Connect { error, .. } if error.kind() == io::ErrorKind::ConnectionRefused)
    }

    /// Whether who answers may be another server than the one that is meant.
    pub(super) const fn is_of_another_server(&self) -> bool {
        match self {
            Self::Violation(_) => true,
            #[cfg(feature = "channel")]
            Self::Handshake { .. } | Self::Untrusted { .. } => true,
            _ => false,
        }
    }

    /// Whether a retry may succeed.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Connection { .. } => true,
            #[cfg(feature = "channel")]
            Self::Handshake { is_temporary, .. } => *is_temporary,
            _ => false,
        }
    }
}

impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<LocalError> for Error {
    fn from(error: LocalError) -> Self {
        Self::Local(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { peer, error } => write!(f, "cannot connect to {}: {error}", Escaped(peer)),
            Self::Connection { peer, error: Some(error), .. } => {
                write!(f, "the connection to {} broke: {error}", Escaped(peer))
            }
            Self::Connection { peer, error: None, failure } => write!(f, "{}: {failure}", Escaped(peer)),
            #[cfg(feature = "channel")]
            Self::Handshake { peer, failure, .. } => write!(f, "{}: {failure}", Escaped(peer)),
            #[cfg(feature = "channel")]
            Self::Untrusted { peer, why, .. } => {
                write!(f, "{} is not known to be the server that is meant: {}", Escaped(peer), Escaped(why))
            }
            Self::Refused { code_name, message, .. } if message.is_empty() => {
                write!(f, "the server says {}", Escaped(code_name))
            }
            // The message says what the code says, but where a server has no room for one.
            Self::Refused { code: Some(code), message, .. } => match (message.strip_prefix("refused"), reason(*code)) {
                (Some(name), Some(reason)) => write!(f, "{reason}{}", Escaped(name)),
                _ => Escaped(message).fmt(f),
            },
            Self::Refused { code_name, message, .. } => write!(f, "{} ({})", Escaped(message), Escaped(code_name)),
            Self::Changed => {
                f.write_str(
                "the file changed each time while it was fetched: --snapshot takes it as it is sent; where it only grows, the server \
                 can say so with --append",
            )
            }
            Self::OutOfTime => f.write_str("the time for it is over"),
            Self::TooSlow => f.write_str("the server sends more slowly than allowed"),
            Self::Violation(violation) => violation.fmt(f),
            Self::DigestMismatch => f.write_str("what was received does not have the server's digest"),
            Self::InvalidRequest(error) => error.fmt(f),
            Self::TooLarge { size, limit } => write!(f, "the file has {size} bytes, more than the limit of {limit}"),
            Self::ListingTooLarge { limit } => {
                write!(f, "the directories' names take more than {limit} bytes: fetch its sub-directories one by one")
            }
            Self::Local(error) => error.fmt(f),
            Self::Write(error) => write!(f, "cannot write: {error}"),
            Self::Read(error) => write!(f, "cannot read: {error}"),
            Self::SourceChanged => f.write_str("the file changed while it was sent; nothing was stored"),
        }
    }
}

/// What is wrong, where servers that save room only say that they refuse.
const fn reason(code: Code) -> Option<&'static str> {
    match code {
        Code::Exists => Some("there is something of that name already"),
        Code::TooLarge => Some("larger than the server accepts"),
        Code::NoSpace => Some("the server has no room for it"),
        Code::InUse => Some("another client is sending to that name"),
        Code::NotEmpty => Some("the directory is not empty"),
        Code::Unsupported => Some("the server cannot do that here"),
        _ => None,
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect { error, .. }
            | Self::Connection { error: Some(error), .. }
            | Self::Write(error)
            | Self::Read(error) => Some(error),
            Self::Local(error) => Some(error),
            _ => None,
        }
    }
}
