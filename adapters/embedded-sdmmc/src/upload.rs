//! The file that is being received.

use coracle_core::{Digest, FileName, Put, StoreError, WriteError};
use embedded_sdmmc_types::BlockDevice;

use crate::layout::BLOCK_LEN;
use crate::slot::SlotPlace;
use crate::volume::FatVolume;

/// An upload, of which a volume has one at a time.
pub(crate) struct Active {
    name: [u8; FileName::MAX_LEN],
    name_len: usize,
    pub size: u32,
    digest: Digest,
    /// Number of bytes that were taken.
    pub written: u32,
    /// The first cluster, once there is one.
    pub first: Option<u32>,
    /// The cluster of the last byte that was taken.
    last: u32,
    /// The clusters that were taken end here.
    end: u32,
    /// Bytes of the block that is not complete.
    block: [u8; 512],
}

impl Active {
    pub fn new(put: &Put<'_>, size: u32) -> Self {
        let mut name = [0; FileName::MAX_LEN];
        let text = put.name.as_str().as_bytes();
        name.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        let (name_len, digest) = (text.len(), put.digest);
        Self { name, name_len, size, digest, written: 0, first: None, last: 0, end: 0, block: [0; 512] }
    }

    pub fn is_named(&self, name: FileName<'_>) -> bool {
        self.name.get(..self.name_len).is_some_and(|own| own.eq_ignore_ascii_case(name.as_str().as_bytes()))
    }

    pub fn is(&self, put: &Put<'_>) -> bool {
        self.is_named(put.name) && u64::from(self.size) == put.size && self.digest == put.digest
    }

    fn block_offset(&self) -> usize {
        usize::try_from(self.written % BLOCK_LEN).unwrap_or(0)
    }

    /// The bytes that were taken and lie in no block yet, and where they begin.
    pub fn unwritten(&self) -> (u32, &[u8]) {
        let len = if self.written == self.size { 0 } else { self.block_offset() };
        (self.written - u32::try_from(len).unwrap_or(0), self.block.get(..len).unwrap_or_default())
    }
}

impl<D: BlockDevice> FatVolume<D> {
    /// Takes `bytes` as the next ones of the upload, or the first of them; returns how many.
    pub(crate) fn append(&mut self, active: &mut Active, bytes: &[u8]) -> Result<usize, WriteError> {
        let cluster_len = self.layout.cluster_len();
        let mut done = 0;
        while active.written < active.size
            && let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty())
        {
            let in_cluster = active.written % cluster_len;
            if in_cluster == 0 && active.written == active.end {
                if done > 0 {
                    // One change of the table in each call.
                    break;
                }
                self.extend(active)?;
            }
            let cluster = match active.written {
                0 => active.first.ok_or(StoreError::Io)?,
                _ if in_cluster == 0 => self.next_cluster(active.last)?,
                _ => active.last,
            };
            let start = active.block_offset();
            let left = usize::try_from(active.size - active.written).unwrap_or(usize::MAX);
            let len = rest.len().min(active.block.len() - start).min(left);
            let (Some(to), Some(from)) = (active.block.get_mut(start..start + len), rest.get(..len)) else { break };
            to.copy_from_slice(from);
            let written = active.written + u32::try_from(len).unwrap_or(0);
            if written.is_multiple_of(BLOCK_LEN) || written == active.size {
                let index = in_cluster / BLOCK_LEN;
                let number = self.layout.block_of(cluster, index).ok_or(StoreError::Io)?;
                active.block.iter_mut().skip(start + len).for_each(|byte| *byte = 0);
                self.write_block(number, &active.block)?;
            }
            (active.written, active.last) = (written, cluster);
            done += len;
        }
        Ok(done)
    }

    /// Takes more clusters for the upload, which its entry names as if they were full.
    fn extend(&mut self, active: &mut Active) -> Result<(), WriteError> {
        let cluster_len = self.layout.cluster_len();
        let wanted = (active.size - active.end).div_ceil(cluster_len);
        self.begin_change()?;
        let before = active.first.map(|_| active.last);
        let Some(taken) = self.take(before, wanted)? else {
            return Err(WriteError::NoSpace { free: Some(0) });
        };
        let first = active.first.unwrap_or(taken.first);
        let end = active.end.saturating_add(taken.count.saturating_mul(cluster_len));
        let place = self.writing()?.upload;
        let slot = self.slot_at(place)?.with_contents(first, end.min(active.size));
        self.replace_entry(place, slot)?;
        self.commit_change()?;
        (active.first, active.end) = (Some(first), end);
        Ok(())
    }

    /// Frees some clusters of one of this crate's own files; true where none is left.
    pub(crate) fn free_some_of(&mut self, place: SlotPlace) -> Result<bool, StoreError> {
        self.begin_change()?;
        let slot = self.slot_at(place)?;
        let first = slot.cluster(self.layout.kind);
        if first == 0 && slot.size() == 0 {
            return Ok(true);
        }
        let (count, rest) = self.free_some(first)?;
        let freed = count.saturating_mul(self.layout.cluster_len());
        let slot = match rest {
            Some(rest) => slot.with_contents(rest, slot.size().saturating_sub(freed).max(1)),
            None => slot.with_contents(0, 0),
        };
        self.replace_entry(place, slot)?;
        self.commit_change()?;
        Ok(rest.is_none())
    }
}
