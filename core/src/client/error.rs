//! What can go wrong for a client, sorted by whose fault it is.

use core::fmt;

use crate::wire::code::Code;
use crate::wire::scanner::ScanError;

/// Why a client session's connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Failure {
    /// The server does not keep to the protocol, or lies.
    Violation(Violation),
    /// All bytes came, and their digest is not the server's.
    Digest,
    /// The server refused the request and closes the connection; `None` for a code that this version does not know.
    Refused(Option<Code>),
    /// The server ended the connection unasked: `busy`, `timeout` or `shuttingDown`. Try again later.
    Ended(Code),
    /// The connection ended before its answer did, or between exchanges. A body can be resumed.
    Closed,
    /// The request could not be sent, and the server did not say why.
    SendFailed,
    /// No byte moved for too long. A body can be resumed.
    Stalled,
    /// The owner gave up what was under way.
    Abandoned,
    /// The session was given a buffer that is too short.
    BufTooShort,
    /// The owner reported something that does not fit the action.
    Misuse,
}

/// The rule of the protocol that a server broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Violation {
    /// Something else than a JSON object begins where a line has to.
    LineStart,
    /// A line is no JSON.
    Json(ScanError),
    /// A line has more than 1,024 bytes, its newline included.
    LineTooLong,
    /// A line does not end in `}` and a newline, or has a newline inside.
    LineEnd,
    /// A member is missing, doubled, null, of another JSON type, or a number out of range.
    Member,
    /// An escape in a string is half of a surrogate pair.
    Surrogate,
    /// The line does not belong to the answer to what was asked.
    Type,
    /// A line came while nothing was asked.
    Unrequested,
    /// The file is not the one that was asked for.
    Name,
    /// A listed name breaks the rules of names, or lies elsewhere than directly in the listed directory.
    EntryName,
    /// The offset is not the one that was asked for, or lies behind the file's end.
    Offset,
    /// The length is not what was asked for, cut at the file's end.
    Length,
    /// The chunks do not add up to the length.
    Chunks,
    /// The version is none: it does not have 1 to 64 characters from 0x21 to 0x7E.
    Version,
    /// The version is not the one that was asked for.
    OtherVersion,
    /// The digest is not of the kind that was asked for.
    DigestKind,
    /// The digest is missing, or is not in lower-case hexadecimal digits of exactly its length.
    Digest,
    /// The end of a listing counts other entries than there were.
    Count,
    /// The longest request or the chunk size that a server tells is out of its range.
    Limit,
}

/// Why nothing was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StartError {
    /// Something is under way already, or the connection is over.
    NotIdle,
    /// Nothing was asked that could be finished.
    NotStarted,
    /// With this name the request would be longer than the server takes.
    NameDoesNotFit,
    /// This build cannot compute the digest.
    DigestUnsupported,
    /// The digest would begin behind the first byte that is asked for.
    DigestRange,
}

impl Failure {
    /// The reason as a fragment of a sentence.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Violation(breach) => breach.as_str(),
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

    /// Whether the same request may well succeed on a new connection.
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

    const FAILURES: [Failure; 11] = [
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
        are_words(&BREACHES.map(|breach| breach.to_string()));
        for failure in FAILURES {
            assert_eq!(failure.to_string(), failure.as_str());
        }
        for breach in BREACHES {
            assert_eq!(breach.to_string(), breach.as_str());
            assert_eq!(Failure::Violation(breach).as_str(), breach.as_str());
        }
        let starts = [
            StartError::NotIdle,
            StartError::NotStarted,
            StartError::NameDoesNotFit,
            StartError::DigestUnsupported,
            StartError::DigestRange,
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
