//! Where everything lies on a volume, as its boot sector says.

use core::fmt;

use crate::bytes::{u16_at, u32_at};

/// Length of a block, in bytes.
pub(crate) const BLOCK_LEN: u32 = 512;
/// Number of directory entries in a block.
pub(crate) const SLOTS_PER_BLOCK: u32 = 16;
/// The most entries that a directory has, by the specification of FAT.
pub(crate) const MAX_SLOTS: u32 = 65_536;

/// Why a device has no volume that can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum MountError {
    /// The device failed.
    Device,
    /// The first block is neither a boot sector nor a partition table with a FAT partition.
    NoVolume,
    /// The volume has sectors of this many bytes instead of 512.
    SectorLen(u16),
    /// The volume is FAT12: smaller than what this crate reads.
    Fat12,
    /// The boot sector contradicts itself, or the size of the device.
    Corrupt,
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device => f.write_str("the device failed"),
            Self::NoVolume => f.write_str("no FAT volume: format the card with FAT16 or FAT32"),
            Self::SectorLen(len) => write!(f, "the volume has sectors of {len} bytes; 512 are supported"),
            Self::Fat12 => f.write_str("the volume is FAT12; FAT16 and FAT32 are supported"),
            Self::Corrupt => f.write_str("the boot sector is damaged"),
        }
    }
}

impl core::error::Error for MountError {}

/// The width of an entry of the FAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FatKind {
    /// 16 bits.
    Fat16,
    /// 32 bits, of which 28 are used.
    Fat32,
}

impl FatKind {
    /// Number of entries in a block of the FAT.
    pub(crate) const fn entries_per_block(self) -> u32 {
        match self {
            Self::Fat16 => 256,
            Self::Fat32 => 128,
        }
    }
}

/// The directory that all others are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// A range of blocks, on FAT16.
    Blocks { first: u32, count: u32 },
    /// A chain of clusters, on FAT32.
    Cluster(u32),
}

/// The checked contents of a boot sector. Blocks are numbered from the beginning of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub kind: FatKind,
    pub blocks_per_cluster: u32,
    /// The first block of the FAT that is read.
    pub fat: u32,
    /// Length of a FAT, in blocks.
    pub fat_blocks: u32,
    /// Number of FATs that are kept equal, each behind the one before.
    pub fat_copies: u32,
    /// The block that counts free clusters, on FAT32.
    pub info: Option<u32>,
    pub root: Root,
    /// The first block of cluster 2.
    data: u32,
    /// Number of clusters, the first of which is 2.
    pub clusters: u32,
}

