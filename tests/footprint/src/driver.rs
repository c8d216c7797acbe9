//! The blocking driver, with the register as its transport, and files in flash or on a volume.

#[cfg(not(feature = "fat-put"))]
use coracle_core::blocking::serve;
#[cfg(feature = "fat-put")]
use coracle_core::blocking::serve_writable as serve;
use coracle_core::blocking::{Buffers, NoTimeout};
use coracle_core::{Instant, ServerConfig, ServerSession};
use embedded_io::{ErrorKind, ErrorType, Read, Write};

use crate::board;
#[cfg(feature = "fat")]
use crate::card::open;
#[cfg(feature = "littlefs")]
use crate::flash::open;

#[cfg(not(any(feature = "fat", feature = "littlefs")))]
fn open() -> Option<coracle_core::StaticStore<'static>> {
    use coracle_core::{StaticFile, StaticStore};
    static FILES: [StaticFile<'static>; 1] = [StaticFile::new("motd", "build-17", b"Mind the step.\n")];
    Some(StaticStore::new(&FILES))
}

pub fn run() {
    let Some(mut store) = open() else { return };
    let config = ServerConfig::new();
    #[cfg(feature = "fat-put")]
    let config = config.with_offered(coracle_core::RequestKind::Put).with_offered(coracle_core::RequestKind::Delete);
    let mut clock = || Instant::from_millis(u64::from(board::input()));
    let mut session = ServerSession::new(&config, [0; 512], Instant::from_millis(0));
    let mut transport = NoTimeout(Register);
    let (mut receive, mut send) = ([0; 256], [0; 256]);
    let scratch = Buffers { receive: &mut receive, send: &mut send };
    let close = serve(&mut session, &mut transport, &mut store, scratch, &mut clock, &mut ());
    board::output(close.how as u32);
}

struct Register;

impl ErrorType for Register {
    type Error = ErrorKind;
}

impl Read for Register {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        fail()?;
        Ok(board::receive(buf).len())
    }
}

impl Write for Register {
    fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        fail()?;
        Ok(board::send(buf))
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        fail()
    }
}

fn fail() -> Result<(), ErrorKind> {
    match board::input() {
        0 => Err(ErrorKind::Interrupted),
        1 => Err(ErrorKind::TimedOut),
        2 => Err(ErrorKind::Other),
        _ => Ok(()),
    }
}
