//! Files by their paths, and what this process is told about its machine, where the standard library is enough for it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::SystemDirectory;

/// A socket: not every system can poll anything else.
pub(crate) type WakeReader = TcpStream;
pub(crate) type WakeWriter = TcpStream;

/// A reader that can be polled beside sockets, and what it reads from.
pub(crate) fn wake_pipe() -> io::Result<(WakeReader, WakeWriter)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let writer = TcpStream::connect(listener.local_addr()?)?;
    let ours = writer.local_addr()?;
    loop {
        // Any program of this machine can connect.
        let (reader, peer) = listener.accept()?;
        if peer == ours {
            writer.set_nodelay(true)?;
            return Ok((reader, writer));
        }
    }
}

/// A new file gets the rights that its directory gives: that of a user's own directory is for the user alone.
pub(crate) fn for_owner(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Nothing has to be waited for here.
#[cfg(feature = "channel")]
pub(crate) fn without_waiting(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// No permission bits.
#[cfg(feature = "channel")]
pub(crate) fn mode(_: &fs::Metadata) -> Option<u32> {
    None
}

/// The beginning of a name, whose length in bytes is `len` at most.
pub(crate) fn beginning(name: &OsStr, len: usize) -> OsString {
    let name = name.to_string_lossy();
    let end = (0..=len.min(name.len())).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    OsString::from(&name[..end])
}

/// Time since the first call.
pub(crate) fn monotonic() -> Duration {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed()
}

/// Does nothing: the system begins by itself.
pub(crate) fn begin_to_write_out(_: &File, _: u64, _: u64) {}

/// Does nothing: room is taken as it is written.
pub(crate) fn reserve(_: &File, _: u64) -> io::Result<()> {
    Ok(())
}

/// Whether an error means that no room is left: on the file system, in the quota, or in the largest possible file.
pub(crate) fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// Whether an error means that nothing can be written here.
pub(crate) fn is_read_only(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ReadOnlyFilesystem
}

/// Whether the file `name` may be written as far as its attributes say, or nothing has that name.
pub(crate) fn may_write(directory: &SystemDirectory, name: &OsStr) -> bool {
    match fs::symlink_metadata(directory.path().join(name)) {
        Ok(metadata) => !metadata.permissions().readonly(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}
