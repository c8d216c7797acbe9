//! What a client session tells its owner.

use crate::store::Entry;
use crate::types::digest::{Digest, DigestKind};
use crate::types::version::Version;
use crate::wire::code::Code;

use super::error::Failure;

/// What the owner of the connection has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ClientAction<'a> {
    /// Feed up to `len` bytes of what an earlier try has brought, from `offset` of the file on, to `rehashed`. Best done
    /// before the connection is made: a server does not wait for long.
    Rehash {
        /// Where in the file, in bytes.
        offset: u64,
        /// How many bytes there are still; at least 1.
        len: u64,
    },
    /// Send some of `bytes`, and report how many with `sent`.
    SendBytes {
        /// At least one byte.
        bytes: &'a [u8],
    },
    /// Wait for bytes and give them to `receive`, or the end of input to `receive_eof`.
    Receive,
    /// Nothing is under way: `start` something, or close the connection.
    Idle,
    /// The connection is over: drop it, and whatever was not read from it. Nothing follows.
    Close(Failure),
}

/// Something that was received, and checked against what was asked.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent<'a> {
    /// The answer to `hello`, whole.
    Hello(Hello<'a>),
    /// The answer to `stat`, whole; or the beginning of the one to `get`.
    Header(Header),
    /// The next bytes of a body, not verified yet.
    Body {
        /// Where in the file, in bytes.
        offset: u64,
        /// At least one byte; a part of what was given to `receive`.
        bytes: &'a [u8],
    },
    /// The end of a body.
    End(End),
    /// One thing in a listed directory, directly beneath it.
    Entry(Entry<'a>),
    /// The end of a listing, whole.
    Listed(Listing),
    /// The request was refused.
    Refused(Refusal<'a>),
    /// The server ends the connection for a reason of its own: `busy`, `timeout` or `shuttingDown`. What was asked and not
    /// answered in full has to be asked again, later.
    ServerClosing(Code),
}

/// What a server says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Hello<'a> {
    /// The protocol's version.
    pub protocol: u64,
    /// The server's program and its version. May hold control characters.
    pub server: &'a str,
    /// Which server it is, in its owner's word; empty for none. May hold control characters.
    pub name: &'a str,
    /// The longest request that it takes, in bytes; at least 512.
    pub max_request: u64,
    /// Bytes in a chunk of a body.
    pub chunk_size: u64,
    /// How long it waits for a request, in milliseconds; 0 for ever.
    pub idle_ms: u64,
    /// How long it waits for the end of a request, in milliseconds; 0 for ever.
    pub request_ms: u64,
    /// How long it waits for its bytes to be taken, in milliseconds; 0 for ever.
    pub stall_ms: u64,
    /// The exchanges that it has.
    pub features: Features,
    /// The digests that it can compute.
    pub digests: Digests,
}

/// The exchanges that a server says it has; words that this version does not know are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Features {
    /// Listing a directory.
    pub list: bool,
    /// Telling what a file is.
    pub stat: bool,
    /// Sending a file.
    pub get: bool,
}

/// The digests that a server says it can compute; words that this version does not know are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Digests {
    /// CRC-32.
    pub crc32: bool,
    /// SHA-256.
    pub sha256: bool,
}

impl Digests {
    /// Whether `kind` is among them.
    #[must_use]
    pub const fn has(self, kind: DigestKind) -> bool {
        match kind {
            DigestKind::Crc32 => self.crc32,
            DigestKind::Sha256 => self.sha256,
        }
    }
}

/// What a server says of a file, checked against what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Header {
    /// The file's length in bytes: the server's word, so reserve nothing by it.
    pub size: u64,
    /// The first byte of the body.
    pub offset: u64,
    /// Bytes in the body; with `offset` at most `size`.
    pub length: u64,
    /// Bytes in a chunk of the body, the last one excepted; at least 1.
    pub chunk_size: u64,
    /// While it stays the same, no byte that was there has changed; the file may have grown.
    pub version: Version,
    /// When the file last changed, in seconds since 1970-01-01 00:00 UTC.
    pub modified: Option<u64>,
    /// Of a `stat` that asked for it, the digest of the whole file.
    pub digest: Option<Digest>,
}

/// How a body ended. All of its bytes were received.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum End {
    /// The digest of what was received is the server's.
    Verified(Verified),
    /// No digest was asked for, so nothing is known but the length.
    Unchecked,
    /// The file changed while it was sent, so the bytes may belong to no version of it.
    Changed {
        /// What was received is what was sent: the server hashed those very bytes. `None` where it does not know them, or
        /// they differ.
        snapshot: Option<Verified>,
    },
}

/// Shows that bytes were received as the server sent them. Only a session makes one, at the end of a body, by comparing
/// digests.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "it is what allows a file to be given its name"]
pub struct Verified {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) size: u64,
    pub(super) digest: Digest,
}

impl Verified {
    /// The first byte that was verified.
    #[must_use]
    pub const fn from(&self) -> u64 {
        self.from
    }

    /// Behind the last byte that was verified.
    #[must_use]
    pub const fn to(&self) -> u64 {
        self.to
    }

    /// The whole file's length in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The digest of the verified bytes.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Whether it covers the file from its first byte to its last.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.from == 0 && self.to == self.size
    }
}

/// The end of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Listing {
    /// Entries that were listed.
    pub count: u64,
    /// Things in the directory that cannot be asked for.
    pub skipped: u64,
}

impl Listing {
    /// The end of a listing.
    #[must_use]
    pub const fn new(count: u64, skipped: u64) -> Self {
        Self { count, skipped }
    }
}

/// What an `error` line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Refusal<'a> {
    /// `None` for a code that this version does not know, which is final.
    pub code: Option<Code>,
    /// The code's word as it was received. May hold control characters.
    pub word: &'a str,
    /// The server's explanation, for people. May hold control characters: escape them before a terminal sees it.
    pub text: &'a str,
}
