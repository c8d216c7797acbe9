//! Escapes of JSON strings: decodes them, and writes text in pieces.

use core::ops::Range;
use core::slice::Iter;

/// A string contains half of an escaped surrogate pair, or an escape that JSON does not define.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadEscape;

/// Whether `raw`, the text between a string's quotes, decodes to `expected`.
pub(crate) fn unescape_eq(raw: &[u8], expected: &str) -> bool {
    let mut rest = raw.iter();
    let mut expected = expected.as_bytes();
    let mut character = [0; 4];
    loop {
        match next(&mut rest, &mut character) {
            Ok([]) => return expected.is_empty(),
            Ok(meant) if expected.starts_with(meant) => expected = expected.get(meant.len()..).unwrap_or_default(),
            _ => return false,
        }
    }
}

/// Decodes `raw`, the text between a string's quotes, into `out`, and returns the decoded length, including what does not
/// fit.
///
/// # Errors
///
/// At the first invalid escape.
pub(crate) fn unescape(raw: &[u8], out: &mut [u8]) -> Result<usize, BadEscape> {
    let (mut rest, mut len) = (raw.iter(), 0);
    let mut character = [0; 4];
    loop {
        let meant = next(&mut rest, &mut character)?;
        if meant.is_empty() {
            return Ok(len);
        }
        len = put(out, len, meant);
    }
}

/// Decodes `buf[range]`, the text between a string's quotes, in place, and returns the decoded text.
///
/// # Errors
///
/// As [`unescape`], and if the range is not in `buf`.
pub(crate) fn unescape_in_place(buf: &mut [u8], range: Range<usize>) -> Result<&[u8], BadEscape> {
    let text = buf.get_mut(range).ok_or(BadEscape)?;
    let len = unescape_to_front(text, 0..text.len())?;
    text.get(..len).ok_or(BadEscape)
}

/// Decodes `buf[range]`, the text between a string's quotes, to the front of `buf`, and returns the decoded length. It is
/// at most that of the range: every escape is longer than its character, so writing never overtakes reading.
///
/// # Errors
///
/// As [`unescape`], and if the range is not in `buf`. The front of `buf` then holds what was decoded before.
pub(crate) fn unescape_to_front(buf: &mut [u8], range: Range<usize>) -> Result<usize, BadEscape> {
    let Range { mut start, end } = range;
    let mut len = 0;
    let mut character = [0; 4];
    loop {
        let mut rest = buf.get(start..end).ok_or(BadEscape)?.iter();
        let meant = next(&mut rest, &mut character)?;
        if meant.is_empty() {
            return Ok(len);
        }
        start = end.saturating_sub(rest.len());
        len = put(buf, len, meant);
    }
}

/// Writes as much of `text` (UTF-8) as fits into `out`, escaped for a JSON string, and returns the number of bytes of `text`
/// that were taken and the number of bytes written.
///
/// Escapes only what JSON requires: `"`, `\` and characters below U+0020. An escape is written whole or not at all; a
/// character of several bytes may be split. Both counts are 0 if `out` is too short for the first character: 6 bytes are
/// always enough.
pub(crate) fn escape_piece(text: &[u8], out: &mut [u8]) -> (usize, usize) {
    let room = out.len();
    let mut out = out.iter_mut();
    let mut rest = text.iter();
    while let Some(byte) = rest.as_slice().first() {
        if is_plain(*byte) {
            let Some(place) = out.next() else { break };
            *place = *byte;
            rest.next();
            continue;
        }
        let (short, long);
        let escaped: &[u8] = match SHORT_ESCAPES.iter().find(|(_, meaning)| meaning == byte) {
            Some((letter, _)) => {
                short = [b'\\', *letter];
                &short
            }
            None => {
                let low = byte & 0x0F;
                let digit = if low < 10 { b'0' | low } else { b'a' - 10 + low };
                long = [b'\\', b'u', b'0', b'0', b'0' | byte >> 4, digit];
                &long
            }
        };
        if out.len() < escaped.len() {
            break;
        }
        for (from, to) in escaped.iter().zip(&mut out) {
            *to = *from;
        }
        rest.next();
    }
    (text.len().saturating_sub(rest.len()), room.saturating_sub(out.len()))
}

