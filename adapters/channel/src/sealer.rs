//! The direction that is sent.

use core::fmt;

use crate::message::RecordLimit;
use crate::primitives::TAG_LEN;
use crate::record_key::RecordKey;

/// Where the plaintext stands in a record: behind its length.
pub const PLAINTEXT_OFFSET: usize = 2;
/// What a record takes beside its plaintext: its length and its tag.
pub const RECORD_OVERHEAD: usize = PLAINTEXT_OFFSET + TAG_LEN;

/// Why a record was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// There is no plaintext, which is what [`Sealer::finish`] is for; or more than [`Sealer::room`] says.
    Length,
    /// The direction has ended.
    Ended,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "a record has at least one byte of plaintext and at most what the peer and the buffer take",
            Self::Ended => "this direction has ended",
        })
    }
}

impl core::error::Error for SealError {}

/// Seals what is sent, record by record, in a buffer of the owner: nothing is copied.
///
/// A record has to be sent whole and in its turn: once it is sealed, nothing else can take its place.
pub struct Sealer {
    key: RecordKey,
    limit: RecordLimit,
    has_ended: bool,
}

impl Sealer {
    pub(crate) fn new(key: &[u8; 32], limit: RecordLimit) -> Self {
        Self { key: RecordKey::new(key), limit, has_ended: false }
    }

    /// The most plaintext of a record in a buffer of `len` bytes: 0 if it holds none, or the direction has ended.
    #[must_use]
    pub fn room(&self, len: usize) -> usize {
        if self.has_ended { 0 } else { len.saturating_sub(RECORD_OVERHEAD).min(self.limit.bytes()) }
    }

    /// Seals the `len` bytes at [`PLAINTEXT_OFFSET`] of `buf`, and returns the length of the record, which begins at the front of
    /// `buf` and is 18 bytes longer.
    ///
    /// # Errors
    ///
    /// Nothing is sealed then, and nothing of `buf` is to be sent.
    pub fn seal(&mut self, buf: &mut [u8], len: usize) -> Result<usize, SealError> {
        if self.has_ended {
            return Err(SealError::Ended);
        }
        if len == 0 || len > self.room(buf.len()) {
            return Err(SealError::Length);
        }
        self.put(buf, len)
    }

    /// Seals the end of this direction, a record of 18 bytes without plaintext, at the front of `buf`, and returns its length.
    ///
    /// # Errors
    ///
    /// Nothing is sealed then: `buf` is shorter, or the direction has ended before.
    pub fn finish(&mut self, buf: &mut [u8]) -> Result<usize, SealError> {
        if self.has_ended {
            return Err(SealError::Ended);
        }
        let sealed = self.put(buf, 0)?;
        self.has_ended = true;
        Ok(sealed)
    }

    /// Whether the end has been sealed.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// How many records have been sealed.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.key.records()
    }

    fn put(&mut self, buf: &mut [u8], len: usize) -> Result<usize, SealError> {
        let text_and_tag = len.saturating_add(TAG_LEN);
        let head = u16::try_from(text_and_tag).map_err(|_| SealError::Length)?;
        let (place, rest) = buf.split_first_chunk_mut().ok_or(SealError::Length)?;
        let rest = rest.get_mut(..text_and_tag).ok_or(SealError::Length)?;
        if self.key.seal(rest).is_none() {
            // Out of numbers after 2^64 records: nothing can be sealed any more.
            self.has_ended = true;
            return Err(SealError::Ended);
        }
        *place = head.to_be_bytes();
        Ok(text_and_tag.saturating_add(PLAINTEXT_OFFSET))
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("records", &self.records())
            .field("has_ended", &self.has_ended)
            .finish_non_exhaustive()
    }
}
