//! Pairs of metadata blocks: logs, of which the newer one counts.

use coracle_core::StoreError;
use embedded_storage::nor_flash::ReadNorFlash;

use crate::medium::Medium;
use crate::tag::{CREATE, SPLICES, TAILS, Tag};

/// Two blocks that are written in turns.
pub(crate) type Pair = [u32; 2];

/// Whether both are the same blocks.
pub(crate) fn is_same(one: Pair, other: Pair) -> bool {
    one == other || one == [other[1], other[0]]
}

/// What the newer block of a pair says, up to its last whole commit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metadata {
    pub pair: Pair,
    /// Which block it is, and how often the pair was written anew.
    pub block: u32,
    pub revision: u32,
    /// Where its last commit ends, and the tag there.
    end: u32,
    last: Tag,
    /// Number of entries.
    pub count: u32,
    /// The pair that follows in the list of all, if any, and whether it goes on with this directory.
    pub tail: Option<Pair>,
    pub goes_on: bool,
}

/// A tag that was looked for, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub tag: Tag,
    pub offset: u32,
}

impl<F: ReadNorFlash> Medium<F> {
    /// Reads `pair`; an error where neither block has a whole commit.
    pub fn fetch(&mut self, pair: Pair) -> Result<Metadata, StoreError> {
        let [first, second] = pair;
        let (older, newer) = (self.number(first, 0)?, self.number(second, 0)?);
        // In a circle: the difference counts.
        let is_second_newer = newer.wrapping_sub(older) < 1 << 31 && newer != older;
        let order = if is_second_newer { [second, first] } else { [first, second] };
        for block in order {
            if let Some(metadata) = self.scan(pair, block)? {
                return Ok(metadata);
            }
        }
        Err(StoreError::Io)
    }

    fn scan(&mut self, pair: Pair, block: u32) -> Result<Option<Metadata>, StoreError> {
        let revision = self.number(block, 0)?;
        let mut sum = checksum(u32::MAX, &revision.to_le_bytes());
        let (mut offset, mut before) = (4, Tag(u32::MAX));
        let nothing = Tag(0);
        let mut found = None;
        let mut now = Metadata { pair, block, revision, end: 0, last: nothing, count: 0, tail: None, goes_on: false };
        while offset + 4 <= self.block_len {
            let mut bytes = [0; 4];
            self.read(block, offset, &mut bytes)?;
            let tag = Tag(u32::from_be_bytes(bytes) ^ before.0);
            if !tag.is_valid() || offset + tag.whole_len() > self.block_len {
                break;
            }
            sum = checksum(sum, &bytes);
            before = tag;
            let end = offset + tag.whole_len();
            if tag.is_checksum() {
                if tag.len() < 4 || self.number(block, offset + 4)? != sum {
                    break;
                }
                before = Tag(tag.0 ^ tag.flag() << 31);
                sum = u32::MAX;
                (now.end, now.last) = (end, before);
                found = Some(now);
            } else {
                let mut at = offset + 4;
                while at < end {
                    let mut piece = [0; 32];
                    let len = usize::try_from(end - at).unwrap_or(0).min(piece.len());
                    let piece = piece.get_mut(..len).unwrap_or_default();
                    self.read(block, at, piece)?;
                    sum = checksum(sum, piece);
                    at += u32::try_from(len).unwrap_or(1);
                }
                match tag.group() {
                    0 => now.count = now.count.max(tag.id() + 1),
                    SPLICES => {
                        now.count = if tag.kind() == CREATE { now.count + 1 } else { now.count.saturating_sub(1) }
                    }
                    TAILS if tag.len() >= 8 => {
                        let tail = self.numbers(block, offset + 4)?;
                        now.tail = Some(tail).filter(|tail| tail.iter().all(|block| *block < self.blocks));
                        now.goes_on = tag.flag() == 1;
                    }
                    _ => {}
                }
            }
            offset = end;
        }
        Ok(found)
    }

    /// The newest tag of entry `id` whose kind is `kind` in the bits of `mask`; of the whole pair where `id` is `None`.
    pub fn find(
        &mut self,
        metadata: &Metadata,
        mask: u32,
        kind: u32,
        id: Option<u32>,
    ) -> Result<Option<Place>, StoreError> {
        let (mut offset, mut next) = (metadata.end, metadata.last);
        // Entries are counted from the end of the log backwards.
        let mut wanted = id;
        while offset >= 4 + next.whole_len() {
            offset -= next.whole_len();
            let tag = next;
            let mut bytes = [0; 4];
            self.read(metadata.block, offset, &mut bytes)?;
            next = Tag((u32::from_be_bytes(bytes) ^ tag.0) & 0x7fff_ffff);
            if let Some(id) = wanted.filter(|id| tag.group() == SPLICES && tag.id() <= *id) {
                if tag.kind() == CREATE && tag.id() == id {
                    return Ok(None);
                }
                wanted = Some(if tag.kind() == CREATE { id - 1 } else { id + 1 });
            }
            if tag.kind() & mask == kind && wanted.is_none_or(|id| tag.id() == id) {
                return Ok((!tag.is_removal()).then_some(Place { tag, offset: offset + 4 }));
            }
        }
        Ok(None)
    }
}

/// The CRC-32 of littlefs, which is not inverted at the end.
fn checksum(sum: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(sum, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 })
    })
}
