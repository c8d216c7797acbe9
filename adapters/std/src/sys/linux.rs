//! What only Linux has.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use rustix::fs::{Advice, FallocateFlags, RenameFlags, fadvise, fallocate, fgetxattr, fstatfs, renameat_with, syncfs};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::SendFlags;
use rustix::system::uname;
use socket2::Socket;

/// Time since some moment before the process began, as fine as a tick of the kernel: 1 to 10 ms.
///
/// The deadlines need no more, and it takes less than half as long to read as the fine clock, which is read a dozen times
/// for a request.
pub(crate) fn monotonic() -> Duration {
    // No kernel that the program runs on is without it.
    clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).map_or(Duration::ZERO, Duration::from)
}

/// Has a call that sends raise no signal where the peer is gone.
pub(crate) const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;

/// Says that more bytes follow at once.
pub(crate) const MORE: SendFlags = SendFlags::MORE;

/// Whether to shut down a listener ends the calls that wait for its clients.
pub(crate) const ENDS_ACCEPT: bool = true;

/// Does nothing: accepted sockets have the time-outs of their listener, and block.
#[allow(clippy::unnecessary_wraps, reason = "other systems make calls for it")]
pub(crate) const fn complete_accepted(_: &Socket, _: Duration, _: Duration) -> io::Result<()> {
    Ok(())
}

/// Whether a segment that is not full waits for more bytes (`TCP_CORK`, tcp(7)).
pub(crate) fn hold_partial_segments(socket: &Socket, is_held: bool) -> io::Result<()> {
    socket.set_tcp_cork(is_held)
}

/// Makes a file, its length and its times survive a power cut, or the entries of a directory.
pub(crate) fn sync_file(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// Renames `from` in `directory` to `to` in `into`, unless that would replace something.
pub(crate) fn rename_no_replace(
    directory: BorrowedFd<'_>,
    from: &OsStr,
    into: BorrowedFd<'_>,
    to: &OsStr,
) -> io::Result<()> {
    match renameat_with(directory, from, into, to, RenameFlags::NOREPLACE) {
        // What file systems without it, and kernels before 3.15, say.
        Err(Errno::INVAL | Errno::NOSYS) => Err(io::ErrorKind::Unsupported.into()),
        Err(Errno::ILSEQ | Errno::NAMETOOLONG) => Err(io::ErrorKind::InvalidFilename.into()),
        renamed => Ok(renamed?),
    }
}

/// Reserves room for the first `len` bytes of a file, without changing its length.
pub(crate) fn preallocate(file: BorrowedFd<'_>, len: u64) -> io::Result<()> {
    match retry_on_intr(|| fallocate(file, FallocateFlags::KEEP_SIZE, 0, len)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Err(io::ErrorKind::Unsupported.into()),
        reserved => Ok(reserved?),
    }
}

/// Lets the kernel begin to write the `len` bytes at `offset` of a file to the disk, without waiting for it.
pub(crate) fn begin_to_write_out(file: &File, offset: u64, len: u64) {
    // The one call without `unsafe` that does: pages that are being written stay in the cache. It is advice, so that no error of it
    // says anything.
    let _ = fadvise(file, offset, NonZeroU64::new(len), Advice::DontNeed);
}

/// Whether the kernel makes the contents of `file` when it is read, as in /proc and /sys: its size says nothing then, and two
/// reads may give two contents.
pub(crate) fn is_generated(file: &File) -> bool {
    /// proc, sysfs, debugfs, tracefs, securityfs, configfs, cgroup, cgroup2, selinuxfs.
    const KINDS: [u64; 9] = [
        0x9fa0,
        0x6265_6572,
        0x6462_6720,
        0x7472_6163,
        0x7363_6673,
        0x6265_6570,
        0x0027_e0eb,
        0x6367_7270,
        0xf97c_ff8c,
    ];
    file_system_kind(file.as_fd()).is_some_and(|kind| KINDS.contains(&kind))
}

/// Whether a file keeps its inode number for as long as it exists. File systems that store none make one up when they look
/// at the file for the first time after it was forgotten.
pub(crate) fn has_lasting_inodes(directory: impl AsFd) -> bool {
    /// FAT, exFAT, FUSE, CIFS, SMB2, 9p.
    const KINDS: [u64; 6] = [0x4d44, 0x2011_bab0, 0x6573_5546, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997];
    file_system_kind(directory.as_fd()).is_none_or(|kind| !KINDS.contains(&kind))
}

/// Whether `syncfs` promises what a sync of each file and directory does: it writes all out, flushes the disk's own cache, and
/// reports errors of writes.
pub(crate) fn has_file_system_sync(directory: BorrowedFd<'_>) -> bool {
    /// ext2 to ext4, XFS, Btrfs, F2FS, tmpfs, overlayfs. FUSE may not pass it on, FAT does not flush the disk's cache.
    const KINDS: [u64; 6] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994, 0x794c_7630];
    /// Before this version errors of writes were not reported (syncfs(2)).
    const VERSION: (u32, u32) = (5, 8);
    let release = uname();
    let release = release.release().to_string_lossy();
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= VERSION && file_system_kind(directory).is_some_and(|kind| KINDS.contains(&kind))
}

/// Makes all of the file system survive a power cut that `file` is a file or directory of.
pub(crate) fn sync_file_system(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(syncfs(file)?)
}

/// What files that are created in the directory `file` get from it: its default access control list and its label; empty where
/// there is none.
pub(crate) fn inherited_attributes(file: BorrowedFd<'_>) -> io::Result<[Vec<u8>; 2]> {
    const MAX_LEN: usize = 64 * 1024;
    let read = |name: &str| {
        let mut value = vec![0; MAX_LEN];
        match fgetxattr(file, name, &mut value) {
            Ok(len) => {
                value.truncate(len);
                Ok(value)
            }
            Err(Errno::NODATA | Errno::NOTSUP) => Ok(Vec::new()),
            Err(error) => Err(io::Error::from(error)),
        }
    };
    Ok([read("system.posix_acl_default")?, read("security.selinux")?])
}

/// The number of a kind of file system (`include/uapi/linux/magic.h` of the kernel); `None` where it is unknown.
fn file_system_kind(descriptor: BorrowedFd<'_>) -> Option<u64> {
    fstatfs(descriptor).ok().map(|status| status.f_type as u64 & 0xffff_ffff)
}
