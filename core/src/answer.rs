//! Reads the server's lines: from one JSON object to checked values. What depends on the question is checked elsewhere.

use core::fmt;
use core::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json_core::str::EscapedStr;

use crate::client::{Breach, Digests, Features, Hello, Refusal};
use crate::digest::{Digest, DigestKind};
use crate::error::Code;
use crate::name::{FileName, Version};
use crate::store::{Entry, EntryKind};
use crate::text::{LoneSurrogate, Unescape, unescape_eq, unescape_to_front};

/// The shortest `maxRequest` that a server may have.
const MAX_REQUEST_LEAST: u64 = 512;

/// Which message a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Hello,
    Entry,
    File,
    End,
    Error,
}

/// A `file` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileAnswer {
    pub size: u64,
    pub offset: u64,
    pub length: u64,
    pub chunk_size: u64,
    pub version: Version,
    pub modified: Option<u64>,
}

/// An `error` line, decoded in the buffer that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ErrorAnswer {
    pub code: Option<Code>,
    word: Range<usize>,
    message: Range<usize>,
}

impl ErrorAnswer {
    /// What it says; `line` is what it was read from.
    pub(crate) fn refusal<'a>(&self, line: &'a [u8]) -> Refusal<'a> {
        Refusal { code: self.code, word: text(line, self.word.clone()), text: text(line, self.message.clone()) }
    }
}

/// The `type` of `line`, a whole JSON object that the scanner passed, as are the lines of the functions below.
pub(crate) fn kind(line: &[u8]) -> Result<Kind, Breach> {
    #[derive(Deserialize)]
    struct Shape<'a> {
        #[serde(borrow, rename = "type")]
        kind: EscapedStr<'a>,
    }

    let EscapedStr(word) = parse::<Shape<'_>>(line)?.kind;
    let kinds = [
        ("hello", Kind::Hello),
        ("entry", Kind::Entry),
        ("file", Kind::File),
        ("end", Kind::End),
        ("error", Kind::Error),
    ];
    kinds.into_iter().find(|(name, _)| unescape_eq(word, name)).map(|(_, kind)| kind).ok_or(Breach::Type)
}

/// Reads a `hello` line, and decodes its texts within it.
pub(crate) fn hello(line: &mut [u8]) -> Result<Hello<'_>, Breach> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape<'a> {
        protocol: u64,
        #[serde(borrow)]
        server: EscapedStr<'a>,
        #[serde(borrow, default, deserialize_with = "present")]
        name: Option<EscapedStr<'a>>,
        max_request: u64,
        chunk_size: u64,
        #[serde(rename = "idle_ms")]
        idle_ms: u64,
        #[serde(rename = "request_ms")]
        request_ms: u64,
        #[serde(rename = "stall_ms")]
        stall_ms: u64,
        features: Words<Features>,
        digests: Words<Digests>,
    }

    let shape = parse::<Shape<'_>>(line)?;
    let Shape { protocol, max_request, chunk_size, idle_ms, request_ms, stall_ms, .. } = shape;
    if max_request < MAX_REQUEST_LEAST || chunk_size == 0 {
        return Err(Breach::Limit);
    }
    let (Words(features), Words(digests)) = (shape.features, shape.digests);
    let places = [Some(place(line, shape.server)), shape.name.map(|name| place(line, name))];
    let [server, name] = decode(line, places)?;
    Ok(Hello {
        protocol,
        server: text(line, server),
        name: text(line, name),
        max_request,
        chunk_size,
        idle_ms,
        request_ms,
        stall_ms,
        features,
        digests,
    })
}

