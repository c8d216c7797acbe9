//! Files by their paths, and what this process is told about its machine, as Unix systems have them.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
pub(crate) use std::io::{PipeReader as WakeReader, PipeWriter as WakeWriter};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::system::uname;

use super::types::FileStamp;
use super::{rename_no_replace, sync_file};

/// A reader that can be polled beside sockets, and what it reads from.
pub(crate) fn wake_pipe() -> io::Result<(WakeReader, WakeWriter)> {
    io::pipe()
}

/// Has the options open a file without waiting, for the other end of a FIFO for example.
pub(crate) fn without_waiting(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags(OFlags::NONBLOCK.bits().cast_signed())
}

/// The same, and no symbolic link is followed at the end of the path.
pub(crate) fn without_links(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
}

/// Has the options create a file for its owner alone.
pub(crate) fn for_owner(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// The permission bits of a file; `None` where the system has others.
#[cfg(feature = "channel")]
#[allow(clippy::unnecessary_wraps, reason = "not every system has them")]
pub(crate) fn mode(metadata: &Metadata) -> Option<u32> {
    Some(metadata.mode())
}

/// The stamp of the file `path`, links followed, and its mode.
#[cfg(feature = "channel")]
pub(crate) fn path_stamp(path: &Path) -> io::Result<(FileStamp, u32)> {
    let metadata = fs::metadata(path)?;
    let stamp = FileStamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    };
    Ok((stamp, metadata.mode()))
}

/// Gives the file `from` the name `to` in the same directory, unless something has it, and makes that survive a power cut.
#[cfg(feature = "channel")]
pub(crate) fn name_new_file(from: &Path, to: &Path) -> io::Result<()> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let (from_name, to_name) = (from.file_name().ok_or_else(invalid)?, to.file_name().ok_or_else(invalid)?);
    let directory = File::open(directory_of(to))?;
    let named = match rename_no_replace(directory.as_fd(), from_name, directory.as_fd(), to_name) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => fs::hard_link(from, to),
        renamed => renamed,
    };
    match fs::remove_file(from) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => named.and(Err(error)),
        _ => named,
    }?;
    sync_file(&directory)
}

/// Makes the entries of a directory survive a power cut.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    sync_file(&File::open(path)?)
}

/// The directory that the file `path` is in.
#[cfg(feature = "channel")]
fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The beginning of a name, whose length in bytes is `len` at most.
pub(crate) fn beginning(name: &OsStr, len: usize) -> OsString {
    OsStr::from_bytes(name.as_bytes().get(..len).unwrap_or(name.as_bytes())).to_owned()
}

/// The name of this host, with its domain or without.
#[cfg(feature = "discover")]
pub(crate) fn host_name() -> String {
    uname().nodename().to_string_lossy().into_owned()
}
