//! Reading requests: from the bytes of one JSON object to a checked request.

use core::cell::Cell;
use core::fmt;
use core::ops::Range;

use serde::de::{Deserialize, Error as _, MapAccess, Visitor};

use crate::types::digest::DigestKind;
use crate::types::file_name::{FileName, NameError};
use crate::types::version::Version;
use crate::wire::code::Code;
use crate::wire::escape::{BadEscape, unescape, unescape_to_front};
use crate::wire::json;
use crate::wire::message::Message;

/// A request that was read. The file's name, decoded, stands at the front of the buffer that held the request.
#[derive(Clone, Debug)]
pub(crate) struct ParsedRequest {
    pub kind: RequestKind,
    /// Bytes of the decoded name; 0 for none (`hello`, the root's listing).
    pub name_len: usize,
    pub offset: u64,
    /// [`u64::MAX`] where none was asked for: to the end of the file.
    pub length: u64,
    pub digest_from: u64,
    pub digest: Option<DigestKind>,
    /// Whether the file must have a version.
    pub is_versioned: bool,
    /// Bytes of that version; more than there is place for where no file can have it.
    pub version_len: usize,
    pub version: [u8; Version::MAX_LEN],
    #[cfg(feature = "classic")]
    pub is_classic: bool,
}

/// Which exchange a request begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RequestKind {
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

impl RequestKind {
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
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub code: Code,
    pub message: Message,
    /// Where the member at fault stands in [`NAMES`]; behind them where the message names none.
    place: u8,
}

impl Refusal {
    const UNKNOWN_TYPE: Self = Self { code: Code::UnknownType, message: Message::Type, place: u8::MAX };
    const UNSUPPORTED_DIGEST: Self = Self { code: Code::Unsupported, message: Message::Digest, place: u8::MAX };

    fn member(place: usize) -> Self {
        Self { code: Code::BadRequest, message: Message::Member, place: u8::try_from(place).unwrap_or(u8::MAX) }
    }

    /// The member at fault, where the message names one.
    pub(crate) fn name(self) -> &'static str {
        NAMES.get(usize::from(self.place)).copied().unwrap_or_default()
    }
}

impl ParsedRequest {
    pub(crate) const fn new() -> Self {
        Self {
            kind: RequestKind::Hello,
            name_len: 0,
            offset: 0,
            length: u64::MAX,
            digest_from: 0,
            digest: None,
            is_versioned: false,
            version_len: 0,
            version: [0; Version::MAX_LEN],
            #[cfg(feature = "classic")]
            is_classic: false,
        }
    }

    /// Reads the request that is the first `len` bytes of `buf`: one JSON object that the scanner passed.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, in the protocol's order of checks. What was read before it stays.
    pub(crate) fn read(&mut self, buf: &mut [u8], len: usize) -> Result<(), Refusal> {
        *self = Self::new();
        flatten(buf.get_mut(..len).unwrap_or_default());
        let wanted = self.read_kind(buf, len)?;
        let members = Members::read(buf, len, wanted)?;
        self.offset = members.number(OFFSET).unwrap_or(0);
        self.length = members.number(LENGTH).unwrap_or(u64::MAX);
        self.digest_from = members.number(DIGEST_FROM).unwrap_or(self.offset);
        self.is_versioned = members.has(VERSION);
        self.version_len = members.decode(VERSION, buf, &mut self.version)?;
        let digest = self.read_digest(&members, buf);
        if digest == Err(Refusal::member(DIGEST)) {
            return digest;
        }
        let name = if self.kind == RequestKind::List { PATH } else { FILE_NAME };
        let needs_name = wanted & 1 << FILE_NAME != 0;
        let is_named = members.has(name);
        if needs_name && !is_named {
            return Err(Refusal::member(name));
        }
        self.name_len = unescape_to_front(buf, members.text(name)).map_err(|BadEscape| Refusal::member(name))?;
        digest?;
        if let (true, Err(error)) = (needs_name || self.name_len > 0, decoded_name(buf, self.name_len)) {
            // The classic answer to a select repeats no bad name.
            #[cfg(feature = "classic")]
            if self.is_classic {
                self.name_len = 0;
                return Ok(());
            }
            return Err(Refusal { code: Code::BadName, message: Message::of_name(error), place: u8::MAX });
        }
        Ok(())
    }

