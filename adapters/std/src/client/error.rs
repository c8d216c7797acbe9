//! What can go wrong for a client, sorted by whose fault it is.

use std::fmt;
use std::io;

use coracle_core::{Code, Failure, StartError, Violation};

use crate::local::{Escaped, LocalError};

/// Why something was not fetched, listed or told.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The host's name could not be looked up, or no connection be made in time.
    Connect {
        /// The server, as the user wrote it.
        peer: String,
        /// The last address's answer.
        error: io::Error,
    },
    /// The connection broke, or nothing came for too long.
    Connection {
        /// The server, as the user wrote it.
        peer: String,
        /// The operating system's word, where it has one.
        error: Option<io::Error>,
        /// The session's.
        failure: Failure,
    },
    /// The server refused.
    Refused {
        /// `None` for a code that this version does not know.
        code: Option<Code>,
        /// The code's word, as it was received.
        word: String,
        /// The server's explanation, as it was received; [`Error`]'s own text shows it escaped.
        text: String,
    },
    /// The file changed while it was fetched, again and again.
    Changed,
    /// The server does not keep to the protocol, or lies.
    Violation(Violation),
    /// All bytes came, twice, and their digest is not the server's.
    Digest,
    /// It cannot be asked like this.
    Start(StartError),
    /// The file is larger than it may be.
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A directory has more in it than can be remembered at once.
    TooMany {
        /// The limit, in bytes of names.
        limit: usize,
    },
    /// Trouble with this machine's files.
    Local(LocalError),
    /// What was fetched could not be written to where the caller wanted it.
    Write(io::Error),
}

/// Whose fault an [`Error`] is: what the program's exit code tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The server refused.
    Refused,
    /// The caller asked for what cannot be.
    Usage,
    /// The network, or a server that has no time.
    Network,
    /// What came is not to be believed.
    Verification,
    /// This machine.
    Local,
}

impl Error {
    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Connect { .. } | Self::Connection { .. } => Blame::Network,
            Self::Refused { .. } | Self::Changed => Blame::Refused,
            Self::Violation(_) | Self::Digest => Blame::Verification,
            Self::Start(_) => Blame::Usage,
            Self::TooLarge { .. } | Self::TooMany { .. } | Self::Local(_) | Self::Write(_) => Blame::Local,
        }
    }

    /// Whether trying again a little later may well help.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Connection { .. })
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
            Self::Refused { word, text, .. } if text.is_empty() => write!(f, "the server says {}", Escaped(word)),
            Self::Refused { word, text, .. } => write!(f, "{} ({})", Escaped(text), Escaped(word)),
            Self::Changed => f.write_str("the file changed each time while it was fetched"),
            Self::Violation(breach) => breach.fmt(f),
            Self::Digest => f.write_str("what was received does not have the server's digest"),
            Self::Start(error) => error.fmt(f),
            Self::TooLarge { size, limit } => write!(f, "the file has {size} bytes, more than the limit of {limit}"),
            Self::TooMany { limit } => {
                write!(f, "the directories' names take more than {limit} bytes: fetch its sub-directories one by one")
            }
            Self::Local(error) => error.fmt(f),
            Self::Write(error) => write!(f, "cannot write: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect { error, .. } | Self::Connection { error: Some(error), .. } | Self::Write(error) => {
                Some(error)
            }
            Self::Local(error) => Some(error),
            _ => None,
        }
    }
}
