//! Writing the server's lines, member by member, into a window that may be shorter than a line.

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::digest::{Digest, DigestKind};
use crate::error::Code;
use crate::text::escape_piece;

/// A name in a message is repeated up to this many bytes.
const EXCERPT_LEN: usize = 64;

/// A line under way: which one, and how much of it was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    content: Content,
    /// The member under way; behind the last one the line is closed.
    member: usize,
    phase: Phase,
    /// How much of the phase's text was written, in bytes.
    position: usize,
}

/// Which line, with what only this line needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Hello,
    /// A file's header; with the digest itself where nothing but the header answers.
    Header {
        with_digest: bool,
    },
    FileEntry,
    DirectoryEntry {
        link: bool,
    },
    BodyEnd,
    ListEnd,
    /// The classic answer to a select; `found` is false where it failed.
    #[cfg(feature = "classic")]
    ClassicFile {
        found: bool,
    },
    /// The beginning, the middle and the end of the classic list.
    #[cfg(feature = "classic")]
    ClassicList,
    #[cfg(feature = "classic")]
    ClassicEntry {
        first: bool,
    },
    #[cfg(feature = "classic")]
    ClassicListEnd,
    Error {
        code: Code,
        text: &'static str,
        detail: Detail,
    },
}

/// What follows an error's fixed text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    None,
    /// The name in the buffer.
    Name,
    /// A member of the request.
    Member(&'static str),
}

/// What lines are made of.
pub(crate) struct Facts<'a> {
    pub server: &'a str,
    pub name: &'a str,
    pub max_request: u64,
    pub chunk_size: u32,
    pub idle_ms: u32,
    pub request_ms: u32,
    pub stall_ms: u32,
    pub size: u64,
    pub offset: u64,
    pub length: u64,
    pub version: &'a str,
    pub modified: Option<u64>,
    pub digest_kind: Option<DigestKind>,
    pub digest: Option<Digest>,
    pub count: u64,
    pub skipped: u64,
}

/// A member that is a long text is written in these phases, any other one in the first alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Whole,
    FixedText,
    Text,
    Quote,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Type,
    Protocol,
    Server,
    Name,
    MaxRequest,
    ChunkSize,
    Idle,
    Request,
    Stall,
    Features,
    Digests,
    FileName,
    FileSize,
    Offset,
    Length,
    ReadCount,
    LastSize,
    Version,
    DigestKind,
    Digest,
    Modified,
    Directory,
    Link,
    Count,
    Skipped,
    Code,
    Message,
    #[cfg(feature = "classic")]
    Data,
}

type Members = &'static [(&'static str, Source)];

const HELLO: Members = &[
    ("type", Source::Type),
    ("protocol", Source::Protocol),
    ("server", Source::Server),
    ("name", Source::Name),
    ("maxRequest", Source::MaxRequest),
    ("chunkSize", Source::ChunkSize),
    ("idle_ms", Source::Idle),
    ("request_ms", Source::Request),
    ("stall_ms", Source::Stall),
    ("features", Source::Features),
    ("digests", Source::Digests),
];
const HEADER: Members = &[
    ("type", Source::Type),
    ("fileName", Source::FileName),
    ("fileSize", Source::FileSize),
    ("offset", Source::Offset),
    ("length", Source::Length),
    ("chunkSize", Source::ChunkSize),
    ("readCnt", Source::ReadCount),
    ("lastSize", Source::LastSize),
    ("version", Source::Version),
    ("digest", Source::DigestKind),
    ("modified", Source::Modified),
    ("", Source::Digest),
];
const FILE_ENTRY: Members = &[
    ("type", Source::Type),
    ("fileName", Source::FileName),
    ("fileSize", Source::FileSize),
    ("modified", Source::Modified),
];
const DIRECTORY_ENTRY: Members =
    &[("type", Source::Type), ("fileName", Source::FileName), ("directory", Source::Directory), ("link", Source::Link)];
const BODY_END: Members = &[("type", Source::Type), ("", Source::Digest)];
const LIST_END: Members = &[("type", Source::Type), ("count", Source::Count), ("skipped", Source::Skipped)];
const ERROR: Members =
    &[("type", Source::Type), ("code", Source::Code), ("message", Source::Message), ("", Source::Digest)];

#[cfg(feature = "classic")]
const CLASSIC_FILE: Members = &[
    ("type", Source::Type),
    ("data", Source::Data),
    ("fileName", Source::FileName),
    ("readCnt", Source::ReadCount),
    ("lastSize", Source::LastSize),
];

const FEATURES: &[&str] = &["list", "stat", "get"];
const DIGESTS: &[&str] = if cfg!(feature = "sha256") { &["crc32", "sha256"] } else { &["crc32"] };

