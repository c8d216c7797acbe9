//! Errors of a client session, grouped by cause.

use core::fmt;

use crate::wire::code::Code;
use crate::wire::scanner::ScanError;

/// Why a client session has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Failure {
    /// The server violated the protocol.
    Violation(Violation),
    /// All bytes were received, and their digest differs from the server's.
    Digest,
    /// The server refused the request and closes the connection; `None` for a code that this version does not know.
    Refused(Option<Code>),
    /// The server ended the connection by itself: `busy`, `timeout` or `shuttingDown`. Try again later.
    Ended(Code),
    /// The connection ended before the response was complete, or between exchanges. A body can be resumed.
    Closed,
    /// The request could not be sent, and the server sent no error.
    SendFailed,
    /// No byte was transferred for too long. A body can be resumed.
    Stalled,
    /// The owner abandoned the request.
    Abandoned,
    /// The session was given a buffer that is too short.
    BufTooShort,
    /// The owner reported something that does not match the action.
    Misuse,
}

/// The rule of the protocol that a server violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Violation {
    /// A line does not begin with a JSON object.
    LineStart,
    /// A line is not JSON.
    Json(ScanError),
    /// A line has more than 1,024 bytes, its newline included.
    LineTooLong,
    /// A line does not end with `}` and a newline, or contains a newline.
    LineEnd,
    /// A member is missing, duplicated, null, of another JSON type, or a number out of range.
    Member,
    /// An escape in a string is half of a surrogate pair.
    Surrogate,
    /// The line does not belong to a response to the request.
    Type,
    /// A line was received without a request.
    Unrequested,
    /// The file is not the requested one.
    Name,
    /// A listed name violates the rules of names, or is not directly in the listed directory.
    EntryName,
    /// The offset is not the requested one, or lies beyond the file's end.
    Offset,
    /// The length is not the requested one, limited to the file's end.
    Length,
    /// The chunks do not add up to the length.
    Chunks,
    /// The version is invalid: not 1 to 64 characters from 0x21 to 0x7E.
    Version,
    /// The version is not the requested one.
    OtherVersion,
    /// The digest is not of the requested kind.
    DigestKind,
    /// The digest is missing, or not lower-case hexadecimal digits of exactly its length.
    Digest,
    /// The count at the end of a listing is not the number of entries.
    Count,
    /// A limit in the response to `hello`, or the chunk size, is out of range.
    Limit,
}

/// Why a request was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StartError {
    /// A request is under way already, or the session has closed.
    NotIdle,
    /// No request was started that could be finished.
    NotStarted,
    /// With this name the request would be longer than the server accepts.
    NameDoesNotFit,
    /// This build cannot compute the digest.
    DigestUnsupported,
    /// The digest would begin after the first requested byte.
    DigestRange,
    /// A request before which bytes have to be hashed, or one that changes the store, cannot be sent ahead of other responses.
    NotAhead,
    /// The buffer for the request is too short.
    BufTooShort,
}

impl Failure {
    /// The reason as a fragment of a sentence.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Violation(violation) => violation.as_str(),
            Self::Digest => "the digest of what was received is not the server's",
            Self::Refused(_) => "the server refused the request",
            Self::Ended(Code::Busy) => "the server is busy",
            Self::Ended(Code::ShuttingDown) => "the server is shutting down",
            Self::Ended(_) => "the server ended the connection",
            Self::Closed => "the server closed the connection before the answer was complete",
            Self::SendFailed => "the request could not be sent",
            Self::Stalled => "the server sent nothing for too long",
            Self::Abandoned => "given up",
            Self::BufTooShort => "the session's buffer is too short",
            Self::Misuse => "the connection's owner reported what did not happen",
        }
    }

    /// Whether the same request may succeed on a new connection.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::Ended(_) | Self::Closed | Self::SendFailed | Self::Stalled)
    }
}

