//! Reads the members of a JSON object by a table: which are looked at, and of which type each has to be.

use core::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::wire::escape::unescape_eq;
use crate::wire::json;

/// The members that a reading looks at, and where their values go.
pub(crate) type Table = [(&'static str, Slot)];

/// A member's type, and the place of its value in [`Members`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Slot {
    Text(usize),
    Number(usize),
    Flag(usize),
    /// A list of words: which of these are among them.
    Words(usize, &'static [&'static str]),
}

/// The values that were there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Members<'a> {
    /// Still with their escapes.
    pub texts: [Option<&'a str>; 3],
    pub numbers: [Option<u64>; 7],
    pub flags: [Option<bool>; 2],
    /// A bit for each word of the table, the lowest for the first.
    pub words: [Option<u8>; 2],
}

/// A member of the table is doubled, or has another type than there: null, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadMember;

/// Reads `object`, which the scanner passed.
#[inline(never)]
pub(crate) fn read<'a>(object: &'a [u8], table: &Table) -> Result<Members<'a>, BadMember> {
    json::read(object, TableVisitor(table)).ok_or(BadMember)
}

struct TableVisitor<'t>(&'t Table);

impl<'a> Visitor<'a> for TableVisitor<'_> {
    type Value = Members<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Members<'a>, A::Error> {
        let mut members = Members::default();
        while let Some(Raw(name)) = map.next_key()? {
            let Some((_, slot)) = self.0.iter().find(|(looked_at, _)| name == Some(looked_at)) else {
                map.next_value::<Raw<'_>>()?;
                continue;
            };
            let is_first = match *slot {
                Slot::Text(place) => {
                    let Raw(text) = map.next_value()?;
                    put(&mut members.texts, place, text)
                }
                Slot::Number(place) => put(&mut members.numbers, place, Some(map.next_value()?)),
                Slot::Flag(place) => put(&mut members.flags, place, Some(map.next_value()?)),
                Slot::Words(place, known) => {
                    put(&mut members.words, place, Some(map.next_value_seed(WordsVisitor(known))?))
                }
            };
            if !is_first {
                return Err(A::Error::custom("doubled, or no text"));
            }
        }
        Ok(members)
    }
}

/// Whether there was a value, and none before.
fn put<T>(places: &mut [Option<T>], place: usize, value: Option<T>) -> bool {
    let is_value = value.is_some();
    is_value && places.get_mut(place).is_some_and(|place| core::mem::replace(place, value).is_none())
}

struct WordsVisitor(&'static [&'static str]);

impl<'a> DeserializeSeed<'a> for WordsVisitor {
    type Value = u8;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<u8, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'a> Visitor<'a> for WordsVisitor {
    type Value = u8;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of words")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<u8, A::Error> {
        let mut found = 0;
        while let Some(Raw(word)) = seq.next_element()? {
            let Some(word) = word else { return Err(A::Error::custom("no text")) };
            let mut bit = 1_u8;
            for known in self.0 {
                if unescape_eq(word, known) {
                    found |= bit;
                }
                bit = bit.wrapping_shl(1);
            }
        }
        Ok(found)
    }
}

/// Any value: a string as it stands there, everything else skipped. One type for names, texts and what is skipped keeps the
/// parser from being compiled three times. It goes as deep as the scanner let pass.
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

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Raw<'a>, A::Error> {
        while let Some(Raw(_)) = seq.next_element()? {}
        Ok(Raw(None))
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Raw<'a>, A::Error> {
        while let Some(Raw(_)) = map.next_key()? {
            map.next_value::<Raw<'_>>()?;
        }
        Ok(Raw(None))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::{String, ToString};

    use serde::de::{Deserialize, Deserializer, IntoDeserializer};

    use super::{BadMember, Raw, Slot, Table, TableVisitor, read};
    use crate::Scanner;

    const TABLE: &Table = &[
        ("text", Slot::Text(1)),
        ("number", Slot::Number(6)),
        ("flag", Slot::Flag(1)),
        ("words", Slot::Words(1, &["a", "b", "c"])),
    ];

    #[test]
    fn values_go_to_their_places() {
        let object = r#" { "x" : {"text":[7,"text",{"number":[]}]}, "number":18446744073709551615 ,"text":"a\u0062\"",
            "flag":false,"words":["c","z","\u0061"],"t\u0065xt":0,"y":"\\","z":-1.5e3,"":null} "#;
        let members = read(object.as_bytes(), TABLE).expect("good");
        assert_eq!(members.texts, [None, Some(r#"a\u0062\""#), None]);
        assert_eq!(members.numbers, [None, None, None, None, None, None, Some(u64::MAX)]);
        assert_eq!(members.flags, [None, Some(false)]);
        assert_eq!(members.words, [None, Some(0b101)]);
        let members = read(br#"{"words":[]}"#, TABLE).expect("good");
        assert_eq!((members.words, members.texts), ([None, Some(0)], [None; 3]));
    }

    #[test]
    fn each_member_has_its_type() {
        let values = ["null", "true", "7", "-7", "7.5", "\"t\"", "[]", "[\"a\"]", "[1]", "{}", "18446744073709551616"];
        for (member, good) in [("text", "\"t\""), ("number", "7"), ("flag", "true"), ("words", "[] [\"a\"]")] {
            for value in values {
                let object = std::format!("{{\"{member}\":{value}}}");
                assert_eq!(
                    read(object.as_bytes(), TABLE).is_ok(),
                    good.split(' ').any(|good| good == value),
                    "{object}"
                );
            }
            let value = good.split(' ').next().expect("one");
            let doubled = std::format!("{{\"{member}\":{value},\"x\":0,\"{member}\":{value}}}");
            assert_eq!(read(doubled.as_bytes(), TABLE).err(), Some(BadMember), "{doubled}");
        }
    }

    /// Another parser, which says what it found and what was expected.
    #[test]
    fn says_what_was_expected() {
        let said = |object: &str| {
            let mut deserializer = serde_json::Deserializer::from_str(object);
            deserializer.deserialize_map(TableVisitor(TABLE)).err().map(|error| error.to_string())
        };
        assert!(said("7").is_some_and(|text| text.contains("expected an object")));
        assert!(said(r#"{"words":7}"#).is_some_and(|text| text.contains("expected a list of words")));
        let number: serde::de::value::U32Deserializer<serde_json::Error> = 7_u32.into_deserializer();
        let text = Raw::deserialize(number).err().map(|error| error.to_string());
        assert!(text.is_some_and(|text| text.contains("expected a value")));
    }

    /// What the scanner lets pass at its deepest is skipped.
    #[test]
    fn skips_as_deep_as_the_scanner_goes() {
        for (open, close) in [("[", "]"), ("{\"x\":", "}")] {
            let depth = usize::from(Scanner::MAX_DEPTH) - 1;
            let object: String = ["{\"y\":", &open.repeat(depth), "0", &close.repeat(depth), ",\"number\":5}"].concat();
            Scanner::new().scan(object.as_bytes()).expect("JSON");
            assert_eq!(read(object.as_bytes(), TABLE).expect("good").numbers[6], Some(5));
        }
    }
}
