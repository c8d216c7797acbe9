//! Directories: steps through their entries, and the way along a path.

use coracle_core::{FileName, StoreError};
use embedded_sdmmc_types::BlockDevice;

use crate::layout::{MAX_SLOTS, Root, SLOTS_PER_BLOCK};
use crate::name::NameBuf;
use crate::slot::{SLOT_LEN, Slot, SlotKind, SlotPlace};
use crate::volume::{FatVolume, Link};

/// A directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Directory {
    Root,
    /// That begins with this cluster, which exists.
    At(u32),
}

/// The next entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The cluster that it is in, or `None` in the root of FAT16.
    cluster: Option<u32>,
    /// Its number in the directory.
    slot: u32,
    is_over: bool,
}

#[cfg(feature = "write")]
impl Cursor {
    /// The cluster that was reached.
    pub fn cluster(&self) -> Option<u32> {
        self.cluster
    }

    /// Number of slots that were passed.
    pub fn slots(&self) -> u32 {
        self.slot
    }
}

/// A file or directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DirEntry {
    pub place: SlotPlace,
    pub slot: Slot,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found {
    File(DirEntry),
    Directory(Directory),
}

impl<D: BlockDevice> FatVolume<D> {
    /// The first entry of `directory`.
    pub(crate) fn cursor(&self, directory: Directory) -> Cursor {
        let cluster = match (directory, self.layout.root) {
            (Directory::At(cluster), _) | (Directory::Root, Root::Cluster(cluster)) => Some(cluster),
            (Directory::Root, Root::Blocks { .. }) => None,
        };
        Cursor { cluster, slot: 0, is_over: false }
    }

    /// The next file or directory, whose name is told to `name`; `None` at the end.
    pub(crate) fn next_entry(
        &mut self,
        cursor: &mut Cursor,
        name: &mut NameBuf,
    ) -> Result<Option<DirEntry>, StoreError> {
        name.clear();
        while let Some((place, slot)) = self.next_slot(cursor)? {
            match slot.kind() {
                SlotKind::End => cursor.is_over = true,
                SlotKind::Deleted | SlotKind::Other => name.clear(),
                SlotKind::LongName => name.push_piece(&slot),
                SlotKind::File | SlotKind::Directory => return Ok(Some(DirEntry { place, slot })),
            }
        }
        Ok(None)
    }

    /// What has the name `path` now, without regard to the case of ASCII letters; `None` is the root.
    pub(crate) fn find(&mut self, path: Option<FileName<'_>>) -> Result<Found, StoreError> {
        let mut found = Found::Directory(Directory::Root);
        let Some(path) = path else { return Ok(found) };
        for component in path.components() {
            let Found::Directory(directory) = found else { return Err(StoreError::NotFound) };
            let entry = self.find_in(directory, component)?.ok_or(StoreError::NotFound)?;
            found = match entry.slot.kind() {
                SlotKind::Directory => Found::Directory(self.enter(directory, &entry.slot)?),
                _ => Found::File(entry),
            };
        }
        Ok(found)
    }

    /// The entry of `directory` with this name.
    pub(crate) fn find_in(&mut self, directory: Directory, component: &str) -> Result<Option<DirEntry>, StoreError> {
        let mut cursor = self.cursor(directory);
        let mut name = NameBuf::new(None);
        while let Some(entry) = self.next_entry(&mut cursor, &mut name)? {
            if name.finish(&entry.slot).is_some_and(|name| name.eq_ignore_ascii_case(component)) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// The entry at `place`, which was in a directory before.
    pub(crate) fn slot_at(&mut self, place: SlotPlace) -> Result<Slot, StoreError> {
        let block = self.block(place.block)?;
        let start = usize::try_from(place.index).unwrap_or(usize::MAX).saturating_mul(SLOT_LEN);
        let bytes = block.get(start..).and_then(|bytes| bytes.first_chunk()).ok_or(StoreError::Io)?;
        Ok(Slot(*bytes))
    }

    /// The directory that `slot`, an entry of `parent`, names. It has to know itself and its parent: so directories of a damaged
    /// volume cannot lead in a circle.
    pub(crate) fn enter(&mut self, parent: Directory, slot: &Slot) -> Result<Directory, StoreError> {
        let kind = self.layout.kind;
        let cluster = slot.cluster(kind);
        let block = self.layout.block_of(cluster, 0).ok_or(StoreError::Io)?;
        let itself = self.slot_at(SlotPlace { block, index: 0 })?;
        let above = self.slot_at(SlotPlace { block, index: 1 })?;
        let is_parent = match (parent, self.layout.root, above.cluster(kind)) {
            (Directory::At(parent), _, above) => above == parent,
            (Directory::Root, Root::Cluster(root), above) => above == 0 || above == root,
            (Directory::Root, Root::Blocks { .. }, above) => above == 0,
        };
        // An entry of the root's own cluster would be the root in itself.
        let is_root = self.layout.root == Root::Cluster(cluster);
        let are_names = itself.short_name() == b".          " && above.short_name() == b"..         ";
        let is_directory = !is_root && are_names && itself.cluster(kind) == cluster && is_parent;
        if is_directory { Ok(Directory::At(cluster)) } else { Err(StoreError::Io) }
    }

    /// The entry at `cursor`, in use or not, which moves on; `None` at the end of the directory.
    pub(crate) fn next_slot(&mut self, cursor: &mut Cursor) -> Result<Option<(SlotPlace, Slot)>, StoreError> {
        let blocks = cursor.slot / SLOTS_PER_BLOCK;
        if cursor.is_over {
            return Ok(None);
        }
        let block = match (cursor.cluster, self.layout.root) {
            (None, Root::Blocks { first, count }) if blocks < count => first + blocks,
            (None, _) => return Ok(None),
            (Some(mut cluster), _) => {
                let index = blocks % self.layout.blocks_per_cluster;
                if index == 0 && cursor.slot > 0 && cursor.slot.is_multiple_of(SLOTS_PER_BLOCK) {
                    cluster = match self.link(cluster)? {
                        Link::Next(next) if cursor.slot < MAX_SLOTS => next,
                        Link::End => {
                            cursor.is_over = true;
                            return Ok(None);
                        }
                        // It leads nowhere, or in a circle.
                        _ => return Err(StoreError::Io),
                    };
                    cursor.cluster = Some(cluster);
                }
                self.layout.block_of(cluster, index).ok_or(StoreError::Io)?
            }
        };
        let place = SlotPlace { block, index: cursor.slot % SLOTS_PER_BLOCK };
        let slot = self.slot_at(place)?;
        cursor.slot += 1;
        Ok(Some((place, slot)))
    }
}