impl Violation {
    /// The rule as a fragment of a sentence.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LineStart => "the server sent something else than a line of JSON",
            Self::Json(_) => "the server sent a line that is no JSON",
            Self::LineTooLong => "the server sent a line of more than 1024 bytes",
            Self::LineEnd => "the server sent a line that does not end where its object does",
            Self::Member => "a member of the server's answer is missing, doubled or of another type",
            Self::Surrogate => "the server sent half of a surrogate pair",
            Self::Type => "the server answered something else than what was asked",
            Self::Unrequested => "the server answered what was not asked",
            Self::Name => "the server answered with another file",
            Self::EntryName => "the server listed a name that cannot be",
            Self::Offset => "the server answered with another offset",
            Self::Length => "the server answered with another length",
            Self::Chunks => "the server's chunks do not add up to its length",
            Self::Version => "the server sent a version that is none",
            Self::OtherVersion => "the server answered with another version",
            Self::DigestKind => "the server answered with another digest",
            Self::Digest => "the server's digest is missing or malformed",
            Self::Count => "the server's count of entries is wrong",
            Self::Limit => "the server tells a limit that cannot be",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(Some(code)) => write!(f, "the server refused the request: {code}"),
            other => f.write_str(other.as_str()),
        }
    }
}

impl core::error::Error for Failure {}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::error::Error for Violation {}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotIdle => "the connection is not idle",
            Self::NotStarted => "nothing was asked",
            Self::NameDoesNotFit => "the name is too long to be asked of this server",
            Self::DigestUnsupported => "this digest cannot be computed here",
            Self::DigestRange => "the digest would begin behind the first byte that is asked for",
            Self::NotAhead => "this cannot be asked before other answers have come",
            Self::BufTooShort => "the buffer for the request is too short",
        })
    }
}

impl core::error::Error for StartError {}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::collections::BTreeSet;
    use std::string::{String, ToString};

    use super::{Failure, StartError, Violation};
    use crate::{Code, ScanError};

    const FAILURES: [Failure; 12] = [
        Failure::Violation(Violation::Name),
        Failure::Digest,
        Failure::Refused(None),
        Failure::Ended(Code::Busy),
        Failure::Ended(Code::ShuttingDown),
        Failure::Ended(Code::Timeout),
        Failure::Closed,
        Failure::SendFailed,
        Failure::Stalled,
        Failure::Abandoned,
        Failure::BufTooShort,
        Failure::Misuse,
    ];

    const BREACHES: [Violation; 19] = [
        Violation::LineStart,
        Violation::Json(ScanError::Syntax),
        Violation::LineTooLong,
        Violation::LineEnd,
        Violation::Member,
        Violation::Surrogate,
        Violation::Type,
        Violation::Unrequested,
        Violation::Name,
        Violation::EntryName,
        Violation::Offset,
        Violation::Length,
        Violation::Chunks,
        Violation::Version,
        Violation::OtherVersion,
        Violation::DigestKind,
        Violation::Digest,
        Violation::Count,
        Violation::Limit,
    ];

    /// Fragments of sentences, each its own.
    fn are_words(words: &[String]) {
        assert_eq!(words.iter().collect::<BTreeSet<_>>().len(), words.len());
        for fragment in words {
            assert!(
                fragment.starts_with(|first: char| first.is_ascii_lowercase()) && !fragment.ends_with('.'),
                "{fragment}"
            );
            assert!(fragment.split(' ').count() > 1, "{fragment}");
        }
    }

    #[test]
    fn every_reason_has_its_own_words() {
        are_words(&FAILURES.map(|failure| failure.to_string()));
        are_words(&BREACHES.map(|violation| violation.to_string()));
        for failure in FAILURES {
            assert_eq!(failure.to_string(), failure.as_str());
        }
        for violation in BREACHES {
            assert_eq!(violation.to_string(), violation.as_str());
            assert_eq!(Failure::Violation(violation).as_str(), violation.as_str());
        }
        let starts = [
            StartError::NotIdle,
            StartError::NotStarted,
            StartError::NameDoesNotFit,
            StartError::DigestUnsupported,
            StartError::DigestRange,
            StartError::NotAhead,
            StartError::BufTooShort,
        ];
        are_words(&starts.map(|error| error.to_string()));
    }

    /// What has to do with the network or with a busy server may be over in a minute; a lie is not.
    #[test]
    fn what_may_succeed_next_time() {
        for failure in FAILURES {
            let expected =
                matches!(failure, Failure::Ended(_) | Failure::Closed | Failure::SendFailed | Failure::Stalled);
            assert_eq!(failure.is_temporary(), expected, "{failure}");
        }
    }
}