impl Line {
    pub(crate) const fn new(content: Content) -> Self {
        Self { content, member: 0, phase: Phase::Whole, position: 0 }
    }

    /// A line of which nothing is left.
    #[cfg(feature = "classic")]
    pub(crate) const fn finished() -> Self {
        Self { content: Content::ClassicList, member: 1, phase: Phase::Whole, position: 0 }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.member > self.content.members().len()
    }

    /// Writes as much of the rest as `window` takes and returns how many bytes. `name` is the name in the buffer.
    pub(crate) fn fill(&mut self, facts: &Facts<'_>, name: &[u8], window: &mut [u8]) -> usize {
        let mut filled = 0;
        while !self.is_done() {
            let Some(room) = window.get_mut(filled..) else { break };
            let Some(len) = self.write_step(facts, name, room) else { break };
            filled += len;
        }
        filled
    }

    /// Writes (a piece of) the next step; `None` for lack of room.
    fn write_step(&mut self, facts: &Facts<'_>, name: &[u8], room: &mut [u8]) -> Option<usize> {
        let Some((key, source)) = self.content.members().get(self.member).copied() else {
            let len = put(room, self.content.end())?;
            self.member += 1;
            return Some(len);
        };
        let (text, next): (&[u8], _) = match (self.phase, self.content) {
            #[cfg(feature = "classic")]
            (Phase::Whole, Content::ClassicEntry { first }) => {
                let len = put(room, if first { b"\"" } else { b",\"" })?;
                self.phase = Phase::FixedText;
                return Some(len);
            }
            (Phase::Whole, content) => {
                let is_text = matches!(source, Source::FileName | Source::Message);
                let len = match content.value(source, facts) {
                    #[cfg(feature = "classic")]
                    Some(value) if content == Content::ClassicListEnd => {
                        put(room, b"]")?;
                        1 + object(room.get_mut(1..)?, key, value, false, false)?
                    }
                    Some(value) => object(room, key, value, is_text, self.member == 0)?,
                    None => 0,
                };
                if is_text {
                    self.phase = Phase::FixedText
                } else {
                    self.member += 1
                }
                return Some(len);
            }
            (Phase::FixedText, Content::Error { text, .. }) => (text.as_bytes(), Phase::Text),
            (Phase::FixedText, _) => (b"", Phase::Text),
            (Phase::Text, Content::Error { detail: Detail::None, .. }) => (b"", Phase::Quote),
            (Phase::Text, Content::Error { detail: Detail::Member(member), .. }) => (member.as_bytes(), Phase::Quote),
            (Phase::Text, Content::Error { detail: Detail::Name, .. }) => (excerpt(name), Phase::Quote),
            (Phase::Text, _) => (name, Phase::Quote),
            (Phase::Quote, _) => {
                let len = put(room, b"\"")?;
                self.phase = Phase::Whole;
                self.member += 1;
                return Some(len);
            }
        };
        let rest = text.get(self.position..).unwrap_or_default();
        let (consumed, written) = escape_piece(rest, room);
        self.position += consumed;
        if consumed == rest.len() {
            self.position = 0;
            self.phase = next;
        } else if written == 0 {
            return None;
        }
        Some(written)
    }
}

/// The numbers of a body: how many chunks, and how long the last one is.
pub(crate) fn chunks(length: u64, chunk_size: u32) -> (u64, u64) {
    let chunk_size = u64::from(chunk_size.max(1));
    match (length / chunk_size, length % chunk_size) {
        (0, 0) => (0, 0),
        (full, 0) => (full, chunk_size),
        (full, rest) => (full + 1, rest),
    }
}

impl Content {
    const fn members(&self) -> Members {
        match self {
            Self::Hello => HELLO,
            Self::Header { .. } => HEADER,
            Self::FileEntry => FILE_ENTRY,
            Self::DirectoryEntry { .. } => DIRECTORY_ENTRY,
            Self::BodyEnd => BODY_END,
            Self::ListEnd => LIST_END,
            Self::Error { .. } => ERROR,
            #[cfg(feature = "classic")]
            Self::ClassicFile { .. } => CLASSIC_FILE,
            #[cfg(feature = "classic")]
            Self::ClassicEntry { .. } => &[("", Source::FileName)],
            #[cfg(feature = "classic")]
            Self::ClassicList => &[],
            #[cfg(feature = "classic")]
            Self::ClassicListEnd => &[("data", Source::Count)],
        }
    }

