//! One client that fetches one large file or listing, or reads a file.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::time::Instant;

use memchr::memmem;
use rustix::pipe::{SpliceFlags, fcntl_setpipe_size, pipe, splice};
use serde_json::{Value, json};

use crate::dialect::{check_trailer, is_trailer};
use crate::meter::Meter;
use crate::{LargeFile, Server, Sink};

const BUF_LEN: usize = 256 * 1024;

/// Fetches a file.
pub fn fetch(server: &Server, file: &LargeFile, sink: Sink) -> Result<Value, String> {
    let &LargeFile { ref name, size, crc32 } = file;
    let mut buf = vec![0; BUF_LEN];
    let mut pipes = Pipes::new().map_err(|error| error.to_string())?;
    let meter = Meter::start(&server.pid)?;
    let mut socket = TcpStream::connect(server.address).map_err(|error| format!("connecting: {error}"))?;
    socket.write_all(&server.dialect.ask(name, true)).map_err(|error| format!("asking: {error}"))?;

    let mut len = 0;
    let head = loop {
        if let Some(head) = server.dialect.head(&buf[..len])? {
            break head;
        }
        // In small reads, so that the body is left for the sink.
        let bite = (len + 4096).min(BUF_LEN);
        len += read(&mut socket, &mut buf[len..bite])?;
    };
    if head.body_len != size {
        return Err(format!("a body of {} bytes instead of {size}", head.body_len));
    }
    let mut hasher = crc32fast::Hasher::new();
    let early = (len - head.len).min(usize::try_from(size).unwrap_or(usize::MAX));
    if sink == Sink::Check {
        hasher.update(&buf[head.len..head.len + early]);
    }
    let mut trailer = buf[head.len + early..len].to_vec();
    let mut rest = size - early as u64;
    while rest > 0 {
        let most = usize::try_from(rest).unwrap_or(usize::MAX).min(BUF_LEN);
        rest -= match sink {
            Sink::Splice => pipes.drop_from(&socket, most)?,
            Sink::Drop => read(&mut socket, &mut buf[..most])?,
            Sink::Check => {
                let len = read(&mut socket, &mut buf[..most])?;
                hasher.update(&buf[..len]);
                len
            }
        } as u64;
    }
    let wanted = server.dialect.trailer(crc32);
    while !is_trailer(&trailer, &wanted) {
        let len = read(&mut socket, &mut buf[..4096])?;
        trailer.extend_from_slice(&buf[..len]);
    }
    check_trailer(&trailer, &wanted)?;
    let seconds = meter.seconds();
    // The server may notice only now that the client is done; its work after that is measured, too.
    drop(socket);
    if sink == Sink::Check && hasher.finalize() != crc32 {
        return Err("the body is wrong".to_owned());
    }
    Ok(json!({ "seconds": seconds, "bytes": size, "cpu_seconds": meter.busy()? }))
}

/// Reads a listing to the end of the connection and counts its entries.
pub fn list(server: &Server, name: &str, marker: &str, count: usize) -> Result<Value, String> {
    let mut all = vec![1; 64 << 20];
    let mut len = 0;
    let meter = Meter::start(&server.pid)?;
    let mut socket = TcpStream::connect(server.address).map_err(|error| format!("connecting: {error}"))?;
    socket.write_all(&server.dialect.ask_list(name)).map_err(|error| format!("asking: {error}"))?;
    if server.dialect != crate::Dialect::Http {
        socket.shutdown(Shutdown::Write).map_err(|error| format!("asking: {error}"))?;
    }
    loop {
        match socket.read(&mut all[len..]).map_err(|error| format!("reading: {error}"))? {
            0 if len == all.len() => return Err("a listing of more than 64 MiB".to_owned()),
            0 => break,
            more => len += more,
        }
    }
    let (seconds, busy) = (meter.seconds(), meter.busy()?);
    let found = memmem::find_iter(&all[..len], marker.as_bytes()).count();
    if found != count {
        return Err(format!("{found} entries instead of {count}"));
    }
    Ok(json!({ "seconds": seconds, "bytes": len, "cpu_seconds": busy }))
}

/// Reads the first `length` bytes of a file of this machine, in pieces as large as those of the network.
pub fn read_file(path: &Path, length: u64) -> Result<Value, String> {
    let fault = |error: std::io::Error| format!("{}: {error}", path.display());
    let started = Instant::now();
    let mut file = File::open(path).map_err(fault)?.take(length);
    let mut buf = vec![0; BUF_LEN];
    let mut left = length;
    while left > 0 {
        match file.read(&mut buf).map_err(fault)? {
            0 => return Err(format!("{}: {left} bytes too few", path.display())),
            len => left -= len as u64,
        }
    }
    Ok(json!({ "seconds": started.elapsed().as_secs_f64(), "bytes": length }))
}

struct Pipes {
    out: std::os::fd::OwnedFd,
    into: std::os::fd::OwnedFd,
    null: File,
}

impl Pipes {
    fn new() -> std::io::Result<Self> {
        let (out, into) = pipe()?;
        fcntl_setpipe_size(&into, 1 << 20)?;
        Ok(Self { out, into, null: OpenOptions::new().write(true).open("/dev/null")? })
    }

    fn drop_from(&mut self, socket: &TcpStream, most: usize) -> Result<usize, String> {
        let splicing = |error| format!("splicing: {error}");
        let len = splice(socket, None, &self.into, None, most, SpliceFlags::MOVE).map_err(splicing)?;
        if len == 0 {
            return Err("the connection ended inside the body".to_owned());
        }
        let mut rest = len;
        while rest > 0 {
            rest -= splice(&self.out, None, &self.null, None, rest, SpliceFlags::MOVE).map_err(splicing)?;
        }
        Ok(len)
    }
}

fn read(socket: &mut TcpStream, buf: &mut [u8]) -> Result<usize, String> {
    match socket.read(buf).map_err(|error| format!("reading: {error}"))? {
        0 => Err("the connection ended early".to_owned()),
        len => Ok(len),
    }
}
