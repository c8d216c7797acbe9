//! Names of directory entries, as UTF-8 behind the path of their directory.

use coracle_core::FileName;

use crate::code_page::decode;
use crate::slot::Slot;

/// The path of a directory, and the name of an entry in it as far as its pieces have come.
///
/// Pieces of long names come last piece first, so they are written from the end of the buffer towards its beginning.
#[derive(Clone, Debug)]
pub(crate) struct NameBuf {
    bytes: [u8; FileName::MAX_LEN],
    /// Length of the directory's path, with the slash behind it.
    path_len: usize,
    /// Where the name begins.
    start: usize,
    long: Long,
    /// The second half of a surrogate pair, whose first half comes next.
    low: Option<u16>,
}

/// What has come of a long name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Long {
    Nothing,
    /// All pieces from this number on.
    Pieces {
        number: u8,
        checksum: u8,
        is_expressible: bool,
    },
}

impl NameBuf {
    /// For entries of the directory `path`; `None` is the root.
    pub fn new(path: Option<FileName<'_>>) -> Self {
        let mut bytes = [0; FileName::MAX_LEN];
        let path = path.map_or("", FileName::as_str).as_bytes();
        bytes.iter_mut().zip(path).for_each(|(to, from)| *to = *from);
        let mut path_len = path.len();
        if let Some(slash) = bytes.get_mut(path_len).filter(|_| path_len > 0) {
            *slash = b'/';
            path_len += 1;
        }
        Self { bytes, path_len, start: FileName::MAX_LEN, long: Long::Nothing, low: None }
    }

    /// Forgets the pieces that have come.
    pub fn clear(&mut self) {
        self.start = FileName::MAX_LEN;
        self.long = Long::Nothing;
        self.low = None;
    }

    /// Takes a piece of a long name.
    pub fn push_piece(&mut self, slot: &Slot) {
        let (number, is_last, checksum) = slot.piece();
        let goes_on = match self.long {
            _ if is_last && (1..=20).contains(&number) => {
                self.clear();
                Some(true)
            }
            Long::Pieces { number: before, checksum: before_checksum, is_expressible } => {
                (number > 0 && number + 1 == before && checksum == before_checksum).then_some(is_expressible)
            }
            Long::Nothing => None,
        };
        let Some(mut is_expressible) = goes_on else { return self.clear() };
        let mut is_padding = is_last;
        for unit in slot.units().rev() {
            is_padding = is_padding && matches!(unit, 0 | 0xffff);
            is_expressible = is_expressible && (is_padding || self.push_unit(unit).is_some());
        }
        self.long = Long::Pieces { number, checksum, is_expressible };
    }

    /// The name of the entry `slot` behind its long name; `None` where it cannot be expressed. The path is behind it in
    /// [`NameBuf::path`].
    pub fn finish(&mut self, slot: &Slot) -> Option<&str> {
        let is_expressible = match self.long {
            Long::Pieces { number: 1, checksum, is_expressible } if checksum == slot.checksum() => {
                is_expressible && self.low.is_none() && self.start < FileName::MAX_LEN
            }
            // Without a long name, or with one of another entry.
            _ => {
                self.clear();
                self.push_short_name(slot).is_some()
            }
        };
        let name = self.bytes.get(self.start..).filter(|_| is_expressible)?;
        core::str::from_utf8(name).ok().filter(|name| !name.contains('/'))
    }

