//! Directory entries that are made and removed, as parts of a change.

use coracle_core::StoreError;
use embedded_sdmmc_types::BlockDevice;

use crate::directory::{Cursor, DirEntry, Directory};
use crate::layout::MAX_SLOTS;
use crate::new_name::{NewName, TRIES};
use crate::slot::{DIRECTORY, SLOT_LEN, Slot, SlotKind, SlotPlace};
use crate::volume::FatVolume;

/// The most slots that a name takes, and the one behind them.
const MAX_RUN: usize = 22;

/// Slots that can be used, in their order.
pub(crate) struct Room {
    places: [SlotPlace; MAX_RUN],
    len: usize,
    /// The last place is the one behind, which becomes the end.
    moves_end: bool,
}

impl Room {
    /// The places of the entries.
    pub fn places(&self) -> impl Iterator<Item = SlotPlace> {
        self.places.into_iter().take(self.len - usize::from(self.moves_end))
    }

    /// The place that has to become the end of the directory.
    pub fn behind(&self) -> Option<SlotPlace> {
        self.places.get(self.len.wrapping_sub(1)).copied().filter(|_| self.moves_end)
    }
}

/// Why no entry can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    Store(StoreError),
    /// The directory, or the volume, is full.
    Full,
}

impl From<StoreError> for NoRoom {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl<D: BlockDevice> FatVolume<D> {
    /// Finds `wanted` free slots behind each other, and makes the directory larger where it has none: a change of its own.
    pub(crate) fn find_room(&mut self, directory: Directory, wanted: usize) -> Result<Room, NoRoom> {
        // A name takes two clusters more at most.
        for _ in 0..3 {
            let mut cursor = self.cursor(directory);
            if let Some(room) = self.find_run(&mut cursor, wanted)? {
                return Ok(room);
            }
            let Some(last) = cursor.cluster().filter(|_| cursor.slots() < MAX_SLOTS) else { return Err(NoRoom::Full) };
            self.begin_change()?;
            let taken = self.take(Some(last), 1)?.ok_or(NoRoom::Full)?;
            self.clear_cluster(taken.first)?;
            self.commit_change()?;
        }
        Err(NoRoom::Full)
    }

    pub(crate) fn find_run(&mut self, cursor: &mut Cursor, wanted: usize) -> Result<Option<Room>, StoreError> {
        let nowhere = SlotPlace { block: 0, index: 0 };
        let mut room = Room { places: [nowhere; MAX_RUN], len: 0, moves_end: false };
        while let Some((place, slot)) = self.next_slot(cursor)? {
            match slot.kind() {
                SlotKind::End => room.moves_end = true,
                SlotKind::Deleted => {}
                // Whatever is behind the end.
                _ if room.moves_end => {}
                _ => {
                    room.len = 0;
                    continue;
                }
            }
            let is_behind = room.len == wanted;
            if let Some(free) = room.places.get_mut(room.len) {
                *free = place;
                room.len += 1;
            }
            if is_behind || room.len == wanted && !room.moves_end {
                return Ok(Some(room));
            }
        }
        // Nothing is behind the last slot of a directory.
        room.moves_end = false;
        Ok((room.len == wanted).then_some(room))
    }

    /// The attempt whose short name for `name` no other entry of `directory` has.
    pub(crate) fn choose_short_name(&mut self, directory: Directory, name: &NewName<'_>) -> Result<u8, StoreError> {
        for attempt in 0..TRIES {
            if self.find_short(directory, &name.short(attempt))?.is_none() {
                return Ok(attempt);
            }
        }
        Err(StoreError::Io)
    }

    /// Writes `slot` under `name` to `room`, with the short name of attempt `attempt`. Returns where it is.
    pub(crate) fn write_entry(
        &mut self,
        room: &Room,
        name: &NewName<'_>,
        attempt: u8,
        slot: Slot,
    ) -> Result<SlotPlace, StoreError> {
        let slot = slot.with_short_name(&name.short(attempt));
        let mut at = None;
        for (place, entry) in room.places().zip(name.entries(slot, attempt)) {
            self.edit_slot(place, |bytes| *bytes = entry.0)?;
            at = Some(place);
        }
        if let Some(place) = room.behind() {
            self.edit_slot(place, |bytes| bytes[0] = 0)?;
        }
        at.ok_or(StoreError::Io)
    }

