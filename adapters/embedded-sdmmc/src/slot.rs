//! The 32 bytes of a directory entry.

use crate::bytes::{u16_at, u32_at};
use crate::layout::FatKind;
use crate::time::DosTime;

/// Length of an entry, in bytes.
pub(crate) const SLOT_LEN: usize = 32;

const READ_ONLY_HIDDEN_SYSTEM_LABEL: u8 = 0x0f;
const LABEL: u8 = 0x08;
pub(crate) const DIRECTORY: u8 = 0x10;
/// Hidden, and of the system.
pub(crate) const OWN: u8 = 0x06;

/// One of the 32 byte entries that directories consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(pub [u8; SLOT_LEN]);

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotPlace {
    pub block: u32,
    /// Its number in the block.
    pub index: u32,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotKind {
    /// Neither this one nor any behind it is in use.
    End,
    Deleted,
    /// A piece of the long name of the next entry that is neither.
    LongName,
    /// The volume's name, `.`, `..`, or one of this crate's own files.
    Other,
    File,
    Directory,
}

impl Slot {
    pub fn kind(&self) -> SlotKind {
        match (self.0[0], self.0[11]) {
            (0, _) => SlotKind::End,
            (0xe5, _) => SlotKind::Deleted,
            (_, attributes) if attributes & 0x3f == READ_ONLY_HIDDEN_SYSTEM_LABEL => SlotKind::LongName,
            (_, attributes) if attributes & LABEL != 0 => SlotKind::Other,
            (b'.', _) => SlotKind::Other,
            (_, attributes) if attributes & OWN == OWN && self.0.starts_with(b"CORACLE ") => SlotKind::Other,
            (_, attributes) if attributes & DIRECTORY != 0 => SlotKind::Directory,
            _ => SlotKind::File,
        }
    }

    /// The short name: eight characters, and three of the extension, padded with spaces.
    pub fn short_name(&self) -> &[u8] {
        self.0.get(..11).unwrap_or_default()
    }

    /// Whether base and extension of the short name are to be shown in lower case.
    pub fn lower_case(&self) -> (bool, bool) {
        let flags = self.0[12];
        (flags & 0x08 != 0, flags & 0x10 != 0)
    }

    /// Number of the first cluster, which need not exist; 0 where there is none.
    pub fn cluster(&self, kind: FatKind) -> u32 {
        // What FAT16 has there belongs to other systems.
        let high = if kind == FatKind::Fat32 { u16_at(&self.0, 20) } else { 0 };
        u32::from(high) << 16 | u32::from(u16_at(&self.0, 26))
    }

    /// Length of the file, in bytes.
    pub fn size(&self) -> u32 {
        u32_at(&self.0, 28)
    }

    /// When the contents last changed.
    pub fn modified(&self) -> DosTime {
        DosTime { date: u16_at(&self.0, 24), time: u16_at(&self.0, 22) }
    }

    /// When it was created, and the hundredths of a second beyond.
    pub fn created(&self) -> (DosTime, u8) {
        (DosTime { date: u16_at(&self.0, 16), time: u16_at(&self.0, 14) }, self.0[13])
    }

    /// The file that begins at `cluster`, or none for 0, and has this size.
    #[cfg(feature = "write")]
    pub fn with_contents(mut self, cluster: u32, size: u32) -> Self {
        let [a, b, c, d] = cluster.to_le_bytes();
        (self.0[26], self.0[27], self.0[20], self.0[21]) = (a, b, c, d);
        self.0[28..].copy_from_slice(&size.to_le_bytes());
        self
    }

    /// Sets the times of its contents and of its creation.
    #[cfg(feature = "write")]
    pub fn with_times(mut self, modified: DosTime, (created, hundredths): (DosTime, u8)) -> Self {
        self.0[13] = hundredths;
        for (place, value) in
            [(14, created.time), (16, created.date), (18, modified.date), (22, modified.time), (24, modified.date)]
        {
            self.0[place..place + 2].copy_from_slice(&value.to_le_bytes());
        }
        self
    }

    /// Sets the short name, without flags of its case.
    #[cfg(feature = "write")]
    pub fn with_short_name(mut self, name: &[u8; 11]) -> Self {
        self.0[..11].copy_from_slice(name);
        self.0[12] = 0;
        self
    }

    /// An entry with this name and these attributes.
    #[cfg(feature = "write")]
    pub fn new(name: &[u8; 11], attributes: u8) -> Self {
        let mut slot = [0; SLOT_LEN];
        slot[11] = attributes;
        Self(slot).with_short_name(name)
    }

    /// Piece `number`, from 1 on, of the long name `units`.
    #[cfg(feature = "write")]
    pub fn piece_of(units: impl Iterator<Item = u16>, number: u8, is_last: bool, checksum: u8) -> Self {
        let mut slot = [0xff; SLOT_LEN];
        slot[0] = if is_last { number | 0x40 } else { number };
        (slot[11], slot[12], slot[13], slot[26], slot[27]) = (READ_ONLY_HIDDEN_SYSTEM_LABEL, 0, checksum, 0, 0);
        let units = units.skip(13 * usize::from(number - 1)).chain([0]).take(13);
        for (start, unit) in (1..11).chain(14..26).chain(28..32).step_by(2).zip(units) {
            slot[start..start + 2].copy_from_slice(&unit.to_le_bytes());
        }
        Self(slot)
    }

    /// The checksum that the pieces of a long name have of the short one.
    pub fn checksum(&self) -> u8 {
        self.short_name().iter().fold(0, |sum: u8, byte| sum.rotate_right(1).wrapping_add(*byte))
    }

    /// Number and checksum of a piece of a long name, and whether it is the last one, which comes first.
    pub fn piece(&self) -> (u8, bool, u8) {
        (self.0[0] & 0x3f, self.0[0] & 0x40 != 0, self.0[13])
    }

    /// The thirteen UTF-16 units of a piece of a long name.
    pub fn units(&self) -> impl DoubleEndedIterator<Item = u16> {
        let ranges = [(1, 5), (14, 6), (28, 2)];
        ranges.into_iter().flat_map(move |(start, len)| (0..len).map(move |index| u16_at(&self.0, start + 2 * index)))
    }
}
