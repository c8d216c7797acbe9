//! Contents of a simulated file: as programs read them, and as a power cut may leave them.

use crate::random::Random;

/// Bytes of a file, and what it takes to go back to the last sync.
#[derive(Debug, Default)]
pub struct Contents {
    bytes: Vec<u8>,
    /// Bytes from here on were appended since the last sync.
    synced_len: usize,
    /// Bytes that were overwritten or cut off since the last sync, oldest first.
    undo: Vec<Overwritten>,
    /// A sync or a close failed: later syncs succeed, and do not write these bytes.
    is_lost: bool,
}

#[derive(Debug)]
struct Overwritten {
    offset: usize,
    bytes: Vec<u8>,
    len_before: usize,
}

impl Contents {
    /// The contents that programs read.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the contents survive a power cut.
    pub fn is_durable(&self) -> bool {
        self.undo.is_empty() && self.synced_len == self.bytes.len() && !self.is_lost
    }

    /// Writes `bytes` at `offset`; a gap is filled with zeros.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        let len = self.bytes.len();
        if offset > len {
            self.bytes.resize(offset, 0);
        } else if offset < len {
            let end = len.min(offset + bytes.len());
            self.undo.push(Overwritten { offset, bytes: self.bytes[offset..end].to_vec(), len_before: len });
            self.bytes[offset..end].copy_from_slice(&bytes[..end - offset]);
            self.bytes.extend_from_slice(&bytes[end - offset..]);
            return;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Cuts the contents to `len` bytes, or fills them up with zeros.
    pub fn set_len(&mut self, len: usize) {
        let len_before = self.bytes.len();
        if len < len_before {
            let bytes = self.bytes.split_off(len);
            self.undo.push(Overwritten { offset: len, bytes, len_before });
        } else {
            self.bytes.resize(len, 0);
        }
    }

    /// Makes the contents durable, unless an earlier sync failed.
    pub fn sync(&mut self) {
        if !self.is_lost {
            self.undo.clear();
            self.synced_len = self.bytes.len();
        }
    }

    /// Lets a sync or close fail: what was written since the last one never reaches the disk.
    pub fn fail_sync(&mut self) {
        if self.is_durable() {
            return;
        }
        self.is_lost = true;
        self.synced_len = 0;
    }

    /// Cuts the power: of what was not synced, anything may be on the disk, in any order.
    pub fn cut_power(&mut self, random: &mut Random) {
        if self.is_durable() {
            return;
        }
        let mut durable = self.image(0);
        durable.truncate(self.synced_len);
        let mut older = self.image(random.below(self.undo.len() + 1));
        let newest = &self.bytes;
        self.bytes = match random.below(5) {
            0 => durable,
            1 => {
                let shortest = durable.len().min(older.len());
                older.truncate(shortest + random.below(older.len() - shortest + 1));
                older
            }
            2 => {
                // Blocks that were allocated, and not written.
                let mut holed = newest.clone();
                let start = first_difference(&durable, newest);
                let start = start + random.below(newest.len() - start + 1);
                let len = 1 + random.below(4_096);
                holed.iter_mut().skip(start).take(len).for_each(|byte| *byte = 0);
                holed
            }
            3 => mixed([&durable, &older, newest], random),
            _ => std::mem::take(&mut self.bytes),
        };
        *self = Self { bytes: std::mem::take(&mut self.bytes), ..Self::default() };
        // What is read after the restart comes from the disk.
        self.synced_len = self.bytes.len();
    }

    /// The contents before overwrite number `number`.
    fn image(&self, number: usize) -> Vec<u8> {
        let mut image = self.bytes.clone();
        for overwritten in self.undo[number..].iter().rev() {
            image.resize(overwritten.len_before, 0);
            image[overwritten.offset..][..overwritten.bytes.len()].copy_from_slice(&overwritten.bytes);
        }
        image
    }
}

/// Contents with each sector from one of `images`; zeros behind the end of that image.
fn mixed(images: [&[u8]; 3], random: &mut Random) -> Vec<u8> {
    const SECTOR: usize = 512;
    let len = random.one_of(&images).len();
    let mut bytes = vec![0; len];
    for (number, sector) in bytes.chunks_mut(SECTOR).enumerate() {
        let image = random.one_of(&images).get(number * SECTOR..).unwrap_or_default();
        let len = image.len().min(sector.len());
        sector[..len].copy_from_slice(&image[..len]);
    }
    bytes
}

fn first_difference(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
