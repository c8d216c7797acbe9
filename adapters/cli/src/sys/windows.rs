//! What Windows has, but for signals, the terminal and directories.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use fs4::fs_std::FileExt;

/// Of the file that stands for the lock of a directory.
const LOCK: &str = ".lock";

/// Windows has no such limit.
pub fn raise_descriptor_limit() -> Option<u64> {
    None
}

/// The name of this host.
pub fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

/// Zones are numbers here.
pub fn zone_name(_: u32) -> Option<String> {
    None
}

/// The standard library reports what cannot be written.
#[allow(clippy::unnecessary_wraps, reason = "other systems have to look")]
pub fn check_standard_output() -> io::Result<()> {
    Ok(())
}

/// Takes what has arrived, without waiting.
pub fn receive_now(stream: &TcpStream, buf: &mut [u8]) -> io::Result<usize> {
    stream.set_nonblocking(true)?;
    let received = (&*stream).read(buf);
    stream.set_nonblocking(false)?;
    received
}

/// The directory of the user's own settings; `None` where the environment has none.
pub fn configuration() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CONFIG_HOME").or_else(|| absolute("APPDATA"))
}

/// Creates a directory, and those above it; it may be there already. That of the settings is for the user alone.
pub fn create_own_directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// A new file gets the access control list of its directory.
pub fn for_owner(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Who may write a file stands in lists that are not looked at.
pub fn is_writable_by_all(_: &Metadata) -> bool {
    false
}

/// When the contents were changed last: seconds since 1970 and nanoseconds.
pub fn modified(metadata: &Metadata) -> (i64, i64) {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), i64::from(since.subsec_nanos()))
}

/// Whether it is no file or directory, such as a named pipe, to which nothing can be renamed.
pub fn is_device(kind: FileType) -> bool {
    !kind.is_file() && !kind.is_dir() && !kind.is_symlink()
}

/// Waits for the exclusive lock of the directory `path`, which is held until what is returned is dropped.
pub fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path.join(LOCK))?;
    file.lock_exclusive()?;
    Ok(file)
}

/// Takes the exclusive lock of a file; false where another process has it.
pub fn try_lock(file: &File) -> io::Result<bool> {
    file.try_lock_exclusive()
}

/// Does nothing: the names that a file system has given are in its journal.
#[allow(clippy::unnecessary_wraps, reason = "other systems make a call for it")]
pub fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}