/// Reads an `entry` line, and decodes its name within it.
pub(crate) fn entry(line: &mut [u8]) -> Result<Entry<'_>, Breach> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape<'a> {
        #[serde(borrow)]
        file_name: EscapedStr<'a>,
        #[serde(default, deserialize_with = "present")]
        file_size: Option<u64>,
        #[serde(default, deserialize_with = "present")]
        modified: Option<u64>,
        #[serde(default)]
        directory: bool,
        #[serde(default)]
        link: bool,
    }

    let shape = parse::<Shape<'_>>(line)?;
    let kind = match shape.file_size {
        _ if shape.directory => EntryKind::Directory { link: shape.link },
        Some(size) => EntryKind::File { size, modified: shape.modified },
        None => return Err(Breach::Member),
    };
    let place = place(line, shape.file_name);
    let [name, _] = decode(line, [Some(place), None])?;
    let name = FileName::new(text(line, name)).map_err(|_| Breach::EntryName)?;
    Ok(Entry { name, kind })
}

/// Reads the `end` line of a listing: how many entries there were, and what was skipped.
pub(crate) fn listing_end(line: &[u8]) -> Result<(u64, u64), Breach> {
    #[derive(Deserialize)]
    struct Shape {
        count: u64,
        #[serde(default)]
        skipped: u64,
    }

    let shape = parse::<Shape>(line)?;
    Ok((shape.count, shape.skipped))
}

/// Reads a `file` line about the file `name` that tells a digest of the kind `digest`.
pub(crate) fn file(line: &[u8], name: &str, digest: Option<DigestKind>) -> Result<FileAnswer, Breach> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape<'a> {
        #[serde(borrow)]
        file_name: EscapedStr<'a>,
        file_size: u64,
        offset: u64,
        length: u64,
        chunk_size: u64,
        read_cnt: u64,
        last_size: u64,
        #[serde(borrow)]
        version: EscapedStr<'a>,
        #[serde(borrow, default, deserialize_with = "present")]
        digest: Option<EscapedStr<'a>>,
        #[serde(default, deserialize_with = "present")]
        modified: Option<u64>,
    }

    let shape = parse::<Shape<'_>>(line)?;
    let Shape { file_size: size, offset, length, chunk_size, modified, .. } = shape;
    if !unescape_eq(shape.file_name.0, name) {
        return Err(Breach::Name);
    }
    let is_kind = match (digest, shape.digest) {
        (Some(kind), Some(EscapedStr(word))) => unescape_eq(word, kind.as_str()),
        (None, Some(EscapedStr(word))) => unescape_eq(word, "none"),
        (kind, None) => kind.is_none(),
    };
    if !is_kind {
        return Err(Breach::DigestKind);
    }
    if !chunks_add_up(length, chunk_size, shape.read_cnt, shape.last_size) {
        return Err(Breach::Chunks);
    }
    let version = version(shape.version.0)?;
    Ok(FileAnswer { size, offset, length, chunk_size, version, modified })
}

/// Reads the digest of the kind `kind` out of a `file`, `end` or `error` line; `None` where there is no such member.
pub(crate) fn digest(line: &[u8], kind: DigestKind) -> Result<Option<Digest>, Breach> {
    #[derive(Deserialize)]
    struct Crc32<'a> {
        #[serde(borrow, default, deserialize_with = "present")]
        crc32: Option<EscapedStr<'a>>,
    }
    #[derive(Deserialize)]
    struct Sha256<'a> {
        #[serde(borrow, default, deserialize_with = "present")]
        sha256: Option<EscapedStr<'a>>,
    }

    // One shape for each, since the other's member is none that this exchange looks at.
    let digits = match kind {
        DigestKind::Crc32 => parse::<Crc32<'_>>(line)?.crc32,
        DigestKind::Sha256 => parse::<Sha256<'_>>(line)?.sha256,
    };
    digits.map(|EscapedStr(digits)| Digest::from_hex(kind, digits).ok_or(Breach::Digest)).transpose()
}

