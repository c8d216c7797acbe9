//! One value that is never absent: a counter of boots, a key.

use core::ops::Range;

use coracle_core::{Digest, DigestKind, Hasher};
use embedded_storage::nor_flash::NorFlash;

use crate::access::{self, MAX_UNIT, is_unit};
use crate::layout::LayoutError;

/// Number, kind and length of the value, and the CRC-32 behind it.
const HEAD_LEN: usize = 16;
const CRC_LEN: usize = 4;
/// A place has whole units of any flash.
const PLACE_LEN: usize = 128;
/// Places of an area that are used: the value, the same once more, and what confirms it later.
const PLACES: u32 = 8;

/// A value of a few bytes in NOR flash that is replaced whole: two areas of a sector, or a few, are written in turn.
///
/// A power cut at any moment leaves the old value or the new one. Each has a number, greater than that of every value before, also
/// of those that were never whole: one that was cut off counts as used.
///
/// ```text
///   area:  │ value │ again: committed │ again: before the other area is erased │ …
/// ```
///
/// ```
/// # use coracle_flash::{PairError, RecordPair};
/// # use embedded_storage::nor_flash::NorFlash;
/// /// The number of this boot, which no boot had before.
/// fn boot<F: NorFlash>(flash: F) -> Result<u64, PairError<F::Error>> {
///     let mut counter = RecordPair::open(flash, 0..2 * F::ERASE_SIZE as u32, *b"BOOT").map_err(|_| PairError::Missing)?;
///     let Some(_) = counter.newest(&mut []) else { return Err(PairError::Missing) };
///     counter.replace(&[])
/// }
/// ```
pub struct RecordPair<F> {
    flash: F,
    start: u32,
    area_len: u32,
    kind: [u8; 4],
}

/// Why a value was not replaced. `E` is the flash's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PairError<E> {
    /// The flash failed.
    Flash(E),
    /// What was written cannot be read back: the flash is worn out or write-protected.
    NotWritten,
    /// The value is longer than [`RecordPair::MAX_LEN`].
    TooLong,
    /// There is no value, where the owner needs one.
    Missing,
    /// There is no greater number.
    UsedUp,
}

/// A place, as it is in the flash.
struct Place([u8; PLACE_LEN]);

/// What is in an area.
#[derive(Clone, Copy)]
enum Area {
    Blank,
    /// Something that is no value, or was never committed.
    Torn,
    Value {
        number: u64,
        place: u32,
    },
}

impl<F: NorFlash> RecordPair<F> {
    /// Length of the longest value, in bytes.
    pub const MAX_LEN: usize = PLACE_LEN - HEAD_LEN - CRC_LEN;

    /// The value in `range` of `flash`, in bytes, half of which is an area. `kind` tells it from values of another kind.
    ///
    /// # Errors
    ///
    /// The range or the flash does not fit: see [`LayoutError`].
    pub fn open(flash: F, range: Range<u32>, kind: [u8; 4]) -> Result<Self, LayoutError> {
        if !is_unit(F::WRITE_SIZE) || !is_unit(F::READ_SIZE) || MAX_UNIT > PLACE_LEN {
            return Err(LayoutError::Units);
        }
        let sector_len = u32::try_from(F::ERASE_SIZE).map_err(|_| LayoutError::Units)?;
        if sector_len == 0 {
            return Err(LayoutError::Units);
        }
        let len = range.end.saturating_sub(range.start);
        if !range.start.is_multiple_of(sector_len) || !len.is_multiple_of(sector_len.saturating_mul(2)) {
            return Err(LayoutError::NotAligned);
        }
        let area_len = len / 2;
        if area_len < PLACES * place_offset(1) {
            return Err(LayoutError::TooSmall);
        }
        Ok(Self { flash, start: range.start, area_len, kind })
    }

    /// Reads the value into `value`, as far as there is room; returns its number and its length. `None` where there is none.
    pub fn newest(&mut self, value: &mut [u8]) -> Option<(u64, usize)> {
        let (area, _, place) = self.find()?;
        let place = self.read(area, place)?;
        let (number, stored) = place.decode(self.kind)?;
        for (to, from) in value.iter_mut().zip(stored) {
            *to = *from;
        }
        Some((number, stored.len()))
    }

