//! Writing the server's lines, member by member, into a window that may be shorter than a line.

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::server::ServerConfig;
use crate::types::digest::{Digest, DigestKind, Hex};
use crate::wire::code::Code;
use crate::wire::decimal::{decimal, div_rem};
use crate::wire::escape::escape_piece;
use crate::wire::json;
use crate::wire::message::Message;
use crate::wire::request_reader::ParsedRequest;
use crate::wire::text_table::TextTable;

const SERVER: &str = concat!("coracle/", env!("CARGO_PKG_VERSION"));
/// A name in a message is repeated up to this many bytes.
const EXCERPT_LEN: usize = 64;

/// A line under way: which one, and how much of it was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineWriter {
    content: LineKind,
    /// The member under way; behind the last one the line is closed.
    member: usize,
    stage: WriteStage,
    /// How much of the stage's text was written, in bytes.
    position: usize,
}

/// Which line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
pub(crate) enum LineKind {
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
pub(crate) struct ResponseContext<'c> {
    pub config: &'c ServerConfig<'c>,
    pub max_request: usize,
    /// Its version is the one that was asked for, until the file's own takes its place.
    pub request: ParsedRequest,
    pub size: u64,
    /// The end of the body, or for `stat` of what is hashed.
    pub end: u64,
    pub modified: Option<u64>,
    pub digest: Option<Digest>,
    pub count: u32,
    pub skipped: u32,
    pub code: Code,
    pub message: Message,
}

/// A member that is a long text is written in these phases, any other one in the first alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteStage {
    Whole,
    /// A message has a beginning of its own.
    FixedText,
    Text,
    Quote,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
enum Member {
    // Texts, which are written in pieces.
    Type,
    FileName,
    Server,
    Name,
    Version,
    DigestKind,
    Code,
    Message,
    /// Its name is the digest's kind.
    Digest,
    // Everything else.
    FileSize,
    Modified,
    Directory,
    Link,
    Offset,
    Length,
    ChunkSize,
    ReadCount,
    LastSize,
    Protocol,
    MaxRequest,
    Idle,
    Request,
    Stall,
    Features,
    Digests,
    Count,
    Skipped,
    #[cfg(feature = "classic")]
    ClassicType,
    #[cfg(feature = "classic")]
    Data,
    #[cfg(feature = "classic")]
    NoData,
    #[cfg(feature = "classic")]
    ClassicCount,
}

/// The members' names, a line each. Looked up at every use, as in [`Message`]; the ones of a listing stand in front.
const NAMES: TextTable = TextTable::new(
    "\
type\nfileName\nserver\nname\nversion\ndigest\ncode\nmessage\n\nfileSize\nmodified\ndirectory\nlink\noffset\nlength\n\
chunkSize\nreadCnt\nlastSize\nprotocol\nmaxRequest\nidle_ms\nrequest_ms\nstall_ms\nfeatures\ndigests\ncount\nskipped\n\
type\ndata\ndata\ndata",
);

impl Member {
    const fn is_text(self) -> bool {
        self as u8 <= Self::Digest as u8
    }
}

/// The type of each [`LineKind`], a line each.
const TYPES: TextTable = TextTable::new("hello\nfile\nfile\nentry\nentry\nentry\nend\nend\nerror\n");