/// Reads an `error` line, and decodes its texts within it.
pub(crate) fn refusal(line: &mut [u8]) -> Result<ErrorAnswer, Breach> {
    #[derive(Deserialize)]
    struct Shape<'a> {
        #[serde(borrow)]
        code: EscapedStr<'a>,
        #[serde(borrow, default, deserialize_with = "present")]
        message: Option<EscapedStr<'a>>,
    }

    let shape = parse::<Shape<'_>>(line)?;
    let places = [Some(place(line, shape.code)), shape.message.map(|message| place(line, message))];
    let [word, message] = decode(line, places)?;
    Ok(ErrorAnswer { code: Code::from_word(text(line, word.clone())), word, message })
}

fn parse<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, Breach> {
    serde_json_core::from_slice(line).map(|(value, _)| value).map_err(|_| Breach::Member)
}

/// Reads a member that may be left out, and may not be null.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A list of words, and which known ones are among them.
struct Words<T>(T);

trait Mark: Default {
    fn mark(&mut self, raw: &str);
}

impl Mark for Features {
    fn mark(&mut self, raw: &str) {
        self.list |= unescape_eq(raw, "list");
        self.stat |= unescape_eq(raw, "stat");
        self.get |= unescape_eq(raw, "get");
    }
}

impl Mark for Digests {
    fn mark(&mut self, raw: &str) {
        self.crc32 |= unescape_eq(raw, DigestKind::Crc32.as_str());
        self.sha256 |= unescape_eq(raw, DigestKind::Sha256.as_str());
    }
}

impl<'de, T: Mark> Deserialize<'de> for Words<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Self(T::default()))
    }
}

impl<'de, T: Mark> Visitor<'de> for Words<T> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of words")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut words: A) -> Result<Self, A::Error> {
        while let Some(EscapedStr(raw)) = words.next_element()? {
            self.0.mark(raw);
        }
        Ok(self)
    }
}

/// Whether a body of `length` bytes is `count` chunks of `size` bytes, the last one of `last` bytes. Multiplies, since
/// small processors divide 64 bits slowly.
fn chunks_add_up(length: u64, size: u64, count: u64, last: u64) -> bool {
    match count.checked_sub(1) {
        None => size > 0 && last == 0 && length == 0,
        Some(full) => {
            let total = full.checked_mul(size).and_then(|bytes| bytes.checked_add(last));
            last > 0 && last <= size && total == Some(length)
        }
    }
}

fn version(raw: &str) -> Result<Version, Breach> {
    let mut text = heapless::String::<{ Version::MAX_LEN }, u8>::new();
    for character in Unescape::new(raw) {
        let character = character.map_err(|LoneSurrogate| Breach::Surrogate)?;
        text.push(character).map_err(|_| Breach::Version)?;
    }
    Version::new(&text).map_err(|_| Breach::Version)
}

/// Where in `line` the text stands that was read from it.
fn place(line: &[u8], EscapedStr(raw): EscapedStr<'_>) -> Range<usize> {
    let start = raw.as_ptr().addr().saturating_sub(line.as_ptr().addr());
    start..start.saturating_add(raw.len())
}

/// Decodes the two texts at `places` within `line`, and returns where they stand then; one that is missing is empty.
fn decode(line: &mut [u8], places: [Option<Range<usize>>; 2]) -> Result<[Range<usize>; 2], Breach> {
    let [first, second] = places.map(Option::unwrap_or_default);
    // A text shrinks when it is decoded: begun with the one that stands further to the front, none overwrites another.
    let is_swapped = second.start < first.start;
    let (front, back) = if is_swapped { (second, first) } else { (first, second) };
    let front_len = unescape_to_front(line, front).map_err(|LoneSurrogate| Breach::Surrogate)?;
    let rest = line.get_mut(front_len..).unwrap_or_default();
    let back = back.start.saturating_sub(front_len)..back.end.saturating_sub(front_len);
    let back_len = unescape_to_front(rest, back).map_err(|LoneSurrogate| Breach::Surrogate)?;
    let (front, back) = (0..front_len, front_len..front_len.saturating_add(back_len));
    Ok(if is_swapped { [back, front] } else { [front, back] })
}

fn text(line: &[u8], place: Range<usize>) -> &str {
    line.get(place).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or_default()
}
