//! Error codes of the protocol.

use core::fmt;

use crate::wire::text_table::TextTable;

/// A code of an `error` line: why a request is refused, or why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Code {
    /// The request is not JSON, or a member is missing, duplicated or of another type.
    BadRequest,
    /// The request's `type` is unknown.
    UnknownType,
    /// The file name breaks a rule of [`FileName`](crate::FileName).
    BadName,
    /// There is no such file or directory.
    NotFound,
    /// It exists and is not a regular file.
    NotFile,
    /// It exists and is not a directory.
    NotDirectory,
    /// It may not be read, or lies outside of what is served.
    Denied,
    /// The offset is beyond the file's end, or `digestFrom` beyond the offset.
    BadRange,
    /// The file does not have the requested version, or changed while it was sent.
    Changed,
    /// The request is longer than the server's `maxRequest`.
    TooLong,
    /// All connections or file handles are in use: try again later.
    Busy,
    /// The request did not arrive in time.
    Timeout,
    /// The file could not be read.
    Io,
    /// The request is valid, but this server does not support it.
    Unsupported,
    /// The server is stopping.
    ShuttingDown,
    /// The name is taken, and nothing may be replaced.
    #[cfg(feature = "write")]
    Exists,
    /// The file is larger than the server accepts.
    #[cfg(feature = "write")]
    TooLarge,
    /// There is no room for the file.
    #[cfg(feature = "write")]
    NoSpace,
    /// Another connection is sending an upload to the same name.
    #[cfg(feature = "write")]
    InUse,
    /// What was stored does not have the announced digest.
    #[cfg(feature = "write")]
    Corrupt,
    /// The directory has entries.
    #[cfg(feature = "write")]
    NotEmpty,
    /// The server speaks only on encrypted connections.
    #[cfg(any(feature = "write", feature = "rights"))]
    Encrypted,
}

impl Code {
    /// Every code.
    pub const ALL: &'static [Self] = &[
        Self::BadRequest,
        Self::UnknownType,
        Self::BadName,
        Self::NotFound,
        Self::NotFile,
        Self::NotDirectory,
        Self::Denied,
        Self::BadRange,
        Self::Changed,
        Self::TooLong,
        Self::Busy,
        Self::Timeout,
        Self::Io,
        Self::Unsupported,
        Self::ShuttingDown,
        #[cfg(feature = "write")]
        Self::Exists,
        #[cfg(feature = "write")]
        Self::TooLarge,
        #[cfg(feature = "write")]
        Self::NoSpace,
        #[cfg(feature = "write")]
        Self::InUse,
        #[cfg(feature = "write")]
        Self::Corrupt,
        #[cfg(feature = "write")]
        Self::NotEmpty,
        #[cfg(any(feature = "write", feature = "rights"))]
        Self::Encrypted,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        WORDS.get(self as u8)
    }

    /// The code of the word `word`; `None` for one that this version does not know.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == word)
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::Busy | Self::ShuttingDown | Self::Timeout)
    }
}

macro_rules! words {
    ($more:literal) => {
        concat!(
            "badRequest\nunknownType\nbadName\nnotFound\nnotFile\nnotDirectory\ndenied\nbadRange\nchanged\ntooLong\nbusy\n",
            "timeout\nio\nunsupported\nshuttingDown",
            $more
        )
    };
}

/// The words in the order of the codes.
const WORDS: TextTable = TextTable::new(if cfg!(feature = "write") {
    words!("\nexists\ntooLarge\nnoSpace\ninUse\ncorrupt\nnotEmpty\nencrypted")
} else if cfg!(feature = "rights") {
    words!("\nencrypted")
} else {
    words!("")
});

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn words_are_distinct_and_read_back() {
        let codes = if cfg!(feature = "write") { 22 } else { 15 + usize::from(cfg!(feature = "rights")) };
        assert_eq!(Code::ALL.len(), codes);
        for code in Code::ALL {
            assert_eq!(Code::from_word(code.as_str()), Some(*code));
        }
        assert_eq!(Code::from_word("badrequest"), None);
    }

    #[test]
    fn busy_and_the_like_are_temporary() {
        for code in Code::ALL {
            let expected = ["busy", "shuttingDown", "timeout"].contains(&code.as_str());
            assert_eq!(code.is_temporary(), expected, "{code}");
        }
    }
}