    /// Removes the entry at `place` in `directory` with its long name.
    pub(crate) fn remove_entry(&mut self, directory: Directory, place: SlotPlace) -> Result<(), StoreError> {
        let mut cursor = self.cursor(directory);
        let mut pieces = [place; MAX_RUN];
        let mut count = 0;
        while let Some((at, slot)) = self.next_slot(&mut cursor)? {
            if at == place {
                for piece in pieces.iter().take(count).chain([&place]) {
                    self.edit_slot(*piece, |bytes| bytes[0] = 0xe5)?;
                }
                return Ok(());
            }
            match (slot.kind(), pieces.get_mut(count)) {
                (SlotKind::LongName, Some(piece)) => {
                    *piece = at;
                    count += 1;
                }
                _ => count = 0,
            }
        }
        Err(StoreError::Io)
    }

    /// Replaces the entry at `place`.
    pub(crate) fn replace_entry(&mut self, place: SlotPlace, slot: Slot) -> Result<(), StoreError> {
        self.edit_slot(place, |bytes| *bytes = slot.0)
    }

    /// Writes an empty directory to `cluster`, which is free until now.
    pub(crate) fn write_directory(&mut self, cluster: u32, parent: Directory, times: Slot) -> Result<(), StoreError> {
        self.clear_cluster(cluster)?;
        let above = if let Directory::At(above) = parent { above } else { 0 };
        let named = |name: &[u8; 11], cluster| {
            let mut slot = times.with_short_name(name).with_contents(cluster, 0);
            slot.0[11] = DIRECTORY;
            slot
        };
        let mut block = [0; 512];
        block[..SLOT_LEN].copy_from_slice(&named(b".          ", cluster).0);
        block[SLOT_LEN..2 * SLOT_LEN].copy_from_slice(&named(b"..         ", above).0);
        let first = self.layout.block_of(cluster, 0).ok_or(StoreError::Io)?;
        self.write_block(first, &block)
    }

    /// The entry of `directory` with this short name, whatever it is.
    pub(crate) fn find_short(&mut self, directory: Directory, name: &[u8; 11]) -> Result<Option<DirEntry>, StoreError> {
        let mut cursor = self.cursor(directory);
        while let Some((place, slot)) = self.next_slot(&mut cursor)? {
            match slot.kind() {
                SlotKind::End => break,
                SlotKind::Deleted | SlotKind::LongName => {}
                _ if slot.short_name() == name => return Ok(Some(DirEntry { place, slot })),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Whether `name` is that of one of this crate's own files.
    pub(crate) fn is_own_name(&mut self, directory: Directory, name: &NewName<'_>) -> Result<bool, StoreError> {
        let is_single = name.slots(0) == 1 && directory == Directory::Root;
        if !is_single {
            return Ok(false);
        }
        let found = self.find_short(directory, &name.short(0))?;
        Ok(found.is_some_and(|entry| entry.slot.kind() == SlotKind::Other))
    }

    fn edit_slot(&mut self, place: SlotPlace, change: impl FnOnce(&mut [u8; SLOT_LEN])) -> Result<(), StoreError> {
        self.edit(place.block, |bytes| {
            let start = usize::try_from(place.index).unwrap_or(usize::MAX).saturating_mul(SLOT_LEN);
            if let Some(slot) = bytes.get_mut(start..).and_then(|bytes| bytes.first_chunk_mut()) {
                change(slot);
            }
        })
    }

    pub(crate) fn clear_cluster(&mut self, cluster: u32) -> Result<(), StoreError> {
        for index in 0..self.layout.blocks_per_cluster {
            let block = self.layout.block_of(cluster, index).ok_or(StoreError::Io)?;
            self.write_block(block, &[0; 512])?;
        }
        Ok(())
    }
}
