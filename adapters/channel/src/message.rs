//! How the messages of a handshake stand on the wire, and what can be wrong with them.

use core::fmt;

use crate::pattern::{KEY_LEN, SEALED_KEY_LEN};
use crate::primitives::TAG_LEN;

/// The first byte of an encrypted connection. No text begins with it.
pub const FIRST_BYTE: u8 = 0xc0;
/// The suite: Noise_XXpsk0_25519_ChaChaPoly_SHA256.
const SUITE: u8 = 0x01;
/// What both ends mix into the handshake, so that changing it on the way breaks it.
pub(crate) const PROLOGUE: [u8; 2] = [FIRST_BYTE, SUITE];

const PARAMETERS_LEN: usize = 4;
const SEALED_PARAMETERS_LEN: usize = PARAMETERS_LEN + TAG_LEN;

/// The bytes of a message: its head, which is always the same, and its length with it.
pub(crate) struct Form {
    head: &'static [u8],
    pub(crate) len: usize,
}

/// e(32) tag(16)
pub(crate) const FIRST: Form = Form { head: &[FIRST_BYTE, SUITE, 0x00, 0x30], len: 4 + KEY_LEN + TAG_LEN };
/// e(32) s(48) parameters(20)
pub(crate) const SECOND: Form = Form { head: &[0x00, 0x64], len: 2 + KEY_LEN + SEALED_KEY_LEN + SEALED_PARAMETERS_LEN };
/// s(48) parameters(20)
pub(crate) const THIRD: Form = Form { head: &[0x00, 0x44], len: 2 + SEALED_KEY_LEN + SEALED_PARAMETERS_LEN };

/// The most plaintext that an end takes in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordLimit(u16);

impl RecordLimit {
    /// 256 bytes, the least that every end has to take.
    pub const MIN: Self = Self(256);
    /// 512 bytes, for boards: a record buffer of 530 bytes.
    pub const BOARD: Self = Self(512);
    /// 16,384 bytes, for PCs.
    pub const PC: Self = Self(16_384);
    /// 65,519 bytes: with its tag a record has a length of 16 bits.
    pub const MAX: Self = Self(65_519);

    /// A limit of 256 to 65,519 bytes; `None` for others.
    #[must_use]
    pub const fn new(bytes: u16) -> Option<Self> {
        if bytes < Self::MIN.0 || bytes > Self::MAX.0 { None } else { Some(Self(bytes)) }
    }

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0 as usize
    }

    /// The longest record under this limit, its length and tag included: what a buffer has to hold.
    #[must_use]
    pub const fn record_len(self) -> usize {
        2 + self.bytes() + TAG_LEN
    }
}

/// Why a handshake failed. Its connection is to be closed without a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer's first byte begins no handshake. It was not taken: the plain line of a server that is busy or shutting down,
    /// which is not authenticated, or another program.
    NotEncrypted,
    /// The client asks for a suite that this is not.
    Suite(u8),
    /// A message says that it has another length than it must.
    Length,
    /// A message was not made with the same pre-shared key, or was changed on the way.
    Authentication,
    /// The peer takes so few bytes in a record, fewer than 256.
    RecordLimit(u16),
    /// The peer closed the connection in the middle.
    Closed,
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEncrypted => f.write_str("the peer does not speak the encrypted protocol"),
            Self::Suite(suite) => write!(f, "the peer asks for suite {suite}; this is suite {SUITE}"),
            Self::Length => f.write_str("a message of the handshake has the wrong length"),
            Self::Authentication => f.write_str("another pre-shared key, or a message that was changed on the way"),
            Self::RecordLimit(bytes) => write!(f, "the peer takes records of {bytes} bytes; it must take 256"),
            Self::Closed => f.write_str("the peer closed the connection during the handshake"),
        }
    }
}

impl core::error::Error for HandshakeError {}

/// A message that arrives or leaves.
pub(crate) struct Message {
    bytes: [u8; SECOND.len],
    /// Of those, how many have arrived or left.
    done: usize,
}

