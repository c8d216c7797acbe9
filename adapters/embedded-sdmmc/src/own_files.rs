//! This crate's own files in the root: the journal, the file that is being received, and what is to be freed.

use coracle_core::StoreError;
use embedded_sdmmc_types::BlockDevice;

use crate::clusters::set_entry;
use crate::directory::{DirEntry, Directory};
use crate::entries::NoRoom;
use crate::layout::BLOCK_LEN;
use crate::slot::{OWN, Slot, SlotPlace};
use crate::volume::{FatVolume, Link};
use crate::writing::{JOURNAL_BLOCKS, Writing};

const JOURNAL: &[u8; 11] = b"CORACLE JNL";
const UPLOAD: &[u8; 11] = b"CORACLE TMP";
const TRASH: &[u8; 11] = b"CORACLE DEL";

impl<D: BlockDevice> FatVolume<D> {
    /// Makes the volume writable: finishes what a power cut has interrupted, and counts free clusters.
    pub(crate) fn prepare_writing(&mut self) -> Result<(), NoRoom> {
        let journal = match self.find_short(Directory::Root, JOURNAL)? {
            Some(entry) => entry.slot,
            None => self.make_own_files()?,
        };
        let upload = self.find_short(Directory::Root, UPLOAD)?.ok_or(StoreError::Io)?.place;
        let trash = self.find_short(Directory::Root, TRASH)?.ok_or(StoreError::Io)?.place;
        let first = journal.cluster(self.layout.kind);
        // Its blocks are written by number, so nothing else may be among them.
        let mut cluster = first;
        for _ in 1..self.journal_clusters() {
            match self.link(cluster)? {
                Link::Next(next) if next == cluster + 1 => cluster = next,
                _ => return Err(StoreError::Io.into()),
            }
        }
        let block = self.layout.block_of(first, 0).ok_or(StoreError::Io)?;
        self.writing = Some(Writing::new(block, upload, trash));
        Ok(self.begin_change()?)
    }

    fn journal_clusters(&self) -> u32 {
        JOURNAL_BLOCKS.div_ceil(self.layout.blocks_per_cluster)
    }

    /// Makes them on a volume that has none: the clusters first, so that a cut leaves some of them without a name at worst.
    fn make_own_files(&mut self) -> Result<Slot, NoRoom> {
        let places = self.find_own_places()?;
        let wanted = self.journal_clusters();
        let first = self.find_free(wanted)?;
        self.forget_count()?;
        let start = self.layout.block_of(first, 0).ok_or(StoreError::Io)?;
        self.write_block(start, &[0; 512])?;
        for cluster in (first..first + wanted).rev() {
            let next = if cluster + 1 == first + wanted { u32::MAX } else { cluster + 1 };
            self.set_link(cluster, next)?;
        }
        let journal = Slot::new(JOURNAL, OWN).with_contents(first, wanted * self.layout.blocks_per_cluster * BLOCK_LEN);
        // The journal comes last: with it the others are there.
        for (place, slot) in places.into_iter().zip([Slot::new(TRASH, OWN), Slot::new(UPLOAD, OWN), journal]) {
            self.write_slot(place, &slot)?;
        }
        Ok(journal)
    }

    /// Three slots of the root: those that a cut has left, or free ones.
    fn find_own_places(&mut self) -> Result<[SlotPlace; 3], NoRoom> {
        let mut cursor = self.cursor(Directory::Root);
        let room = match self.find_run(&mut cursor, 3)? {
            Some(room) => room,
            None => {
                let last = cursor.cluster().ok_or(NoRoom::Full)?;
                let free = self.find_free(1)?;
                self.forget_count()?;
                self.clear_cluster(free)?;
                self.set_link(free, u32::MAX)?;
                self.set_link(last, free)?;
                self.find_run(&mut self.cursor(Directory::Root), 3)?.ok_or(NoRoom::Full)?
            }
        };
        if let Some(behind) = room.behind() {
            self.write_slot(behind, &Slot([0; 32]))?;
        }
        // What a cut has left is used again; the others follow without a gap, since behind one nothing is seen.
        let mut free = room.places();
        let mut place_of = |found: Option<DirEntry>| match found {
            Some(entry) => Ok(entry.place),
            None => free.next().ok_or(NoRoom::Full),
        };
        let trash = self.find_short(Directory::Root, TRASH)?;
        let upload = self.find_short(Directory::Root, UPLOAD)?;
        let places = [place_of(trash)?, place_of(upload)?, place_of(None)?];
        Ok(places)
    }

    /// The count of free clusters becomes unknown, as the clusters of the journal are taken without one.
    fn forget_count(&mut self) -> Result<(), StoreError> {
        let Some(info) = self.layout.info else { return Ok(()) };
        let mut bytes = *self.block(info)?;
        bytes[488..496].fill(0xff);
        self.write_block(info, &bytes)
    }

    /// The first of `wanted` free clusters behind each other.
    fn find_free(&mut self, wanted: u32) -> Result<u32, NoRoom> {
        let (mut first, mut len) = (2, 0);
        while len < wanted {
            let cluster = first + len;
            if !self.layout.has_cluster(cluster) {
                return Err(NoRoom::Full);
            }
            (first, len) = if self.link(cluster)? == Link::Free { (first, len + 1) } else { (cluster + 1, 0) };
        }
        Ok(first)
    }

    /// Sets what the table says of `cluster`, at once.
    fn set_link(&mut self, cluster: u32, next: u32) -> Result<(), StoreError> {
        let (block, index) = self.layout.entry_of(cluster);
        for copy in 0..self.layout.fat_copies {
            let block = block + copy * self.layout.fat_blocks;
            let mut bytes = *self.block(block)?;
            set_entry(self.layout.kind, &mut bytes, index, next);
            self.write_block(block, &bytes)?;
        }
        Ok(())
    }

    fn write_slot(&mut self, place: SlotPlace, slot: &Slot) -> Result<(), StoreError> {
        let mut bytes = *self.block(place.block)?;
        let start = usize::try_from(place.index).unwrap_or(usize::MAX).saturating_mul(slot.0.len());
        bytes.iter_mut().skip(start).zip(slot.0).for_each(|(to, from)| *to = from);
        self.write_block(place.block, &bytes)
    }
}
