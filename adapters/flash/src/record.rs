//! The record of a slot: a header, written when an upload is begun and again when it is committed, and marks that say what has
//! happened since.
//!
//! Each is written once after an erasure of the record area, and never again: what a power cut left half written is passed
//! over, and the next place is used.

use coracle_core::{Digest, DigestKind, Hasher};
use embedded_storage::nor_flash::NorFlash;

use crate::access::{self, MAX_UNIT, PADDED_LEN};
use crate::format::{HEADER_LEN, HEADER_PLACES, MARK_LEN, MAX_TRIES, MarkKind};
use crate::image::{Image, ImageState, Slot};
use crate::layout::SlotLayout;

const MAGIC: [u8; 4] = *b"CIS1";
const KIND_CRC32: u8 = 1;
const KIND_SHA256: u8 = 2;

/// What stands in the place of a mark or a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Erased,
    Set,
    /// Half written, or unreadable.
    Torn,
}

/// The header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub number: u32,
    pub size: u32,
    pub digest: Digest,
    pub tries: u8,
}

impl Header {
    fn encode(&self) -> [u8; HEADER_LEN as usize] {
        let mut bytes = [0; HEADER_LEN as usize];
        let kind = match self.digest.kind() {
            DigestKind::Sha256 => KIND_SHA256,
            _ => KIND_CRC32,
        };
        let mut digest = [0; 32];
        match self.digest {
            Digest::Sha256(value) => digest = value,
            Digest::Crc32(value) => digest.iter_mut().zip(value.to_le_bytes()).for_each(|(to, from)| *to = from),
            _ => {}
        }
        let fields = MAGIC
            .into_iter()
            .chain(self.number.to_le_bytes())
            .chain(self.size.to_le_bytes())
            .chain([kind, self.tries, 0, 0])
            .chain(digest);
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        if let Some((covered, end)) = bytes.split_last_chunk_mut::<4>() {
            *end = crc32(&[covered]).to_le_bytes();
        }
        bytes
    }

    fn decode(bytes: &[u8; HEADER_LEN as usize]) -> Option<Self> {
        let (covered, end) = bytes.split_last_chunk::<4>()?;
        if crc32(&[covered]) != u32::from_le_bytes(*end) {
            return None;
        }
        let (magic, rest) = covered.split_first_chunk::<4>()?;
        let (number, rest) = rest.split_first_chunk::<4>()?;
        let (size, rest) = rest.split_first_chunk::<4>()?;
        let (&[kind, tries, 0, 0], digest) = rest.split_first_chunk::<4>()? else { return None };
        let digest = match kind {
            KIND_SHA256 => Digest::Sha256(digest.try_into().ok()?),
            KIND_CRC32 => Digest::Crc32(u32::from_le_bytes(*digest.first_chunk::<4>()?)),
            _ => return None,
        };
        let is_valid = *magic == MAGIC && (1..=MAX_TRIES).contains(&tries);
        is_valid.then(|| Self { number: u32::from_le_bytes(*number), size: u32::from_le_bytes(*size), digest, tries })
    }

    /// What the `index`th mark of `kind` looks like. It depends on the header, so that a mark never counts for another one.
    fn mark(&self, kind: MarkKind, index: u32) -> [u8; MARK_LEN as usize] {
        let crc = crc32(&[&self.encode(), &[kind.code()], &index.to_le_bytes()]);
        // Never all ones, as erased flash.
        (crc & 0x7fff_ffff).to_le_bytes()
    }
}

/// A slot's record in the flash.
pub(crate) struct Record<'a, F> {
    pub flash: &'a mut F,
    pub layout: &'a SlotLayout,
    pub slot: Slot,
}

