//! The separately compiled driver serves a file.

use coracle_blocking_alone::blocking::{Buffers, NoTimeout, serve};
use coracle_core::{CloseReason, Instant, ServerConfig, ServerSession, StaticFile, StaticStore};
use embedded_io::{ErrorKind, ErrorType, Read, Write};

static FILES: [StaticFile<'static>; 1] = [StaticFile::new("motd", "build-17", b"Mind the step.\n")];

struct Wire {
    input: &'static [u8],
    output: Vec<u8>,
}

impl ErrorType for Wire {
    type Error = ErrorKind;
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        Ok(std::io::Read::read(&mut self.input, buf).expect("a slice"))
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        self.output.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

#[test]
fn serves_on_the_public_interface_alone() {
    let config = ServerConfig::new();
    let mut session = ServerSession::new(&config, [0; 512], Instant::from_millis(0));
    let mut transport = NoTimeout(Wire { input: br#"{"type":"get","fileName":"motd"}"#, output: Vec::new() });
    let buffers = Buffers { receive: &mut [0; 64], send: &mut [0; 256] };
    let mut clock = || Instant::from_millis(0);
    let close = serve(&mut session, &mut transport, &mut StaticStore::new(&FILES), buffers, &mut clock, &mut ());
    assert_eq!(close.why, CloseReason::Done);
    let text = String::from_utf8(transport.0.output).expect("text");
    assert!(text.ends_with("\nMind the step.\n{\"type\":\"end\",\"crc32\":\"e7e0539f\"}\n"), "{text}");
}
