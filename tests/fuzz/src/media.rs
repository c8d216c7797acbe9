//! A card and a flash in memory that count their reads, and what volumes on them consist of.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;

use embedded_sdmmc_types::{Block, BlockCount, BlockDevice, BlockIdx};
use embedded_storage::nor_flash::{ErrorType, NorFlashErrorKind, ReadNorFlash};

/// What is on a card: blocks of 512 bytes, most of which are zero.
#[derive(Clone)]
pub struct Blocks {
    pub used: BTreeMap<u32, [u8; 512]>,
    count: u32,
}

/// A card.
pub struct Card {
    blocks: RefCell<Blocks>,
    reads: Cell<u64>,
}

impl Blocks {
    /// An empty FAT16 volume with clusters of a block.
    pub fn fat16(clusters: u32) -> Self {
        let fat_len = (clusters + 2).div_ceil(256);
        let mut boot = boot_sector(1);
        put(&mut boot, 17, &512_u16.to_le_bytes());
        put(&mut boot, 19, &u16::try_from(1 + 2 * fat_len + 32 + clusters).expect("small").to_le_bytes());
        put(&mut boot, 22, &u16::try_from(fat_len).expect("small").to_le_bytes());
        let mut table = [0; 512];
        put(&mut table, 0, &[0xf8, 0xff, 0xff, 0xff]);
        Self { used: BTreeMap::from([(0, boot), (1, table), (1 + fat_len, table)]), count: 33 + 2 * fat_len + clusters }
    }

    /// An empty FAT32 volume with clusters of a block.
    pub fn fat32(clusters: u32) -> Self {
        let fat_len = (clusters + 2).div_ceil(128);
        let mut boot = boot_sector(32);
        put(&mut boot, 32, &(32 + 2 * fat_len + clusters).to_le_bytes());
        put(&mut boot, 36, &fat_len.to_le_bytes());
        put(&mut boot, 44, &2_u32.to_le_bytes());
        put(&mut boot, 48, &1_u16.to_le_bytes());
        let mut info = [0; 512];
        put(&mut info, 0, b"RRaA");
        put(&mut info, 484, b"rrAa\xff\xff\xff\xff\xff\xff\xff\xff");
        let mut table = [0; 512];
        put(&mut table, 0, &[0xf8, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff, 0x0f]);
        let used = BTreeMap::from([(0, boot), (1, info), (32, table), (32 + fat_len, table)]);
        Self { used, count: 32 + 2 * fat_len + clusters }
    }
}

fn boot_sector(reserved: u16) -> [u8; 512] {
    let mut boot = [0; 512];
    put(&mut boot, 0, &[0xeb, 0x3c, 0x90]);
    put(&mut boot, 11, &512_u16.to_le_bytes());
    put(&mut boot, 13, &[1]);
    put(&mut boot, 14, &reserved.to_le_bytes());
    put(&mut boot, 16, &[2]);
    put(&mut boot, 21, &[0xf8]);
    put(&mut boot, 510, &[0x55, 0xaa]);
    boot
}

fn put(block: &mut [u8; 512], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

impl Card {
    pub fn new(blocks: Blocks) -> Self {
        Self { blocks: RefCell::new(blocks), reads: Cell::new(0) }
    }

    pub fn reads(&self) -> u64 {
        self.reads.get()
    }

    pub fn into_blocks(self) -> Blocks {
        self.blocks.into_inner()
    }
}

impl BlockDevice for &Card {
    type Error = Infallible;

    fn read(&self, blocks: &mut [Block], start: BlockIdx) -> Result<(), Infallible> {
        for (number, block) in (start.0..).zip(blocks) {
            self.reads.set(self.reads.get() + 1);
            let own = self.blocks.borrow();
            assert!(number < own.count, "block {number} of {} is read", own.count);
            block.contents = own.used.get(&number).copied().unwrap_or([0; 512]);
        }
        Ok(())
    }

    fn write(&self, blocks: &[Block], start: BlockIdx) -> Result<(), Infallible> {
        for (number, block) in (start.0..).zip(blocks) {
            let mut own = self.blocks.borrow_mut();
            assert!(number < own.count, "block {number} of {} is written", own.count);
            own.used.insert(number, block.contents);
        }
        Ok(())
    }

    fn num_blocks(&self) -> Result<BlockCount, Infallible> {
        Ok(BlockCount(self.blocks.borrow().count))
    }
}

/// A flash.
pub struct Flash {
    bytes: Vec<u8>,
    reads: Cell<u64>,
}

impl Flash {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, reads: Cell::new(0) }
    }

    pub fn reads(&self) -> u64 {
        self.reads.get()
    }
}

impl ErrorType for &Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for &Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        self.reads.set(self.reads.get() + 1);
        let offset = offset as usize;
        bytes.copy_from_slice(self.bytes.get(offset..offset + bytes.len()).expect("inside of the flash"));
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

/// The log of a metadata block of littlefs, while it is written.
pub struct Log {
    pub bytes: Vec<u8>,
    before: u32,
    sum: u32,
}

impl Log {
    /// An empty one, which is no whole commit.
    pub fn new(revision: u32) -> Self {
        let bytes = revision.to_le_bytes();
        Self { bytes: bytes.to_vec(), before: u32::MAX, sum: checksum(u32::MAX, &bytes) }
    }

    /// Appends a tag and what follows it.
    pub fn push(&mut self, kind: u32, id: u32, contents: &[u8]) -> &mut Self {
        self.push_tag(kind << 20 | id << 10 | u32::try_from(contents.len()).expect("short"), contents)
    }

    /// Ends a commit.
    pub fn commit(&mut self) -> &mut Self {
        let tag = 0x500 << 20 | 0x3ff << 10 | 4;
        self.push_tag(tag, &[]);
        let sum = self.sum;
        self.bytes.extend(sum.to_le_bytes());
        self.sum = u32::MAX;
        self
    }

    fn push_tag(&mut self, tag: u32, contents: &[u8]) -> &mut Self {
        for bytes in [&(tag ^ self.before).to_be_bytes()[..], contents] {
            self.bytes.extend(bytes);
            self.sum = checksum(self.sum, bytes);
        }
        self.before = tag;
        self
    }
}

/// Makes the checksums of a metadata block those of its contents.
pub fn mend(block: &mut [u8]) {
    let (mut offset, mut before) = (4, u32::MAX);
    let mut sum = checksum(u32::MAX, &block[..4]);
    while offset + 8 <= block.len() {
        let tag = u32::from_be_bytes(block[offset..offset + 4].try_into().expect("four bytes")) ^ before;
        let len = if tag & 0x3ff == 0x3ff { 0 } else { tag as usize & 0x3ff };
        if tag >> 31 == 1 || offset + 4 + len > block.len() {
            break;
        }
        sum = checksum(sum, &block[offset..offset + 4]);
        before = tag;
        if (tag >> 20) & 0x780 == 0x500 && len >= 4 {
            block[offset + 4..offset + 8].copy_from_slice(&sum.to_le_bytes());
            sum = u32::MAX;
            before ^= ((tag >> 20) & 1) << 31;
        } else {
            sum = checksum(sum, &block[offset + 4..offset + 4 + len]);
        }
        offset += 4 + len;
    }
}

/// The CRC-32 of littlefs, which is not inverted at the end.
fn checksum(sum: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(sum, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 })
    })
}
