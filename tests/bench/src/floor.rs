//! What no server can beat: the system calls that cannot be left out, and nothing else.
//!
//! It takes any arrival for a request, answers in as few bytes as the client can read, and keeps its threads waiting in
//! `accept`, so that it never makes one.

use std::fs::File;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::Instant;

use clap::ValueEnum;
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, StatxFlags, open, sendfile, statx};
use rustix::net::{SendFlags, send};
use serde_json::{Value, json};

use crate::dialect::{SENTENCE, TEXT};

const THREADS: usize = 128;

/// How a body leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// `sendfile`.
    Sendfile,
    /// `sendfile`, and the same bytes read and hashed.
    Hashed,
    /// Read and sent together with what stands around it.
    Read,
}

/// Serves until it is ended.
pub fn serve(path: &Path, way: Way) -> Result<Value, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    println!("listening on {}", listener.local_addr().map_err(|error| error.to_string())?);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Ok((socket, _)) = listener.accept() {
                    if let Err(error) = visit(socket, path, way)
                        && error.kind() != std::io::ErrorKind::ConnectionReset
                    {
                        eprintln!("bench-client floor: {error}");
                    }
                }
            });
        }
    });
    Err("no client could be accepted".to_owned())
}

/// Reads a directory with the size of each entry, and says how long it took.
pub fn list(directory: &Path) -> Result<Value, String> {
    let started = Instant::now();
    let fault = |error: rustix::io::Errno| error.to_string();
    let directory = open(directory, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).map_err(fault)?;
    let mut buf = vec![MaybeUninit::uninit(); 32 * 1024];
    let mut entries = RawDir::new(&directory, &mut buf);
    let (mut count, mut size) = (0_u64, 0);
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(fault)?;
        let wanted = StatxFlags::SIZE | StatxFlags::MTIME;
        size += statx(&directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW, wanted).map_err(fault)?.stx_size;
        count += 1;
    }
    Ok(json!({ "seconds": started.elapsed().as_secs_f64(), "count": count, "size": size }))
}

fn visit(mut socket: TcpStream, path: &Path, way: Way) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buf = vec![0; 64 * 1024];
    loop {
        let len = socket.read(&mut buf)?;
        if len == 0 {
            return Ok(());
        }
        if buf.starts_with(TEXT) {
            socket.write_all(SENTENCE)?;
            continue;
        }
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let head = format!("{{\"length\":{size}}}\n");
        if way == Way::Read {
            let mut len = head.len();
            buf[..len].copy_from_slice(head.as_bytes());
            len += file.read_at(&mut buf[len..], 0)?;
            buf[len..len + END.len()].copy_from_slice(END);
            socket.write_all(&buf[..len + END.len()])?;
            continue;
        }
        send(&socket, head.as_bytes(), SendFlags::NOSIGNAL | SendFlags::MORE)?;
        let mut hasher = crc32fast::Hasher::new();
        let mut offset = 0;
        while offset < size {
            let start = offset;
            sendfile(&socket, &file, Some(&mut offset), 1 << 20)?;
            let mut place = start;
            while way == Way::Hashed && place < offset {
                let most = usize::try_from(offset - place).unwrap_or(usize::MAX).min(buf.len());
                let len = file.read_at(&mut buf[..most], place)?;
                hasher.update(&buf[..len]);
                place += len as u64;
            }
        }
        match way {
            Way::Hashed => writeln!(socket, r#"{{"type":"end","crc32":"{:08x}"}}"#, hasher.finalize())?,
            _ => socket.write_all(END)?,
        }
    }
}

const END: &[u8] = b"{\"type\":\"end\"}\n";
