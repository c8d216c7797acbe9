//! The system calls that no server can leave out, and nothing else.
//!
//! It takes any arrival for a request, answers in the bytes that the protocol asks for, which it has put together before,
//! and makes a thread only where none waits in `accept`. They run under `SCHED_BATCH`, which costs the fewest switches between
//! threads (`works.py` starts it so). A small file is asked for, looked at and sent in one loop
//! without a function around the system calls: returning from one would cost more than the calls' own work
//! (`Transport` in core/src/drive tells why).

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
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, StatxFlags, fstat, open, statx};
use rustix::net::sockopt::set_tcp_cork;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::pipe::{SpliceFlags, fcntl_setpipe_size, pipe, splice};
use serde_json::{Value, json};

use crate::dialect::{SENTENCE, TEXT};

/// As much as a pipe may hold where nobody changed that.
const PIPE_LEN: usize = 1 << 20;

/// Threads that wait in `accept`. They are as many as were needed at once, as any server's: the kernel leaves a thread where it
/// ran last, and of a hundred that take turns most would stand where no client has been yet.
static WAITING: AtomicUsize = AtomicUsize::new(1);

/// How a body leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// `splice` through a pipe.
    Splice,
    /// The same, and its bytes read and hashed.
    Hashed,
    /// A small file that is in memory already: the kernel is asked whether it has changed, and it is sent together with
    /// what stands around it.
    Ask,
}

/// Serves until it is ended.
pub fn serve(path: &Path, way: Way) -> Result<Value, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    // Who is accepted inherits it.
    socket2::SockRef::from(&listener).set_tcp_nodelay(true).map_err(|error| error.to_string())?;
    println!("listening on {}", listener.local_addr().map_err(|error| error.to_string())?);
    let small = match way {
        Way::Ask => Some(Small::read(path).map_err(|error| error.to_string())?),
        Way::Splice | Way::Hashed => None,
    };
    thread::scope(|scope| work(scope, &listener, path, way, small.as_ref()));
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

fn work<'s>(scope: &'s Scope<'s, '_>, listener: &'s TcpListener, path: &'s Path, way: Way, small: Option<&'s Small>) {
    while let Ok((socket, _)) = listener.accept() {
        if WAITING.fetch_sub(1, Ordering::Relaxed) == 1 {
            WAITING.fetch_add(1, Ordering::Relaxed);
            scope.spawn(move || work(scope, listener, path, way, small));
        }
        if let Err(error) = visit(socket, path, way, small)
            && error.kind() != std::io::ErrorKind::ConnectionReset
        {
            eprintln!("bench-client floor: {error}");
        }
        WAITING.fetch_add(1, Ordering::Relaxed);
    }
}

fn visit(mut socket: TcpStream, path: &Path, way: Way, small: Option<&Small>) -> std::io::Result<()> {
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
        if let Some(small) = small {
            let answer = small.answer()?;
            if send(&socket, answer, SendFlags::NOSIGNAL)? != answer.len() {
                return Err(std::io::Error::other("a send buffer without room for a small file"));
            }
            continue;
        }
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let head = head(size);
        send(&socket, head.as_bytes(), SendFlags::NOSIGNAL | SendFlags::MORE)?;
        set_tcp_cork(&socket, true)?;
        let (out, into) = pipe()?;
        fcntl_setpipe_size(&into, PIPE_LEN)?;
        let mut hasher = crc32fast::Hasher::new();
        let mut offset = 0;
        while offset < size {
            let mut place = offset;
            let mut held = splice(&file, Some(&mut offset), &into, None, PIPE_LEN, SpliceFlags::empty())?;
            while held > 0 {
                held -= splice(&out, None, &socket, None, held, SpliceFlags::MORE)?;
            }
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
        set_tcp_cork(&socket, false)?;
    }
}

/// A small file that is in memory.
struct Small {
    file: File,
    changed: (i64, u64),
    answer: Vec<u8>,
}

impl Small {
    fn read(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let contents = std::fs::read(path)?;
        let answer = [head(contents.len() as u64).as_bytes(), &contents, END].concat();
        Ok(Self { changed: changed(&file)?, file, answer })
    }

    /// What answers for it, if it has not changed.
    #[inline(always)]
    fn answer(&self) -> std::io::Result<&[u8]> {
        if changed(&self.file)? == self.changed {
            Ok(&self.answer)
        } else {
            Err(std::io::Error::other("the file has changed"))
        }
    }
}

#[inline(always)]
fn changed(file: &File) -> std::io::Result<(i64, u64)> {
    let now = fstat(file)?;
    Ok((now.st_ctime, now.st_ctime_nsec))
}

/// The header of a file that is fetched from its beginning to its end, with a version and a time as long as real ones.
fn head(size: u64) -> String {
    const CHUNK: u64 = 65_536;
    let header = json!({
        "type": "file", "fileName": "small.bin", "fileSize": size, "offset": 0, "length": size, "chunkSize": CHUNK,
        "readCnt": size.div_ceil(CHUNK), "lastSize": size % CHUNK, "version": "0".repeat(32), "digest": "none",
        "modified": 1_700_000_000,
    });
    format!("{header}\n")
}

const END: &[u8] = b"{\"type\":\"end\"}\n";
