//! Lower bound for any server with a thread for each client: serves one file with the fewest system calls.
//!
//! Any arrival counts as a request, the header is built in advance, and a thread is spawned only where none waits in `accept`.

use std::fs::File;
use std::io::Write;
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Scope};
use std::time::Instant;

use clap::ValueEnum;
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, StatxFlags, open, sendfile, statx};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use serde_json::{Value, json};

use crate::dialect::{SENTENCE, TEXT};

/// The maximum that one `sendfile` sends, in bytes.
const SEND_MAX: usize = 1 << 20;

/// Number of threads that wait in `accept`.
static WAITING: AtomicUsize = AtomicUsize::new(1);

/// How a body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// By `sendfile`.
    Sendfile,
    /// The same, and its bytes are also read and hashed.
    Hashed,
}

/// Serves until it is killed.
pub fn serve(path: &Path, way: Way) -> Result<Value, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    // Accepted sockets inherit it.
    socket2::SockRef::from(&listener).set_tcp_nodelay(true).map_err(|error| error.to_string())?;
    println!("listening on {}", listener.local_addr().map_err(|error| error.to_string())?);
    thread::scope(|scope| accept(scope, &listener, path, way));
    Err("no client could be accepted".to_owned())
}

/// Reads a directory with the size of each entry, and reports the time.
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

fn accept<'s>(scope: &'s Scope<'s, '_>, listener: &'s TcpListener, path: &'s Path, way: Way) {
    while let Ok((socket, _)) = listener.accept() {
        if WAITING.fetch_sub(1, Ordering::Relaxed) == 1 {
            WAITING.fetch_add(1, Ordering::Relaxed);
            scope.spawn(move || accept(scope, listener, path, way));
        }
        if let Err(error) = serve_connection(socket, path, way)
            && error.kind() != std::io::ErrorKind::ConnectionReset
        {
            eprintln!("bench-client floor: {error}");
        }
        WAITING.fetch_add(1, Ordering::Relaxed);
    }
}

fn serve_connection(mut socket: TcpStream, path: &Path, way: Way) -> std::io::Result<()> {
    let mut buf = vec![0; 64 * 1024];
    loop {
        let (len, _) = recv(&socket, &mut buf, RecvFlags::empty())?;
        if len == 0 {
            return Ok(());
        }
        if buf.starts_with(TEXT) {
            socket.write_all(SENTENCE)?;
            continue;
        }
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        send(&socket, head(size).as_bytes(), SendFlags::NOSIGNAL | SendFlags::MORE)?;
        let mut hasher = crc32fast::Hasher::new();
        let mut offset = 0;
        while offset < size {
            let mut start = offset;
            if sendfile(&socket, &file, Some(&mut offset), SEND_MAX)? == 0 {
                return Err(std::io::Error::other("the file got shorter"));
            }
            while way == Way::Hashed && start < offset {
                let most = usize::try_from(offset - start).unwrap_or(usize::MAX).min(buf.len());
                let len = file.read_at(&mut buf[..most], start)?;
                hasher.update(&buf[..len]);
                start += len as u64;
            }
        }
        match way {
            Way::Hashed => writeln!(socket, r#"{{"type":"end","crc32":"{:08x}"}}"#, hasher.finalize())?,
            Way::Sendfile => socket.write_all(b"{\"type\":\"end\"}\n")?,
        }
    }
}

/// The header of a whole file, with a version and a time as long as real ones.
fn head(size: u64) -> String {
    const CHUNK: u64 = 65_536;
    let header = json!({
        "type": "file", "fileName": "small.bin", "fileSize": size, "offset": 0, "length": size, "chunkSize": CHUNK,
        "readCnt": size.div_ceil(CHUNK), "lastSize": size % CHUNK, "version": "0".repeat(32), "digest": "none",
        "modified": 1_700_000_000,
    });
    format!("{header}\n")
}
