//! Reads what `rename`, `makeDir`, `space`, `do` and `sync` have that no other request has.

use core::ops::Range;

use super::request_kinds::RequestKind;
use super::request_reader::{NO_FAULT, PATH, ParsedRequest, Refusal, RequestMembers, decoded_name};
use crate::wire::escape::{BadEscape, unescape_to_front};

const TO: usize = 14;
const ACTION: usize = 15;

impl RequestKind {
    /// The member with the name, path or action of a request that manages; `None` for another.
    pub(super) const fn managed_member(self) -> Option<usize> {
        match self {
            Self::Space => Some(NO_FAULT),
            #[cfg(feature = "sync")]
            Self::Sync => Some(NO_FAULT),
            Self::Do => Some(ACTION),
            Self::MakeDir => Some(PATH),
            _ => None,
        }
    }
}

impl ParsedRequest {
    /// Where the new name of a `rename` is; empty for another request.
    pub(super) fn read_to(&self, members: &mut RequestMembers<'_>) -> Range<usize> {
        if self.kind != RequestKind::Rename {
            return 0..0;
        }
        let to = members.text(TO);
        if to.is_none() {
            members.set_fault(TO);
        }
        to.unwrap_or_default()
    }

    /// Decodes an action, which is no name, or two names.
    pub(super) fn decode_managed(
        &mut self,
        buf: &mut [u8],
        member: usize,
        text: Range<usize>,
        to: Range<usize>,
    ) -> Result<(), Refusal> {
        let decoded = match self.kind {
            RequestKind::Rename => decode_both(buf, text, to),
            _ => unescape_to_front(buf, text).map(|len| (len, 0)),
        };
        (self.name_len, self.write.to_len) = decoded.map_err(|BadEscape| Refusal::member(member))?;
        if self.kind == RequestKind::Rename {
            Self::check_name(buf, self.name_len)?;
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