    /// Reads the type, and returns the members that the exchange has.
    fn read_kind(&mut self, buf: &mut [u8], len: usize) -> Result<u16, Refusal> {
        let refusal = match Members::read(buf, len, 1 << TYPE) {
            Ok(members) if members.has(TYPE) => return self.read_type(&members, buf),
            Ok(_) => Refusal::member(TYPE),
            Err(refusal) => refusal,
        };
        match Members::read(buf, len, 1 << TYPE_NUMBER) {
            Ok(members) => match members.number(TYPE_NUMBER) {
                #[cfg(feature = "classic")]
                Some(1) => {
                    (self.kind, self.is_classic) = (RequestKind::List, true);
                    Ok(0)
                }
                #[cfg(feature = "classic")]
                Some(2) => {
                    (self.kind, self.is_classic) = (RequestKind::Select, true);
                    Ok(SELECT)
                }
                Some(_) => Err(Refusal::UNKNOWN_TYPE),
                None => Err(refusal),
            },
            Err(_) => Err(refusal),
        }
    }

    /// The same where the type is a text.
    fn read_type(&mut self, members: &Members, buf: &mut [u8]) -> Result<u16, Refusal> {
        let mut word = Word::default();
        let is = members.decode(TYPE, buf, &mut word);
        let kind = RequestKind::ALL.into_iter().find(|kind| is_word(&word, is, kind.as_str()));
        self.kind = kind.ok_or(Refusal::UNKNOWN_TYPE)?;
        Ok(match self.kind {
            RequestKind::List => LIST,
            RequestKind::Stat => STAT,
            RequestKind::Get => GET,
            _ => 0,
        })
    }

    #[inline(never)]
    fn read_digest(&mut self, members: &Members, buf: &mut [u8]) -> Result<(), Refusal> {
        let mut word = Word::default();
        let len = members.decode(DIGEST, buf, &mut word)?;
        if members.has(DIGEST) {
            self.digest = DigestKind::SUPPORTED.iter().copied().find(|kind| is_word(&word, Ok(len), kind.as_str()));
            if self.digest.is_none() && !is_word(&word, Ok(len), "none") {
                return Err(Refusal::UNSUPPORTED_DIGEST);
            }
        } else if self.kind == RequestKind::Get {
            self.digest = Some(DigestKind::Crc32);
        }
        Ok(())
    }
}

/// The name that [`ParsedRequest::read`] left at the front of `buf`, and has checked; `None` where there was none.
pub(crate) fn known_name(buf: &[u8], name_len: usize) -> Option<FileName<'_>> {
    let name = text(buf, name_len);
    (!name.is_empty()).then(|| FileName::known(name))
}

/// Checks the name at the front of `buf`.
fn decoded_name(buf: &[u8], name_len: usize) -> Result<FileName<'_>, NameError> {
    let name = text(buf, name_len);
    FileName::new(name)
}

fn text(buf: &[u8], len: usize) -> &str {
    buf.get(..len).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or_default()
}

/// Room for the words of a request.
type Word = [u8; 8];

fn is_word(word: &Word, len: Result<usize, Refusal>, expected: &str) -> bool {
    len.is_ok_and(|len| word.get(..len) == Some(expected.as_bytes()))
}

/// The names of the members, and where each stands: texts before [`FIRST_NUMBER`], numbers behind.
const NAMES: [&str; 9] = ["type", "path", "fileName", "version", "digest", "offset", "length", "digestFrom", "type"];
const TYPE: usize = 0;
const PATH: usize = 1;
const FILE_NAME: usize = 2;
const VERSION: usize = 3;
const DIGEST: usize = 4;
const FIRST_NUMBER: usize = 5;
const OFFSET: usize = 5;
const LENGTH: usize = 6;
const DIGEST_FROM: usize = 7;
const TYPE_NUMBER: usize = 8;

/// The members of each exchange, a bit for each.
const LIST: u16 = 1 << PATH;
const STAT: u16 = 1 << FILE_NAME | 1 << DIGEST;
const GET: u16 = STAT | 1 << VERSION | 1 << OFFSET | 1 << LENGTH | 1 << DIGEST_FROM;
#[cfg(feature = "classic")]
const SELECT: u16 = 1 << FILE_NAME;

/// The members of the exchange at hand.
#[derive(Default)]
struct Members {
    /// Which there are, a bit for each.
    seen: u16,
    /// Where the texts stand in the request, still with their escapes.
    texts: [Range<usize>; FIRST_NUMBER],
    numbers: [u64; NAMES.len() - FIRST_NUMBER],
}

