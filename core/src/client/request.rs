//! What a client can ask for.

use crate::types::digest::DigestKind;
use crate::types::file_name::FileName;
use crate::types::version::Version;

/// A request, as its client means it. Lent for the call that starts it: the session keeps what it needs for its checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientRequest<'a> {
    /// What the server is, and what its limits are.
    Hello,
    /// The files and directories in one directory.
    List {
        /// The directory; `None` is the served directory itself.
        path: Option<FileName<'a>>,
    },
    /// What a file is, without its contents.
    Stat {
        /// The file.
        name: FileName<'a>,
        /// Which digest of the whole file to tell.
        digest: Option<DigestKind>,
    },
    /// A file's contents, or a part of them.
    Get(GetRequest<'a>),
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
    /// The first byte that is wanted; at most the file's size.
    pub offset: u64,
    /// How many bytes are wanted, cut at the file's end; `None`: all.
    pub length: Option<u64>,
    /// The version that the file must still have; `None`: any.
    pub version: Option<&'a Version>,
    /// Which digest covers the bytes; `None`: none, and nothing is verified.
    pub digest: Option<DigestKind>,
    /// The first byte that the digest covers; `None`: `offset`. At most `offset`: the bytes between are what an
    /// earlier try has brought, and have to be shown to the session once more.
    pub digest_from: Option<u64>,
}

impl<'a> GetRequest<'a> {
    /// All of the file `name`, in any version, covered by a CRC-32.
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
