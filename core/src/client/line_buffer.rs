//! Collects one line of the server in a buffer, from pieces of any size.

use crate::wire::scanner::{Scanned, Scanner};

use super::error::Violation;

/// The maximum length of a server's line, newline included, in bytes.
pub(super) const LINE_MAX: usize = 1_024;

/// The state of a line that is being received.
#[derive(Debug, Default)]
pub(super) struct LineBuffer {
    scanner: Scanner,
    len: usize,
    is_object_complete: bool,
}

/// What a piece of input did to a [`LineBuffer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// All of the piece was taken; the line is incomplete.
    More,
    /// The line ended after `taken` bytes of the piece. Without its newline it is the first `len` bytes of the buffer.
    Complete { taken: usize, len: usize },
}

impl LineBuffer {
    /// Whether no byte of the line was received.
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the next piece, which is not empty. `buf` has room for [`LINE_MAX`] bytes.
    pub(super) fn push(&mut self, buf: &mut [u8], piece: &[u8]) -> Result<Pushed, Violation> {
        let mut taken = 0;
        if !self.is_object_complete {
            if self.len == 0 && piece.first() != Some(&b'{') {
                return Err(Violation::LineStart);
            }
            let room = (LINE_MAX - 1).saturating_sub(self.len);
            let part = piece.get(..room).unwrap_or(piece);
            // Up to a newline only, so that the error does not depend on how the input is split.
            let part = part.split(|byte| *byte == b'\n').next().unwrap_or(part);
            let place = buf.get_mut(self.len..).unwrap_or_default();
            taken = match self.scanner.scan_into(part, place).map_err(Violation::Json)? {
                Scanned::More if part.len() < room.min(piece.len()) => return Err(Violation::LineEnd),
                Scanned::More if part.len() < piece.len() => return Err(Violation::LineTooLong),
                Scanned::More => part.len(),
                Scanned::Complete { len } => {
                    self.is_object_complete = true;
                    len
                }
            };
            self.len = self.len.saturating_add(taken);
        }
        match piece.get(taken) {
            None => Ok(Pushed::More),
            // The object is complete, or all of the piece was taken.
            Some(b'\n') => Ok(Pushed::Complete { taken: taken.saturating_add(1), len: self.len }),
            Some(_) => Err(Violation::LineEnd),
        }
    }
}
