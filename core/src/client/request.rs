//! Requests of a client.

#[cfg(feature = "write")]
use super::write_request::WriteRequest;
use crate::types::digest::DigestKind;
use crate::types::file_name::FileName;
use crate::types::version::Version;

/// A request. Borrowed only by the call that starts it: the session copies what it checks the response against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientRequest<'a> {
    /// Requests the server's name, limits and features.
    Hello,
    /// Lists one directory.
    List {
        /// The directory; `None` for the root.
        path: Option<FileName<'a>>,
    },
    /// Describes a file without sending its contents.
    Stat {
        /// The file.
        name: FileName<'a>,
        /// The digest of the whole file to report.
        digest: Option<DigestKind>,
    },
    /// Describes a log, with offsets that count from its beginning ([`GetRequest::absolute`]).
    #[cfg(feature = "absolute")]
    StatAbsolute {
        /// The log.
        name: FileName<'a>,
    },
    /// Fetches a file or a range of it.
    Get(GetRequest<'a>),
    /// Writes.
    #[cfg(feature = "write")]
    Write(WriteRequest<'a>),
}

/// A request for a file's bytes.
///
/// ```
/// use coracle_core::{FileName, GetRequest};
///
/// // The first 100 bytes, covered by a CRC-32:
/// let head = GetRequest::new(FileName::from_static("boot.log")).with_length(Some(100));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GetRequest<'a> {
    /// The file.
    pub name: FileName<'a>,
    /// The first requested byte; at most the file's size.
    pub offset: u64,
    /// The number of requested bytes, limited to the file's end; `None`: all.
    pub length: Option<u64>,
    /// The version that the file must have; `None`: any.
    pub version: Option<&'a Version>,
    /// The digest of the bytes; `None`: none, and nothing is verified.
    pub digest: Option<DigestKind>,
    /// The first byte that the digest covers; `None`: `offset`. At most `offset`: the bytes between are those of an
    /// earlier attempt, and have to be passed to the session again.
    pub digest_from: Option<u64>,
    /// How long the server waits for a change where `offset` is the file's size, in milliseconds; 0: not at all. A server may wait
    /// for a shorter time, and one that does not know it answers at once; then the body is empty. Heartbeats come meanwhile.
    #[cfg(feature = "wait")]
    pub wait_ms: u64,
    /// Whether offsets count from the log's beginning, whatever was dropped of it since. A server that does not know it answers
    /// with offsets in what is there, and without [`Header::first`](crate::Header::first).
    #[cfg(feature = "absolute")]
    pub absolute: bool,
}

impl<'a> GetRequest<'a> {
    /// The whole file `name`, in any version, with a CRC-32.
    #[must_use]
    pub const fn new(name: FileName<'a>) -> Self {
        Self {
            name,
            offset: 0,
            length: None,
            version: None,
            digest: Some(DigestKind::Crc32),
            digest_from: None,
            #[cfg(feature = "wait")]
            wait_ms: 0,
            #[cfg(feature = "absolute")]
            absolute: false,
        }
    }

    /// Sets [`GetRequest::offset`].
    #[must_use]
    pub const fn with_offset(self, offset: u64) -> Self {
        Self { offset, ..self }
    }

    /// Sets [`GetRequest::length`].
    #[must_use]
    pub const fn with_length(self, length: Option<u64>) -> Self {
        Self { length, ..self }
    }

    /// Sets [`GetRequest::version`].
    #[must_use]
    pub const fn with_version(self, version: Option<&'a Version>) -> Self {
        Self { version, ..self }
    }

    /// Sets [`GetRequest::digest`].
    #[must_use]
    pub const fn with_digest(self, digest: Option<DigestKind>) -> Self {
        Self { digest, ..self }
    }

    /// Sets [`GetRequest::digest_from`].
    #[must_use]
    pub const fn with_digest_from(self, digest_from: Option<u64>) -> Self {
        Self { digest_from, ..self }
    }

    /// Sets [`GetRequest::wait_ms`].
    #[cfg(feature = "wait")]
    #[must_use]
    pub const fn with_wait_ms(self, wait_ms: u64) -> Self {
        Self { wait_ms, ..self }
    }

    /// Sets [`GetRequest::absolute`].
    #[cfg(feature = "absolute")]
    #[must_use]
    pub const fn with_absolute(self, absolute: bool) -> Self {
        Self { absolute, ..self }
    }
}
