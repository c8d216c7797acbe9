//! Clusters that are taken and freed.

use coracle_core::StoreError;
use embedded_sdmmc_types::BlockDevice;

use crate::layout::FatKind;
use crate::volume::{FatVolume, Link};

/// A bit for each entry of a block of the table.
#[derive(Clone, Copy, Default)]
struct Mask([u32; 8]);

impl Mask {
    /// Adds the entry `index`; false where it is there.
    fn add(&mut self, index: usize) -> bool {
        let Some(word) = self.0.get_mut(index / 32) else { return false };
        let bit = 1 << (index % 32);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    fn indices(self) -> impl DoubleEndedIterator<Item = usize> {
        (0..256).filter(move |index| self.0.get(index / 32).is_some_and(|word| word >> (index % 32) & 1 == 1))
    }
}

/// Clusters that were taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub first: u32,
    pub last: u32,
    pub count: u32,
}

impl<D: BlockDevice> FatVolume<D> {
    /// Takes at least one cluster, and at most `wanted`, for the chain that ends with `before`, as a part of a change; `None` where
    /// none is free.
    pub(crate) fn take(&mut self, before: Option<u32>, wanted: u32) -> Result<Option<Taken>, StoreError> {
        let end = self.layout.clusters + 2;
        let start = self.writing()?.next_free.clamp(2, end - 1);
        let mut found = None;
        for cluster in (start..end).chain(2..start) {
            if self.link(cluster)? == Link::Free {
                found = Some(cluster);
                break;
            }
        }
        let Some(first) = found else { return Ok(None) };
        let (block, first_index) = self.layout.entry_of(first);
        let mut mask = Mask::default();
        let (mut count, mut last, mut cluster) = (0, first, first);
        while count < wanted && self.layout.has_cluster(cluster) && self.layout.entry_of(cluster).0 == block {
            if self.link(cluster)? == Link::Free {
                mask.add(self.layout.entry_of(cluster).1);
                (count, last) = (count + 1, cluster);
            }
            cluster += 1;
        }
        let base = first - u32::try_from(first_index).unwrap_or(0);
        let kind = self.layout.kind;
        for copy in 0..self.layout.fat_copies {
            self.edit(block + copy * self.layout.fat_blocks, |bytes| {
                let mut next = u32::MAX;
                for index in mask.indices().rev() {
                    set_entry(kind, bytes, index, next);
                    next = base + u32::try_from(index).unwrap_or(0);
                }
            })?;
            if let Some(before) = before {
                let (block, index) = self.layout.entry_of(before);
                let block = block + copy * self.layout.fat_blocks;
                self.edit(block, |bytes| set_entry(kind, bytes, index, first))?;
            }
        }
        let free = self.writing()?.free.saturating_sub(count);
        self.note_free(free, cluster)?;
        Ok(Some(Taken { first, last, count }))
    }

    /// Frees the beginning of the chain from `first` on, as a part of a change. Returns the number of clusters, and the rest's
    /// beginning.
    pub(crate) fn free_some(&mut self, first: u32) -> Result<(u32, Option<u32>), StoreError> {
        if !self.layout.has_cluster(first) {
            return Ok((0, None));
        }
        let (block, _) = self.layout.entry_of(first);
        let mut mask = Mask::default();
        let (mut count, mut rest) = (0, Some(first));
        while let Some(cluster) = rest.filter(|cluster| self.layout.entry_of(*cluster).0 == block) {
            // A chain that is damaged ends where it is.
            let link = self.link(cluster)?;
            if link == Link::Free || !mask.add(self.layout.entry_of(cluster).1) {
                rest = None;
                break;
            }
            count += 1;
            rest = if let Link::Next(next) = link { Some(next) } else { None };
        }
        let kind = self.layout.kind;
        for copy in 0..self.layout.fat_copies {
            self.edit(block + copy * self.layout.fat_blocks, |bytes| {
                mask.indices().for_each(|index| set_entry(kind, bytes, index, 0));
            })?;
        }
        let writing = self.writing()?;
        let (free, next_free) = (writing.free.saturating_add(count), writing.next_free);
        self.note_free(free, next_free)?;
        Ok((count, rest))
    }

    /// Counts what is free.
    pub(crate) fn count_free(&mut self) -> Result<(), StoreError> {
        let mut free = 0;
        for cluster in 2..self.layout.clusters + 2 {
            free += u32::from(self.link(cluster)? == Link::Free);
        }
        self.writing()?.free_before = free;
        Ok(())
    }

    fn note_free(&mut self, free: u32, next_free: u32) -> Result<(), StoreError> {
        if let Some(info) = self.layout.info {
            self.edit(info, |bytes| {
                if bytes.starts_with(b"RRaA") {
                    bytes[488..492].copy_from_slice(&free.to_le_bytes());
                    bytes[492..496].copy_from_slice(&next_free.to_le_bytes());
                }
            })?;
        }
        let writing = self.writing()?;
        (writing.free, writing.next_free) = (free, next_free);
        Ok(())
    }
}

/// Sets an entry of a block of the table; `u32::MAX` ends a chain.
pub(crate) fn set_entry(kind: FatKind, block: &mut [u8; 512], index: usize, value: u32) {
    match kind {
        FatKind::Fat16 => {
            let value = u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes();
            block.iter_mut().skip(index * 2).zip(value).for_each(|(to, from)| *to = from);
        }
        FatKind::Fat32 => {
            // The upper four bits are not ours.
            let value = (value & 0x0fff_ffff).to_le_bytes();
            for (place, (to, from)) in block.iter_mut().skip(index * 4).zip(value).enumerate() {
                *to = if place == 3 { *to & 0xf0 | from } else { from };
            }
        }
    }
}
