//! Directories and files that downloads are written to, as Unix systems have them.

use std::ffi::{OsStr, OsString};
use std::fs::{File, FileTimes};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::SystemTime;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use rustix::fs::{
    AtFlags, Dir as DirReader, FileType, FlockOperation, Mode, OFlags, RawMode, Stat, flock, fstat, fstatvfs, linkat,
    openat, renameat, statat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};

use super::{
    copy_access, device, has_file_system_sync, has_lasting_inodes, inherited_attributes, rename_no_replace, sync_file,
    sync_file_system,
};
use crate::local::{Access, DirectoryHandle, FileHandle, FileKind, FileStatus, FileSystemHandle, Identity, Opened};

/// The bit of a mode that gives new files the group of their directory.
const SET_GROUP: RawMode = 0o2000;

/// A directory of the operating system. Paths below it cannot lead out of it.
#[derive(Debug)]
pub struct SystemDirectory {
    dir: Dir,
}

impl SystemDirectory {
    /// The open directory `dir`.
    #[allow(clippy::unnecessary_wraps, reason = "other systems have to ask for its path")]
    pub(crate) const fn new(dir: Dir) -> io::Result<Self> {
        Ok(Self { dir })
    }

    /// Opens `path`, and follows symbolic links in it.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { dir: Dir::open_ambient_dir(path, ambient_authority())? })
    }

    /// Opens the directory for reading. The handle may be good for looking up names only.
    fn readable(&self) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        retry_on_intr(|| openat(self, ".", flags, Mode::empty()))
    }
}

/// An open file system of the operating system.
#[derive(Debug)]
pub struct SystemFileSystem {
    directory: OwnedFd,
}

impl FileSystemHandle for SystemFileSystem {
    fn sync(&self) -> io::Result<()> {
        sync_file_system(self.directory.as_fd())
    }
}

impl AsFd for SystemDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl DirectoryHandle for SystemDirectory {
    type File = File;
    type FileSystem = SystemFileSystem;

    fn status(&self, name: &OsStr) -> io::Result<Option<FileStatus>> {
        match statat(self, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(status_of(&stat))),
            // A name that the file system cannot hold is not there.
            Err(Errno::NOENT | Errno::INVAL | Errno::ILSEQ | Errno::NAMETOOLONG) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn open(&self, name: &OsStr, access: Access) -> io::Result<Opened<File>> {
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::ReadWrite => OFlags::RDWR,
            Access::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        };
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        match retry_on_intr(|| openat(self, name, flags, Mode::from_raw_mode(0o666))) {
            Ok(file) => Ok(Opened::File(File::from(file))),
            Err(Errno::NOENT) => Ok(Opened::Missing),
            Err(Errno::INVAL | Errno::ILSEQ | Errno::NAMETOOLONG) if access != Access::CreateNew => Ok(Opened::Missing),
            // FreeBSD says the second one.
            Err(Errno::LOOP | Errno::MLINK) => Ok(Opened::Symlink),
            // Sockets are the last one of other systems than Linux.
            Err(Errno::ISDIR | Errno::NXIO | Errno::OPNOTSUPP) => Ok(Opened::Other),
            // It is the name, since all else in the call is fixed.
            Err(Errno::INVAL | Errno::ILSEQ | Errno::NAMETOOLONG) => Err(io::ErrorKind::InvalidFilename.into()),
            Err(error) => Err(error.into()),
        }
    }

    fn rename(&self, from: &OsStr, into: &Self, to: &OsStr) -> io::Result<()> {
        Ok(renameat(self, from, into, to)?)
    }

    fn rename_no_replace(&self, from: &OsStr, into: &Self, to: &OsStr) -> io::Result<()> {
        rename_no_replace(self.as_fd(), from, into.as_fd(), to)
    }

