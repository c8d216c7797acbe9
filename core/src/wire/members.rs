//! Reads the members of a JSON object, a request or a response.
//!
//! One pass of the parser records where the values of the wanted members are. Types are checked when the values are read, so
//! that one compiled parser serves every message, and a request's `type` can decide which of its members are used.

use core::fmt;
use core::ops::Range;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use crate::wire::escape::unescape_eq;
use crate::wire::json;
use crate::wire::names::{Names, split_first};
use crate::wire::scanner::masked;

/// A member's value in its object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    kind: Kind,
    /// The range of a text between its quotes; for any other value that of its name.
    start: usize,
    end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Missing,
    String,
    Other,
    /// Duplicated.
    Doubled,
}

/// Finds the members called `names` in `object`, as [`Scanner::scan_into`](crate::Scanner) wrote it.
#[inline(always)] // one small frame around `find_all` for each number of names
pub(crate) fn find<const N: usize>(object: &[u8], names: Names<N>) -> [Member; N] {
    let mut members = [Member::MISSING; N];
    find_all(object, names.row(), &mut members);
    members
}

#[inline(never)]
fn find_all(object: &[u8], names: &[u8], members: &mut [Member]) {
    // The parser accepts whatever the scanner accepts.
    json::read(object, MembersVisitor { object, names, members });
}

/// All values are `None` for a value of another type, for `null`, and for a missing or doubled member.
impl Member {
    const MISSING: Self = Self { kind: Kind::Missing, start: 0, end: 0 };

    pub(crate) fn is_missing(&self) -> bool {
        self.kind == Kind::Missing
    }

    /// The range of its text, with escapes.
    pub(crate) fn text(&self) -> Option<Range<usize>> {
        (self.kind == Kind::String).then_some(self.start..self.end)
    }

    /// Its number, if that is an integer of 64 bits.
    pub(crate) fn number(&self, object: &[u8]) -> Option<u64> {
        let (mut number, mut is_begun) = (0_u64, false);
        for byte in self.after_name(object) {
            match byte {
                b'0'..=b'9' => {
                    number = number.checked_mul(10)?.checked_add((byte & 0xF).into())?;
                    is_begun = true;
                }
                b',' | b'}' => break,
                byte if is_between(*byte) => {}
                _ => return None,
            }
        }
        is_begun.then_some(number)
    }

    /// Its value as a boolean.
    pub(crate) fn flag(&self, object: &[u8]) -> Option<bool> {
        for byte in self.after_name(object) {
            match byte {
                b't' => return Some(true),
                b'f' => return Some(false),
                byte if is_between(*byte) => {}
                _ => return None,
            }
        }
        None
    }

    /// Which of `known` are in its array of texts: a bit for each, the lowest for the first.
    pub(crate) fn words(&self, object: &[u8], known: &[&str]) -> Option<u8> {
        const BEGIN: u8 = masked(b'[');
        const COMMA: u8 = masked(b',');
        const END: u8 = masked(b']');
        let [BEGIN, list @ ..] = self.other(object) else { return None };
        let list = list.split(|byte| *byte == b',' || *byte == b'}').next()?.trim_ascii().strip_suffix(&[END])?;
        let mut found = 0;
        if list.trim_ascii().is_empty() {
            return Some(found);
        }
        for word in list.split(|byte| *byte == COMMA) {
            let [b'"', word @ .., b'"'] = word.trim_ascii() else { return None };
            let mut bit = 1_u8;
            for known in known {
                if unescape_eq(word, known) {
                    found |= bit;
                }
                bit = bit.wrapping_shl(1);
            }
        }
        Some(found)
    }

    /// Where its array of texts is, between the brackets.
    #[cfg(feature = "write")]
    pub(crate) fn list(&self, object: &[u8]) -> Option<Range<usize>> {
        self.words(object, &[])?;
        let rest = self.other(object);
        let value = rest.split(|byte| *byte == b',' || *byte == b'}').next()?.trim_ascii();
        let start = object.len().saturating_sub(rest.len()).saturating_add(1);
        Some(start..start.saturating_add(value.len().saturating_sub(2)))
    }