impl Message {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; SECOND.len], done: 0 }
    }

    /// Takes what belongs to a message of this form and says how much that was: never more, and no byte of a wrong head.
    pub(crate) fn receive(&mut self, form: &Form, bytes: &[u8]) -> (usize, Result<Arrived, HandshakeError>) {
        let mut taken = 0;
        for byte in bytes {
            if let Some(expected) = form.head.get(self.done)
                && byte != expected
            {
                return (taken, Err(self.wrong_head(form, *byte)));
            }
            let Some(place) = self.bytes.get_mut(..form.len).and_then(|message| message.get_mut(self.done)) else {
                break;
            };
            *place = *byte;
            self.done = self.done.saturating_add(1);
            taken = self.done.min(taken.saturating_add(1));
        }
        (taken, Ok(if self.done >= form.len { Arrived::Whole } else { Arrived::Part }))
    }

    fn wrong_head(&self, form: &Form, byte: u8) -> HandshakeError {
        match self.done {
            0 if form.len != THIRD.len => HandshakeError::NotEncrypted,
            1 if form.len == FIRST.len => HandshakeError::Suite(byte),
            _ => HandshakeError::Length,
        }
    }

    /// The message as Noise knows it, behind its head.
    pub(crate) fn noise(&mut self, form: &Form) -> &mut [u8] {
        self.bytes.get_mut(form.head.len()..form.len).unwrap_or_default()
    }

    /// Begins a message of this form.
    pub(crate) fn begin(&mut self, form: &Form) {
        self.done = 0;
        self.bytes.fill(0);
        for (place, byte) in self.bytes.iter_mut().zip(form.head) {
            *place = *byte;
        }
    }

    /// What of it has not left.
    pub(crate) fn unsent(&self, form: &Form) -> &[u8] {
        self.bytes.get(self.done..form.len).unwrap_or_default()
    }

    /// So many bytes more have left. Whether all have.
    pub(crate) fn sent(&mut self, form: &Form, len: usize) -> bool {
        self.done = self.done.saturating_add(len).min(form.len);
        self.done == form.len
    }

    /// The next message is another one.
    pub(crate) fn clear(&mut self) {
        self.done = 0;
    }

    /// Writes the parameters of this end: the limit, no flag, nothing.
    pub(crate) fn put_parameters(&mut self, form: &Form, limit: RecordLimit) {
        let place =
            self.bytes.get_mut(..form.len).and_then(|message| message.last_chunk_mut::<SEALED_PARAMETERS_LEN>());
        if let Some(place) = place {
            [place[0], place[1]] = limit.0.to_be_bytes();
        }
    }

    /// Reads the parameters of the peer, once they are opened. Flags that are not known are ignored: all of them.
    pub(crate) fn parameters(&self, form: &Form) -> Result<RecordLimit, HandshakeError> {
        let place = self.bytes.get(..form.len).and_then(|message| message.last_chunk::<SEALED_PARAMETERS_LEN>());
        let bytes = place.map_or(0, |place| u16::from_be_bytes([place[0], place[1]]));
        // More than a record can hold is as good as what it can.
        RecordLimit::new(bytes.min(RecordLimit::MAX.0)).ok_or(HandshakeError::RecordLimit(bytes))
    }
}

/// How much of a message is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    Part,
    Whole,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lengths_are_those_of_the_page() {
        assert_eq!((FIRST.len, SECOND.len, THIRD.len), (52, 102, 70));
        for form in [FIRST, SECOND, THIRD] {
            let stated = u16::from_be_bytes(*form.head.last_chunk().expect("a length"));
            assert_eq!(usize::from(stated), form.len - form.head.len());
        }
        assert_eq!(RecordLimit::BOARD.record_len(), 530);
        assert_eq!(RecordLimit::MAX.record_len(), 2 + usize::from(u16::MAX));
    }

    #[test]
    fn a_limit_is_within_its_limits() {
        for (bytes, valid) in [(0, false), (255, false), (256, true), (65_519, true), (65_520, false)] {
            assert_eq!(RecordLimit::new(bytes).is_some(), valid, "{bytes}");
        }
    }
}
