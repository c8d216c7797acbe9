//! The blocking drivers, over a transport that does anything.

use core::hint::black_box;

use coracle_core::drive::{Plain, Scratch, serve};
use coracle_core::{Close, Instant, ServerSession, StaticStore};
use embedded_io::{ErrorKind, ErrorType, Read, Write};

use crate::entries;

struct Anything;

impl ErrorType for Anything {
    type Error = ErrorKind;
}

impl Read for Anything {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        black_box(buf);
        black_box(Ok(0))
    }
}

impl Write for Anything {
    fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        black_box(buf);
        black_box(Ok(0))
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        black_box(Ok(()))
    }
}

entries! {
    fn drive_serve(
        session: &mut ServerSession<'static, [u8; 512]>,
        store: &mut StaticStore<'static>,
        receive: &mut [u8],
        send: &mut [u8],
    ) -> Close {
        let mut clock = || Instant::from_millis(black_box(0));
        serve(session, &mut Plain(Anything), store, Scratch { receive, send }, &mut clock, &mut ())
    }
}
