//! Records out of bytes that come in any pieces.

use core::fmt;
use core::ops::Range;

use crate::opener::{Opened, Opener, RecordError};
use crate::sealer::PLAINTEXT_OFFSET;

/// Puts records together in a buffer of its own, and opens them there.
///
/// It has one record at a time. While its plaintext has not been used up, nothing more is taken: that is the only back-pressure.
pub struct Receiver<B> {
    opener: Opener,
    buf: B,
    /// How much of a record has arrived.
    filled: usize,
    plaintext: Range<usize>,
}

/// A buffer that is shorter than the longest record under the limit that was announced to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortBuffer {
    /// The bytes that it must have.
    pub needed: usize,
}

impl fmt::Display for ShortBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a buffer for records needs {} bytes", self.needed)
    }
}

impl core::error::Error for ShortBuffer {}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Receiver<B> {
    /// With a buffer of at least [`RecordLimit::record_len`](crate::RecordLimit::record_len) bytes.
    ///
    /// # Errors
    ///
    /// If it is shorter.
    pub fn new(opener: Opener, buf: B) -> Result<Self, ShortBuffer> {
        let needed = opener.limit().record_len();
        if buf.as_ref().len() < needed {
            Err(ShortBuffer { needed })
        } else {
            Ok(Self { opener, buf, filled: 0, plaintext: 0..0 })
        }
    }

    /// Takes bytes that were received and returns how many: at most to the end of a record, and none while there is plaintext.
    ///
    /// # Errors
    ///
    /// The connection is to be closed; every further call has the same error.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<usize, RecordError> {
        let mut taken = 0;
        while self.plaintext.is_empty() && !self.opener.has_ended() {
            let arrived = self.buf.as_mut().get_mut(..self.filled).unwrap_or_default();
            let needed = match self.opener.open(arrived)? {
                Opened::Incomplete { needed } => needed.max(PLAINTEXT_OFFSET),
                Opened::Data { plaintext, .. } => {
                    self.plaintext = plaintext;
                    self.filled = 0;
                    break;
                }
                Opened::End { .. } => {
                    self.filled = 0;
                    break;
                }
            };
            let place = self.buf.as_mut().get_mut(self.filled..needed).unwrap_or_default();
            let rest = bytes.get(taken..).unwrap_or_default();
            let len = place.len().min(rest.len());
            if len == 0 {
                return Ok(taken);
            }
            for (place, byte) in place.iter_mut().zip(rest) {
                *place = *byte;
            }
            self.filled = self.filled.saturating_add(len);
            taken = taken.saturating_add(len);
        }
        if self.opener.has_ended() && taken < bytes.len() {
            // Says so.
            self.opener.open(&mut [0; 1])?;
        }
        Ok(taken)
    }

    /// The plaintext of the last record that has not been used up; empty if there is none.
    #[must_use]
    pub fn plaintext(&self) -> &[u8] {
        self.buf.as_ref().get(self.plaintext.clone()).unwrap_or_default()
    }

    /// So much of the plaintext has been used up, from its front.
    pub fn consume(&mut self, len: usize) {
        self.plaintext.start = self.plaintext.start.saturating_add(len).min(self.plaintext.end);
    }

    /// TCP's end, behind every byte that was given to [`receive`](Self::receive).
    ///
    /// # Errors
    ///
    /// [`RecordError::Truncated`] if the peer has not ended this direction itself, or an earlier error.
    pub fn receive_eof(&mut self) -> Result<(), RecordError> {
        self.opener.receive_eof()
    }

    /// Whether the peer has ended this direction.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.opener.has_ended()
    }

    /// How many records have been opened.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.opener.records()
    }
}

impl<B> fmt::Debug for Receiver<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("opener", &self.opener).field("filled", &self.filled).finish_non_exhaustive()
    }
}
