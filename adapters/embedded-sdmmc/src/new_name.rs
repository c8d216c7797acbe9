//! Names of new entries, as they lie in a directory.

use coracle_core::{Digest, DigestKind, Hasher};

use crate::slot::Slot;

/// Number of short names that are tried beside a long one.
pub(crate) const TRIES: u8 = 32;

/// A name that an entry can have.
#[derive(Clone, Copy)]
pub(crate) struct NewName<'a> {
    text: &'a str,
    /// Where it is its own short name.
    short: Option<[u8; 11]>,
}

impl<'a> NewName<'a> {
    /// Checks the name; `None` where FAT cannot have it.
    pub fn new(text: &'a str) -> Option<Self> {
        let is_good = !text.contains(['"', '*', ':', '<', '>', '?', '|']) && !text.ends_with(['.', ' ']);
        is_good.then(|| Self { text, short: as_short(text) })
    }

    /// Number of slots that it takes with the short name of attempt `attempt`.
    pub fn slots(&self, attempt: u8) -> usize {
        self.pieces(attempt) + 1
    }

    /// Number of pieces of its long name: none where it is the short one.
    fn pieces(&self, attempt: u8) -> usize {
        if self.short.is_some() && attempt == 0 { 0 } else { self.text.encode_utf16().count().div_ceil(13) }
    }

    /// The short name that is tried in attempt `attempt`, which is of no use where another entry has it.
    pub fn short(&self, attempt: u8) -> [u8; 11] {
        if let Some(short) = self.short.filter(|_| attempt == 0) {
            return short;
        }
        let mut short = [b' '; 11];
        let (base, extension) = self.text.rsplit_once('.').unwrap_or((self.text, ""));
        let shown =
            |text: &'a str, len| text.chars().filter(|char| !matches!(char, ' ' | '.')).map(short_byte).take(len);
        short.iter_mut().zip(shown(base, 2)).for_each(|(to, byte)| *to = byte);
        let digits = u32::from(attempt).wrapping_mul(0x9e37_79b9) ^ checksum(self.text);
        let start = short.iter().take(2).take_while(|byte| **byte != b' ').count();
        let digit = |place: u32| char::from_digit(digits >> (4 * place) & 0xf, 16).map_or(b'0', short_byte);
        let tail = [digit(0), digit(1), digit(2), digit(3), b'~', b'1'];
        short.iter_mut().skip(start).zip(tail).for_each(|(to, byte)| *to = byte);
        short.iter_mut().skip(8).zip(shown(extension, 3)).for_each(|(to, byte)| *to = byte);
        short
    }

    /// The entries, in their order, that name `slot`, whose short name is set.
    pub fn entries(&self, slot: Slot, attempt: u8) -> impl Iterator<Item = Slot> {
        let last = u8::try_from(self.pieces(attempt)).unwrap_or(0);
        let text = self.text;
        let checksum = slot.checksum();
        let pieces =
            (1..=last).rev().map(move |number| Slot::piece_of(text.encode_utf16(), number, number == last, checksum));
        pieces.chain([slot])
    }
}

/// The short name that is the very text: upper case, and no character of a code page.
fn as_short(text: &str) -> Option<[u8; 11]> {
    let (base, extension) = text.rsplit_once('.').unwrap_or((text, ""));
    let is_short = |part: &str, len| {
        part.len() <= len && part.chars().all(|char| u8::try_from(char).is_ok_and(|byte| short_byte(char) == byte))
    };
    let has_parts = !base.is_empty() && (text.contains('.') != extension.is_empty());
    if !has_parts || !is_short(base, 8) || !is_short(extension, 3) {
        return None;
    }
    let mut short = [b' '; 11];
    short.iter_mut().zip(base.bytes()).for_each(|(to, byte)| *to = byte);
    short.iter_mut().skip(8).zip(extension.bytes()).for_each(|(to, byte)| *to = byte);
    Some(short)
}

/// The nearest character that short names have.
fn short_byte(char: char) -> u8 {
    let is_good = |byte: &u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#'..=b')' | b'-' | b'@' | b'^' | b'`' | b'{' | b'}' | b'~');
    u8::try_from(char.to_ascii_uppercase()).ok().filter(is_good).unwrap_or(b'_')
}

fn checksum(text: &str) -> u32 {
    let Some(mut hasher) = Hasher::new(DigestKind::Crc32) else { return 0 };
    hasher.update(text.as_bytes());
    match hasher.finish() {
        Digest::Crc32(sum) => sum,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::NewName;

    fn short(text: &str) -> (usize, [u8; 11]) {
        let name = NewName::new(text).expect("a name");
        (name.slots(0), name.short(0))
    }

    #[test]
    fn names_in_upper_case_need_no_long_one() {
        assert_eq!(short("README.TXT"), (1, *b"README  TXT"));
        assert_eq!(short("A"), (1, *b"A          "));
        assert_eq!(short("NO_EXT~1.A"), (1, *b"NO_EXT~1A  "));
        for long in ["readme.txt", "README.TEXT", "LONGERNAME", "A B", "Ä", "A.B.C", ".A", "A+B"] {
            assert!(short(long).0 > 1, "{long}");
        }
        assert_eq!(short("abcdefghijklm").0, 2);
        assert_eq!(short("abcdefghijklmn").0, 3);
        let (_, name) = short("my log file.text");
        assert!(name.starts_with(b"MY") && name.ends_with(b"~1TEX"), "{name:?}");
    }

    #[test]
    fn what_fat_cannot_have_is_refused() {
        for text in ["a:b", "a*", "a?", "a<", "a>", "a|", "\"", "a.", "a "] {
            assert!(NewName::new(text).is_none(), "{text}");
        }
    }
}
