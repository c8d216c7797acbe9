//! The direction that is received.

use core::fmt;
use core::ops::Range;

use zeroize::Zeroize;

use crate::message::RecordLimit;
use crate::primitives::TAG_LEN;
use crate::record_key::RecordKey;
use crate::sealer::PLAINTEXT_OFFSET;

/// Why nothing more is received. The connection is to be closed; nothing behind the last record that was opened is the peer's
/// word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// A record says that it has this length, less than a tag's or more than this end takes.
    Length(u16),
    /// A record was not sealed by the peer, or was changed, left out, repeated or moved on the way.
    Authentication,
    /// Bytes behind the end.
    AfterEnd,
    /// TCP's end without the authenticated one: an attacker may have cut off the rest.
    Truncated,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(f, "a record with the length {length}, which cannot be"),
            Self::Authentication => f.write_str("a record that is not the peer's, or was changed on the way"),
            Self::AfterEnd => f.write_str("bytes behind the end"),
            Self::Truncated => f.write_str("the connection ended before its end: something may be missing"),
        }
    }
}

impl core::error::Error for RecordError {}

/// What stands at the front of received bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// Less than a record: nothing was done. The record takes `needed` bytes, or at least that many.
    Incomplete {
        /// All bytes of it, those that are there included.
        needed: usize,
    },
    /// A record: its plaintext stands in the bytes now.
    Data {
        /// Where.
        plaintext: Range<usize>,
        /// The length of the record.
        taken: usize,
    },
    /// The end of this direction.
    End {
        /// The length of its record.
        taken: usize,
    },
}

/// Opens what is received, record by record, in place.
///
/// Where the bytes come in pieces, [`Receiver`](crate::Receiver) puts records together.
pub struct Opener {
    key: RecordKey,
    limit: RecordLimit,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Ended,
    Failed(RecordError),
}

impl Opener {
    pub(crate) fn new(key: &[u8; 32], limit: RecordLimit) -> Self {
        Self { key: RecordKey::new(key), limit, state: State::Open }
    }

    /// Opens the record at the front of `bytes`, which begin with one. What follows it is left as it is.
    ///
    /// # Errors
    ///
    /// The connection is to be closed; every further call has the same error.
    pub fn open(&mut self, bytes: &mut [u8]) -> Result<Opened, RecordError> {
        match self.state {
            State::Failed(error) => return Err(error),
            State::Ended if bytes.is_empty() => return Ok(Opened::Incomplete { needed: PLAINTEXT_OFFSET }),
            State::Ended => return Err(self.fail(RecordError::AfterEnd)),
            State::Open => {}
        }
        let Some((head, rest)) = bytes.split_first_chunk_mut::<PLAINTEXT_OFFSET>() else {
            return Ok(Opened::Incomplete { needed: PLAINTEXT_OFFSET });
        };
        let stated = u16::from_be_bytes(*head);
        let len = usize::from(stated);
        let Some(text_len) = len.checked_sub(TAG_LEN).filter(|len| *len <= self.limit.bytes()) else {
            return Err(self.fail(RecordError::Length(stated)));
        };
        let taken = len.saturating_add(PLAINTEXT_OFFSET);
        let Some(record) = rest.get_mut(..len) else { return Ok(Opened::Incomplete { needed: taken }) };
        if self.key.open(record).is_none() {
            return Err(self.fail(RecordError::Authentication));
        }
        if text_len == 0 {
            self.state = State::Ended;
            return Ok(Opened::End { taken });
        }
        Ok(Opened::Data { plaintext: PLAINTEXT_OFFSET..text_len.saturating_add(PLAINTEXT_OFFSET), taken })
    }

    /// TCP's end, behind every byte that was given to [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// [`RecordError::Truncated`] if the peer has not ended this direction itself, or an earlier error.
    pub fn receive_eof(&mut self) -> Result<(), RecordError> {
        match self.state {
            State::Ended => Ok(()),
            State::Failed(error) => Err(error),
            State::Open => Err(self.fail(RecordError::Truncated)),
        }
    }

    /// Whether the peer has ended this direction.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// How many records have been opened. A client that is closed before the first one was refused at message 3, or by another
    /// program.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.key.records()
    }

    /// The most plaintext that a record may have.
    #[must_use]
    pub fn limit(&self) -> RecordLimit {
        self.limit
    }

    #[cold]
    #[inline(never)]
    fn fail(&mut self, error: RecordError) -> RecordError {
        self.key.zeroize();
        self.state = State::Failed(error);
        error
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("records", &self.records()).field("state", &self.state).finish_non_exhaustive()
    }
}
