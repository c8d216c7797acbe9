//! Reading requests: from the bytes of one JSON object to a checked question.

use core::fmt;
use core::ops::Range;

use serde::de::{Deserialize, Deserializer as _, Error as _, MapAccess, SeqAccess, Visitor};
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
    /// A version was asked for that no file can have.
    pub has_impossible_version: bool,
    #[cfg(feature = "classic")]
    pub is_classic: bool,
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
    /// Classic: choosing a file.
    #[cfg(feature = "classic")]
    Select,
    /// Classic: the chosen file's bytes.
    #[cfg(feature = "classic")]
    Confirm,
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
            #[cfg(feature = "classic")]
            Self::Select => "select",
            #[cfg(feature = "classic")]
            Self::Confirm => "confirm",
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
    let (kind, is_classic) = read_kind(bytes)?;
    let reading = match kind {
        _ if is_classic && kind == Kind::List => 0,
        Kind::List => LIST,
        Kind::Stat => STAT,
        Kind::Get => GET,
        #[cfg(feature = "classic")]
        Kind::Select => SELECT,
        _ => 0,
    };
    let Members { texts: [name, version, digest], numbers: [offset, length, digest_from] } =
        Members::read(bytes, reading).map_err(bad_member)?;

    let is_versioned = version.is_some();
    let version = match version {
        Some(raw) => read_version(raw).map_err(|LoneSurrogate| bad_member("version"))?,
        None => None,
    };
    let digest = digest.map(read_digest).transpose()?;
    let needs_name = !matches!(kind, Kind::Hello | Kind::List);
    let name = match name {
        Some(raw) => Some(range_within(bytes, raw)),
        None if needs_name => return Err(bad_member(kind.name_member())),
        None => None,
    };

    let mut question = Question {
        kind,
        name_len: 0,
        offset: offset.unwrap_or(0),
        length,
        digest_from,
        digest: if kind == Kind::Get { Some(DigestKind::Crc32) } else { None },
        has_impossible_version: is_versioned && version.is_none(),
        version,
        #[cfg(feature = "classic")]
        is_classic,
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
        match decoded_name(buf, question.name_len) {
            Ok(_) => {}
            // The classic answer to a select repeats no bad name.
            Err(_) if is_classic => question.name_len = 0,
            Err(text) => return Err(Refusal { code: Code::BadName, text, member: "" }),
        }
    }
    Ok(question)
}

/// The name that [`read`] left at the front of `buf`.
pub(crate) fn decoded_name(buf: &[u8], name_len: usize) -> Result<FileName<'_>, &'static str> {
    let name = buf.get(..name_len).and_then(|name| core::str::from_utf8(name).ok()).unwrap_or_default();
    FileName::new(name).map_err(|error| error.as_str())
}

/// The exchange, and whether it is asked for in the classic dialect.
fn read_kind(bytes: &[u8]) -> Result<(Kind, bool), Refusal> {
    let unknown = Refusal { code: Code::UnknownType, text: "this server knows hello, list, stat and get", member: "" };
    let at_fault = match Members::read(bytes, TYPE) {
        Ok(Members { texts: [raw, ..], .. }) => {
            let raw = raw.ok_or(bad_member("type"))?;
            let kind = Kind::ALL.into_iter().find(|kind| unescape_eq(raw, kind.as_str()));
            return kind.map(|kind| (kind, false)).ok_or(unknown);
        }
        Err(at_fault) => at_fault,
    };
    match Members::read(bytes, TYPE_NUMBER) {
        #[cfg(feature = "classic")]
        Ok(Members { numbers: [Some(1), ..], .. }) => Ok((Kind::List, true)),
        #[cfg(feature = "classic")]
        Ok(Members { numbers: [Some(2), ..], .. }) => Ok((Kind::Select, true)),
        Ok(Members { numbers: [Some(_), ..], .. }) => Err(unknown),
        _ => Err(bad_member(at_fault)),
    }
}

