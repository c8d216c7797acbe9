//! Reading requests: from the bytes of one JSON object to a checked question.

use core::fmt;
use core::ops::Range;

use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json_core::de::Deserializer;

use crate::digest::DigestKind;
use crate::error::Code;
use crate::name::{FileName, Version};
use crate::text::{LoneSurrogate, Unescape, unescape_eq, unescape_to_front};

/// A request that was read. The file's name, decoded, stands at the front of the buffer that held the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub kind: Kind,
    /// Bytes of the decoded name; 0 for none (`hello`, the root's listing).
    pub name_len: usize,
    pub offset: u64,
    /// `None`: to the end of the file.
    pub length: Option<u64>,
    /// `None`: the same as `offset`.
    pub digest_from: Option<u64>,
    pub digest: Option<DigestKind>,
    pub version: Option<Version>,
}

/// Which exchange a request begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Kind {
    /// What the server is and can do.
    Hello,
    /// The entries of a directory.
    List,
    /// A file's header.
    Stat,
    /// A file's header and bytes.
    Get,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Hello, Self::List, Self::Stat, Self::Get];

    /// The word of the request's `type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::List => "list",
            Self::Stat => "stat",
            Self::Get => "get",
        }
    }

    /// The member that names the file or directory.
    const fn name_member(self) -> &'static str {
        match self {
            Self::List => "path",
            _ => "fileName",
        }
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub code: Code,
    pub text: &'static str,
    /// The member at fault, behind the text; empty for none.
    pub member: &'static str,
}

/// Reads the request that is the first `len` bytes of `buf`: one JSON object that the scanner passed.
///
/// # Errors
///
/// The first thing that is wrong, in the protocol's order of checks.
pub(crate) fn read(buf: &mut [u8], len: usize) -> Result<Question, Refusal> {
    let bytes = buf.get(..len).unwrap_or_default();
    let kind = read_kind(bytes)?;
    let mut members = Members::default();
    members.read(bytes, Some(kind)).map_err(bad_member)?;

    let mut version = None;
    if let Some(raw) = members.version {
        version = Some(read_version(raw).ok_or(bad_member("version"))?);
    }
    let digest = members.digest.map(read_digest).transpose()?;
    let needs_name = matches!(kind, Kind::Stat | Kind::Get);
    let name = match members.name {
        Some(raw) => Some(range_within(bytes, raw)),
        None if needs_name => return Err(bad_member(kind.name_member())),
        None => None,
    };

    let mut question = Question {
        kind,
        name_len: 0,
        offset: members.offset.unwrap_or(0),
        length: members.length,
        digest_from: members.digest_from,
        digest: if kind == Kind::Get { Some(DigestKind::Crc32) } else { None },
        version,
    };
    let is_named = name.is_some();
    if let Some(range) = name {
        question.name_len = unescape_to_front(buf, range).map_err(|LoneSurrogate| bad_member(kind.name_member()))?;
    }
    match digest {
        Some(Word::Unknown) => {
            return Err(Refusal { code: Code::Unsupported, text: "this server has no such digest", member: "" });
        }
        Some(Word::None) => question.digest = None,
        Some(Word::Digest(word)) => question.digest = Some(word),
        None => {}
    }
    let is_root = kind == Kind::List && question.name_len == 0;
    if is_named && !is_root {
        decoded_name(buf, question.name_len).map_err(|text| Refusal { code: Code::BadName, text, member: "" })?;
    }
    Ok(question)
}

/// The name that [`read`] left at the front of `buf`.
pub(crate) fn decoded_name(buf: &[u8], name_len: usize) -> Result<FileName<'_>, &'static str> {
    let name = buf.get(..name_len).and_then(|name| core::str::from_utf8(name).ok()).unwrap_or_default();
    FileName::new(name).map_err(|error| error.as_str())
}

fn read_kind(bytes: &[u8]) -> Result<Kind, Refusal> {
    let mut members = Members::default();
    members.read(bytes, None).map_err(bad_member)?;
    let unknown = Refusal { code: Code::UnknownType, text: "this server knows hello, list, stat and get", member: "" };
    match members.kind {
        Some(KindWord::Text(raw)) => Kind::ALL.into_iter().find(|kind| unescape_eq(raw, kind.as_str())).ok_or(unknown),
        Some(KindWord::Number) => Err(unknown),
        None => Err(bad_member("type")),
    }
}

fn read_version(raw: &str) -> Option<Version> {
    let mut decoded = heapless::String::<{ Version::MAX_LEN }, u8>::new();
    for character in Unescape::new(raw) {
        decoded.push(character.ok()?).ok()?;
    }
    Version::new(&decoded).ok()
}

