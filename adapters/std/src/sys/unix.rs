//! What Unix systems share.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, MetadataExt, OpenOptions, OpenOptionsExt};
use coracle_core::StoreError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, DirEntry, FileType, OFlags, Stat, fstat, statat};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use socket2::Socket;

#[cfg(target_os = "linux")]
use super::is_generated;

/// A directory beneath which paths are resolved, and out of which none leads: by the kernel (`openat2` with
/// `RESOLVE_BENEATH`), or by cap-std's walk where that call is not available.
#[derive(Debug)]
pub(crate) struct ConfinedDirectory {
    root: Dir,
}

/// How often a link may be replaced just while cap-std reads it before opening it fails.
const MAX_SWAPS: u32 = 16;

impl ConfinedDirectory {
    /// Opens the directory `path`, which must be searchable.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let root = Dir::open_ambient_dir(path, ambient_authority())?;
        // The descriptor was opened without a look at whether the directory may be searched.
        root.metadata(".")?;
        Ok(Self { root })
    }

    /// Opens what `path` leads to for reading, whatever it is, and blocks on none of it.
    pub(crate) fn open_any(&self, path: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        // A FIFO without a writer would block, and a terminal become the process's own.
        options.read(true).custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed());
        let mut swaps = 0;
        loop {
            match self.root.open_with(path, &options) {
                Ok(file) => return Ok(file.into_std()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidInput && swaps < MAX_SWAPS => swaps += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether no component of `path` that exists is a link. What is looked up later may be another one: a user who can make links
    /// in the directory can win that race.
    #[cfg(feature = "channel")]
    pub(crate) fn is_linkless(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        for end in ends {
            match self.root.symlink_metadata(path.get(..end).unwrap_or(path)) {
                Ok(metadata) if metadata.is_symlink() => return false,
                Ok(_) => {}
                Err(error) => return matches!(store_error(&error), StoreError::NotFound | StoreError::BadName),
            }
        }
        true
    }

    /// Another handle of the directory.
    pub(crate) fn try_clone_dir(&self) -> io::Result<Dir> {
        self.root.try_clone()
    }

    /// What `path` leads to, links followed.
    pub(crate) fn metadata(&self, path: &str) -> io::Result<Metadata> {
        let metadata = self.root.metadata(path)?;
        let kind = match metadata.file_type() {
            kind if kind.is_file() => FileKind::Regular,
            kind if kind.is_dir() => FileKind::Directory,
            _ => FileKind::Other,
        };
        Ok(Metadata { kind, size: metadata.len(), modified: u64::try_from(metadata.mtime()).ok() })
    }
}

/// Opens `path` for reading, whatever it is, and blocks on nothing. Symbolic links are followed.
pub(crate) fn open_any(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    // As above.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    std::fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub kind: FileKind,
    /// Length in bytes.
    pub size: u64,
    /// Seconds since 1970-01-01 00:00 UTC; `None` before.
    pub modified: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Regular,
    Directory,
    Symlink,
    Other,
}

impl FileKind {
    /// `None` where the file system did not say.
    fn new(file_type: FileType) -> Option<Self> {
        match file_type {
            FileType::RegularFile => Some(Self::Regular),
            FileType::Directory => Some(Self::Directory),
            FileType::Symlink => Some(Self::Symlink),
            FileType::Unknown => None,
            _ => Some(Self::Other),
        }
    }
}

/// Reads a directory, in the order of the file system.
#[derive(Debug)]
pub(crate) struct DirectoryReader {
    entries: rustix::fs::Dir,
}

/// An entry of a directory.
pub(crate) struct DirectoryEntry(DirEntry);

impl DirectoryReader {
    pub(crate) fn new(directory: File) -> io::Result<Self> {
        Ok(Self { entries: rustix::fs::Dir::new(directory)? })
    }

    /// The next entry; `.` and `..` are among them.
    pub(crate) fn next(&mut self) -> Option<io::Result<DirectoryEntry>> {
        self.entries.read().map(|entry| Ok(DirectoryEntry(entry?)))
    }

    /// What the entry is now; a link is not followed. Asked of the directory's own descriptor, so that neither the length
    /// of its path matters nor whether it was moved.
    pub(crate) fn metadata(&self, entry: &DirectoryEntry) -> io::Result<Metadata> {
        let stat = statat(self.entries.fd()?, entry.name(), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Metadata { kind: kind(&stat), size: size(&stat), modified: u64::try_from(stat.st_mtime).ok() })
    }
}

impl DirectoryEntry {
    pub(crate) fn name(&self) -> &CStr {
        self.0.file_name()
    }

    /// `None` where the file system does not say.
    pub(crate) fn kind(&self) -> Option<FileKind> {
        FileKind::new(self.0.file_type())
    }
}

/// What differs after every change of a file, as far as the file system shows changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStamp {
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    /// Seconds since 1970 and nanoseconds.
    pub modified: (i64, i64),
    /// The same for the inode, which no program can set.
    pub changed: (i64, i64),
}

/// Stamp and kind of an open file. One whose contents the kernel makes is no regular one, though it says so.
#[allow(clippy::useless_conversion, reason = "the members' types differ from target to target")]
pub(crate) fn stamp(file: &File) -> io::Result<(FileStamp, FileKind)> {
    let stat = fstat(file)?;
    let stamp = FileStamp {
        device: u64::from(stat.st_dev),
        inode: u64::from(stat.st_ino),
        size: size(&stat),
        modified: (i64::from(stat.st_mtime), i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        changed: (i64::from(stat.st_ctime), i64::try_from(stat.st_ctime_nsec).unwrap_or(0)),
    };
    // Such files take no room anywhere.
    let is_generated = stat.st_blocks == 0 && is_generated(file);
    Ok((stamp, if is_generated { FileKind::Other } else { kind(&stat) }))
}

fn kind(stat: &Stat) -> FileKind {
    FileKind::new(FileType::from_raw_mode(stat.st_mode)).unwrap_or(FileKind::Other)
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// The reason for a client. A component that is longer than the file system allows is a name that this store cannot
/// have.
pub(crate) fn store_error(error: &io::Error) -> StoreError {
    match Errno::from_io_error(error) {
        Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => StoreError::NotFound,
        Some(Errno::NAMETOOLONG | Errno::ILSEQ) => StoreError::BadName,
        Some(Errno::ACCESS | Errno::PERM) => StoreError::Denied,
        Some(Errno::MFILE | Errno::NFILE) => StoreError::Busy,
        // A socket, a device without a driver.
        Some(Errno::NXIO | Errno::NODEV | Errno::ISDIR) => StoreError::NotFile,
        Some(_) => StoreError::Io,
        // How cap-std says that a path leads outside.
        None if error.kind() == io::ErrorKind::PermissionDenied => StoreError::Denied,
        None => StoreError::Io,
    }
}

/// Waits for bytes, at most for the socket's time-out: past it, the error is [`io::ErrorKind::WouldBlock`].
pub(crate) fn receive(socket: &Socket, buf: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, buf, RecvFlags::empty())?.1)
}

/// Takes what has arrived, without waiting.
pub(crate) fn receive_now(socket: &Socket, buf: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, buf, RecvFlags::DONTWAIT)?.1)
}

