//! What an error says to people.

use crate::wire::code::Code;

/// An error's text. The ones from [`Message::FIRST_NAMED`] on are followed by the name at fault, where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Message {
    Json,
    Utf8,
    Depth,
    EndOfInput,
    Brace,
    TooLong,
    Busy,
    Timeout,
    Stopping,
    Type,
    Digest,
    NameEmpty,
    NameTooLong,
    NameComponent,
    NameCharacter,
    DigestFrom,
    Listing,
    Member,
    NotFound,
    NotFile,
    NotDirectory,
    Denied,
    BadName,
    Unreadable,
    Offset,
    OtherVersion,
    Changed,
    Refused,
}

/// The texts, a line each, in the order of [`Message`]. One long string, since a pointer and a length to each would take
/// 8 bytes a text, and as much again wherever one is used.
const TEXTS: &Lines = &Lines::new(
    "\
not JSON
not UTF-8
deeper than 8 levels
input ended in a request
a request begins with '{'
longer than maxRequest
no place free, try later
request took too long
server is stopping
types: hello, list, stat, get
no such digest, see hello
a name is not empty
a name has at most 255 bytes
a name has no component '', '.' or '..'
a name has no control character, no backslash
digestFrom is past offset
listing failed half-way
missing, doubled or of a wrong type:\u{20}
not found:\u{20}
not a regular file:\u{20}
not a directory:\u{20}
permission denied:\u{20}
not a name here:\u{20}
cannot be read:\u{20}
offset is past the end of\u{20}
no longer that version:\u{20}
changed meanwhile:\u{20}
refused:\u{20}",
);

impl Message {
    pub(crate) const FIRST_NAMED: Self = Self::Member;

    /// What a store's refusal says.
    pub(crate) const fn of_store(code: Code) -> Self {
        match code {
            Code::NotFound => Self::NotFound,
            Code::NotFile => Self::NotFile,
            Code::NotDirectory => Self::NotDirectory,
            Code::Denied => Self::Denied,
            Code::BadName => Self::BadName,
            Code::Io => Self::Unreadable,
            _ => Self::Refused,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        TEXTS.get(self as u8)
    }
}

/// Words or texts in one string, a line each, counted from 0: a table of slices would cost a board 8 bytes for each.
#[derive(Debug)]
pub(crate) struct Lines(&'static str);

impl Lines {
    /// The lines of `text`.
    pub(crate) const fn new(text: &'static str) -> Self {
        Self(text)
    }

    /// The line number `index`; empty where there is none.
    pub(crate) const fn get(&self, index: u8) -> &'static str {
        search(self.0, index)
    }
}

#[inline(never)]
const fn search(lines: &'static str, index: u8) -> &'static str {
    let mut rest = lines.as_bytes();
    let mut ahead = index;
    while let ([byte, tail @ ..], 1..) = (rest, ahead) {
        if *byte == b'\n' {
            ahead = ahead.wrapping_sub(1);
        }
        rest = tail;
    }
    let mut len = 0;
    while len < rest.len() && rest[len] != b'\n' {
        len = len.wrapping_add(1);
    }
    let Some((line, _)) = rest.split_at_checked(len) else { return "" };
    let Ok(line) = core::str::from_utf8(line) else { return "" };
    line
}

#[cfg(test)]
mod tests {
    use super::{Lines, Message, TEXTS, search};
    use crate::Code;

    #[test]
    fn every_message_has_its_line() {
        assert_eq!(Message::Json.as_str(), "not JSON");
        assert_eq!(Message::FIRST_NAMED.as_str(), "missing, doubled or of a wrong type: ");
        assert_eq!(Message::Refused.as_str(), "refused: ");
        for index in 0..=Message::Refused as u8 {
            let line = TEXTS.get(index);
            assert!(!line.is_empty());
            assert_eq!(line.ends_with(' '), index >= Message::FIRST_NAMED as u8);
        }
        for index in Message::Refused as u8 + 1..=u8::MAX {
            assert_eq!(TEXTS.get(index), "");
        }
    }

    /// What a store refuses is told with the file's name; what no store says, in general words.
    #[test]
    fn a_refusal_of_a_store_has_its_text() {
        for (code, text) in [
            (Code::NotFound, "not found: "),
            (Code::NotFile, "not a regular file: "),
            (Code::NotDirectory, "not a directory: "),
            (Code::Denied, "permission denied: "),
            (Code::BadName, "not a name here: "),
            (Code::Io, "cannot be read: "),
            (Code::Busy, "refused: "),
            (Code::Unsupported, "refused: "),
        ] {
            assert_eq!(Message::of_store(code).as_str(), text);
        }
    }

    #[test]
    fn lines_are_found_by_number() {
        let text = "a\n\nbc\nd";
        for (index, line) in (0..).zip(text.lines()) {
            assert_eq!((search(text, index), Lines::new(text).get(index)), (line, line));
        }
        assert_eq!((search(text, 4), search(text, u8::MAX)), ("", ""));
    }
}
