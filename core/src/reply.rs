//! Writing the server's lines, member by member, into a window that may be shorter than a line.

use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde_json_core::str::EscapedStr;

use crate::digest::{Digest, DigestKind};
use crate::divide::{decimal, div_rem};
use crate::error::Code;
use crate::message::Message;
use crate::request::Question;
use crate::server::ServerConfig;
use crate::text::escape_piece;

const SERVER: &str = concat!("coracle/", env!("CARGO_PKG_VERSION"));
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

/// Which line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Hello,
    /// A file's header.
    Header,
    /// The same with the digest itself: nothing but the header answers.
    StatHeader,
    FileEntry,
    DirectoryEntry,
    /// A directory that is reached through a link.
    LinkEntry,
    BodyEnd,
    ListEnd,
    Error,
    /// No line, but a space before one.
    Heartbeat,
    /// The classic answer to a select.
    #[cfg(feature = "classic")]
    ClassicFile,
    /// The same where the select failed.
    #[cfg(feature = "classic")]
    ClassicNoFile,
    /// The beginning, the middle and the end of the classic list.
    #[cfg(feature = "classic")]
    ClassicList,
    #[cfg(feature = "classic")]
    ClassicFirstEntry,
    #[cfg(feature = "classic")]
    ClassicEntry,
    #[cfg(feature = "classic")]
    ClassicListEnd,
}

/// What the exchange under way is about, and its lines are made of.
#[derive(Debug)]
pub(crate) struct Facts<'c> {
    pub config: &'c ServerConfig<'c>,
    pub max_request: usize,
    /// Its version is the one that was asked for, until the file's own takes its place.
    pub question: Question,
    pub size: u64,
    /// The end of the body, or for `stat` of what is hashed.
    pub end: u64,
    pub modified: Option<u64>,
    pub digest: Option<Digest>,
    pub count: u64,
    pub skipped: u64,
    pub code: Code,
    pub message: Message,
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
enum Member {
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
    Modified,
    Directory,
    Link,
    Count,
    Skipped,
    Code,
    Message,
    #[cfg(feature = "classic")]
    Data,
    #[cfg(feature = "classic")]
    NoData,
    #[cfg(feature = "classic")]
    ClassicCount,
    /// Its name is the digest's kind.
    Digest,
}

impl Member {
    const fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Protocol => "protocol",
            Self::Server => "server",
            Self::Name => "name",
            Self::MaxRequest => "maxRequest",
            Self::ChunkSize => "chunkSize",
            Self::Idle => "idle_ms",
            Self::Request => "request_ms",
            Self::Stall => "stall_ms",
            Self::Features => "features",
            Self::Digests => "digests",
            Self::FileName => "fileName",
            Self::FileSize => "fileSize",
            Self::Offset => "offset",
            Self::Length => "length",
            Self::ReadCount => "readCnt",
            Self::LastSize => "lastSize",
            Self::Version => "version",
            Self::DigestKind => "digest",
            Self::Modified => "modified",
            Self::Directory => "directory",
            Self::Link => "link",
            Self::Count => "count",
            Self::Skipped => "skipped",
            Self::Code => "code",
            Self::Message => "message",
            #[cfg(feature = "classic")]
            Self::Data | Self::NoData | Self::ClassicCount => "data",
            Self::Digest => "",
        }
    }

    /// Whether its text follows in pieces: it is long, or may need escapes.
    const fn is_text(self) -> bool {
        matches!(self, Self::FileName | Self::Message | Self::Version | Self::Name)
    }
}