/// Looks at what has arrived, and waits for it as [`receive`] does; it stays to be taken.
#[cfg(feature = "channel")]
pub(crate) fn peek(socket: &Socket, buf: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, buf, RecvFlags::PEEK)?.1)
}

/// Looks at what has arrived, without waiting and without taking it.
pub(crate) fn peek_now(socket: &Socket, buf: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, buf, RecvFlags::PEEK | RecvFlags::DONTWAIT)?.1)
}

/// Sends bytes, and waits for room at most for the socket's time-out: past it, the error is
/// [`io::ErrorKind::WouldBlock`]. `more`: others follow at once, so a segment may wait for them. Raises no signal.
pub(crate) fn send(socket: &Socket, bytes: &[u8], more: bool) -> io::Result<usize> {
    let flags = if more { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
    Ok(rustix::net::send(socket, bytes, flags)?)
}

/// Sends as many bytes as there is room for, without waiting.
pub(crate) fn send_now(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?)
}

/// Sends up to `len` bytes of a file; 0 at its end. [`io::ErrorKind::InvalidInput`] and
/// [`io::ErrorKind::Unsupported`] mean that this file cannot be sent so.
pub(crate) fn send_file(socket: &Socket, file: &File, offset: usize, len: NonZeroUsize) -> io::Result<usize> {
    socket.sendfile(file, offset, Some(len))
}

