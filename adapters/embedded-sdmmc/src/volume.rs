//! A FAT volume on a block device: blocks, the file allocation table, chains of clusters.

use coracle_core::StoreError;
use embedded_sdmmc_types::{Block, BlockDevice, BlockIdx};

use crate::bytes::{u16_at, u32_at};
use crate::layout::{FatKind, Layout, MountError, is_boot_sector, partitions};

/// A FAT16 or FAT32 volume. Keeps two blocks in memory, 1 KiB in all: one of the file allocation table, and one of directories
/// and files.
pub struct FatVolume<D> {
    device: D,
    pub(crate) layout: Layout,
    fat: CachedBlock,
    data: CachedBlock,
    /// Once it may be written to.
    #[cfg(feature = "write")]
    pub(crate) writing: Option<crate::writing::Writing>,
}

struct CachedBlock {
    block: [Block; 1],
    number: Option<u32>,
}

/// What the file allocation table says of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Free,
    /// The chain goes on with this cluster, which exists.
    Next(u32),
    End,
    /// The cluster is marked as bad, or leads outside of the volume.
    Bad,
}

impl<D: BlockDevice> FatVolume<D> {
    /// Finds the first FAT volume of `device`, which begins with a partition table or is the volume itself.
    ///
    /// # Errors
    ///
    /// Why there is none that can be served.
    pub fn new(device: D) -> Result<Self, MountError> {
        let blocks = device.num_blocks().map_err(|_| MountError::Device)?.0;
        let mut fat = CachedBlock::new();
        let block = fat.read(&device, 0).map_err(|_| MountError::Device)?;
        let first = match is_boot_sector(block) {
            true => 0,
            false => partitions(block).next().ok_or(MountError::NoVolume)?,
        };
        if first >= blocks {
            return Err(MountError::Corrupt);
        }
        let block = fat.read(&device, first).map_err(|_| MountError::Device)?;
        let layout = Layout::parse(block, first, blocks)?;
        Ok(Self {
            device,
            layout,
            fat,
            data: CachedBlock::new(),
            #[cfg(feature = "write")]
            writing: None,
        })
    }

    /// The width of the entries of its file allocation table.
    pub const fn kind(&self) -> FatKind {
        self.layout.kind
    }

    /// Forgets the blocks that are kept in memory, after the device was written to by other means. Gives up an upload under way.
    pub const fn refresh(&mut self) {
        (self.fat.number, self.data.number) = (None, None);
        #[cfg(feature = "write")]
        if let Some(writing) = &mut self.writing {
            // What is free is counted again before the next change.
            writing.is_torn = true;
        }
    }

    /// Ends the use of the volume.
    pub fn into_device(self) -> D {
        self.device
    }

    /// The contents of a block of a directory or file.
    pub(crate) fn block(&mut self, number: u32) -> Result<&[u8; 512], StoreError> {
        self.data.read(&self.device, number)
    }

    /// What the file allocation table says of `cluster`.
    pub(crate) fn link(&mut self, cluster: u32) -> Result<Link, StoreError> {
        if !self.layout.has_cluster(cluster) {
            return Err(StoreError::Io);
        }
        let (number, index) = self.layout.entry_of(cluster);
        let block = self.fat.read(&self.device, number)?;
        let (next, bad) = match self.layout.kind {
            FatKind::Fat16 => (u32::from(u16_at(block, index * 2)), 0xfff7),
            FatKind::Fat32 => (u32_at(block, index * 4) & 0x0fff_ffff, 0x0fff_fff7),
        };
        Ok(match next {
            0 => Link::Free,
            next if next > bad => Link::End,
            next if self.layout.has_cluster(next) => Link::Next(next),
            _ => Link::Bad,
        })
    }

    /// Writes `contents` to block `number`, at once.
    #[cfg(feature = "write")]
    pub(crate) fn write_block(&mut self, number: u32, contents: &[u8; 512]) -> Result<(), StoreError> {
        for cached in [&mut self.fat, &mut self.data] {
            if cached.number == Some(number) {
                cached.number = None;
            }
        }
        let mut block = [Block::new()];
        let [only] = &mut block;
        only.contents = *contents;
        self.device.write(&block, BlockIdx(number)).map_err(|_| StoreError::Io)
    }

    /// The cluster behind `cluster` in its chain, which has to go on.
    pub(crate) fn next_cluster(&mut self, cluster: u32) -> Result<u32, StoreError> {
        match self.link(cluster)? {
            Link::Next(next) => Ok(next),
            _ => Err(StoreError::Io),
        }
    }
}

impl CachedBlock {
    fn new() -> Self {
        Self { block: [Block::new()], number: None }
    }

    fn read<D: BlockDevice>(&mut self, device: &D, number: u32) -> Result<&[u8; 512], StoreError> {
        if self.number != Some(number) {
            // What a failed read has left is no block.
            self.number = None;
            device.read(&mut self.block, BlockIdx(number)).map_err(|_| StoreError::Io)?;
            self.number = Some(number);
        }
        let [block] = &self.block;
        Ok(&block.contents)
    }
}
