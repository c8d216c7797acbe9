//! What the response to a request has to be.

use heapless::String;

use super::error::StartError;
use super::request::ClientRequest;
#[cfg(feature = "write")]
use crate::types::digest::Digest;
use crate::types::digest::DigestKind;
use crate::types::file_name::FileName;
use crate::types::version::Version;

/// Which line is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AwaitedLine {
    /// None: only an `error` that closes may come without a request.
    Nothing,
    Hello,
    Listing {
        seen: u64,
    },
    Stat,
    Header,
    /// The `end` line after a body that ended at `end`, of a file of `size` bytes.
    Trailer {
        end: u64,
        size: u64,
    },
    /// The server's readiness for a file, or its end where it is there already.
    #[cfg(feature = "write")]
    Ready,
    /// None while a body is sent, but an error.
    #[cfg(feature = "write")]
    BodyError,
    /// The `end` line of a file that was put.
    #[cfg(feature = "write")]
    Stored,
    /// An `end` line alone.
    #[cfg(feature = "write")]
    Done,
    #[cfg(feature = "write")]
    Space,
}

/// The parts of the request that its response is checked against.
#[derive(Debug)]
pub(super) struct Expectation {
    pub(super) awaited: AwaitedLine,
    /// The file; of a listing the directory, empty for the root.
    pub(super) name: String<{ FileName::MAX_LEN }, u8>,
    pub(super) offset: u64,
    pub(super) length: Option<u64>,
    pub(super) version: Option<Version>,
    pub(super) digest: Option<DigestKind>,
    pub(super) digest_from: u64,
    pub(super) request_len: usize,
    /// Whether a header may tell the first byte that is still there.
    #[cfg(feature = "absolute")]
    pub(super) is_absolute: bool,
    /// The digest of a file that is put; its size is the length.
    #[cfg(feature = "write")]
    pub(super) put_digest: Option<Digest>,
    /// Whether the server may leave out the version of a file that is put, since it is durable later.
    #[cfg(feature = "sync")]
    pub(super) is_deferred: bool,
}

impl Expectation {
    pub(super) const fn nothing() -> Self {
        Self {
            awaited: AwaitedLine::Nothing,
            name: String::new(),
            offset: 0,
            length: None,
            version: None,
            digest: None,
            digest_from: 0,
            request_len: 0,
            #[cfg(feature = "absolute")]
            is_absolute: false,
            #[cfg(feature = "write")]
            put_digest: None,
            #[cfg(feature = "sync")]
            is_deferred: false,
        }
    }

    pub(super) fn new(request: &ClientRequest<'_>) -> Result<Self, StartError> {
        let mut expectation = Self::nothing();
        let name = match request {
            ClientRequest::Hello => {
                expectation.awaited = AwaitedLine::Hello;
                None
            }
            ClientRequest::List { path } => {
                expectation.awaited = AwaitedLine::Listing { seen: 0 };
                *path
            }
            ClientRequest::Stat { name, digest } => {
                expectation.awaited = AwaitedLine::Stat;
                expectation.digest = *digest;
                Some(*name)
            }
            #[cfg(feature = "absolute")]
            ClientRequest::StatAbsolute { name } => {
                expectation.awaited = AwaitedLine::Stat;
                expectation.is_absolute = true;
                Some(*name)
            }
            ClientRequest::Get(get) => {
                expectation.awaited = AwaitedLine::Header;
                expectation.offset = get.offset;
                expectation.length = get.length;
                expectation.version = get.version.cloned();
                expectation.digest = get.digest;
                expectation.digest_from = get.digest_from.unwrap_or(get.offset);
                #[cfg(feature = "absolute")]
                {
                    expectation.is_absolute = get.absolute;
                }
                Some(get.name)
            }
            #[cfg(feature = "write")]
            ClientRequest::Write(request) => expectation.of_write(request),
        };
        if expectation.digest_from > expectation.offset {
            return Err(StartError::DigestRange);
        }
        let name = name.map_or("", FileName::as_str);
        expectation.name = String::try_from(name).map_err(|_| StartError::NameDoesNotFit)?;
        Ok(expectation)
    }
}