const FEATURES: &[u8] = br#"["list","stat","get"]"#;
const DIGESTS: &[u8] = if cfg!(feature = "sha256") { br#"["crc32","sha256"]"# } else { br#"["crc32"]"# };

impl LineWriter {
    pub(crate) const fn new(content: LineKind) -> Self {
        Self { content, member: 0, stage: WriteStage::Whole, position: 0 }
    }

    /// A line of which nothing is left.
    #[cfg(feature = "classic")]
    pub(crate) const fn finished() -> Self {
        Self { content: LineKind::Heartbeat, member: 1, stage: WriteStage::Whole, position: 0 }
    }

    pub(crate) const fn is_done(&self) -> bool {
        self.member > self.content.members().len()
    }

    /// Writes as much of the rest as `window` takes and returns how many bytes. `name` is the name in the buffer.
    pub(crate) fn fill(&mut self, context: &ResponseContext<'_>, name: &[u8], window: &mut [u8]) -> usize {
        let mut filled: usize = 0;
        while !self.is_done() {
            let Some(room) = window.get_mut(filled..) else { break };
            let Some(len) = self.write_step(context, name, room) else {
                break;
            };
            filled = filled.saturating_add(len);
        }
        filled
    }

    /// Writes (a piece of) the next step; `None` for lack of room.
    #[inline(never)] // one function out of all would have more variables than registers
    fn write_step(&mut self, context: &ResponseContext<'_>, name: &[u8], room: &mut [u8]) -> Option<usize> {
        let Some(&member) = self.content.members().get(self.member) else {
            let len = put(room, self.content.end())?;
            self.member = self.member.wrapping_add(1);
            return Some(len);
        };
        let mut hex = None;
        let text = match self.stage {
            WriteStage::Whole => {
                let len = self.write_whole(member, context, room)?;
                self.stage = match member {
                    Member::Message => WriteStage::FixedText,
                    _ if member.is_text() && len > 0 => WriteStage::Text,
                    _ => {
                        self.member = self.member.wrapping_add(1);
                        WriteStage::Whole
                    }
                };
                return Some(len);
            }
            WriteStage::Quote => {
                let len = put(room, b"\"")?;
                *self = Self { member: self.member.wrapping_add(1), ..Self::new(self.content) };
                return Some(len);
            }
            WriteStage::FixedText => context.message.as_str().as_bytes(),
            WriteStage::Text => self.text(member, context, name, &mut hex),
        };
        let rest = text.get(self.position..).unwrap_or_default();
        let (consumed, written) = escape_piece(rest, room);
        self.position = self.position.wrapping_add(consumed); // at most the text's length
        if consumed == rest.len() {
            self.position = 0;
            self.stage = if self.stage == WriteStage::FixedText { WriteStage::Text } else { WriteStage::Quote };
        } else if written == 0 {
            return None;
        }
        Some(written)
    }

    /// What a member that is a text says.
    fn text<'a>(
        &self,
        member: Member,
        context: &'a ResponseContext<'_>,
        name: &'a [u8],
        hex: &'a mut Option<Hex>,
    ) -> &'a [u8] {
        match member {
            Member::Type => TYPES.get(self.content as u8).as_bytes(),
            Member::Server => SERVER.as_bytes(),
            Member::Name => context.config.name.as_str().as_bytes(),
            Member::Version => context.request.version.get(..context.request.version_len).unwrap_or_default(),
            Member::DigestKind => context.request.digest.map_or("none", DigestKind::as_str).as_bytes(),
            Member::Code => context.code.as_str().as_bytes(),
            Member::Message => excerpt(name),
            Member::Digest => {
                *hex = context.digest.as_ref().map(Digest::to_hex);
                hex.as_ref().map_or("", Hex::as_str).as_bytes()
            }
            _ => name,
        }
    }

    /// Serialises a member as a part of the line: without the closing brace, with a comma for the opening one unless it
    /// is the line's first, and without the closing quote where the text is to follow. Nothing where it is left out.
    #[inline(never)] // as above
    fn write_whole(&self, member: Member, context: &ResponseContext<'_>, room: &mut [u8]) -> Option<usize> {
        let is_first = self.member == 0;
        #[cfg(feature = "classic")]
        let (is_first, room, before) = match self.content {
            LineKind::ClassicFirstEntry => return put(room, b"\""),
            LineKind::ClassicEntry => return put(room, b",\""),
            LineKind::ClassicListEnd => {
                let before = put(room, b"]")?;
                (false, room.get_mut(before..)?, before)
            }
            _ => (is_first, room, 0),
        };
        #[cfg(not(feature = "classic"))]
        let before = 0;
        let is_text = member.is_text();
        let mut digits = [0; 20];
        let json = match member {
            Member::Digest if context.digest.is_none() => return Some(0),
            _ if is_text => b"\"\"",
            _ => match context.json(member, &mut digits) {
                Some(json) => json,
                None => return Some(0),
            },
        };
        let written = json::write(&Object { name: context.label(member), value: Json(json) }, room)?;
        if !is_first {
            *room.first_mut()? = b',';
        }
        written.checked_add(before)?.checked_sub(if is_text { 2 } else { 1 })
    }
}

