//! Several blocks changed together, whatever happens meanwhile.
//!
//! The new contents are written to a file of this crate's own, then what they are for, then to their places; at the start whatever was
//! left of that is done again. So each change of directories and tables is there as a whole, or not at all.

use coracle_core::{Digest, DigestKind, Hasher, StoreError};
use embedded_sdmmc_types::BlockDevice;

use crate::bytes::u32_at;
use crate::volume::FatVolume;
use crate::writing::{Edit, MAX_EDITS, Writing};

const MAGIC: &[u8; 8] = b"CORACLE1";
/// Where the list begins, and the length of an item.
const LIST: usize = 16;
const ITEM_LEN: usize = 12;
const CHECKSUM: usize = 508;

impl<D: BlockDevice> FatVolume<D> {
    pub(crate) fn writing(&mut self) -> Result<&mut Writing, StoreError> {
        self.writing.as_mut().ok_or(StoreError::Denied)
    }

    /// Begins a change.
    pub(crate) fn begin_change(&mut self) -> Result<(), StoreError> {
        if self.writing()?.is_torn {
            self.replay()?;
            self.count_free()?;
        }
        let writing = self.writing()?;
        // One that was not made has taken and freed nothing.
        (writing.count, writing.free) = (0, writing.free_before);
        Ok(())
    }

    /// Changes block `number` as a part of the change.
    pub(crate) fn edit(&mut self, number: u32, change: impl FnOnce(&mut [u8; 512])) -> Result<(), StoreError> {
        let writing = self.writing()?;
        let journal = writing.journal;
        let known = writing.edits().iter().position(|edit| edit.block == number);
        let index = known.unwrap_or(writing.count);
        if index >= MAX_EDITS {
            return Err(StoreError::Io);
        }
        let copy = journal + 1 + u32::try_from(index).unwrap_or(0);
        let mut contents = *self.block(if known.is_some() { copy } else { number })?;
        let old = checksum(&contents);
        change(&mut contents);
        self.write_block(copy, &contents)?;
        let writing = self.writing()?;
        writing.count = writing.count.max(index + 1);
        if let Some(edit) = writing.edits.get_mut(index) {
            *edit = Edit { block: number, old: if known.is_some() { edit.old } else { old }, new: checksum(&contents) };
        }
        Ok(())
    }

    /// Makes the change.
    pub(crate) fn commit_change(&mut self) -> Result<(), StoreError> {
        let writing = self.writing()?;
        let mut header = [0; 512];
        header[..8].copy_from_slice(MAGIC);
        header[8..12].copy_from_slice(&u32::try_from(writing.count).unwrap_or(0).to_le_bytes());
        for (item, edit) in header[LIST..].chunks_exact_mut(ITEM_LEN).zip(writing.edits()) {
            item[..4].copy_from_slice(&edit.block.to_le_bytes());
            item[4..8].copy_from_slice(&edit.old.to_le_bytes());
            item[8..].copy_from_slice(&edit.new.to_le_bytes());
        }
        let sum = checksum(&header);
        header[CHECKSUM..].copy_from_slice(&sum.to_le_bytes());
        let journal = writing.journal;
        // Whatever fails from here on, the change is made or not when it is looked at next.
        writing.is_torn = true;
        self.write_block(journal, &header)?;
        if !self.replay()? {
            return Err(StoreError::Io);
        }
        let writing = self.writing()?;
        writing.free_before = writing.free;
        Ok(())
    }

    /// Makes a change that was begun, where all of its blocks are as they were before or after it; whether they are.
    fn replay(&mut self) -> Result<bool, StoreError> {
        let journal = self.writing()?.journal;
        let mut header = *self.block(journal)?;
        let sum = u32_at(&header, CHECKSUM);
        header[CHECKSUM..].fill(0);
        let count = usize::try_from(u32_at(&header, 8)).unwrap_or(usize::MAX);
        let is_whole = header.starts_with(MAGIC) && sum == checksum(&header) && count <= MAX_EDITS;
        let mut is_possible = is_whole;
        if is_whole {
            let items = header[LIST..].chunks_exact(ITEM_LEN).take(count);
            let edits = items.zip(journal + 1..).map(|(item, copy)| {
                (copy, Edit { block: u32_at(item, 0), old: u32_at(item, 4), new: u32_at(item, 8) })
            });
            for (copy, edit) in edits.clone() {
                let now = checksum(self.block(edit.block)?);
                is_possible = is_possible && (now == edit.old || now == edit.new);
                is_possible = is_possible && checksum(self.block(copy)?) == edit.new;
            }
            if is_possible {
                for (copy, edit) in edits {
                    let contents = *self.block(copy)?;
                    self.write_block(edit.block, &contents)?;
                }
            }
        }
        if header.iter().any(|byte| *byte != 0) || sum != 0 {
            self.write_block(journal, &[0; 512])?;
        }
        self.writing()?.is_torn = false;
        Ok(is_possible)
    }
}

fn checksum(block: &[u8; 512]) -> u32 {
    let mut hasher = Hasher::new(DigestKind::Crc32);
    match hasher.take() {
        Some(mut hasher) => {
            hasher.update(block);
            match hasher.finish() {
                Digest::Crc32(sum) => sum,
                _ => 0,
            }
        }
        None => 0,
    }
}
