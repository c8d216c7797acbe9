//! A card whose blocks come from the register.

use coracle_embedded_sdmmc::{FatStore, FatVolume};
use embedded_sdmmc_types::{Block, BlockCount, BlockDevice, BlockIdx};

use crate::board;

pub fn open() -> Option<FatStore<Card>> {
    let volume = FatVolume::new(Card).ok()?;
    #[cfg(feature = "fat-put")]
    return FatStore::writable(volume, board::input()).ok();
    #[cfg(not(feature = "fat-put"))]
    Some(FatStore::new(volume))
}

pub struct Card;

impl BlockDevice for Card {
    type Error = core::fmt::Error;

    fn read(&self, blocks: &mut [Block], start: BlockIdx) -> Result<(), core::fmt::Error> {
        board::output(start.0);
        for block in blocks {
            board::receive(&mut block.contents);
        }
        if board::input() == 0 { Err(core::fmt::Error) } else { Ok(()) }
    }

    fn write(&self, blocks: &[Block], start: BlockIdx) -> Result<(), core::fmt::Error> {
        board::output(start.0);
        for block in blocks {
            board::send(&block.contents);
        }
        if board::input() == 0 { Err(core::fmt::Error) } else { Ok(()) }
    }

    fn num_blocks(&self) -> Result<BlockCount, core::fmt::Error> {
        Ok(BlockCount(board::input()))
    }
}