impl Layout {
    /// Checks the boot sector `boot`, which is block `first` of a device of `device_blocks` blocks.
    pub fn parse(boot: &[u8; 512], first: u32, device_blocks: u32) -> Result<Self, MountError> {
        let byte = |at: usize| boot.get(at).copied().map_or(0, u32::from);
        match u16_at(boot, 11) {
            512 => {}
            len @ (1024 | 2048 | 4096) => return Err(MountError::SectorLen(len)),
            _ => return Err(MountError::NoVolume),
        }
        let blocks_per_cluster = byte(13);
        let (reserved, fats) = (u32::from(u16_at(boot, 14)), byte(16));
        if !blocks_per_cluster.is_power_of_two() || reserved == 0 || !(1..=2).contains(&fats) {
            return Err(MountError::Corrupt);
        }
        let short_or_long = |short: usize, long: usize| match u16_at(boot, short) {
            0 => u32_at(boot, long),
            len => u32::from(len),
        };
        let (total, fat_blocks) = (short_or_long(19, 32), short_or_long(22, 36));
        let is_fat32 = u16_at(boot, 22) == 0;
        let root_blocks = u32::from(u16_at(boot, 17)).div_ceil(SLOTS_PER_BLOCK);

        let layout = || {
            let end = first.checked_add(total).filter(|end| *end <= device_blocks)?;
            let first_fat = first.checked_add(reserved)?;
            let root = first_fat.checked_add(fat_blocks.checked_mul(fats)?)?;
            let data = root.checked_add(root_blocks)?;
            let clusters = end.checked_sub(data)? / blocks_per_cluster;
            // Bit 7: only the FAT that bits 0 to 3 name is kept up to date.
            let flags = if is_fat32 { u16_at(boot, 40) } else { 0 };
            let active = if flags & 0x80 == 0 { 0 } else { u32::from(flags & 0xf) };
            let fat = first_fat.checked_add(fat_blocks.checked_mul(Some(active).filter(|active| *active < fats)?)?)?;
            let kind = if is_fat32 { FatKind::Fat32 } else { FatKind::Fat16 };
            let entries = fat_blocks.checked_mul(kind.entries_per_block())?;
            let root = match kind {
                FatKind::Fat16 => Root::Blocks { first: root, count: Some(root_blocks).filter(|count| *count > 0)? },
                FatKind::Fat32 => Root::Cluster(u32_at(boot, 44)),
            };
            let fat_copies = if flags & 0x80 == 0 { fats } else { 1 };
            let info = Some(u32::from(u16_at(boot, 48))).filter(|info| is_fat32 && (1..reserved).contains(info));
            let info = info.map(|info| first + info);
            let layout = Self { kind, blocks_per_cluster, fat, fat_blocks, fat_copies, info, root, data, clusters };
            let is_root_inside = match root {
                Root::Blocks { .. } => true,
                Root::Cluster(cluster) => layout.has_cluster(cluster),
            };
            // The table of FAT12 is shorter.
            let entries = if kind == FatKind::Fat16 && clusters < 4_085 { u32::MAX } else { entries };
            (clusters > 0 && clusters <= entries.checked_sub(2)? && is_root_inside).then_some(layout)
        };
        let layout = layout().ok_or(MountError::Corrupt)?;
        match layout.kind {
            FatKind::Fat16 if layout.clusters < 4_085 => Err(MountError::Fat12),
            FatKind::Fat16 if layout.clusters > 65_524 => Err(MountError::Corrupt),
            FatKind::Fat32 if layout.clusters > 0x0fff_fff5 => Err(MountError::Corrupt),
            _ => Ok(layout),
        }
    }

    /// Whether the volume has a cluster of this number.
    pub const fn has_cluster(&self, cluster: u32) -> bool {
        cluster >= 2 && cluster - 2 < self.clusters
    }

    /// The block of the FAT that has the entry of `cluster`, and the entry's number in there.
    pub fn entry_of(&self, cluster: u32) -> (u32, usize) {
        let per_block = self.kind.entries_per_block();
        (self.fat + cluster / per_block, usize::try_from(cluster % per_block).unwrap_or(0))
    }

    /// The block with index `index` of `cluster`; `None` where there is no such cluster.
    pub fn block_of(&self, cluster: u32, index: u32) -> Option<u32> {
        let is_inside = self.has_cluster(cluster) && index < self.blocks_per_cluster;
        // No overflow: `parse` has compared the end of the last cluster with the device.
        is_inside.then(|| self.data + (cluster - 2) * self.blocks_per_cluster + index)
    }

    /// Length of a cluster, in bytes.
    pub const fn cluster_len(&self) -> u32 {
        self.blocks_per_cluster * BLOCK_LEN
    }
}

/// The first blocks of FAT partitions in the partition table `block`, in its order; none where it is not one.
pub(crate) fn partitions(block: &[u8; 512]) -> impl Iterator<Item = u32> {
    let is_table = u16_at(block, 510) == 0xaa55;
    let entries = block.get(446..510).filter(|_| is_table).unwrap_or_default();
    entries.chunks_exact(16).filter_map(|entry| {
        let is_fat = matches!(entry.get(4), Some(0x04 | 0x06 | 0x0b | 0x0c | 0x0e));
        is_fat.then(|| u32_at(entry, 8)).filter(|first| *first > 0)
    })
}

/// Whether `block` is the boot sector of a FAT volume, and no partition table.
pub(crate) fn is_boot_sector(block: &[u8; 512]) -> bool {
    let has_jump = matches!(block, [0xeb, _, 0x90, ..] | [0xe9, ..]);
    has_jump && u16_at(block, 510) == 0xaa55 && u16_at(block, 11).is_power_of_two()
}
