//! Lines of a listing: text for people, JSON for programs.

use std::io::{self, Write};

use bytesize::ByteSize;
use coracle::local::{Escaped, escape_json};
use coracle_core::EntryKind;
use serde::Serialize;

use crate::values::format_time;

/// What a line shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The name.
    Short,
    /// Size in bytes, time and name.
    Long,
    /// The same with the size as people read it: `1.2 MiB`.
    Human,
    /// A JSON object.
    Json,
}

impl Format {
    /// Writes the line of an entry.
    pub fn write(self, out: &mut dyn Write, name: &str, kind: EntryKind) -> io::Result<()> {
        if self == Self::Json {
            let json = serde_json::to_string(&JsonEntry::new(name, kind)).map_err(io::Error::from)?;
            return writeln!(out, "{}", escape_json(&json));
        }
        let (size, modified, mark) = match kind {
            EntryKind::File { size, modified } => (Some(size), modified, ""),
            EntryKind::Directory { link: false } => (None, None, "/"),
            EntryKind::Directory { link: true } => (None, None, "/@"),
            _ => (None, None, "?"),
        };
        match self {
            Self::Long => {
                let size = size.map_or_else(|| "-".to_owned(), |size| size.to_string());
                write!(out, "{size:>14}  {}  ", format_time(modified))?;
            }
            Self::Human => {
                let size = size.map_or_else(|| "-".to_owned(), |size| ByteSize::b(size).display().iec().to_string());
                write!(out, "{size:>10}  {}  ", format_time(modified))?;
            }
            Self::Short | Self::Json => {}
        }
        writeln!(out, "{}{mark}", Escaped(name))
    }
}

/// An entry as JSON, with the members of the protocol.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonEntry<'a> {
    file_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<bool>,
}

impl<'a> JsonEntry<'a> {
    fn new(file_name: &'a str, kind: EntryKind) -> Self {
        let empty = JsonEntry { file_name, file_size: None, modified: None, directory: None, link: None };
        match kind {
            EntryKind::File { size, modified } => JsonEntry { file_size: Some(size), modified, ..empty },
            EntryKind::Directory { link } => JsonEntry { directory: Some(true), link: link.then_some(true), ..empty },
            _ => empty,
        }
    }
}

#[cfg(test)]
mod tests {
    use coracle_core::EntryKind;

    use super::Format;

    #[test]
    fn sizes_are_exact_or_for_people() {
        let line = |format: Format, kind| {
            let mut out = Vec::new();
            format.write(&mut out, "a", kind).expect("written");
            String::from_utf8(out).expect("UTF-8")
        };
        let file = |size| EntryKind::File { size, modified: Some(0) };
        for (size, long, human) in [
            (0, "0", "0 B"),
            (1023, "1023", "1023 B"),
            (1536, "1536", "1.5 KiB"),
            (5 << 30, "5368709120", "5.0 GiB"),
            (u64::MAX, "18446744073709551615", "16.0 EiB"),
        ] {
            assert_eq!(line(Format::Long, file(size)), format!("{long:>14}  1970-01-01T00:00:00Z  a\n"));
            assert_eq!(line(Format::Human, file(size)), format!("{human:>10}  1970-01-01T00:00:00Z  a\n"));
        }
        let directory = EntryKind::Directory { link: true };
        assert_eq!(line(Format::Human, directory), format!("{:>10}  {:20}  a/@\n", "-", "-"));
        assert_eq!(line(Format::Short, directory), "a/@\n");
    }
}