/// Whether an error of [`send_file`] is the file's rather than the socket's.
pub(crate) fn is_file_error(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::IO | Errno::STALE | Errno::ISDIR | Errno::OVERFLOW | Errno::NOMEM | Errno::BADF)
    )
}

/// Whether reading would not wait; for a listener, whether a client waits to be accepted.
pub(crate) fn is_readable(socket: &Socket) -> bool {
    let mut polled = [PollFd::new(socket, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec::default())).is_ok_and(|count| count > 0)
}

/// Waits until one of `descriptors` can be read; says of each whether it can. `None`: for ever.
pub(crate) fn poll_readable<'d>(
    descriptors: impl Iterator<Item = BorrowedFd<'d>>,
    timeout: Option<Duration>,
) -> io::Result<Vec<bool>> {
    let mut polled: Vec<_> =
        descriptors.map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN)).collect();
    // What is too long for the system is no limit.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    poll(&mut polled, timeout.as_ref())?;
    Ok(polled.iter().map(|polled| !polled.revents().is_empty()).collect())
}

/// Whether a socket can be read and written without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    /// Also at the end of input and after an error.
    pub can_read: bool,
    pub can_write: bool,
}

/// Waits until `socket` can be read or written. `None`: for ever.
pub(crate) fn poll_ready(socket: &Socket, timeout: Option<Duration>) -> io::Result<Ready> {
    let mut polled = [PollFd::new(socket, PollFlags::IN | PollFlags::OUT)];
    // What is too long for the system is no limit.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    poll(&mut polled, timeout.as_ref())?;
    let seen = polled[0].revents();
    let can_write = seen.contains(PollFlags::OUT);
    Ok(Ready { can_read: !(seen - PollFlags::OUT).is_empty(), can_write })
}

/// Waits until one of `sockets` is connected or could not be; says of each whether it is so. `None`: for ever.
pub(crate) fn poll_connected(sockets: &[Socket], timeout: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<_> = sockets.iter().map(|socket| PollFd::new(socket, PollFlags::OUT)).collect();
    // What is too long for the system is no limit.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    poll(&mut polled, timeout.as_ref())?;
    Ok(polled.iter().map(|polled| !polled.revents().is_empty()).collect())
}

/// Whether a connect that failed is under way nevertheless.
pub(crate) fn is_connecting(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::INPROGRESS)
}

/// What an `accept` that failed means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptError {
    /// No client came within the listener's time-out.
    TimedOut,
    /// The client is gone, or a firewall refused it: try again at once.
    ClientGone,
    /// Something is used up: try again after a pause.
    Exhausted,
}

pub(crate) fn accept_error(error: &io::Error) -> AcceptError {
    match Errno::from_io_error(error) {
        Some(Errno::AGAIN) => AcceptError::TimedOut,
        Some(
            Errno::INTR
            | Errno::CONNABORTED
            | Errno::PROTO
            | Errno::PERM
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::HOSTUNREACH
            | Errno::HOSTDOWN
            | Errno::NOPROTOOPT
            | Errno::OPNOTSUPP,
        ) => AcceptError::ClientGone,
        // EMFILE, ENFILE, ENOBUFS, ENOMEM, and whatever else a system may have: the acceptor must not spin.
        _ => AcceptError::Exhausted,
    }
}