    /// Replaces the value, or writes the first one; returns its number. It is read back before this returns.
    ///
    /// # Errors
    ///
    /// The old value is whole then, or both are.
    pub fn replace(&mut self, value: &[u8]) -> Result<u64, PairError<F::Error>> {
        if value.len() > Self::MAX_LEN {
            return Err(PairError::TooLong);
        }
        let newest = self.find();
        if let Some((area, _, place)) = newest {
            self.confirm(area, place)?;
        }
        let target = newest.map_or(0, |(area, ..)| 1 - area);
        let is_torn = matches!(self.area(target), Area::Torn);
        let before = newest.map_or(0, |(_, number, _)| number);
        let number = before.checked_add(if is_torn { 2 } else { 1 }).ok_or(PairError::UsedUp)?;
        let start = self.offset(target, 0);
        self.flash.erase(start, start.saturating_add(self.area_len)).map_err(PairError::Flash)?;
        let place = Place::encode(self.kind, number, value);
        // The second one is begun only when the first one is whole: where it is begun, the value is committed.
        self.write(target, 0, &place)?;
        self.write(target, 1, &place)?;
        Ok(number)
    }

    /// The area, number and place of the newest value.
    fn find(&mut self) -> Option<(u32, u64, u32)> {
        let values = [0, 1].map(|area| match self.area(area) {
            Area::Value { number, place } => Some((number, area, place)),
            Area::Blank | Area::Torn => None,
        });
        values.into_iter().flatten().max().map(|(number, area, place)| (area, number, place))
    }

    fn area(&mut self, area: u32) -> Area {
        let (mut valid, mut is_committed, mut is_blank) = (None, false, true);
        for index in 0..PLACES {
            // What a flash that corrects errors cannot read was written.
            let place = self.read(area, index);
            let is_place_blank = place.as_ref().is_some_and(Place::is_blank);
            is_blank &= is_place_blank;
            is_committed |= index > 0 && !is_place_blank;
            if let (None, Some((number, _))) = (valid, place.as_ref().and_then(|place| place.decode(self.kind))) {
                valid = Some(Area::Value { number, place: index });
            }
        }
        match valid {
            Some(value) if is_committed => value,
            _ if is_blank => Area::Blank,
            _ => Area::Torn,
        }
    }

    /// Writes the value of an area once more, so that it is read the same from now on, whatever a power cut has left of its
    /// commit.
    fn confirm(&mut self, area: u32, place: u32) -> Result<(), PairError<F::Error>> {
        let Some(place) = self.read(area, place) else { return Err(PairError::NotWritten) };
        for index in 1..PLACES {
            if self.read(area, index).is_some_and(|place| place.is_blank()) && self.write(area, index, &place).is_ok() {
                return Ok(());
            }
        }
        // Without room it has been confirmed often enough.
        Ok(())
    }

    fn write(&mut self, area: u32, index: u32, place: &Place) -> Result<(), PairError<F::Error>> {
        let offset = self.offset(area, index);
        self.flash.write(offset, &place.0).map_err(PairError::Flash)?;
        let is_written = self.read(area, index).is_some_and(|written| written.0 == place.0);
        if is_written { Ok(()) } else { Err(PairError::NotWritten) }
    }

    fn read(&mut self, area: u32, index: u32) -> Option<Place> {
        let mut place = Place([0; PLACE_LEN]);
        let offset = self.offset(area, index);
        access::read(&mut self.flash, offset, &mut place.0).ok()?;
        Some(place)
    }

    fn offset(&self, area: u32, index: u32) -> u32 {
        self.start.saturating_add(area.saturating_mul(self.area_len)).saturating_add(place_offset(index))
    }
}

impl Place {
    fn encode(kind: [u8; 4], number: u64, value: &[u8]) -> Self {
        let mut bytes = [0xff; PLACE_LEN];
        let len = u32::try_from(value.len()).unwrap_or(0).to_le_bytes();
        let fields = kind.into_iter().chain(number.to_le_bytes()).chain(len).chain(value.iter().copied());
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        let end = HEAD_LEN.saturating_add(value.len());
        let crc = crc32(bytes.get(..end).unwrap_or_default()).to_le_bytes();
        bytes.iter_mut().skip(end).zip(crc).for_each(|(to, from)| *to = from);
        Self(bytes)
    }

    fn decode(&self, kind: [u8; 4]) -> Option<(u64, &[u8])> {
        let (stored, rest) = self.0.split_first_chunk::<4>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
        let (value, end) = rest.split_at_checked(len)?;
        let crc = u32::from_le_bytes(*end.first_chunk()?);
        let is_valid = *stored == kind && crc32(self.0.get(..HEAD_LEN.checked_add(len)?)?) == crc;
        is_valid.then_some((u64::from_le_bytes(*number), value))
    }

    fn is_blank(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0xff)
    }
}

const fn place_offset(index: u32) -> u32 {
    // A place is as long as the type says: 128 bytes.
    index * 128
}

fn crc32(bytes: &[u8]) -> u32 {
    let Some(mut hasher) = Hasher::new(DigestKind::Crc32) else { return 0 };
    hasher.update(bytes);
    match hasher.finish() {
        Digest::Crc32(crc) => crc,
        _ => 0,
    }
}
