//! Lines of JSON that tell the digest of a file, in manifests and in files of remembered digests.

use std::borrow::Cow;

use coracle_core::{Digest, DigestKind};
use serde::{Deserialize, Serialize};

/// The digest of a file in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DigestLine<'a> {
    pub name: Cow<'a, str>,
    pub size: u64,
    /// Seconds since 1970 and nanoseconds.
    pub modified: (i64, i64),
    pub sha256: Digest,
    /// What no copy of the file has.
    pub local: Option<Local>,
}

/// What tells a file from its copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Local {
    pub inode: u64,
    /// As [`DigestLine::modified`], of the inode.
    pub changed: (i64, i64),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(borrow)]
    file_name: Cow<'a, str>,
    file_size: u64,
    modified: i64,
    #[serde(rename = "modified_ns")]
    modified_ns: u32,
    sha256: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inode: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changed: Option<i64>,
    #[serde(rename = "changed_ns", default, skip_serializing_if = "Option::is_none")]
    changed_ns: Option<u32>,
}

impl<'a> DigestLine<'a> {
    /// Reads one line, without its line feed; `None` where it is none.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let line: Line<'a> = serde_json::from_slice(line).ok()?;
        let local = match (line.inode, line.changed, line.changed_ns) {
            (Some(inode), Some(seconds), Some(nanos)) => Some(Local { inode, changed: (seconds, nanos.into()) }),
            _ => None,
        };
        Some(Self {
            sha256: Digest::from_hex(DigestKind::Sha256, &line.sha256)?,
            name: line.file_name,
            size: line.file_size,
            modified: (line.modified, line.modified_ns.into()),
            local,
        })
    }

    /// Appends the line and a line feed to `text`.
    pub fn write(&self, text: &mut Vec<u8>) {
        let nanos = |nanos: i64| u32::try_from(nanos).unwrap_or(0);
        let line = Line {
            file_name: Cow::Borrowed(&self.name),
            file_size: self.size,
            modified: self.modified.0,
            modified_ns: nanos(self.modified.1),
            sha256: Cow::Owned(self.sha256.to_hex().as_str().to_owned()),
            inode: self.local.map(|local| local.inode),
            changed: self.local.map(|local| local.changed.0),
            changed_ns: self.local.map(|local| nanos(local.changed.1)),
        };
        serde_json::to_writer(&mut *text, &line).expect("numbers and texts are JSON, and a vector takes all of it");
        text.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use coracle_core::Digest;

    use super::{DigestLine, Local};

    #[test]
    fn lines_are_read_as_they_were_written() {
        let local = Some(Local { inode: u64::MAX, changed: (-1, 999_999_999) });
        for (name, local) in [("a", None), ("d/\"quoted\"\n \u{1f600}", local)] {
            let line = DigestLine {
                name: name.into(),
                size: u64::MAX,
                modified: (i64::MIN, 7),
                sha256: Digest::Sha256([7; 32]),
                local,
            };
            let mut text = Vec::new();
            line.write(&mut text);
            assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 1);
            assert_eq!(DigestLine::parse(text.trim_ascii_end()), Some(line));
        }
    }

    #[test]
    fn b4_what_is_no_such_line_is_none() {
        let whole = br#"{"fileName":"a","fileSize":1,"modified":2,"modified_ns":3,"sha256":"00"}"#;
        assert_eq!(DigestLine::parse(whole), None, "a short digest");
        for line in ["", "{}", "[]", "null", "\u{0}", r#"{"fileName":"a"}"#] {
            assert_eq!(DigestLine::parse(line.as_bytes()), None, "{line}");
        }
        let digits = "ab".repeat(32);
        let whole =
            format!(r#"{{"later":[1],"fileName":"a","fileSize":1,"modified":2,"modified_ns":3,"sha256":"{digits}"}}"#);
        assert!(DigestLine::parse(whole.as_bytes()).is_some_and(|line| line.local.is_none()));
        for len in 0..whole.len() {
            assert_eq!(DigestLine::parse(&whole.as_bytes()[..len]), None, "{len}");
        }
    }
}