/// Whether JSON allows `byte` in a string without an escape.
const fn is_plain(byte: u8) -> bool {
    (byte >= b' ') & (byte != b'"') & (byte != b'\\')
}

/// Takes the next byte or escape of `rest` and returns what it means, which is written to `buf`; empty at the end.
#[inline(never)]
fn next<'b>(rest: &mut Iter<'_, u8>, buf: &'b mut [u8; 4]) -> Result<&'b [u8], BadEscape> {
    match rest.next() {
        None => Ok(&[]),
        Some(b'\\') => Ok(escaped(rest)?.encode_utf8(buf).as_bytes()),
        Some(byte) => {
            buf[0] = *byte;
            Ok(&buf[..1])
        }
    }
}

/// Decodes an escape from `rest`, which begins after the backslash.
fn escaped(rest: &mut Iter<'_, u8>) -> Result<char, BadEscape> {
    let letter = rest.next().ok_or(BadEscape)?;
    if let Some((_, meaning)) = SHORT_ESCAPES.iter().find(|(short, _)| short == letter) {
        return Ok(char::from(*meaning));
    }
    if *letter != b'u' {
        return Err(BadEscape);
    }
    let mut unit = hex4(rest)?;
    if let 0xD800..=0xDBFF = unit {
        let is_pair = rest.next() == Some(&b'\\') && rest.next() == Some(&b'u');
        let low = if is_pair { hex4(rest)?.wrapping_sub(0xDC00) } else { u32::MAX };
        if low > 0x3FF {
            return Err(BadEscape);
        }
        unit = 0x1_0000 + ((unit & 0x3FF) << 10 | low);
    }
    char::from_u32(unit).ok_or(BadEscape)
}

/// Writes what fits of `bytes` to `out` from `at` on, and returns the end of all of them.
fn put(out: &mut [u8], mut at: usize, bytes: &[u8]) -> usize {
    for byte in bytes {
        if let Some(place) = out.get_mut(at) {
            *place = *byte;
        }
        at = at.wrapping_add(1); // at most the length of what is decoded
    }
    at
}

/// The escapes of one letter, and their characters.
const SHORT_ESCAPES: [(u8, u8); 8] = [
    (b'"', b'"'),
    (b'\\', b'\\'),
    (b'/', b'/'),
    (b'b', 0x08),
    (b'f', 0x0C),
    (b'n', b'\n'),
    (b'r', b'\r'),
    (b't', b'\t'),
];