enum Word {
    None,
    Digest(DigestKind),
    Unknown,
}

fn read_digest(raw: &str) -> Result<Word, Refusal> {
    if Unescape::new(raw).any(|character| character.is_err()) {
        return Err(bad_member("digest"));
    }
    if unescape_eq(raw, "none") {
        return Ok(Word::None);
    }
    let known = DigestKind::SUPPORTED.iter().find(|kind| unescape_eq(raw, kind.as_str()));
    Ok(known.map_or(Word::Unknown, |kind| Word::Digest(*kind)))
}

const fn bad_member(member: &'static str) -> Refusal {
    Refusal { code: Code::BadRequest, text: "missing, doubled or of a wrong type or form: ", member }
}

/// Where `part`, which is a slice of `whole`, begins and ends in it.
fn range_within(whole: &[u8], part: &str) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    start..start.saturating_add(part.len())
}

/// The members of the exchange at hand, strings still with their escapes.
#[derive(Default)]
struct Members<'a> {
    kind: Option<KindWord<'a>>,
    name: Option<&'a str>,
    version: Option<&'a str>,
    digest: Option<&'a str>,
    offset: Option<u64>,
    length: Option<u64>,
    digest_from: Option<u64>,
}

enum KindWord<'a> {
    Text(&'a str),
    Number,
}

impl<'a> Members<'a> {
    /// Reads the members of the exchange `kind`, or `type` alone for `None`.
    ///
    /// # Errors
    ///
    /// The member at fault.
    fn read(&mut self, bytes: &'a [u8], kind: Option<Kind>) -> Result<(), &'static str> {
        let mut at_fault = "";
        let visitor = MembersVisitor { members: self, kind, at_fault: &mut at_fault };
        match Deserializer::new(bytes, None).deserialize_map(visitor) {
            Ok(()) => Ok(()),
            Err(_) if kind.is_none() && at_fault == "type" => {
                // No string: a number chooses another dialect.
                let mut number = NumberVisitor::default();
                let read = Deserializer::new(bytes, None).deserialize_map(&mut number);
                if read.is_ok() && number.seen {
                    self.kind = Some(KindWord::Number)
                } else {
                    return Err("type");
                }
                Ok(())
            }
            Err(_) => Err(at_fault),
        }
    }
}

struct MembersVisitor<'m, 'a> {
    members: &'m mut Members<'a>,
    kind: Option<Kind>,
    at_fault: &'m mut &'static str,
}

impl<'a> Visitor<'a> for MembersVisitor<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { members, kind, at_fault } = self;
        while let Some(key) = map.next_key::<&'a str>()? {
            let Some(kind) = kind else {
                if key == "type" {
                    *at_fault = "type";
                    let mut raw = None;
                    take(&mut raw, &mut map)?;
                    if members.kind.replace(KindWord::Text(raw.unwrap_or_default())).is_some() {
                        return Err(A::Error::custom("doubled"));
                    }
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
                continue;
            };
            let is_get = kind == Kind::Get;
            match key {
                _ if key == kind.name_member() && kind != Kind::Hello => {
                    *at_fault = kind.name_member();
                    take(&mut members.name, &mut map)?;
                }
                "digest" if is_get || kind == Kind::Stat => {
                    *at_fault = "digest";
                    take(&mut members.digest, &mut map)?;
                }
                "version" if is_get => {
                    *at_fault = "version";
                    take(&mut members.version, &mut map)?;
                }
                "offset" if is_get => {
                    *at_fault = "offset";
                    take(&mut members.offset, &mut map)?;
                }
                "length" if is_get => {
                    *at_fault = "length";
                    take(&mut members.length, &mut map)?;
                }
                "digestFrom" if is_get => {
                    *at_fault = "digestFrom";
                    take(&mut members.digest_from, &mut map)?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Whether `type`, and no other one, is a number.
#[derive(Default)]
struct NumberVisitor {
    seen: bool,
}

impl<'a> Visitor<'a> for &mut NumberVisitor {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<&'a str>()? {
            if key == "type" {
                map.next_value::<u64>()?;
                if core::mem::replace(&mut self.seen, true) {
                    return Err(A::Error::custom("doubled"));
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Takes the value of a member that may stand there once.
fn take<'a, T: serde::Deserialize<'a>, A: MapAccess<'a>>(place: &mut Option<T>, map: &mut A) -> Result<(), A::Error> {
    match place.replace(map.next_value()?) {
        None => Ok(()),
        Some(_) => Err(A::Error::custom("doubled")),
    }
}