impl ResponseContext<'_> {
    /// A member's name.
    #[inline(always)]
    fn label(&self, member: Member) -> &'static str {
        match (member, &self.digest) {
            (Member::Digest, Some(digest)) => digest.kind().as_str(),
            _ => NAMES.get(member as u8),
        }
    }

    /// The value of a member that is no text; `None` for one that is left out.
    #[inline(always)] // as if it stood where it is used
    fn json<'a>(&self, member: Member, digits: &'a mut [u8; 20]) -> Option<&'a [u8]> {
        Some(match member {
            Member::Features => FEATURES,
            Member::Digests => DIGESTS,
            Member::Directory | Member::Link => b"true",
            #[cfg(feature = "classic")]
            Member::NoData => b"-1",
            _ => decimal(self.number(member)?, digits),
        })
    }

    /// The value of a member that is a number; `None` for one that is left out.
    #[inline(never)] // as above
    fn number(&self, member: Member) -> Option<u64> {
        let config = self.config;
        let offset = self.request.offset;
        let length = self.end.wrapping_sub(offset); // the end lies behind it, or nobody asks
        Some(match member {
            Member::MaxRequest => u64::try_from(self.max_request).unwrap_or(u64::MAX),
            Member::ChunkSize => config.chunk_size.get().into(),
            Member::Idle => config.idle_ms.into(),
            Member::Request => config.request_ms.into(),
            Member::Stall => config.stall_ms.into(),
            Member::FileSize => self.size,
            Member::Offset => offset,
            Member::Length => length,
            Member::ReadCount | Member::LastSize => {
                // A body that ends with a chunk ends with a full one; an empty one has none.
                let (count, rest) = match length.checked_sub(1) {
                    Some(last) => div_rem(last, config.chunk_size.get()),
                    None => return Some(0),
                };
                (if member == Member::ReadCount { count } else { rest }).wrapping_add(1)
            }
            Member::Modified => self.modified?,
            Member::Count => self.count.into(),
            Member::Skipped if self.skipped == 0 => return None,
            Member::Skipped => self.skipped.into(),
            #[cfg(feature = "classic")]
            Member::ClassicType => 2,
            #[cfg(feature = "classic")]
            Member::Data => length,
            #[cfg(feature = "classic")]
            Member::ClassicCount => self.count.into(),
            _ => 1, // the protocol
        })
    }
}

impl LineKind {
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
                Type, FileName, FileSize, Offset, Length, ChunkSize, ReadCount, LastSize, Version, DigestKind,
                Modified, Digest,
            ],
            Self::FileEntry => &[Type, FileName, FileSize, Modified],
            Self::DirectoryEntry => &[Type, FileName, Directory],
            Self::LinkEntry => &[Type, FileName, Directory, Link],
            Self::BodyEnd => &[Type, Digest],
            Self::ListEnd => &[Type, Count, Skipped],
            Self::Error => &[Type, Code, Message, Digest],
            Self::Heartbeat => &[],
            #[cfg(feature = "classic")]
            Self::ClassicFile => &[ClassicType, Data, FileName, ReadCount, LastSize],
            #[cfg(feature = "classic")]
            Self::ClassicNoFile => &[ClassicType, NoData, FileName, ReadCount, LastSize],
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
}

/// An object of one member.
struct Object<'a> {
    name: &'static str,
    value: Json<'a>,
}

/// A value that is JSON already: the digits of a number, say.
struct Json<'a>(&'a [u8]);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("", 1)?;
        object.serialize_field(self.name, &self.value)?;
        object.end()
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
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