/// The value of four hexadecimal digits.
fn hex4(rest: &mut Iter<'_, u8>) -> Result<u32, BadEscape> {
    let mut value = 0;
    for _ in 0..4 {
        let digit = rest.next().and_then(|byte| char::from(*byte).to_digit(16)).ok_or(BadEscape)?;
        value = value << 4 | digit;
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::String;
    use std::vec::Vec;

    /// Decoded in every way.
    fn decoded(raw: &str) -> Result<String, BadEscape> {
        let mut out = std::vec![0; raw.len()];
        let apart = unescape(raw.as_bytes(), &mut out);
        let apart = apart.map(|len| String::from_utf8(out[..len].to_vec()).unwrap());
        let start = 3;
        let mut buf = std::format!("???{raw}???").into_bytes();
        let range = start..start + raw.len();
        let in_place =
            unescape_in_place(&mut buf.clone(), range.clone()).map(|text| String::from_utf8(text.to_vec()).unwrap());
        let in_front = unescape_to_front(&mut buf, range).map(|len| String::from_utf8(buf[..len].to_vec()).unwrap());
        assert_eq!([&apart, &apart], [&in_place, &in_front], "{raw}");
        apart
    }

    fn escaped_by(text: &[u8], room: usize) -> Vec<u8> {
        let (mut whole, mut rest) = (Vec::new(), text);
        while !rest.is_empty() {
            let mut out = std::vec![0xEE; room];
            let (taken, len) = escape_piece(rest, &mut out);
            assert!(taken > 0, "{room} bytes are too few for {rest:?}");
            assert!(out[len..].iter().all(|&byte| byte == 0xEE));
            whole.extend_from_slice(&out[..len]);
            rest = &rest[taken..];
        }
        whole
    }

    #[test]
    fn every_escape_decodes() {
        assert_eq!(
            decoded(r#"a\"\\\/\b\f\n\r\t\u0041\u00e9\u20AC\ud83d\uDE00é€😀"#).unwrap(),
            "a\"\\/\u{8}\u{C}\n\r\tAé€😀é€😀"
        );
        assert_eq!(decoded("").unwrap(), "");
        assert_eq!(decoded(r"\u0000\uffff\ud800\udc00\udbff\udfff").unwrap(), "\0\u{FFFF}\u{10000}\u{10FFFF}");
    }

    #[test]
    fn what_means_nothing_is_an_error_and_the_end() {
        for raw in [
            r"\ud83d",
            r"\ude00",
            r"\ud83d\n",
            r"\ud83dx",
            r"\ud83d\ud83d",
            r"\ud83d\u0041",
            r"\ude00\ud83d",
            r"\ud83d\",
            r"\ud83d\u",
            r"\ud83d\ude0",
            r"\",
            r"\u",
            r"\u004",
            r"\u+041",
            r"\u00g1",
            r"\x",
            r"\é",
            r"\u00é1",
        ] {
            assert_eq!(decoded(raw), Err(BadEscape), "{raw}");
            assert_eq!(decoded(&std::format!("ok{raw} more")), Err(BadEscape), "{raw}");
            assert!(!unescape_eq(raw.as_bytes(), "") && !unescape_eq(raw.as_bytes(), raw), "{raw}");
        }
    }

    #[test]
    fn a_range_outside_of_the_buffer_is_an_error() {
        let mut buf = *b"abc";
        for (start, end) in [(0, 4), (4, 4), (2, 1), (usize::MAX, usize::MAX), (1, usize::MAX)] {
            assert_eq!(unescape_to_front(&mut buf, start..end), Err(BadEscape));
            assert_eq!(unescape_in_place(&mut buf, start..end), Err(BadEscape));
        }
        assert_eq!(unescape_to_front(&mut buf, 3..3), Ok(0));
        assert_eq!(unescape_to_front(&mut buf, 1..3), Ok(2));
        assert_eq!(&buf, b"bcc");
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut out = [0; 3];
        assert_eq!((unescape(br"a\u0062\u20acd", &mut out), out), (Ok(6), [b'a', b'b', 0xE2]));
    }

    #[test]
    fn equality_is_of_meanings() {
        assert!(unescape_eq(br"\u0061b", "ab") && unescape_eq(b"", "") && unescape_eq(br"\ud83d\ude00", "😀"));
        assert!(!unescape_eq(b"ab", "a") && !unescape_eq(b"a", "ab") && !unescape_eq(br"a\ud83d", "a"));
    }

    #[test]
    fn only_what_must_be_is_escaped() {
        let text = "a\"\\/\u{8}\u{C}\n\r\t\0\u{1f}\u{7f}é€😀";
        let json = r#"a\"\\/\b\f\n\r\t\u0000\u001f"#;
        let json = std::format!("{json}\u{7f}é€😀");
        for room in 6..40 {
            assert_eq!(escaped_by(text.as_bytes(), room), json.as_bytes());
        }
    }

    #[test]
    fn no_escape_is_parted() {
        for (text, len) in [("\"", 2), ("\n", 2), ("\u{1}", 6), ("\u{1f}", 6), ("a", 1)] {
            for room in 0..len {
                assert_eq!(escape_piece(text.as_bytes(), &mut [0; 8][..room]), (0, 0));
            }
            assert_eq!(escape_piece(text.as_bytes(), &mut [0; 8][..len]), (1, len));
        }
        assert_eq!(escape_piece(b"", &mut [0; 8]), (0, 0));
    }

    /// A sequence of numbers that looks random and is the same each time (xorshift64, Marsaglia 2003).
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 >> 33).unwrap() % limit
        }

        fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
            from[self.below(from.len())]
        }

        /// Any character but a surrogate, the short and the special ones more often.
        fn character(&mut self) -> char {
            let limit = [0x20, 0x80, 0x800, 0x1_0000, 0x11_0000][self.below(5)];
            u32::try_from(self.below(limit)).ok().and_then(char::from_u32).unwrap_or('\\')
        }

        /// The inside of a string, seldom with an escape that JSON does not have or that is cut short.
        fn raw(&mut self) -> String {
            let mut raw = String::new();
            for _ in 0..self.below(12) {
                match self.below(10) {
                    0..3 => {
                        raw.push(Some(self.character()).filter(|c| *c >= ' ' && !"\"\\".contains(*c)).unwrap_or('a'))
                    }
                    3..5 => raw.push_str(self.pick(&[r#"\""#, r"\\", r"\/", r"\b", r"\f", r"\n", r"\r", r"\t"])),
                    5 | 6 => {
                        let mut units = [0; 2];
                        for unit in self.character().encode_utf16(&mut units) {
                            let digits = std::format!("{unit:04x}");
                            raw.push_str(r"\u");
                            raw.push_str(&if self.below(2) == 0 { digits.to_uppercase() } else { digits });
                        }
                    }
                    7 | 8 if self.below(8) == 0 => {
                        raw.push_str(&std::format!(r"\u{:04x}", 0xD7FF + self.below(0x802)));
                    }
                    9 if self.below(8) == 0 => {
                        raw.push_str(self.pick(&[r"\u12", r"\u+123", r"\x", r"\u", r"\ ", r"\u00é", r"\ud83d\u"]))
                    }
                    _ => raw.push_str(self.pick(&["u", "0", "d83d", "n", "ude00", "b", "/", "é"])),
                }
            }
            raw
        }
    }

    fn rounds() -> usize {
        if std::env::var_os("CORACLE_QUICK").is_some() { 4_000 } else { 100_000 }
    }

    #[test]
    fn decodes_as_serde_json_does() {
        let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
        let mut good = 0;
        let rounds = rounds();
        for _ in 0..rounds {
            let raw = numbers.raw();
            let judged = serde_json::from_str::<String>(&std::format!("\"{raw}\"")).map_err(|_| BadEscape);
            assert_eq!(decoded(&raw), judged, "{raw}");
            if let Ok(meaning) = judged {
                good += 1;
                assert!(unescape_eq(raw.as_bytes(), &meaning), "{raw}");
                assert!(!unescape_eq(raw.as_bytes(), &(meaning.clone() + "x")), "{raw}");
                let other = numbers.raw();
                assert_eq!(
                    unescape_eq(other.as_bytes(), &meaning),
                    decoded(&other).as_ref() == Ok(&meaning),
                    "{other}"
                );
            }
        }
        assert!((rounds * 3 / 5..rounds * 19 / 20).contains(&good), "{good} of {rounds} are good");
    }

    #[test]
    fn escapes_as_serde_json_does_into_any_room() {
        let mut numbers = Numbers(0x2545_F491_4F6C_DD1D);
        for _ in 0..rounds() / 5 {
            let text: String = (0..numbers.below(20)).map(|_| numbers.character()).collect();
            let (mut json, mut rest) = (Vec::from(*b"\""), text.as_bytes());
            while let Some(&first) = rest.first() {
                let room = numbers.below(16);
                let mut out = std::vec![0xEE; room];
                let (taken, len) = escape_piece(rest, &mut out);
                assert!(taken > 0 || room < 6, "no progress with {room} bytes");
                assert!(
                    taken > 0 || room == 0 || first < b' ' || b"\"\\".contains(&first),
                    "no progress with {room} bytes"
                );
                assert_eq!(taken == 0, len == 0);
                json.extend_from_slice(&out[..len]);
                rest = &rest[taken..];
            }
            json.push(b'"');
            let json = String::from_utf8(json).unwrap();
            assert_eq!(json, serde_json::to_string(&text).unwrap());
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
