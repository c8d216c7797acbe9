//! Writing the server's lines, piece by piece, into a window that may be shorter than a line.

use serde::Serialize;

use crate::digest::{Digest, DigestKind};
use crate::error::Code;
use crate::store::EntryKind;
use crate::text::escape_piece;

/// A name in a message is repeated up to this many bytes.
const EXCERPT_LEN: usize = 64;

/// A line under way: which one, and how much of it was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    content: Content,
    step: Step,
    /// How much of the current step's text was written, in bytes.
    position: usize,
}

/// Which line, with what only this line needs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content {
    Hello,
    Header { with_digest: bool },
    Entry { kind: EntryKind },
    End { listing: bool },
    Error { code: Code, text: &'static str, detail: Detail },
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Head,
    FixedText,
    Text,
    Quote,
    Numbers,
    Facts,
    Tail,
    Close,
    Done,
}

impl Line {
    pub(crate) const fn new(content: Content) -> Self {
        Self { content, step: Step::Head, position: 0 }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    /// Writes as much of the rest as `window` takes and returns how many bytes. `name` is the name in the buffer.
    pub(crate) fn fill(&mut self, facts: &Facts<'_>, name: &[u8], window: &mut [u8]) -> usize {
        let mut filled = 0;
        while self.step != Step::Done {
            let Some(room) = window.get_mut(filled..) else { break };
            let Some(len) = self.write_step(facts, name, room) else { break };
            filled += len;
        }
        filled
    }

    /// Writes (a piece of) the current step and goes on to the next one when it is complete; `None` for lack of room.
    fn write_step(&mut self, facts: &Facts<'_>, name: &[u8], room: &mut [u8]) -> Option<usize> {
        let len = match (self.step, self.content) {
            (Step::Head, Content::Hello) => object(room, Part { first: true, cut: 1 }, &HelloHead::new(facts))?,
            (Step::Head, content) => {
                let cut = if matches!(content, Content::End { .. }) { 1 } else { 2 };
                object(room, Part { first: true, cut }, &Head::new(content))?
            }
            (Step::FixedText, Content::Error { text, .. }) => return self.write_text(text.as_bytes(), room),
            (Step::Text, Content::Header { .. } | Content::Entry { .. }) => return self.write_text(name, room),
            (Step::Text, Content::Error { detail: Detail::Name, .. }) => {
                return self.write_text(excerpt(name), room);
            }
            (Step::Text, Content::Error { detail: Detail::Member(member), .. }) => {
                return self.write_text(member.as_bytes(), room);
            }
            (Step::Quote, Content::Header { .. } | Content::Entry { .. } | Content::Error { .. }) => put(room, b"\"")?,
            (Step::Numbers, Content::Hello) => object(room, Part::MIDDLE, &HelloLimits::new(facts))?,
            (Step::Numbers, Content::Header { .. }) => object(room, Part::MIDDLE, &HeaderNumbers::new(facts))?,
            (Step::Facts, Content::Hello) => object(room, Part::MIDDLE, &HELLO_FEATURES)?,
            (Step::Facts, Content::Header { .. }) => object(room, Part::MIDDLE, &HeaderFacts::new(facts))?,
            (Step::Tail, content) => {
                let hex = facts.digest.as_ref().map(Digest::to_hex);
                object(room, Part::MIDDLE, &Tail::new(content, facts, hex.as_ref().map(|hex| hex.as_str())))?
            }
            (Step::Close, _) => put(room, b"}\n")?,
            _ => 0,
        };
        self.advance();
        Some(len)
    }

    fn write_text(&mut self, text: &[u8], room: &mut [u8]) -> Option<usize> {
        let rest = text.get(self.position..).unwrap_or_default();
        let (consumed, written) = escape_piece(rest, room);
        self.position += consumed;
        if consumed == rest.len() {
            self.advance();
        } else if written == 0 {
            return None;
        }
        Some(written)
    }

    fn advance(&mut self) {
        self.position = 0;
        self.step = match self.step {
            Step::Head => Step::FixedText,
            Step::FixedText => Step::Text,
            Step::Text => Step::Quote,
            Step::Quote => Step::Numbers,
            Step::Numbers => Step::Facts,
            Step::Facts => Step::Tail,
            Step::Tail => Step::Close,
            Step::Close | Step::Done => Step::Done,
        };
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

/// Where an object stands in its line.
#[derive(Clone, Copy)]
struct Part {
    /// It begins the line; otherwise its brace becomes a comma.
    first: bool,
    /// Bytes to leave out at its end, for what follows.
    cut: usize,
}

impl Part {
    const MIDDLE: Self = Self { first: false, cut: 1 };
}

/// Serialises `value` into `room` as a part of a line.
fn object<T: Serialize>(room: &mut [u8], part: Part, value: &T) -> Option<usize> {
    let len = serde_json_core::to_slice(value, room).ok()?.checked_sub(part.cut)?;
    if part.first {
        return Some(len);
    }
    if len <= 1 {
        return Some(0);
    }
    *room.first_mut()? = b',';
    Some(len)
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

#[derive(Serialize)]
struct HelloHead<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    protocol: u32,
    server: &'a str,
    name: &'a str,
    #[serde(rename = "maxRequest")]
    max_request: u64,
}

impl<'a> HelloHead<'a> {
    const fn new(facts: &Facts<'a>) -> Self {
        Self { kind: "hello", protocol: 1, server: facts.server, name: facts.name, max_request: facts.max_request }
    }
}

#[derive(Serialize)]
struct HelloLimits {
    #[serde(rename = "chunkSize")]
    chunk_size: u32,
    idle_ms: u32,
    request_ms: u32,
    stall_ms: u32,
}

impl HelloLimits {
    const fn new(facts: &Facts<'_>) -> Self {
        Self {
            chunk_size: facts.chunk_size,
            idle_ms: facts.idle_ms,
            request_ms: facts.request_ms,
            stall_ms: facts.stall_ms,
        }
    }
}

#[derive(Serialize)]
struct HelloFeatures {
    features: &'static [&'static str],
    digests: &'static [&'static str],
}

const HELLO_FEATURES: HelloFeatures = HelloFeatures {
    features: &["list", "stat", "get"],
    digests: if cfg!(feature = "sha256") { &["crc32", "sha256"] } else { &["crc32"] },
};

/// A line's first members; the last one's text follows in pieces, where it has one.
#[derive(Serialize)]
struct Head {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(rename = "fileName", skip_serializing_if = "Option::is_none")]
    file_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
}