/// `None` for text that is no version.
fn read_version(raw: &str) -> Result<Option<Version>, LoneSurrogate> {
    let mut decoded = heapless::String::<{ Version::MAX_LEN }, u8>::new();
    let mut fits = true;
    for character in Unescape::new(raw) {
        fits &= decoded.push(character?).is_ok();
    }
    Ok(Version::new(&decoded).ok().filter(|_| fits))
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
    /// The type, or the name; the version; the digest.
    texts: [Option<&'a str>; 3],
    /// The offset; the length; the beginning of what the digest covers.
    numbers: [Option<u64>; 3],
}

/// Where a member's value goes.
#[derive(Clone, Copy)]
enum Slot {
    Text(usize),
    Number(usize),
}

const TYPE: u8 = 1;
const TYPE_NUMBER: u8 = 2;
const LIST: u8 = 4;
const STAT: u8 = 8;
const GET: u8 = 16;
const SELECT: u8 = 32;

/// Every member: its name, the readings in which it is looked at, and its place.
const MEMBERS: [(&str, u8, Slot); 9] = [
    ("type", TYPE, Slot::Text(0)),
    ("type", TYPE_NUMBER, Slot::Number(0)),
    ("path", LIST, Slot::Text(0)),
    ("fileName", STAT | GET | SELECT, Slot::Text(0)),
    ("version", GET, Slot::Text(1)),
    ("digest", STAT | GET, Slot::Text(2)),
    ("offset", GET, Slot::Number(0)),
    ("length", GET, Slot::Number(1)),
    ("digestFrom", GET, Slot::Number(2)),
];

impl<'a> Members<'a> {
    /// Reads the members of one reading.
    ///
    /// # Errors
    ///
    /// The member at fault.
    fn read(bytes: &'a [u8], reading: u8) -> Result<Self, &'static str> {
        let mut at_fault = "";
        let visitor = MembersVisitor { reading, at_fault: &mut at_fault };
        Deserializer::new(bytes, None).deserialize_map(visitor).map_err(|_| at_fault)
    }
}

struct MembersVisitor<'m> {
    reading: u8,
    at_fault: &'m mut &'static str,
}

impl<'a> Visitor<'a> for MembersVisitor<'_> {
    type Value = Members<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Members<'a>, A::Error> {
        let mut members = Members::default();
        while let Some(Raw(key)) = map.next_key()? {
            let looked_at =
                MEMBERS.iter().find(|(name, readings, _)| readings & self.reading != 0 && key == Some(name));
            let Some((name, _, slot)) = looked_at else {
                map.next_value::<Raw<'_>>()?;
                continue;
            };
            *self.at_fault = name;
            let is_first = match *slot {
                Slot::Text(place) => match (map.next_value()?, members.texts.get_mut(place)) {
                    (Raw(Some(text)), Some(place)) => place.replace(text).is_none(),
                    _ => false,
                },
                Slot::Number(place) => {
                    let number = map.next_value()?;
                    members.numbers.get_mut(place).is_some_and(|place| place.replace(number).is_none())
                }
            };
            if !is_first {
                return Err(A::Error::custom("of another type, or doubled"));
            }
        }
        Ok(members)
    }
}

/// Any value: a string as it stands there, everything else skipped. One type for names, texts and what is skipped keeps
/// the parser from being compiled three times.
struct Raw<'a>(Option<&'a str>);

impl<'a> Deserialize<'a> for Raw<'a> {
    fn deserialize<D: serde::Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_ignored_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'a> Visitor<'a> for RawVisitor {
    type Value = Raw<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'a str) -> Result<Raw<'a>, E> {
        Ok(Raw(Some(text)))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Raw<'a>, E> {
        Ok(Raw(None))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Raw<'a>, A::Error> {
        while let Some(Raw(_)) = seq.next_element()? {}
        Ok(Raw(None))
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Raw<'a>, A::Error> {
        while let Some(Raw(_)) = map.next_key()? {
            map.next_value::<Raw<'_>>()?;
        }
        Ok(Raw(None))
    }
}