    /// The object from the closing quote of the name on; empty for a string.
    fn after_name<'a>(&self, object: &'a [u8]) -> &'a [u8] {
        if self.kind == Kind::Other { object.get(self.end..).unwrap_or_default() } else { &[] }
    }

    /// The object from the value on; empty for a string.
    fn other<'a>(&self, object: &'a [u8]) -> &'a [u8] {
        let mut rest = self.after_name(object);
        while let Some((_, value)) = rest.split_first().filter(|(byte, _)| is_between(**byte)) {
            rest = value;
        }
        rest
    }
}

/// Whether a byte may be between a name and a value that is not a text.
const fn is_between(byte: u8) -> bool {
    byte <= b' ' || byte == b'"' || byte == b':'
}

struct MembersVisitor<'m, 'a> {
    object: &'a [u8],
    /// A row of [`Names`].
    names: &'m [u8],
    members: &'m mut [Member],
}

impl<'a> Visitor<'a> for MembersVisitor<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Raw(name)) = map.next_key()? {
            let Raw(text) = map.next_value()?;
            let Some(name) = name else { continue };
            let mut names = self.names;
            let is_called = |_: &&mut Member| {
                let Some((known, rest)) = split_first(names) else { return false };
                names = rest;
                known == name.as_bytes()
            };
            let Some(member) = self.members.iter_mut().find(is_called) else { continue };
            let kind = match (member.kind, text) {
                (Kind::Missing, Some(_)) => Kind::String,
                (Kind::Missing, None) => Kind::Other,
                _ => Kind::Doubled,
            };
            let Range { start, end } = range_within(self.object, text.unwrap_or(name));
            *member = Member { kind, start, end };
        }
        Ok(())
    }
}

/// The range of `part`, a slice of `whole`, in it.
fn range_within(whole: &[u8], part: &str) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    start..start.saturating_add(part.len())
}

/// A name or a value: a string with its escapes, or anything else, skipped. One type for both, so that the parser is compiled
/// only once.
struct Raw<'a>(Option<&'a str>);

