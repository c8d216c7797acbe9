//! A FAT volume as a store.

use coracle_core::{Entry, EntryKind, FileInfo, FileName, Listed, Store, StoreError, Version};
use embedded_sdmmc_types::BlockDevice;

use crate::directory::{Cursor, DirEntry, Found};
use crate::layout::BLOCK_LEN;
use crate::name::NameBuf;
use crate::slot::{Slot, SlotKind, SlotPlace};
use crate::version::version_of;
use crate::volume::FatVolume;

/// The files of a FAT volume.
///
/// Names are the long ones, and the short ones of files that have no other; they are found without regard to the case of ASCII
/// letters. Names of more than 255 bytes with their directories, and short names with characters that code pages 437 and 850 do not share, are counted as
/// such that cannot be requested. Any number of clients may read any number of files at once: an open file is 48 bytes of the
/// client's own memory, and a listing 296.
///
/// A version is made of where a file begins, its size and its times. A damaged volume leads to errors of what is damaged, never to
/// a loop: chains of clusters are followed no further than the size of their file, directories no further than 65,536 entries.
pub struct FatStore<D> {
    pub(crate) volume: FatVolume<D>,
    clock: fn() -> Option<u64>,
    /// The upload under way, and the connection that may send it.
    #[cfg(feature = "write")]
    pub(crate) active: Option<crate::upload::Active>,
    #[cfg(feature = "write")]
    pub(crate) turn: coracle_core::UploadTurn,
    /// A number that no file has got before.
    #[cfg(feature = "write")]
    pub(crate) stamps: u64,
}

/// An open file of a [`FatStore`].
#[derive(Clone, Debug)]
pub struct FatFile {
    place: SlotPlace,
    slot: Slot,
    /// Where the last read was.
    position: Position,
}

/// A cluster of a file, and its number in there.
#[derive(Clone, Copy, Debug)]
struct Position {
    index: u32,
    cluster: u32,
}

/// A position in a listing of a [`FatStore`].
#[derive(Clone, Debug)]
pub struct FatListing {
    cursor: Cursor,
    name: NameBuf,
}

impl<D: BlockDevice> FatStore<D> {
    /// A store of the files of `volume`, without a clock. Clients cannot write to it.
    #[must_use]
    pub const fn new(volume: FatVolume<D>) -> Self {
        Self {
            volume,
            clock: || None,
            #[cfg(feature = "write")]
            active: None,
            #[cfg(feature = "write")]
            turn: coracle_core::UploadTurn::new(),
            #[cfg(feature = "write")]
            stamps: 0,
        }
    }

    /// Sets the clock that the times of files come from: seconds since 1970-01-01 00:00 UTC, `None` while it is not set.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> Option<u64>) -> Self {
        Self { clock, ..self }
    }

    /// The volume.
    pub const fn volume(&mut self) -> &mut FatVolume<D> {
        &mut self.volume
    }

    /// Ends the use of the volume.
    pub fn into_volume(self) -> FatVolume<D> {
        self.volume
    }

    /// Moves `file` to the cluster with the number `index`, of which it has at least one more.
    fn seek(&mut self, file: &mut FatFile, index: u32) -> Result<u32, StoreError> {
        if index >= self.volume.layout.clusters {
            return Err(StoreError::Io);
        }
        if index < file.position.index {
            file.position = file.beginning(&self.volume);
        }
        while file.position.index < index {
            let cluster = self.volume.next_cluster(file.position.cluster)?;
            file.position = Position { index: file.position.index + 1, cluster };
        }
        Ok(file.position.cluster)
    }
}

impl FatFile {
    pub(crate) fn new<D: BlockDevice>(entry: &DirEntry, volume: &FatVolume<D>) -> Self {
        let mut file = Self { place: entry.place, slot: entry.slot, position: Position { index: 0, cluster: 0 } };
        file.position = file.beginning(volume);
        file
    }

    /// Length in bytes, when it was opened.
    #[cfg(feature = "write")]
    pub(crate) fn len(&self) -> u32 {
        self.slot.size()
    }

    fn beginning<D: BlockDevice>(&self, volume: &FatVolume<D>) -> Position {
        Position { index: 0, cluster: self.slot.cluster(volume.layout.kind) }
    }
}

impl<D: BlockDevice> Store for FatStore<D> {
    type File = FatFile;
    type Listing = FatListing;

    fn open(&mut self, name: FileName<'_>) -> Result<FatFile, StoreError> {
        match self.volume.find(Some(name))? {
            Found::File(entry) => Ok(FatFile::new(&entry, &self.volume)),
            Found::Directory(_) => Err(StoreError::NotFile),
        }
    }

    fn info(&mut self, file: &FatFile) -> Result<FileInfo, StoreError> {
        let slot = self.volume.slot_at(file.place)?;
        let is_there = slot.kind() == SlotKind::File && slot.short_name() == file.slot.short_name();
        let version = if is_there { version_of(&slot) } else { Version::new("gone").map_err(|_| StoreError::Io) }?;
        Ok(FileInfo::new(slot.size().into(), version).with_modified(slot.modified().unix_time()))
    }

    fn read(&mut self, file: &mut FatFile, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let mut done = 0;
        let Ok(mut offset) = u32::try_from(offset) else { return Ok(0) };
        let cluster_len = self.volume.layout.cluster_len();
        while offset < file.slot.size() && done < buf.len() {
            let cluster = self.seek(file, offset / cluster_len)?;
            let number =
                self.volume.layout.block_of(cluster, offset % cluster_len / BLOCK_LEN).ok_or(StoreError::Io)?;
            let block = self.volume.block(number)?;
            let start = usize::try_from(offset % BLOCK_LEN).unwrap_or(0);
            let left = usize::try_from(file.slot.size() - offset).unwrap_or(usize::MAX);
            let from = block.get(start..).unwrap_or_default();
            let len = from.len().min(left).min(buf.len() - done);
            let (Some(to), Some(from)) = (buf.get_mut(done..done + len), from.get(..len)) else { break };
            to.copy_from_slice(from);
            done += len;
            // As much as there is in a file, so no more than its size.
            offset = offset.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
        }
        Ok(done)
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<FatListing, StoreError> {
        match self.volume.find(path)? {
            Found::Directory(directory) => {
                Ok(FatListing { cursor: self.volume.cursor(directory), name: NameBuf::new(path) })
            }
            Found::File(_) => Err(StoreError::NotDirectory),
        }
    }

    fn next<'a>(&mut self, listing: &'a mut FatListing) -> Result<Listed<'a>, StoreError> {
        let Some(DirEntry { slot, .. }) = self.volume.next_entry(&mut listing.cursor, &mut listing.name)? else {
            return Ok(Listed::End);
        };
        let kind = match slot.kind() {
            SlotKind::Directory => EntryKind::Directory { link: false },
            _ => EntryKind::File { size: slot.size().into(), modified: slot.modified().unix_time() },
        };
        if listing.name.finish(&slot).is_none() {
            return Ok(Listed::Unnameable);
        }
        Ok(listing.name.path().map_or(Listed::Unnameable, |name| Listed::Entry(Entry::new(name, kind))))
    }

    #[cfg(feature = "rights")]
    fn is_linkless(&mut self, _: FileName<'_>) -> bool {
        true
    }

    fn unix_time(&mut self) -> Option<u64> {
        (self.clock)()
    }
}
