//! The actions and events of a client session.

use crate::store::Entry;
#[cfg(feature = "write")]
use crate::store::Space;
use crate::types::digest::{Digest, DigestKind};
use crate::types::version::Version;
use crate::wire::code::Code;

use super::error::Failure;

/// What the owner of the connection has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ClientAction<'a> {
    /// Pass up to `len` bytes of an earlier attempt, from `offset` of the file on, to `rehashed`. Do so before connecting: a
    /// server waits only for its idle timeout.
    Rehash {
        /// Where in the file, in bytes.
        offset: u64,
        /// How many bytes are left; at least 1.
        len: u64,
    },
    /// Send some of `bytes`, and report how many with `sent`.
    SendBytes {
        /// At least one byte.
        bytes: &'a [u8],
    },
    /// Wait for bytes and give them to `receive`, or the end of input to `receive_eof`.
    Receive,
    /// Send some of the file that is put, from `offset` on, and report how many bytes with `sent`. Meanwhile give to `receive` what
    /// arrives: heartbeats, or an error in the middle of the body. Where the file has changed or cannot be read, `abandon` the
    /// request: the server keeps what it has.
    #[cfg(feature = "write")]
    SendFile {
        /// Where in the file, in bytes.
        offset: u64,
        /// How many bytes are left; at least 1.
        len: u64,
    },
    /// Nothing is under way: `start` a request, or close the connection.
    Idle,
    /// The session has closed: drop the connection, and what was not read from it. Nothing follows.
    Close(Failure),
}

/// What was received, checked against the request.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent<'a> {
    /// The complete response to `hello`.
    Hello(Hello<'a>),
    /// The complete response to `stat`, or the beginning of the one to `get`.
    Header(Header),
    /// The next bytes of a body, not verified yet.
    Body {
        /// Where in the file, in bytes.
        offset: u64,
        /// At least one byte; a part of what was passed to `receive`.
        bytes: &'a [u8],
    },
    /// The end of a body.
    End(End),
    /// One entry of a listed directory, directly beneath it.
    Entry(Entry<'a>),
    /// The end of a complete listing.
    Listed(Listing),
    /// The server wants the rest of the file that is put.
    #[cfg(feature = "write")]
    Ready(Ready),
    /// The file was put, and is durable.
    #[cfg(feature = "write")]
    Stored(Stored),
    /// What was requested is done.
    #[cfg(feature = "write")]
    Done,
    /// The server's room.
    #[cfg(feature = "write")]
    Space(Space),
    /// The request was refused.
    Refused(Refusal<'a>),
    /// The server ends the connection by itself: `busy`, `timeout` or `shuttingDown`. A request without a complete response
    /// has to be made again, later.
    ServerClosing(Code),
}

/// What a server says about itself, in its response to `hello`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Hello<'a> {
    /// The protocol's version.
    pub protocol: u64,
    /// The server's program and its version. May contain control characters.
    pub server: &'a str,
    /// The name that its owner gave it; empty for none. May contain control characters.
    pub name: &'a str,
    /// The longest request that it accepts, in bytes; at least 512.
    pub max_request: u64,
    /// Bytes in a chunk of a body.
    pub chunk_size: u64,
    /// How long it waits for a request, in milliseconds; 0: no limit.
    pub idle_ms: u64,
    /// How long it waits for the end of a request, in milliseconds; 0: no limit.
    pub request_ms: u64,
    /// How long it waits for its bytes to be accepted, in milliseconds; 0: no limit.
    pub stall_ms: u64,
    /// The time by its clock when it answered, in seconds since 1970-01-01 00:00 UTC; `None`: it did not tell.
    pub time: Option<u64>,
    /// The exchanges that it supports.
    pub features: Features,
    /// The digests that it can compute.
    pub digests: Digests,
    /// The owner's actions that it offers, for `do`.
    #[cfg(feature = "write")]
    pub actions: Actions<'a>,
}

/// The actions that a server offers.
#[cfg(feature = "write")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Actions<'a> {
    /// Strings between quotes, with one byte between two.
    pub(crate) list: &'a [u8],
}

#[cfg(feature = "write")]
impl<'a> Actions<'a> {
    /// The words, without those that break the rules of [`ActionWords`](crate::ActionWords).
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        let is_good = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        let words = self.list.split(|byte| *byte == b'"').skip(1).step_by(2);
        let words = words.filter(move |word| !word.is_empty() && word.len() <= 32 && word.iter().all(is_good));
        words.map(|word| core::str::from_utf8(word).unwrap_or_default())
    }
}

/// The exchanges that a server says it supports; words that this version does not know are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Features {
    /// Listing a directory.
    pub list: bool,
    /// Describing a file.
    pub stat: bool,
    /// Sending a file.
    pub get: bool,
    /// Waiting at the end of a file ([`GetRequest::wait_ms`](crate::GetRequest::wait_ms)).
    #[cfg(feature = "wait")]
    pub wait: bool,
    /// Offsets that count from a log's beginning ([`GetRequest::absolute`](crate::GetRequest::absolute)).
    #[cfg(feature = "absolute")]
    pub absolute: bool,
    /// Taking a file.
    #[cfg(feature = "write")]
    pub put: bool,
    /// Deleting.
    #[cfg(feature = "write")]
    pub delete: bool,
    /// Renaming.
    #[cfg(feature = "write")]
    pub rename: bool,
    /// Making directories.
    #[cfg(feature = "write")]
    pub make_dir: bool,
    /// Telling its room.
    #[cfg(feature = "write")]
    pub space: bool,
    /// The owner's actions: [`Hello::actions`].
    #[cfg(feature = "write")]
    pub actions: bool,
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