/// The error of a call that has waited for long enough.
pub(crate) fn timed_out() -> io::Error {
    Errno::AGAIN.into()
}

/// Whether an error of listening means that this machine has no IPv6.
pub(crate) fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

/// Time since some moment before the process began.
#[cfg(not(target_os = "linux"))]
pub(crate) fn monotonic() -> Duration {
    use nix::time::{ClockId, clock_gettime};

    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

/// Without effect here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn hold_partial_segments(_: &Socket, _: bool) -> io::Result<()> {
    Ok(())
}

/// Whether the kernel makes the contents of a file when it is read: unknown here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_generated(_: &File) -> bool {
    false
}

/// Whether a file keeps its inode number for as long as it exists, as POSIX has it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn has_lasting_inodes(_: BorrowedFd<'_>) -> bool {
    true
}

/// Refuses: POSIX has no rename that replaces nothing.
#[cfg(not(target_os = "linux"))]
pub(crate) fn rename_no_replace(
    _: BorrowedFd<'_>,
    _: &std::ffi::OsStr,
    _: BorrowedFd<'_>,
    _: &std::ffi::OsStr,
) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Does nothing: only Linux begins without waiting.
#[cfg(not(target_os = "linux"))]
pub(crate) fn begin_to_write_out(_: &File, _: u64, _: u64) {}

/// Refuses: POSIX changes the length, too.
#[cfg(not(target_os = "linux"))]
pub(crate) fn preallocate(_: BorrowedFd<'_>, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// POSIX has no sync of one file system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn has_file_system_sync(_: BorrowedFd<'_>) -> bool {
    false
}

/// Refuses, as above.
#[cfg(not(target_os = "linux"))]
pub(crate) fn sync_file_system(_: BorrowedFd<'_>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Unknown here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn inherited_attributes(_: BorrowedFd<'_>) -> io::Result<[Vec<u8>; 2]> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use std::io;

    use coracle_core::StoreError;
    use rustix::io::Errno;

    use super::{AcceptError, accept_error, store_error};

    /// `tests/store/faults.rs` has some of them from the kernel.
    #[test]
    fn k9_errors_of_opening_are_mapped() {
        for (errno, expected) in [
            (Errno::NOENT, StoreError::NotFound),
            (Errno::NOTDIR, StoreError::NotFound),
            (Errno::LOOP, StoreError::NotFound),
            (Errno::NAMETOOLONG, StoreError::BadName),
            (Errno::ACCESS, StoreError::Denied),
            (Errno::PERM, StoreError::Denied),
            (Errno::ISDIR, StoreError::NotFile),
            (Errno::NXIO, StoreError::NotFile),
            (Errno::NODEV, StoreError::NotFile),
            (Errno::MFILE, StoreError::Busy),
            (Errno::NFILE, StoreError::Busy),
            (Errno::NOMEM, StoreError::Io),
            (Errno::NOSPC, StoreError::Io),
            (Errno::STALE, StoreError::Io),
            (Errno::IO, StoreError::Io),
            (Errno::WOULDBLOCK, StoreError::Io),
        ] {
            assert_eq!(store_error(&errno.into()), expected, "{errno:?}");
        }
        let outside = io::Error::new(io::ErrorKind::PermissionDenied, "a path led outside of the filesystem");
        assert_eq!(store_error(&outside), StoreError::Denied);
        assert_eq!(store_error(&io::Error::other("anything else")), StoreError::Io);
    }

    #[test]
    fn k6_errors_of_accept_are_classified() {
        for errno in [Errno::CONNABORTED, Errno::PROTO, Errno::PERM, Errno::INTR] {
            assert_eq!(accept_error(&errno.into()), AcceptError::ClientGone);
        }
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::IO] {
            assert_eq!(accept_error(&errno.into()), AcceptError::Exhausted);
        }
        assert_eq!(accept_error(&Errno::AGAIN.into()), AcceptError::TimedOut);
    }
}