impl<'a> Deserialize<'a> for Raw<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_ignored_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'a> Visitor<'a> for RawVisitor {
    type Value = Raw<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<Raw<'a>, E> {
        Ok(Raw(Some(text)))
    }

    fn visit_unit<E: Error>(self) -> Result<Raw<'a>, E> {
        Ok(Raw(None))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::{String, ToString};
    use std::vec;
    use std::vec::Vec;

    use serde::de::{Deserialize, Deserializer, IntoDeserializer};

    use super::{MembersVisitor, Raw, find};
    use crate::Scanner;
    use crate::wire::names::names;

    const WORDS: &[&str] = &["a", "b", "c"];

    /// `object` as a session has it in its buffer.
    fn scanned(object: &str) -> Vec<u8> {
        let mut buf = vec![0; object.len()];
        Scanner::new().scan_into(object.as_bytes(), &mut buf).expect("JSON");
        buf
    }

    /// Whether the member `x` of `object` is a text, a number, a flag, a list of words.
    fn types(object: &str) -> [bool; 4] {
        let object = scanned(object);
        let [member] = find(&object, names!(["x"]));
        [
            member.text().is_some(),
            member.number(&object).is_some(),
            member.flag(&object).is_some(),
            member.words(&object, WORDS).is_some(),
        ]
    }

    #[test]
    fn values_are_found() {
        let object = r#"{ "x" : {"text":[7,"text",{"number":[]}]}, "number":18446744073709551615 ,"text":"a\u0062\"",
            "flag" : false , "words" : [ "c" ,"z,\"]","\u0061" ] ,"t\u0065xt":0,"y":"\\","z":-1.5e3,"":null}"#;
        let object = scanned(object);
        let [text, number, flag, words] = find(&object, names!(["text", "number", "flag", "words"]));
        assert_eq!(text.text().and_then(|text| object.get(text)), Some(br#"a\u0062\""#.as_slice()));
        assert_eq!(number.number(&object), Some(u64::MAX));
        assert_eq!(flag.flag(&object), Some(false));
        assert_eq!(words.words(&object, WORDS), Some(0b101));
    }

    #[test]
    fn what_is_not_there_is_missing() {
        for object in ["{}", "{\"y\":1}"] {
            let [member] = find(&scanned(object), names!(["x"]));
            assert!(member.is_missing(), "{object}");
            assert_eq!(types(object), [false; 4], "{object}");
        }
    }

    #[test]
    fn a_value_has_one_type_and_a_doubled_member_has_none() {
        let texts = ["\"t\"", "\"\"", "\"[7]\"", "\"7\"", "\"true\"", r#""\"""#].map(|value| (value, 0));
        let numbers = ["0", "7", "18446744073709551615"].map(|value| (value, 1));
        let flags = ["true", "false"].map(|value| (value, 2));
        let words = ["[]", "[ ]", "[\"\"]", "[\"a\"]", "[ \"a,\" , \"]\" ]", r#"["}\"","\\"]"#].map(|value| (value, 3));
        for (value, expected) in [texts.as_slice(), &numbers, &flags, &words].into_iter().flatten() {
            let expected = core::array::from_fn(|index| index == *expected);
            for (name, value) in [("\"x\":", *value), (" \"x\"\t: ", &[value, "\n "].concat())] {
                assert_eq!(types(&std::format!("{{{name}{value}}}")), expected, "{value}");
                assert_eq!(types(&std::format!("{{\"7\":[7],{name}{value},\"7\":7}}")), expected, "{value}");
                assert_eq!(types(&std::format!("{{{name}{value},{name}{value}}}")), [false; 4], "{value}");
            }
        }
    }

    #[test]
    fn other_values_have_no_type() {
        for value in ["null", "-7", "-0", "7.5", "7e1", "7E+1", "18446744073709551616", "28446744073709551615"] {
            assert_eq!(types(&std::format!("{{\"x\":{value},\"7\":7}}")), [false; 4], "{value}");
        }
        let nested = ["{}", "{\"a\":\"a\"}", "[1]", "[true]", "[[]]", "[[\"a\"]]", "[{}]", "{\"a\":[\"a\"]}"];
        for value in nested.into_iter().chain(["[\"a\",1]", "[1,\"a\"]", "[null]", "[\"a\",\"b\",[]]"]) {
            assert_eq!(types(&std::format!("{{\"x\":{value},\"7\":7}}")), [false; 4], "{value}");
        }
    }

    /// Another parser, which says what it found and what was expected.
    #[test]
    fn says_what_was_expected() {
        let mut deserializer = serde_json::Deserializer::from_str("7");
        let visitor = MembersVisitor { object: b"7", names: b"", members: &mut [] };
        let error = deserializer.deserialize_map(visitor).expect_err("a number");
        assert!(error.to_string().contains("expected an object"));
        let number: serde::de::value::U32Deserializer<serde_json::Error> = 7_u32.into_deserializer();
        let text = Raw::deserialize(number).err().map(|error| error.to_string());
        assert!(text.is_some_and(|text| text.contains("expected a value")));
    }

    /// What the scanner lets pass at its deepest is skipped.
    #[test]
    fn skips_as_deep_as_the_scanner_goes() {
        let levels = usize::from(Scanner::MAX_DEPTH) - 1;
        for (open, close, depth) in
            [("[", "]", levels), ("{\"x\":", "}", levels), ("[\"]},\\\"\",", ",{}]", levels - 1)]
        {
            let nested: String = [&open.repeat(depth), "0", &*close.repeat(depth)].concat();
            let object = scanned(&std::format!("{{\"y\":{nested},\"number\":5}}"));
            let [number] = find(&object, names!(["number"]));
            assert_eq!(number.number(&object), Some(5));
        }
    }
}
