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
}

impl<'a> GetRequest<'a> {
    /// The whole file `name`, in any version, with a CRC-32.
    #[must_use]
    pub const fn new(name: FileName<'a>) -> Self {
        Self { name, offset: 0, length: None, version: None, digest: Some(DigestKind::Crc32), digest_from: None }
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
}
