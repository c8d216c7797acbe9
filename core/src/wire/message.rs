//! The texts of error messages.

use crate::wire::code::Code;
use crate::wire::text_table::TextTable;

/// The text of an error. Those from [`Message::FIRST_NAMED`] on are followed by the name at fault, where there is one.
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
    #[cfg(feature = "write")]
    PutLine,
    #[cfg(feature = "write")]
    NameReserved,
    #[cfg(feature = "manage")]
    Action,
    #[cfg(feature = "manage")]
    ActionFailed,
    #[cfg(feature = "rights")]
    Encrypted,
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
    #[cfg(feature = "absolute")]
    Dropped,
    #[cfg(feature = "write")]
    Corrupt,
    #[cfg(feature = "write")]
    Unwritable,
    #[cfg(feature = "rights")]
    UnknownKey,
    Refused,
}

#[cfg(feature = "rights")]
macro_rules! rights_general {
    () => {
        "encrypted connections only\n"
    };
}

#[cfg(feature = "rights")]
macro_rules! rights_named {
    () => {
        "not a known key, ask the owner to add\u{20}\n"
    };
}

#[cfg(not(feature = "rights"))]
macro_rules! rights_general {
    () => {
        ""
    };
}

#[cfg(not(feature = "rights"))]
macro_rules! rights_named {
    () => {
        ""
    };
}

#[cfg(feature = "absolute")]
macro_rules! absolute_named {
    () => {
        "dropped already:\u{20}\n"
    };
}

#[cfg(not(feature = "absolute"))]
macro_rules! absolute_named {
    () => {
        ""
    };
}

macro_rules! texts {
    ($types:literal, $general:expr, $named:literal) => {
        concat!(
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
",
            $types,
            "
no such digest, see hello
a name is not empty
a name has at most 255 bytes
a name has no component '', '.' or '..'
a name has no control character, no backslash
digestFrom is past offset
listing failed half-way
",
            $general,
            rights_general!(),
            "\
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
",
            absolute_named!(),
            $named,
            rights_named!(),
            "refused:\u{20}"
        )
    };
}

/// The texts in the order of [`Message`].
#[cfg(not(feature = "write"))]
const TEXTS: TextTable = TextTable::new(texts!("types: hello, list, stat, get", "", ""));

#[cfg(feature = "write")]
macro_rules! texts_with_writing {
    ($actions:literal) => {
        texts!(
            "no such type, see hello",
            concat!("end a put by a line feed, then wait for ready\na name begins with '.coracle-'\n", $actions),
            "wrong digest:\u{20}\ncannot be written:\u{20}\n"
        )
    };
}

/// The texts in the order of [`Message`].
#[cfg(feature = "write")]
const TEXTS: TextTable = TextTable::new(if cfg!(feature = "manage") {
    texts_with_writing!("no such action, see hello\nthe action failed\n")
} else {
    texts_with_writing!("")
});

impl Message {
    pub(crate) const FIRST_NAMED: Self = Self::Member;

    /// The text for a refusal of the store.
    pub(crate) const fn of_store(code: Code) -> Self {
        match code {
            Code::NotFound => Self::NotFound,
            Code::NotFile => Self::NotFile,
            Code::NotDirectory => Self::NotDirectory,
            Code::Denied => Self::Denied,
            Code::BadName => Self::BadName,
            Code::Io => Self::Unreadable,
            #[cfg(feature = "write")]
            Code::Corrupt => Self::Corrupt,
            #[cfg(feature = "write")]
            Code::Changed => Self::OtherVersion,
            _ => Self::Refused,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        TEXTS.get(self as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::{Message, TEXTS};
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

    /// A refusal of a store names the file. A code that no store gives has a general text.
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
            #[cfg(feature = "write")]
            (Code::Corrupt, "wrong digest: "),
            #[cfg(feature = "write")]
            (Code::Changed, "no longer that version: "),
        ] {
            assert_eq!(Message::of_store(code).as_str(), text);
        }
    }
}
