//! Serves the FAT volume of an image, or of a card in a reader of this PC, as a board would: to one client at a time.
//!
//!     cargo run -p coracle-embedded-sdmmc --example fat_image -- card.img 127.0.0.1:8888 &
//!     coracle get -r 127.0.0.1

use std::{fs::File, io, net::TcpListener, os::unix::fs::FileExt, time::Instant as Time};

use coracle_core::blocking::{Buffers, NoTimeout, serve_writable};
use coracle_core::{Instant, RequestKind, ServerConfig, ServerSession};
use coracle_embedded_sdmmc::{FatStore, FatVolume};
use embedded_io_adapters::std::FromStd;
use embedded_sdmmc_types::{Block, BlockCount, BlockDevice, BlockIdx};

static CONFIG: ServerConfig<'static> = ServerConfig::new()
    .with_offered(RequestKind::Put)
    .with_offered(RequestKind::Delete)
    .with_offered(RequestKind::Rename)
    .with_offered(RequestKind::MakeDir)
    .with_offered(RequestKind::Space);

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
    let usage = "usage: fat_image IMAGE ADDRESS:PORT";
    let card = Card(File::options().read(true).write(true).open(arguments.next().ok_or(usage)?)?);
    // A board counts its starts instead.
    let mut store = FatStore::writable(FatVolume::new(card)?, std::process::id())?;
    let listener = TcpListener::bind(arguments.next().ok_or(usage)?)?;
    println!("listening on {}", listener.local_addr()?);
    let start = Time::now();
    let mut clock = || Instant::from_millis(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
    loop {
        let mut transport = NoTimeout(FromStd::new(listener.accept()?.0));
        let mut session = ServerSession::new(&CONFIG, [0; 1_024], clock());
        let buffers = Buffers { receive: &mut [0; 512], send: &mut [0; 4_096] };
        serve_writable(&mut session, &mut transport, &mut store, buffers, &mut clock, &mut ());
    }
}