/// What a server says about a file, checked against the request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Header {
    /// The file's length in bytes, as claimed by the server: do not reserve space by it alone.
    pub size: u64,
    /// The first byte of the body.
    pub offset: u64,
    /// Bytes in the body; `offset + length` is at most `size`.
    pub length: u64,
    /// Bytes in each chunk of the body but the last; at least 1.
    pub chunk_size: u64,
    /// While it is the same, no existing byte has changed; the file may have grown.
    pub version: Version,
    /// When the file last changed, in seconds since 1970-01-01 00:00 UTC.
    pub modified: Option<u64>,
    /// The digest of the whole file, of a `stat` that requested one.
    pub digest: Option<Digest>,
    /// The first byte that the server still has of a log, where offsets count from the log's beginning; `None` where they count from
    /// what is there.
    #[cfg(feature = "absolute")]
    pub first: Option<u64>,
    /// The version of the file that got the name of this one at once; `None` where this one has it still, or the server does not
    /// know.
    #[cfg(feature = "replaced")]
    pub next: Option<Version>,
}

/// How a body ended. All of its bytes were received.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum End {
    /// The digest of the received bytes matches the server's.
    Verified(Verified),
    /// No digest was requested, so only the length was checked.
    Unchecked,
    /// The file changed while it was sent, so the bytes may be those of no version of it.
    Changed {
        /// Shows that the bytes were received as they were sent: the server hashed exactly those. `None` where it has no
        /// digest of them, or the digests differ.
        snapshot: Option<Verified>,
    },
}

/// Proof that bytes were received as the server sent them. Only a session can make one, by comparing digests at the end of
/// a body.
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

    /// The end of the verified range (exclusive).
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

/// What a server wants of a file that is put.
#[cfg(feature = "write")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Ready {
    /// The first byte that it wants: more than 0 where it has the ones before from an earlier connection.
    pub offset: u64,
    /// How many bytes it wants: all from `offset` on.
    pub length: u64,
}

/// A file that was put.
#[cfg(feature = "write")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Stored {
    /// Its version now; `None` where that was [deferred](crate::Put) (feature `sync`): it has its name once a sync has succeeded.
    pub version: Option<Version>,
    /// Whether the very file was there already, and nothing was sent.
    pub was_there: bool,
}

/// The end of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Listing {
    /// Number of entries.
    pub count: u64,
    /// Number of things in the directory that cannot be requested.
    pub skipped: u64,
    /// How many of those are regular files and directories that cannot be requested because of their names, at most
    /// `skipped`; `None` where the server did not tell.
    pub unnameable: Option<u64>,
    /// Number of things in the directory that the server's owner keeps hidden.
    pub hidden: u64,
}

impl Listing {
    /// The end of a listing without hidden things, of a server that does not tell what it skipped.
    #[must_use]
    pub const fn new(count: u64, skipped: u64) -> Self {
        Self { count, skipped, unnameable: None, hidden: 0 }
    }

    /// Sets [`Listing::unnameable`].
    #[must_use]
    pub const fn with_unnameable(self, unnameable: Option<u64>) -> Self {
        Self { unnameable, ..self }
    }

    /// Sets [`Listing::hidden`].
    #[must_use]
    pub const fn with_hidden(self, hidden: u64) -> Self {
        Self { hidden, ..self }
    }

    /// Number of files and directories, or of what may be some, that a copy of the directory lacks.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        match self.unnameable {
            Some(unnameable) => unnameable,
            None => self.skipped,
        }
    }
}

/// The contents of an `error` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Refusal<'a> {
    /// `None` for a code that this version does not know, which is final.
    pub code: Option<Code>,
    /// The code's word as it was received. May contain control characters.
    pub word: &'a str,
    /// The server's explanation, for people. May contain control characters: escape them before printing it.
    pub text: &'a str,
    /// When to come again, in milliseconds from 1 to [`Refusal::RETRY_MS_MAX`], as told by a server that is `busy` or
    /// `shuttingDown`; `None` where it did not tell.
    pub retry_ms: Option<u32>,
    /// The largest file that is accepted, with `tooLarge`, or the free bytes, with `noSpace`.
    #[cfg(feature = "write")]
    pub limit: Option<u64>,
    /// The first byte that the server still has of a log, with `badRange`, where offsets count from the log's beginning.
    #[cfg(feature = "absolute")]
    pub first: Option<u64>,
}

impl Refusal<'_> {
    /// The longest `retry_ms`, ten minutes: more counts as this, and 0 as 1.
    pub const RETRY_MS_MAX: u32 = 600_000;
}

#[cfg(test)]
mod tests {
    use super::Listing;

    #[test]
    fn a_server_that_does_not_tell_may_lack_all_that_it_skipped() {
        assert_eq!(Listing::new(5, 3).missing(), 3);
        assert_eq!(Listing::new(5, 3).with_unnameable(Some(1)).missing(), 1);
    }
}