const FEATURES: &[u8] = br#"["list","stat","get"]"#;
const DIGESTS: &[u8] = if cfg!(feature = "sha256") { br#"["crc32","sha256"]"# } else { br#"["crc32"]"# };

impl Line {
    pub(crate) const fn new(content: Content) -> Self {
        Self { content, member: 0, phase: Phase::Whole, position: 0 }
    }

    /// A line of which nothing is left.
    #[cfg(feature = "classic")]
    pub(crate) const fn finished() -> Self {
        Self { content: Content::ClassicList, member: 1, phase: Phase::Whole, position: 0 }
    }

    pub(crate) const fn is_done(&self) -> bool {
        self.member > self.content.members().len()
    }

    /// Writes as much of the rest as `window` takes and returns how many bytes. `name` is the name in the buffer.
    pub(crate) fn fill(&mut self, facts: &Facts<'_>, name: &[u8], window: &mut [u8]) -> usize {
        let mut filled: usize = 0;
        while !self.is_done() {
            let Some(room) = window.get_mut(filled..) else { break };
            let Some(len) = self.write_step(facts, name, room) else { break };
            filled = filled.saturating_add(len);
        }
        filled
    }

    #[inline(never)]
    /// Writes (a piece of) the next step; `None` for lack of room.
    fn write_step(&mut self, facts: &Facts<'_>, name: &[u8], room: &mut [u8]) -> Option<usize> {
        let Some(&member) = self.content.members().get(self.member) else {
            let len = put(room, self.content.end())?;
            self.member += 1;
            return Some(len);
        };
        let text = match self.phase {
            Phase::Whole => {
                let len = self.write_whole(member, facts, room)?;
                if member.is_text() { self.phase = Phase::FixedText } else { self.member += 1 }
                return Some(len);
            }
            Phase::FixedText if member == Member::Message => facts.message.as_str().as_bytes(),
            Phase::FixedText => b"",
            Phase::Text => match member {
                Member::Message => excerpt(name),
                Member::Version => facts.question.version.get(..facts.question.version_len).unwrap_or_default(),
                Member::Name => facts.config.name.as_str().as_bytes(),
                _ => name,
            },
            Phase::Quote => {
                let len = put(room, b"\"")?;
                *self = Self { member: self.member + 1, ..Self::new(self.content) };
                return Some(len);
            }
        };
        let rest = text.get(self.position..).unwrap_or_default();
        let (consumed, written) = escape_piece(rest, room);
        self.position += consumed;
        if consumed == rest.len() {
            self.position = 0;
            self.phase = if self.phase == Phase::FixedText { Phase::Text } else { Phase::Quote };
        } else if written == 0 {
            return None;
        }
        Some(written)
    }

    /// Serialises a member as a part of the line: without the closing brace, with a comma for the opening one unless it
    /// is the line's first, and without the closing quote where the text is to follow.
    #[inline(never)]
    fn write_whole(&self, member: Member, facts: &Facts<'_>, room: &mut [u8]) -> Option<usize> {
        let is_first = self.member == 0;
        #[cfg(feature = "classic")]
        let (is_first, room, before) = match self.content {
            Content::ClassicFirstEntry => return put(room, b"\""),
            Content::ClassicEntry => return put(room, b",\""),
            Content::ClassicListEnd => {
                let before = put(room, b"]")?;
                (false, room.get_mut(before..)?, before)
            }
            _ => (is_first, room, 0),
        };
        #[cfg(not(feature = "classic"))]
        let before = 0;
        let Some(value) = self.content.value(member, facts) else { return Some(0) };
        let name = match &value {
            Value::Digest(digest) => digest.kind().as_str(),
            _ => member.name(),
        };
        let written = serde_json_core::to_slice(&Object { name, value }, room).ok()?;
        if !is_first {
            *room.first_mut()? = b',';
        }
        written.checked_add(before)?.checked_sub(if member.is_text() { 2 } else { 1 })
    }
}

impl Content {
    const fn members(self) -> &'static [Member] {
        use Member::*;
        match self {
            Self::Hello => {
                &[Type, Protocol, Server, Name, MaxRequest, ChunkSize, Idle, Request, Stall, Features, Digests]
            }
            Self::Header => &[
                Type, FileName, FileSize, Offset, Length, ChunkSize, ReadCount, LastSize, Version, DigestKind, Modified,
            ],
            Self::StatHeader => &[
                Type, FileName, FileSize, Offset, Length, ChunkSize, ReadCount, LastSize, Version, DigestKind, Modified,
                Digest,
            ],
            Self::FileEntry => &[Type, FileName, FileSize, Modified],
            Self::DirectoryEntry => &[Type, FileName, Directory],
            Self::LinkEntry => &[Type, FileName, Directory, Link],
            Self::BodyEnd => &[Type, Digest],
            Self::ListEnd => &[Type, Count, Skipped],
            Self::Error => &[Type, Code, Message, Digest],
            Self::Heartbeat => &[],
            #[cfg(feature = "classic")]
            Self::ClassicFile => &[Type, Data, FileName, ReadCount, LastSize],
            #[cfg(feature = "classic")]
            Self::ClassicNoFile => &[Type, NoData, FileName, ReadCount, LastSize],
            #[cfg(feature = "classic")]
            Self::ClassicFirstEntry | Self::ClassicEntry => &[FileName],
            #[cfg(feature = "classic")]
            Self::ClassicList => &[],
            #[cfg(feature = "classic")]
            Self::ClassicListEnd => &[ClassicCount],
        }
    }

    /// What stands behind the last member.
    const fn end(self) -> &'static [u8] {
        match self {
            Self::Heartbeat => b" ",
            #[cfg(feature = "classic")]
            Self::ClassicFile | Self::ClassicNoFile | Self::ClassicListEnd => b"}",
            #[cfg(feature = "classic")]
            Self::ClassicFirstEntry | Self::ClassicEntry => b"",
            #[cfg(feature = "classic")]
            Self::ClassicList => b"{\"type\":1,\"fileName\":[",
            _ => b"}\n",
        }
    }

    const fn kind(self) -> Value<'static> {
        Value::Word(match self {
            Self::Hello => "hello",
            Self::Header | Self::StatHeader => "file",
            Self::FileEntry | Self::DirectoryEntry | Self::LinkEntry => "entry",
            Self::BodyEnd | Self::ListEnd => "end",
            Self::Error | Self::Heartbeat => "error",
            #[cfg(feature = "classic")]
            _ => return Value::Number(2),
        })
    }

    /// A member's value; `None` for one that is left out.
    #[inline(never)]
    fn value<'a>(self, member: Member, facts: &'a Facts<'_>) -> Option<Value<'a>> {
        let config = facts.config;
        let offset = facts.question.offset;
        let length = facts.end.saturating_sub(offset);
        Some(match member {
            Member::Type => self.kind(),
            // The text itself follows in pieces.
            Member::FileName | Member::Message | Member::Version | Member::Name => Value::Word(""),
            Member::Server => Value::Word(SERVER),
            Member::DigestKind => Value::Word(facts.question.digest.map_or("none", DigestKind::as_str)),
            Member::Code => Value::Word(facts.code.as_str()),
            Member::Features => Value::Json(FEATURES),
            Member::Digests => Value::Json(DIGESTS),
            Member::Directory | Member::Link => Value::Json(b"true"),
            Member::Digest => Value::Digest(facts.digest.as_ref()?),
            Member::Protocol => Value::Number(1),
            Member::MaxRequest => Value::Number(u64::try_from(facts.max_request).unwrap_or(u64::MAX)),
            Member::ChunkSize => Value::Number(config.chunk_size.get().into()),
            Member::Idle => Value::Number(config.idle_ms.into()),
            Member::Request => Value::Number(config.request_ms.into()),
            Member::Stall => Value::Number(config.stall_ms.into()),
            Member::FileSize => Value::Number(facts.size),
            Member::Offset => Value::Number(offset),
            Member::Length => Value::Number(length),
            // A body that ends with a chunk ends with a full one; an empty one has none.
            Member::ReadCount if length == 0 => Value::Number(0),
            Member::ReadCount => Value::Number(div_rem(length - 1, config.chunk_size.get()).0 + 1),
            Member::LastSize if length == 0 => Value::Number(0),
            Member::LastSize => Value::Number(div_rem(length - 1, config.chunk_size.get()).1 + 1),
            Member::Modified => Value::Number(facts.modified?),
            Member::Count => Value::Number(facts.count),
            Member::Skipped => Value::Number(Some(facts.skipped).filter(|skipped| *skipped > 0)?),
            #[cfg(feature = "classic")]
            Member::Data => Value::Number(length),
            #[cfg(feature = "classic")]
            Member::NoData => Value::Json(b"-1"),
            #[cfg(feature = "classic")]
            Member::ClassicCount => Value::Number(facts.count),
        })
    }
}

/// An object of one member.
struct Object<'a> {
    name: &'static str,
    value: Value<'a>,
}

enum Value<'a> {
    Number(u64),
    /// A text that needs no escapes.
    Word(&'a str),
    Digest(&'a Digest),
    /// Any other value.
    Json(&'static [u8]),
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("", 1)?;
        object.serialize_field(self.name, &self.value)?;
        object.end()
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_bytes(decimal(*number, &mut [0; 20])),
            Self::Word(word) => EscapedStr(word).serialize(serializer),
            Self::Digest(digest) => EscapedStr(digest.to_hex().as_str()).serialize(serializer),
            Self::Json(json) => serializer.serialize_bytes(json),
        }
    }
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
