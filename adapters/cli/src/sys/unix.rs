//! What Unix systems share.

use std::fs::{DirBuilder, File, FileType, Metadata, OpenOptions};
use std::io;
use std::net::TcpStream;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::system::uname;

/// As many files as macOS lets every process open (setrlimit(2) there).
const OPEN_MAX: u64 = 10_240;

/// Of a file's mode: everybody may write it.
const OTHERS_WRITE: u32 = 0o002;

/// Raises the limit of open files to the maximum that the system allows, and returns it; `None` where there is none.
pub fn raise_descriptor_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // macOS refuses what is over a limit of the whole system's, even where it says that there is no maximum.
    for wanted in [maximum, Some(OPEN_MAX)] {
        let is_more = current.is_some_and(|current| wanted.is_none_or(|wanted| wanted > current));
        if is_more && setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum }).is_ok() {
            return wanted;
        }
    }
    // Where raising is refused, the current limit stays.
    current
}

/// The name of this host, with its domain or without.
pub fn host_name() -> String {
    uname().nodename().to_string_lossy().into_owned()
}

/// The name of the network interface `index`; `None` where it has none, or that cannot be asked.
#[cfg(target_os = "linux")]
pub fn zone_name(index: u32) -> Option<String> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").ok()?;
    rustix::net::netdevice::index_to_name(&socket, index).ok()
}

#[cfg(not(target_os = "linux"))]
pub fn zone_name(_: u32) -> Option<String> {
    None
}

/// Takes what has arrived, without waiting.
pub fn receive_now(stream: &TcpStream, buf: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(stream, buf, RecvFlags::DONTWAIT)?.1)
}

/// The directory of the user's own settings, by the XDG Base Directory Specification; `None` where the environment has none.
pub fn configuration() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))
}

/// Creates a directory, and those above it, for the user alone; it may be there already.
pub fn create_own_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Has the options create a file for its owner alone.
pub fn for_owner(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// Whether everybody may write the file.
pub fn is_writable_by_all(metadata: &Metadata) -> bool {
    metadata.mode() & OTHERS_WRITE != 0
}

/// When the contents were changed last: seconds since 1970 and nanoseconds.
pub fn modified(metadata: &Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}

/// Whether it is a device or a FIFO, to which nothing can be renamed.
pub fn is_device(kind: FileType) -> bool {
    kind.is_char_device() || kind.is_fifo()
}

/// Waits for the exclusive lock of the directory `path`, which is held until what is returned is dropped.
pub fn lock(path: &Path) -> io::Result<File> {
    let directory = File::open(path)?;
    flock(&directory, FlockOperation::LockExclusive)?;
    Ok(directory)
}

/// Takes the exclusive lock of a file; false where another process has it.
pub fn try_lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(false),
        locked => Ok(locked.map(|()| true)?),
    }
}

/// Makes the entries of a directory survive a power cut.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