impl<F: NorFlash> Record<'_, F> {
    /// The header; `None` where there is none, or only a part of one. A flash that corrects errors may fail to read what a
    /// power cut left, so that is no different.
    pub fn header(&mut self) -> Option<Header> {
        // The copies first, since they were written after the image was read back.
        (1..HEADER_PLACES).chain([0]).find_map(|place| self.header_in(place))
    }

    /// The header with what the marks say.
    pub fn image(&mut self) -> Option<(Header, Image)> {
        let copy = (1..HEADER_PLACES).find_map(|place| self.header_in(place));
        let header = copy.or_else(|| self.header_in(0))?;
        let is_confirmed = self.count(&header, MarkKind::Confirm, Mark::Set) > 0;
        // What was started was committed.
        let is_committed = copy.is_some() || is_confirmed || self.count(&header, MarkKind::Try, Mark::Set) > 0;
        let state = if !is_committed {
            ImageState::Receiving
        } else if self.count(&header, MarkKind::Revert, Mark::Set) > 0 {
            ImageState::Reverted
        } else if is_confirmed {
            ImageState::Confirmed
        } else {
            // A try counts from the moment in which its mark may have been written.
            let unused = self.count(&header, MarkKind::Try, Mark::Erased);
            let used = MarkKind::Try.places().saturating_sub(unused);
            match u32::from(header.tries).saturating_sub(used) {
                0 => ImageState::OutOfTries,
                left => ImageState::Trial { left: u8::try_from(left).unwrap_or(u8::MAX) },
            }
        };
        Some((header, Image::new(header.size, header.digest, header.number, state)))
    }

    /// Number of bytes of the image that are known to be written.
    pub fn progress(&mut self, header: &Header) -> u32 {
        let marks = self.layout.progress_marks(header.size);
        let last = (0..marks).rev().find(|&index| self.mark(header, MarkKind::Progress, index) == Mark::Set);
        last.map_or(0, |index| index.saturating_add(1).saturating_mul(self.layout.progress_step()).min(header.size))
    }

    /// Number of places for marks of `kind` that are as `wanted`.
    pub fn count(&mut self, header: &Header, kind: MarkKind, wanted: Mark) -> u32 {
        let places = 0..kind.places();
        places.fold(0, |count, index| count + u32::from(self.mark(header, kind, index) == wanted))
    }

    /// What stands in the place of the `index`th mark of `kind`.
    pub fn mark(&mut self, header: &Header, kind: MarkKind, index: u32) -> Mark {
        let mut bytes = [0; MAX_UNIT];
        let len = (MARK_LEN as usize).next_multiple_of(F::WRITE_SIZE).min(MAX_UNIT);
        let bytes = bytes.get_mut(..len).unwrap_or_default();
        if access::read(self.flash, self.layout.mark(self.slot, kind, index), bytes).is_err() {
            return Mark::Torn;
        }
        if bytes.iter().all(|&byte| byte == 0xff) {
            return Mark::Erased;
        }
        let wanted = header.mark(kind, index).into_iter().chain(core::iter::repeat(0xff));
        if bytes.iter().copied().zip(wanted).all(|(byte, wanted)| byte == wanted) { Mark::Set } else { Mark::Torn }
    }

    /// Writes the `index`th mark of `kind`, whose place has to be erased; returns what stands there then.
    pub fn set(&mut self, header: &Header, kind: MarkKind, index: u32) -> Result<Mark, F::Error> {
        let offset = self.layout.mark(self.slot, kind, index);
        access::write_padded(self.flash, offset, &header.mark(kind, index))?;
        Ok(self.mark(header, kind, index))
    }

    /// Writes marks of `kind` in erased places until `wanted` are there. Returns how many there are.
    pub fn set_any(&mut self, header: &Header, kind: MarkKind, wanted: u32) -> Result<u32, F::Error> {
        let mut count = self.count(header, kind, Mark::Set);
        for index in 0..kind.places() {
            if count >= wanted {
                break;
            }
            if self.mark(header, kind, index) == Mark::Erased && self.set(header, kind, index)? == Mark::Set {
                count += 1;
            }
        }
        Ok(count)
    }

    /// Erases the record. Even where it looks erased: a power cut may have left bits that read as ones only today.
    pub fn erase(&mut self) -> Result<(), F::Error> {
        let area = self.layout.record(self.slot);
        self.flash.erase(area.start, area.end)
    }

    /// Writes the header to an erased record; returns whether it can be read back.
    pub fn write_header(&mut self, header: &Header) -> Result<bool, F::Error> {
        const { assert!(HEADER_LEN as usize <= PADDED_LEN, "a header can be padded") };
        access::write_padded(self.flash, self.layout.header(self.slot, 0), &header.encode())?;
        Ok(self.header_in(0) == Some(*header))
    }

    /// Writes the header once more, which commits the image; returns whether it can be read back. Unlike a mark it leaves
    /// nothing to the first header, which a power cut may have left half written and which is read as whole today.
    pub fn commit(&mut self, header: &Header) -> Result<bool, F::Error> {
        for place in 1..HEADER_PLACES {
            if self.is_erased(self.layout.header(self.slot, place), HEADER_LEN) {
                access::write_padded(self.flash, self.layout.header(self.slot, place), &header.encode())?;
                if self.header_in(place) == Some(*header) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether there is a place left to commit in.
    pub fn can_commit(&mut self) -> bool {
        (1..HEADER_PLACES).any(|place| self.is_erased(self.layout.header(self.slot, place), HEADER_LEN))
    }

    fn header_in(&mut self, place: u32) -> Option<Header> {
        let mut bytes = [0; HEADER_LEN as usize];
        access::read(self.flash, self.layout.header(self.slot, place), &mut bytes).ok()?;
        Header::decode(&bytes).filter(|header| (1..=self.layout.slot_len()).contains(&header.size))
    }

    fn is_erased(&mut self, offset: u32, len: u32) -> bool {
        let mut bytes = [0; PADDED_LEN];
        let len = usize::try_from(len).unwrap_or(PADDED_LEN).next_multiple_of(F::WRITE_SIZE).min(PADDED_LEN);
        let bytes = bytes.get_mut(..len).unwrap_or_default();
        access::read(self.flash, offset, bytes).is_ok() && bytes.iter().all(|&byte| byte == 0xff)
    }
}

fn crc32(parts: &[&[u8]]) -> u32 {
    let Some(mut hasher) = Hasher::new(DigestKind::Crc32) else { return 0 };
    parts.iter().for_each(|part| hasher.update(part));
    match hasher.finish() {
        Digest::Crc32(crc) => crc,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{Digest, Header};

    #[test]
    fn a_header_is_read_as_it_was_written() {
        for digest in [Digest::Crc32(0x1234_5678), Digest::Sha256([7; 32])] {
            let header = Header { number: 3, size: 1 << 20, digest, tries: 3 };
            let mut bytes = header.encode();
            assert_eq!(Header::decode(&bytes), Some(header));
            for bit in 0..8 * bytes.len() {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Header::decode(&bytes), None, "bit {bit}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn tries_are_limited() {
        for tries in [0, 9] {
            let header = Header { number: 3, size: 1, digest: Digest::Crc32(0), tries };
            assert_eq!(Header::decode(&header.encode()), None);
        }
    }
}
