//! Serves the littlefs volume of a file, such as a dump of a board's flash, as the board would: to one client at a time.
//!
//!     cargo run -p coracle-littlefs --example littlefs_image -- flash.img 4096 127.0.0.1:8888 &
//!     coracle get -r 127.0.0.1

use std::{fs::File, net::TcpListener, os::unix::fs::FileExt, time::Instant as Time};

use coracle_core::blocking::{Buffers, NoTimeout, serve};
use coracle_core::{Instant, ServerConfig, ServerSession};
use coracle_littlefs::{LittleStore, LittleVolume};
use embedded_io_adapters::std::FromStd;
use embedded_storage::nor_flash::{ErrorType, NorFlashErrorKind, ReadNorFlash};

static CONFIG: ServerConfig<'static> = ServerConfig::new();

/// A file as a flash. On a board this is the driver of its flash.
struct Flash {
    file: File,
    len: usize,
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        self.file.read_exact_at(bytes, offset.into()).map_err(|_| NorFlashErrorKind::Other)
    }

    fn capacity(&self) -> usize {
        self.len
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().ok_or("usage: littlefs_image IMAGE BLOCK_LEN ADDRESS:PORT");
    let file = File::open(argument()?)?;
    let len = usize::try_from(file.metadata()?.len())?;
    let mut store = LittleStore::new(LittleVolume::new(Flash { file, len }, argument()?.parse()?)?);
    let listener = TcpListener::bind(argument()?)?;
    println!("listening on {}", listener.local_addr()?);
    let start = Time::now();
    let mut clock = || Instant::from_millis(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
    loop {
        let mut transport = NoTimeout(FromStd::new(listener.accept()?.0));
        let mut session = ServerSession::new(&CONFIG, [0; 1_024], clock());
        let buffers = Buffers { receive: &mut [0; 512], send: &mut [0; 4_096] };
        serve(&mut session, &mut transport, &mut store, buffers, &mut clock, &mut ());
    }
}