    fn link(&self, from: &OsStr, into: &Self, to: &OsStr) -> io::Result<()> {
        Ok(linkat(self, from, into, to, AtFlags::empty())?)
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(self, name, AtFlags::empty())?)
    }

    fn copy_access(&self, name: &OsStr, file: &File, is_complete: bool) -> io::Result<()> {
        copy_access(self.as_fd(), name, file, is_complete)
    }

    fn has_lasting_inodes(&self) -> bool {
        has_lasting_inodes(self.as_fd())
    }

    fn sync(&self) -> io::Result<()> {
        sync_file(&File::from(self.readable()?)).map_err(|error| match Errno::from_io_error(&error) {
            // SMB, some of FUSE.
            Some(errno @ (Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)) => unsupported(errno),
            _ => error,
        })
    }

    fn free_space(&self) -> io::Result<Option<u64>> {
        let stat = fstatvfs(self)?;
        // A file system that counts no blocks cannot tell.
        Ok((stat.f_blocks > 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize)))
    }

    fn open_directory(&self, path: &str) -> io::Result<Self> {
        Ok(Self { dir: repeat_interrupted(|| self.dir.open_dir(path))? })
    }

    fn create_directory(&self, path: &str) -> io::Result<()> {
        repeat_interrupted(|| self.dir.create_dir(path))
    }

    fn remove_directory(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(self, name, AtFlags::REMOVEDIR)?)
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in DirReader::new(self.readable()?)? {
            let name = entry?.file_name().to_bytes().to_owned();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(&name).to_owned());
            }
        }
        Ok(names)
    }

    fn is_like(&self, other: &Self) -> io::Result<bool> {
        let (one, two) = (self.readable()?, other.readable()?);
        let (status, other_status) = (fstat(&one)?, fstat(&two)?);
        let group = |status: &Stat| (status.st_mode & SET_GROUP != 0).then_some(status.st_gid);
        Ok(status.st_dev == other_status.st_dev
            && group(&status) == group(&other_status)
            && inherited_attributes(one.as_fd())? == inherited_attributes(two.as_fd())?)
    }

    fn file_system(&self) -> io::Result<Option<SystemFileSystem>> {
        if !has_file_system_sync(self.as_fd()) {
            return Ok(None);
        }
        Ok(Some(SystemFileSystem { directory: self.readable()? }))
    }
}

impl FileHandle for File {
    fn status(&self) -> io::Result<FileStatus> {
        Ok(status_of(&fstat(self)?))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }

    fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time))
    }

    fn sync(&self) -> io::Result<()> {
        sync_file(self)
    }

    fn lock_exclusive(&self) -> io::Result<()> {
        match retry_on_intr(|| flock(self, FlockOperation::NonBlockingLockExclusive)) {
            // NFS without its lock service, file systems without locks.
            Err(error @ (Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP)) => Err(unsupported(error)),
            locked => Ok(locked?),
        }
    }

    fn close(self) -> io::Result<()> {
        Ok(nix::unistd::close(self)?)
    }
}

/// The error for an operation that a file system does not have, which is displayed as the name of `errno`.
fn unsupported(errno: Errno) -> io::Error {
    let name = nix::errno::Errno::from_raw(errno.raw_os_error());
    io::Error::new(io::ErrorKind::Unsupported, format!("{name:?}"))
}

fn status_of(stat: &Stat) -> FileStatus {
    FileStatus {
        kind: match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::Regular,
            FileType::Symlink => FileKind::Symlink,
            _ => FileKind::Other,
        },
        identity: Identity { device: device(stat), inode: stat.st_ino },
        size: u64::try_from(stat.st_size).unwrap_or(0),
        modified_ns: nanoseconds(i128::from(stat.st_mtime), i128::from(stat.st_mtime_nsec)),
        changed_ns: nanoseconds(i128::from(stat.st_ctime), i128::from(stat.st_ctime_nsec)),
    }
}

/// A time in nanoseconds since 1970; the nearest that there is where it is outside of the years 1677 to 2262.
fn nanoseconds(secs: i128, nanos: i128) -> i64 {
    let limits = (i128::from(i64::MIN), i128::from(i64::MAX));
    let time = (secs * 1_000_000_000 + nanos).clamp(limits.0, limits.1);
    i64::try_from(time).unwrap_or(i64::MAX)
}

fn repeat_interrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
