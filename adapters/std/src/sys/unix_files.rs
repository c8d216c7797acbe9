//! Files by their paths, and what this process is told about its machine, as Unix systems have them.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
pub(crate) use std::io::{PipeReader as WakeReader, PipeWriter as WakeWriter};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use super::sync_file;

/// A reader that can be polled beside sockets, and what it reads from.
pub(crate) fn wake_pipe() -> io::Result<(WakeReader, WakeWriter)> {
    io::pipe()
}

/// Has the options open a file without waiting, and no symbolic link is followed at the end of the path.
pub(crate) fn without_links(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
}

/// Has the options create a file for its owner alone.
pub(crate) fn for_owner(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// Makes the entries of a directory survive a power cut.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    sync_file(&File::open(path)?)
}

/// The beginning of a name, whose length in bytes is `len` at most.
pub(crate) fn beginning(name: &OsStr, len: usize) -> OsString {
    OsStr::from_bytes(name.as_bytes().get(..len).unwrap_or(name.as_bytes())).to_owned()
}

/// The name of this host, with its domain or without.
#[cfg(feature = "discover")]
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