impl Members {
    /// Reads the members `wanted`, a bit for each, of the request that is the first `len` bytes of `buf`.
    ///
    /// # Errors
    ///
    /// Where one is doubled, or of another type.
    fn read(buf: &[u8], len: usize, wanted: u16) -> Result<Self, Refusal> {
        let bytes = buf.get(..len).unwrap_or_default();
        let mut members = Self::default();
        let mut place = TYPE;
        let visitor = MembersVisitor { bytes, wanted, members: &mut members, place: &mut place };
        match json::read(bytes, visitor) {
            Some(()) => Ok(members),
            None => Err(Refusal::member(place)),
        }
    }

    const fn has(&self, place: usize) -> bool {
        self.seen >> place & 1 != 0
    }

    fn number(&self, place: usize) -> Option<u64> {
        self.numbers.get(place.checked_sub(FIRST_NUMBER)?).copied().filter(|_| self.has(place))
    }

    fn text(&self, place: usize) -> Range<usize> {
        self.texts.get(place).cloned().unwrap_or_default()
    }

    /// Decodes a text into `out`, and returns its length, which is greater than that of `out` where it does not fit.
    fn decode(&self, place: usize, buf: &mut [u8], out: &mut [u8]) -> Result<usize, Refusal> {
        let raw = Cell::from_mut(buf).as_slice_of_cells().get(self.text(place)).unwrap_or_default();
        unescape(raw, Cell::from_mut(out).as_slice_of_cells()).map_err(|BadEscape| Refusal::member(place))
    }
}

struct MembersVisitor<'m, 'a> {
    bytes: &'a [u8],
    wanted: u16,
    members: &'m mut Members,
    /// The member that was looked at last.
    place: &'m mut usize,
}

impl<'a> Visitor<'a> for MembersVisitor<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Raw(key)) = map.next_key()? {
            let wanted =
                NAMES.iter().enumerate().find(|(place, name)| self.wanted >> place & 1 != 0 && key == Some(name));
            let Some((place, _)) = wanted else {
                map.next_value::<Raw<'_>>()?;
                continue;
            };
            *self.place = place;
            let is_good = match (
                self.members.texts.get_mut(place),
                self.members.numbers.get_mut(place.wrapping_sub(FIRST_NUMBER)),
            ) {
                (Some(range), _) => match map.next_value()? {
                    Raw(Some(text)) => {
                        *range = range_within(self.bytes, text);
                        true
                    }
                    Raw(None) => false,
                },
                (None, number) => {
                    let value = map.next_value()?;
                    number.map(|number| *number = value).is_some()
                }
            };
            let is_doubled = self.members.has(place);
            if !is_good || is_doubled {
                return Err(A::Error::custom("of another type, or doubled"));
            }
            self.members.seen |= 1 << place;
        }
        Ok(())
    }
}

/// Overwrites the objects and arrays inside of `object`: no exchange has any, and the parser need not follow them into the
/// depth. What it then finds is skipped like `null`, and of no type that a member has.
fn flatten(object: &mut [u8]) {
    let mut depth: u8 = 0;
    let (mut is_text, mut is_escaped) = (false, false);
    for byte in object {
        let was_inside = depth > 1;
        match *byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if was_inside || depth > 1 {
            *byte = b'n';
        }
    }
}

/// Where `part`, which is a slice of `whole`, begins and ends in it.
fn range_within(whole: &[u8], part: &str) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    start..start.saturating_add(part.len())
}

/// Any value of a flat object: a string as it stands there, everything else skipped. One type for names, texts and what is
/// skipped keeps the parser from being compiled three times.
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
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use serde::de::{Deserialize, Deserializer, IntoDeserializer, value::U32Deserializer};

    use super::{GET, Members, MembersVisitor, Raw, TYPE};

    /// Another parser, which says what it found and what was expected.
    #[test]
    fn says_what_was_expected() {
        let (mut members, mut place) = (Members::default(), TYPE);
        let visitor = MembersVisitor { bytes: b"7", wanted: GET, members: &mut members, place: &mut place };
        let error = serde_json::Deserializer::from_str("7").deserialize_map(visitor).expect_err("a number");
        assert!(error.to_string().contains("expected a request"));
        let number: U32Deserializer<serde_json::Error> = 7_u32.into_deserializer();
        let text = Raw::deserialize(number).err().map(|error| error.to_string());
        assert!(text.is_some_and(|text| text.contains("expected a value")));
    }
}