    /// What stands behind the last member.
    const fn end(&self) -> &'static [u8] {
        match self {
            #[cfg(feature = "classic")]
            Self::ClassicFile { .. } | Self::ClassicListEnd => b"}",
            #[cfg(feature = "classic")]
            Self::ClassicEntry { .. } => b"",
            #[cfg(feature = "classic")]
            Self::ClassicList => b"{\"type\":1,\"fileName\":[",
            _ => b"}\n",
        }
    }

    /// A member's value; `None` for one that is left out.
    fn value<'a>(self, source: Source, facts: &Facts<'a>) -> Option<Value<'a>> {
        Some(match source {
            Source::Type => Value::Text(match self {
                Self::Hello => "hello",
                Self::Header { .. } => "file",
                Self::FileEntry | Self::DirectoryEntry { .. } => "entry",
                Self::BodyEnd | Self::ListEnd => "end",
                Self::Error { .. } => "error",
                #[cfg(feature = "classic")]
                _ => return Some(Value::Number(2)),
            }),
            #[cfg(feature = "classic")]
            Source::Data => match self {
                Self::ClassicFile { found: false } => Value::Failed,
                _ => Value::Number(facts.length),
            },
            Source::Protocol => Value::Number(1),
            Source::Server => Value::Text(facts.server),
            Source::Name => Value::Text(facts.name),
            Source::MaxRequest => Value::Number(facts.max_request),
            Source::ChunkSize => Value::Number(facts.chunk_size.into()),
            Source::Idle => Value::Number(facts.idle_ms.into()),
            Source::Request => Value::Number(facts.request_ms.into()),
            Source::Stall => Value::Number(facts.stall_ms.into()),
            Source::Features => Value::Words(FEATURES),
            Source::Digests => Value::Words(DIGESTS),
            // The text itself follows in pieces.
            Source::FileName | Source::Message => Value::Text(""),
            Source::FileSize => Value::Number(facts.size),
            Source::Offset => Value::Number(facts.offset),
            Source::Length => Value::Number(facts.length),
            Source::ReadCount => Value::Number(chunks(facts.length, facts.chunk_size).0),
            Source::LastSize => Value::Number(chunks(facts.length, facts.chunk_size).1),
            Source::Version => Value::Text(facts.version),
            Source::DigestKind => Value::Text(facts.digest_kind.map_or("none", DigestKind::as_str)),
            Source::Digest => match self {
                Self::Header { with_digest: false } => return None,
                Self::Error { code, .. } if code != Code::Changed => return None,
                _ => Value::Digest(facts.digest?),
            },
            Source::Modified => Value::Number(facts.modified?),
            Source::Directory => Value::True,
            Source::Link if self == (Self::DirectoryEntry { link: true }) => Value::True,
            Source::Link => return None,
            Source::Count => Value::Number(facts.count),
            Source::Skipped if facts.skipped > 0 => Value::Number(facts.skipped),
            Source::Skipped => return None,
            Source::Code => match self {
                Self::Error { code, .. } => Value::Text(code.as_str()),
                _ => return None,
            },
        })
    }
}

/// An object of one member.
struct Member<'a> {
    key: &'static str,
    value: Value<'a>,
}

enum Value<'a> {
    Number(u64),
    Text(&'a str),
    Words(&'static [&'static str]),
    Digest(Digest),
    True,
    /// The classic size of a file that cannot be had.
    #[cfg(feature = "classic")]
    Failed,
}

impl Serialize for Member<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("", 1)?;
        match &self.value {
            Value::Digest(digest) => object.serialize_field(digest.kind().as_str(), &self.value)?,
            value => object.serialize_field(self.key, value)?,
        }
        object.end()
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Words(words) => serializer.collect_seq(*words),
            Self::Digest(digest) => serializer.serialize_str(digest.to_hex().as_str()),
            Self::True => serializer.serialize_bool(true),
            #[cfg(feature = "classic")]
            Self::Failed => serializer.serialize_i8(-1),
        }
    }
}

/// Serialises one member into `room` as a part of a line: without the closing brace, with a comma for the opening one
/// unless it is the line's first, and without the closing quote where the text is to follow.
fn object(room: &mut [u8], key: &'static str, value: Value<'_>, is_text: bool, is_first: bool) -> Option<usize> {
    let written = serde_json_core::to_slice(&Member { key, value }, room).ok()?;
    if !is_first {
        *room.first_mut()? = b',';
    }
    written.checked_sub(if is_text { 2 } else { 1 })
}

fn put(room: &mut [u8], bytes: &[u8]) -> Option<usize> {
    room.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(bytes.len())
}

/// The beginning of `name`, whole characters only.
fn excerpt(name: &[u8]) -> &[u8] {
    let mut len = name.len().min(EXCERPT_LEN);
    // A byte that continues a character begins with the bits 10.
    while len > 0 && name.get(len).is_some_and(|byte| byte & 0xC0 == 0x80) {
        len -= 1;
    }
    name.get(..len).unwrap_or_default()
}
