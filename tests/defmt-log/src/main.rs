//! Decodes a firmware's log: `coracle-defmt-log FIRMWARE.elf < frames`.
//!
//! Writes one line for each message, `seconds level text`, as soon as its frame is complete. Bytes that are not a frame are
//! reported and skipped.

use std::io::{self, Read, Write};

use anyhow::{Context, bail};
use defmt_decoder::{DecodeError, Frame, Table};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let (Some(path), None) = (args.next(), args.next()) else {
        bail!("usage: coracle-defmt-log FIRMWARE.elf < frames > text");
    };
    let elf = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let table = Table::parse(&elf)?.with_context(|| format!("{} was built without defmt", path.display()))?;
    let mut decoder = table.new_stream_decoder();
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut buf = [0; 4096];
    loop {
        let len = match input.read(&mut buf) {
            Ok(0) => return Ok(()),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("cannot read the frames"),
        };
        decoder.received(&buf[..len]);
        loop {
            match decoder.decode() {
                Ok(frame) => writeln!(output, "{}", line(&frame))?,
                Err(DecodeError::UnexpectedEof) => break,
                Err(DecodeError::Malformed) => writeln!(output, "(a malformed frame was skipped)")?,
            }
        }
        output.flush()?;
    }
}

fn line(frame: &Frame<'_>) -> String {
    let time = frame.display_timestamp().map(|time| time.to_string()).unwrap_or_default();
    let level = frame.level().map_or("", |level| level.as_str());
    format!("{time:>9} {level:<5} {}", frame.display_message())
}
