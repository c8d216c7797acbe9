//! The awaited driver, with the register as its stream and files in flash.

use core::future::poll_fn;
use core::task::Poll;

use coracle_core::{Instant, ServerConfig, ServerSession, StaticFile, StaticStore};
use coracle_embassy::{Buffers, Clock, Stream, serve};
use embassy_futures::block_on;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};

use crate::board;

static FILES: [StaticFile<'static>; 1] = [StaticFile::new("motd", "build-17", b"Mind the step.\n")];

pub fn run() {
    let config = ServerConfig::new();
    let mut session = ServerSession::new(&config, [0; 512], Instant::from_millis(0));
    let (mut stream, mut store) = (Stream(Register), StaticStore::new(&FILES));
    let (mut receive, mut send) = ([0; 64], [0; 256]);
    let buffers = Buffers { receive: &mut receive, send: &mut send };
    let close = block_on(serve(&mut session, &mut stream, &mut store, buffers, &Counter, &mut ()));
    board::output(close.how as u32);
}

struct Counter;

impl Clock for Counter {
    fn now(&self) -> Instant {
        Instant::from_millis(u64::from(board::input()))
    }

    async fn sleep_until(&self, when: Instant) {
        poll_fn(|_| if self.now() >= when { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

struct Register;

impl ErrorType for Register {
    type Error = ErrorKind;
}

impl Read for Register {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        ready().await?;
        Ok(board::receive(buf).len())
    }
}

impl Write for Register {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        ready().await?;
        Ok(board::send(buf))
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        ready().await
    }
}

async fn ready() -> Result<(), ErrorKind> {
    poll_fn(|_| match board::input() {
        0 => Poll::Ready(Err(ErrorKind::Interrupted)),
        1 => Poll::Ready(Err(ErrorKind::Other)),
        2 => Poll::Pending,
        _ => Poll::Ready(Ok(())),
    })
    .await
}