impl Head {
    fn new(content: Content) -> Self {
        let (kind, code, file_name, message) = match content {
            Content::Hello => ("hello", None, None, None),
            Content::Header { .. } => ("file", None, Some(""), None),
            Content::Entry { .. } => ("entry", None, Some(""), None),
            Content::End { .. } => ("end", None, None, None),
            Content::Error { code, .. } => ("error", Some(code.as_str()), None, Some("")),
        };
        Self { kind, code, file_name, message }
    }
}

#[derive(Serialize)]
struct HeaderNumbers {
    #[serde(rename = "fileSize")]
    file_size: u64,
    offset: u64,
    length: u64,
    #[serde(rename = "chunkSize")]
    chunk_size: u32,
    #[serde(rename = "readCnt")]
    read_count: u64,
    #[serde(rename = "lastSize")]
    last_size: u64,
}

impl HeaderNumbers {
    fn new(facts: &Facts<'_>) -> Self {
        let (read_count, last_size) = chunks(facts.length, facts.chunk_size);
        Self {
            file_size: facts.size,
            offset: facts.offset,
            length: facts.length,
            chunk_size: facts.chunk_size,
            read_count,
            last_size,
        }
    }
}

#[derive(Serialize)]
struct HeaderFacts<'a> {
    version: &'a str,
    digest: &'static str,
}

impl<'a> HeaderFacts<'a> {
    fn new(facts: &Facts<'a>) -> Self {
        Self { version: facts.version, digest: facts.digest_kind.map_or("none", DigestKind::as_str) }
    }
}

/// What ends a line, all of it optional.
#[derive(Default, Serialize)]
struct Tail<'a> {
    #[serde(rename = "fileSize", skip_serializing_if = "Option::is_none")]
    file_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crc32: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<&'a str>,
}

impl<'a> Tail<'a> {
    fn new(content: Content, facts: &Facts<'_>, hex: Option<&'a str>) -> Self {
        let mut tail = Self::default();
        let mut with_digest = true;
        match content {
            Content::Header { with_digest: with } => {
                tail.modified = facts.modified;
                with_digest = with;
            }
            Content::Entry { kind: EntryKind::File { size, modified } } => {
                tail.file_size = Some(size);
                tail.modified = modified;
                with_digest = false;
            }
            Content::Entry { kind: EntryKind::Directory { link } } => {
                tail.directory = Some(true);
                tail.link = link.then_some(true);
                with_digest = false;
            }
            Content::End { listing: true } => {
                tail.count = Some(facts.count);
                tail.skipped = (facts.skipped > 0).then_some(facts.skipped);
                with_digest = false;
            }
            Content::End { listing: false } => {}
            Content::Error { code, .. } => with_digest = code == Code::Changed,
            Content::Hello => with_digest = false,
        }
        if with_digest {
            match facts.digest.map(|digest| digest.kind()) {
                Some(DigestKind::Crc32) => tail.crc32 = hex,
                Some(DigestKind::Sha256) => tail.sha256 = hex,
                None => {}
            }
        }
        tail
    }
}
