//! Reference parser on serde_json, independent of the core: whether something is JSON, and its members.

use serde::de::IgnoredAny;
use serde_json::Value;

/// Whether `bytes` are one JSON object and nothing else.
pub fn is_object(bytes: &[u8]) -> bool {
    bytes.starts_with(b"{")
        && bytes.ends_with(b"}")
        && std::str::from_utf8(bytes).is_ok()
        && serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

/// Depth of nesting of `bytes`, which are JSON.
pub fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for token in Tokens(bytes) {
        match token {
            b"{" | b"[" => depth += 1,
            b"}" | b"]" => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The members of an object, names and values unparsed. `object` is JSON.
pub fn members(object: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut members = Vec::new();
    let (mut depth, mut name, mut start) = (0, None, None);
    for token in Tokens(object) {
        let place = token.as_ptr().addr() - object.as_ptr().addr();
        match token {
            b"{" | b"[" => depth += 1,
            b"}" | b"]" => depth -= 1,
            _ => {}
        }
        match (depth, token, name) {
            (1, b"{" | b":", _) => {}
            (1, b",", _) | (0, _, _) => {
                if let (Some(name), Some(start)) = (name.take(), start.take()) {
                    members.push((name, object[start..place].trim_ascii()));
                }
            }
            (1, _, None) => name = Some(token),
            (_, _, Some(_)) => start = start.or(Some(place)),
            _ => {}
        }
    }
    members
}

/// The decoded text of a value; `None` if it is not a string, or has half of a surrogate pair.
pub fn text(value: &[u8]) -> Option<String> {
    serde_json::from_slice(value).ok()
}

/// The number of a value, if it is digits only and fits in 64 bits.
pub fn number(value: &[u8]) -> Option<u64> {
    if value.iter().all(u8::is_ascii_digit) { std::str::from_utf8(value).ok()?.parse().ok() } else { None }
}

/// Parses a line of a server: an object of at most 1,024 bytes that ends with `}` and a newline; anything else panics.
pub fn line(bytes: &[u8]) -> Value {
    assert!(bytes.ends_with(b"}\n") && bytes.len() <= 1_024, "no line: {}", bytes.escape_ascii());
    serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error}: {}", bytes.escape_ascii()))
}

/// The tokens of JSON.
struct Tokens<'a>(&'a [u8]);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let bytes = self.0.trim_ascii_start();
        let len = match bytes.first()? {
            b'"' => {
                let mut len = 1;
                while bytes[len] != b'"' {
                    len += if bytes[len] == b'\\' { 2 } else { 1 };
                }
                len + 1
            }
            b'{' | b'}' | b'[' | b']' | b':' | b',' => 1,
            _ => bytes.iter().position(|byte| b"{}[]:,\" \t\r\n".contains(byte)).unwrap_or(bytes.len()),
        };
        let (token, rest) = bytes.split_at(len);
        self.0 = rest;
        Some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::{depth, members, number, text};

    #[test]
    fn members_are_taken_apart() {
        let object = br#" { "a" : 1 ,"b\"}":{"c":[2,{}]} , "d":"x,\\" , "e":[ 1, 2 ], "":null } "#;
        let members = members(object);
        let words: Vec<_> = members.iter().map(|(name, value)| (name.escape_ascii().to_string(), *value)).collect();
        assert_eq!(words.len(), 5);
        assert_eq!(members[0], (&br#""a""#[..], &b"1"[..]));
        assert_eq!(members[1], (&br#""b\"}""#[..], &br#"{"c":[2,{}]}"#[..]));
        assert_eq!(members[2].1, br#""x,\\""#);
        assert_eq!(members[3].1, b"[ 1, 2 ]");
        assert_eq!((members[4].0, members[4].1), (&br#""""#[..], &b"null"[..]));
        assert_eq!(depth(object), 4);
        assert_eq!((number(b"7"), number(b"-7"), number(b"7.0")), (Some(7), None, None));
        assert_eq!((text(br#""\u0041""#), text(br#""\ud800""#), text(b"1")), (Some("A".to_owned()), None, None));
    }
}
