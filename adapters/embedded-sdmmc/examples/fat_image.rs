//! Serves the FAT volume of an image, or of a card in a reader of this PC, as a board would: to one client at a time.
//!
//!     cargo run -p coracle-embedded-sdmmc --example fat_image -- card.img 127.0.0.1:8888 &
//!     coracle get -r 127.0.0.1

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::time::Instant as Time;

use coracle_core::blocking::{Buffers, NoTimeout, serve};
use coracle_core::{Instant, ServerConfig, ServerSession};
use coracle_embedded_sdmmc::{FatStore, FatVolume};
use embedded_io_adapters::std::FromStd;
use embedded_sdmmc_types::{Block, BlockCount, BlockDevice, BlockIdx};

static CONFIG: ServerConfig<'static> = ServerConfig::new();

/// An image as a card. On a board this is the driver of the card's slot.
struct Card(File);

impl BlockDevice for Card {
    type Error = io::Error;

    fn read(&self, blocks: &mut [Block], start: BlockIdx) -> io::Result<()> {
        let mut places = blocks.iter_mut().zip((start.into_bytes()..).step_by(512));
        places.try_for_each(|(block, place)| self.0.read_exact_at(&mut block.contents, place))
    }

    fn write(&self, blocks: &[Block], start: BlockIdx) -> io::Result<()> {
        let mut places = blocks.iter().zip((start.into_bytes()..).step_by(512));
        places.try_for_each(|(block, place)| self.0.write_all_at(&block.contents, place))
    }

    fn num_blocks(&self) -> io::Result<BlockCount> {
        Ok(BlockCount(u32::try_from(self.0.metadata()?.len() / 512).unwrap_or(u32::MAX)))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("usage: fat_image IMAGE ADDRESS:PORT".into());
    };
    let mut store = FatStore::new(FatVolume::new(Card(File::open(path)?))?);
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    let start = Time::now();
    let mut clock = || Instant::from_millis(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
    loop {
        let (stream, _) = listener.accept()?;
        let mut session = ServerSession::new(&CONFIG, [0; 512], clock());
        let (mut receive, mut send) = ([0; 512], [0; 4_096]);
        let buffers = Buffers { receive: &mut receive, send: &mut send };
        serve(&mut session, &mut NoTimeout(FromStd::new(stream)), &mut store, buffers, &mut clock, &mut ());
    }
}
