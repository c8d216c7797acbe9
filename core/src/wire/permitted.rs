//! Writes what a client is permitted to do, for `hello`.

use super::response_writer::{LineWriter, ResponseContext, Value};
use crate::wire::request_kinds::RequestKind;

/// The letter of the template for the requests.
const FEATURES: u8 = b'L';

impl ResponseContext<'_> {
    /// The array `letter`; `None` for actions where there are none.
    pub(super) fn array(&self, letter: u8) -> Option<Value<'_>> {
        (letter == FEATURES || self.word(letter, 0).is_some()).then_some(Value::Array(letter))
    }

    /// The word number `index` of the array `letter`.
    fn word(&self, letter: u8, index: usize) -> Option<&str> {
        if letter == FEATURES {
            let offered = self.config.offered();
            let is_told =
                |kind: &&RequestKind| **kind != RequestKind::Hello && offered.has(**kind) && self.kinds.has(**kind);
            let words = RequestKind::ALL.iter().filter(is_told).map(|kind| kind.as_str());
            #[cfg(any(feature = "wait", feature = "absolute"))]
            let words = words.chain(self.follow_words());
            return { words }.nth(index);
        }
        let bits = (0..u8::BITS).map(|index| 1_u8.wrapping_shl(index));
        let words = self.config.action_words().iter().zip(bits);
        words.filter(|(_, bit)| self.actions & bit != 0).nth(index).map(|(word, _)| word)
    }
}

#[cfg(any(feature = "wait", feature = "absolute"))]
impl ResponseContext<'_> {
    /// The words of what the client may ask a `get` for.
    fn follow_words(&self) -> impl Iterator<Item = &'static str> {
        let may_get = self.kinds.has(RequestKind::Get);
        let words = [
            #[cfg(feature = "wait")]
            ("wait", self.config.wait_max_ms > 0),
            #[cfg(feature = "absolute")]
            ("absolute", self.config.is_absolute),
        ];
        words.into_iter().filter(move |(_, is_offered)| may_get && *is_offered).map(|(word, _)| word)
    }
}

impl LineWriter {
    /// Writes the next word of the array `letter` with its quotes, and a comma before all but the first; `rest` is the template
    /// behind the array.
    pub(super) fn write_array(
        &mut self,
        context: &ResponseContext<'_>,
        letter: u8,
        rest: &'static [u8],
        room: &mut [u8],
    ) -> Option<usize> {
        let Some(word) = context.word(letter, self.position) else {
            *self = Self { template: rest, position: 0 };
            return Some(0);
        };
        let comma: &[u8] = if self.position > 0 { b"," } else { b"" };
        let (room_len, mut rest_of_room) = (room.len(), room);
        for piece in [comma, b"\"", word.as_bytes(), b"\""] {
            let (place, behind) = rest_of_room.split_at_mut_checked(piece.len())?;
            for (place, byte) in place.iter_mut().zip(piece) {
                *place = *byte;
            }
            rest_of_room = behind;
        }
        self.position = self.position.wrapping_add(1); // there are fewer words than positions
        Some(room_len.wrapping_sub(rest_of_room.len()))
    }
}