    /// The path of the entry whose name is complete; `None` where it is not a [`FileName`].
    pub fn path(&mut self) -> Option<FileName<'_>> {
        let len = self.path_len + FileName::MAX_LEN.checked_sub(self.start)?;
        self.bytes.copy_within(self.start.., self.path_len);
        // It has moved.
        self.start = FileName::MAX_LEN;
        FileName::new(core::str::from_utf8(self.bytes.get(..len)?).ok()?).ok()
    }

    /// Puts a UTF-16 unit before the name; `None` where that is impossible.
    fn push_unit(&mut self, unit: u16) -> Option<()> {
        let is_low = (0xdc00..=0xdfff).contains(&unit);
        match self.low.take() {
            None if is_low => self.low = Some(unit),
            None => self.push_char(char::from_u32(unit.into())?)?,
            Some(low) => self.push_char(char::decode_utf16([unit, low]).next()?.ok()?)?,
        }
        Some(())
    }

    fn push_char(&mut self, char: char) -> Option<()> {
        let mut utf8 = [0; 4];
        let utf8 = char.encode_utf8(&mut utf8).as_bytes();
        let start = self.start.checked_sub(utf8.len()).filter(|start| *start >= self.path_len)?;
        let place = self.bytes.get_mut(start..self.start)?;
        place.copy_from_slice(utf8);
        self.start = start;
        Some(())
    }

    /// Puts the short name in; `None` where it has characters that depend on a code page.
    fn push_short_name(&mut self, slot: &Slot) -> Option<()> {
        let (base, extension) = slot.short_name().split_at_checked(8)?;
        let (is_base_lower, is_extension_lower) = slot.lower_case();
        let mut part = |part: &[u8], is_lower: bool, dot: bool| {
            let len = part.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
            for byte in part.get(..len).unwrap_or_default().iter().rev() {
                self.push_char(decode(*byte, is_lower)?)?;
            }
            if dot && len > 0 { self.push_char('.') } else { Some(()) }
        };
        part(extension, is_extension_lower, true)?;
        part(base, is_base_lower, false)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::String;
    use std::vec::Vec;

    use super::{FileName, NameBuf, Slot};

    const SHORT: Slot = Slot(*b"NAME~1  TXT \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");

    /// The pieces of a long name, in the order in which they lie in a directory.
    fn pieces(units: &[u16]) -> Vec<Slot> {
        let count = units.len().div_ceil(13);
        let slot = |index: usize| {
            let mut slot = [0xff; 32];
            slot[0] = u8::try_from(index + 1).expect("few") | if index + 1 == count { 0x40 } else { 0 };
            (slot[11], slot[12], slot[13], slot[26], slot[27]) = (0x0f, 0, SHORT.checksum(), 0, 0);
            let places = (1..11).step_by(2).chain((14..26).step_by(2)).chain([28, 30]);
            let units = units[13 * index..].iter().copied().chain([0]).take(13);
            for (place, unit) in places.zip(units) {
                slot[place..place + 2].copy_from_slice(&unit.to_le_bytes());
            }
            Slot(slot)
        };
        (0..count).rev().map(slot).collect()
    }

    fn read(slots: &[Slot], path: Option<&str>) -> Option<String> {
        let mut name = NameBuf::new(path.map(|path| FileName::new(path).expect("a name")));
        slots.iter().for_each(|slot| name.push_piece(slot));
        name.finish(&SHORT)?;
        name.path().map(|path| path.as_str().into())
    }

    /// The limits are those of the protocol: 255 bytes with the path.
    #[test]
    fn names_of_every_length_are_read_behind_their_path() {
        for unit in ["a", "é", "語", "🐚"] {
            for count in 1..=255 / unit.len() {
                for (path, len) in [(None, 0), (Some("p"), 2), (Some("dir/sub"), 8)] {
                    let text = unit.repeat(count);
                    let found = read(&pieces(&text.encode_utf16().collect::<Vec<_>>()), path);
                    let expected = path.map_or(String::new(), |path| String::from(path) + "/") + &text;
                    assert_eq!(found, (text.len() + len <= 255).then_some(expected), "{count} {unit} behind {path:?}");
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_expressed_has_no_name() {
        for units in
            [&[0xd83d][..], &[0xdc1a], &[0xdc1a, 0xd83d], &[0xd83d, 97], &[97, 0, 97], &[0x2f], &[97, 0x5c], &[7]]
        {
            assert_eq!(read(&pieces(units), None), None, "{units:x?}");
        }
        let long: Vec<u16> = [0x8a9e; 86].into();
        assert_eq!(read(&pieces(&long), None), None);
    }

    #[test]
    fn pieces_that_do_not_belong_together_give_way_to_the_short_name() {
        let good = pieces(&"a name of three pieces, all needed".encode_utf16().collect::<Vec<_>>());
        assert_eq!(read(&good, None).as_deref(), Some("a name of three pieces, all needed"));
        let [first, second, third] = good[..] else { panic!("three pieces") };
        let mut other = third;
        other.0[13] ^= 1;
        for slots in [&[][..], &[first], &[first, second], &[second, third], &[first, third], &[first, second, other]] {
            assert_eq!(read(slots, None).as_deref(), Some("NAME~1.TXT"), "{slots:?}");
        }
        let other = pieces(&"other".encode_utf16().collect::<Vec<_>>())[0];
        assert_eq!(read(&[first, second, other], None).as_deref(), Some("other"));
    }
}
