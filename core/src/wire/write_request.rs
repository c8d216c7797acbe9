//! Reads the requests that write: `put`, `delete`, `rename`, `makeDir`, `space` and `do`.

use core::ops::Range;

use super::request_reader::{
    FILE_NAME, NO_FAULT, PATH, ParsedRequest, Refusal, RequestKind, RequestMembers, decoded_name, text,
};
use crate::types::digest::{Digest, DigestKind};
use crate::types::file_name::FileName;
use crate::wire::escape::{BadEscape, unescape_to_front};
use crate::wire::message::Message;

impl RequestKind {
    /// Whether it is read here.
    pub(crate) const fn writes(self) -> bool {
        matches!(self, Self::Put | Self::Delete | Self::Rename | Self::MakeDir | Self::Space | Self::Do)
    }
}

/// The ranges of a request's texts, still escaped.
pub(super) struct Texts {
    /// The name, the path or the action.
    name: Range<usize>,
    /// Its index among the members.
    member: usize,
    /// A new name.
    to: Range<usize>,
    is_supported: bool,
}

const FILE_SIZE: usize = 8;
const CRC32: usize = 9;
const SHA256: usize = 10;
const PARENTS: usize = 11;
const MODIFIED: usize = 12;
const TO: usize = 13;
const PARTIAL: usize = 14;
const ACTION: usize = 15;

impl ParsedRequest {
    /// Reads the members of a request that writes.
    pub(super) fn read_write(&mut self, mut members: RequestMembers<'_>) -> Result<Texts, Refusal> {
        let mut is_supported = true;
        match self.kind {
            RequestKind::Put => is_supported = self.read_put(&mut members),
            RequestKind::Delete | RequestKind::Rename => self.read_version(&mut members),
            _ => {}
        }
        self.write.partial = members.flag(PARTIAL);
        self.write.is_directory = members.has(PATH) && self.kind == RequestKind::Delete;
        let member = match self.kind {
            RequestKind::Space => NO_FAULT,
            RequestKind::Do => ACTION,
            RequestKind::MakeDir => PATH,
            RequestKind::Delete if self.write.is_directory => PATH,
            _ => FILE_NAME,
        };
        if self.write.is_directory && members.has(FILE_NAME) {
            members.set_fault(FILE_NAME);
        }
        let mut required = |index| {
            let text = members.text(index);
            if text.is_none() {
                members.set_fault(index);
            }
            text.unwrap_or_default()
        };
        let name = required(member);
        let to = if self.kind == RequestKind::Rename { required(TO) } else { 0..0 };
        match members.fault {
            NO_FAULT.. => Ok(Texts { name, member, to, is_supported }),
            fault => Err(Refusal::member(fault)),
        }
    }

    /// Reads what a `put` says of its file, and returns whether this build can compute its digest.
    fn read_put(&mut self, members: &mut RequestMembers<'_>) -> bool {
        self.read_version(members);
        self.write.parents = members.flag(PARENTS);
        self.write.is_dated = members.has(MODIFIED);
        self.digest_from = members.number(MODIFIED, 0);
        self.length = members.number(FILE_SIZE, 0);
        if !members.has(FILE_SIZE) {
            members.set_fault(FILE_SIZE);
        }
        for (index, kind) in [(CRC32, DigestKind::Crc32), (SHA256, DigestKind::Sha256)] {
            if !members.has(index) {
                continue;
            }
            let is_second = self.digest.replace(kind).is_some();
            let digits = members.decode(index).unwrap_or_default();
            match Digest::from_hex(kind, text(digits, digits.len())) {
                Some(digest) if !is_second => self.write.digest = digest,
                _ => members.set_fault(index),
            }
        }
        if self.digest.is_none() {
            members.set_fault(SHA256);
        }
        self.digest.is_some_and(DigestKind::is_supported)
    }

    /// Decodes the texts to the front of `buf`, and checks them.
    pub(super) fn decode_write(&mut self, buf: &mut [u8], texts: Texts) -> Result<(), Refusal> {
        let Texts { name, member, to, is_supported } = texts;
        let decoded = if self.kind == RequestKind::Rename {
            decode_both(buf, name, to)
        } else {
            unescape_to_front(buf, name).map(|len| (len, 0))
        };
        (self.name_len, self.write.to_len) = decoded.map_err(|BadEscape| Refusal::member(member))?;
        if !is_supported {
            return Err(Refusal::UNSUPPORTED_DIGEST);
        }
        match member {
            NO_FAULT | ACTION => return Ok(()),
            PATH if self.name_len == 0 => return Ok(()),
            _ => Self::check_name(buf, self.name_len)?,
        }
        if self.kind == RequestKind::Rename {
            Self::check_name(buf.get(self.name_len..).unwrap_or_default(), self.write.to_len)?;
        }
        Ok(())
    }

    fn check_name(buf: &[u8], len: usize) -> Result<(), Refusal> {
        if let Err(error) = decoded_name(buf, len) {
            return Err(Refusal::bad_name(error.message()));
        }
        Self::check_reserved(buf, len)
    }

    /// Refuses the names that uploads have before they are complete.
    pub(super) fn check_reserved(buf: &[u8], len: usize) -> Result<(), Refusal> {
        if is_reserved(buf.get(..len).unwrap_or_default()) {
            return Err(Refusal::bad_name(Message::NameReserved));
        }
        Ok(())
    }
}

impl FileName<'_> {
    /// Whether a component begins with `.coracle-`: the names that unfinished uploads have in a directory, and that no client
    /// can ask for.
    #[must_use]
    pub fn is_reserved(self) -> bool {
        is_reserved(self.as_str().as_bytes())
    }
}

fn is_reserved(name: &[u8]) -> bool {
    name.split(|byte| *byte == b'/').any(|component| component.starts_with(b".coracle-"))
}

/// Decodes two texts, in whatever order they stand, to the front of `buf`, the first and behind it the second. Returns their
/// decoded lengths.
fn decode_both(buf: &mut [u8], first: Range<usize>, second: Range<usize>) -> Result<(usize, usize), BadEscape> {
    let is_swapped = second.start < first.start;
    let (early, late) = if is_swapped { (second, first) } else { (first, second) };
    let early_len = unescape_to_front(buf, early)?;
    // A decoded text is not longer, so that it ends before the other one begins.
    let rest = buf.get_mut(early_len..).ok_or(BadEscape)?;
    let late_len = unescape_to_front(rest, late.start.saturating_sub(early_len)..late.end.saturating_sub(early_len))?;
    if !is_swapped {
        return Ok((early_len, late_len));
    }
    let both = buf.get_mut(..early_len.saturating_add(late_len)).ok_or(BadEscape)?;
    both.reverse();
    if let Some((first, second)) = both.split_at_mut_checked(late_len) {
        first.reverse();
        second.reverse();
    }
    Ok((late_len, early_len))
}
