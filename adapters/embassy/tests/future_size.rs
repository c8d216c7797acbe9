//! How much memory a task needs beside its session and its buffers.

use coracle_core::{FileInfo, Instant, ServerConfig, ServerSession, StaticStore};
use coracle_embassy::{Buffers, Clock, Stream, serve};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};

/// The most on a board, in bytes, where pointers have 64 bits.
const LIMIT: usize = 640;
/// What is known of a file there. These tests are built with the core of a server on a PC, which knows more; a task holds it twice.
const FILE_INFO_LEN: usize = 104;

struct Wire;

impl ErrorType for Wire {
    type Error = ErrorKind;
}

impl Read for Wire {
    async fn read(&mut self, _: &mut [u8]) -> Result<usize, ErrorKind> {
        Ok(0)
    }
}

impl Write for Wire {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        Ok(buf.len())
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// With a timer as large as that of `embassy-time`.
struct Timed;

impl Clock for Timed {
    fn now(&self) -> Instant {
        Instant::from_millis(0)
    }

    async fn sleep_until(&self, when: Instant) {
        let timer = (when, false);
        std::future::pending::<()>().await;
        assert!(!timer.1, "it is pending");
    }
}

#[test]
fn of_a_session_over_a_stream() {
    let config = ServerConfig::new();
    let mut session = ServerSession::new(&config, [0; 512], Instant::from_millis(0));
    let (mut transport, mut store) = (Stream(Wire), StaticStore::new(&[]));
    let buffers = Buffers { receive: &mut [0; 64], send: &mut [0; 256] };
    let mut observer = ();
    let serving = serve(&mut session, &mut transport, &mut store, buffers, &Timed, &mut observer);
    let size = size_of_val(&serving);
    println!("{size} bytes");
    let more = 2 * (size_of::<FileInfo>() - FILE_INFO_LEN);
    assert!(size <= LIMIT + more, "{size} bytes");
}
