//! Directories and files that downloads are written to, as Unix systems have them.

use std::ffi::OsStr;
use std::fs::{File, FileTimes};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::SystemTime;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, flock, fstat, fstatvfs, fsync, linkat, openat, renameat,
    statat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};

use super::{copy_access, has_lasting_inodes, rename_no_replace};
use crate::local::{Access, DirectoryHandle, FileHandle, FileKind, FileStatus, Identity, Opened};

/// A directory of the operating system. Paths below it cannot lead out of it.
#[derive(Debug)]
pub struct SystemDirectory {
    dir: Dir,
}

impl SystemDirectory {
    /// Opens `path`, and follows symbolic links in it.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { dir: Dir::open_ambient_dir(path, ambient_authority())? })
    }
}

impl AsFd for SystemDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl DirectoryHandle for SystemDirectory {
    type File = File;

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
            Err(Errno::LOOP) => Ok(Opened::Symlink),
            Err(Errno::ISDIR | Errno::NXIO) => Ok(Opened::Other),
            // It is the name, since all else in the call is fixed.
            Err(Errno::INVAL | Errno::ILSEQ | Errno::NAMETOOLONG) => Err(io::ErrorKind::InvalidFilename.into()),
            Err(error) => Err(error.into()),
        }
    }

    fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(renameat(self, from, self, to)?)
    }

    fn rename_no_replace(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        rename_no_replace(self.as_fd(), from, to)
    }

    fn link(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(linkat(self, from, self, to, AtFlags::empty())?)
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
        // The handle may be good for looking up names only: syncing takes one that is good for reading.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match retry_on_intr(|| fsync(openat(self, ".", flags, Mode::empty())?)) {
            // File systems that have no such operation: SMB, some of FUSE. What can be done was done.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
            synced => Ok(synced?),
        }
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
        self.sync_all()
    }

    fn lock_exclusive(&self) -> io::Result<()> {
        match retry_on_intr(|| flock(self, FlockOperation::NonBlockingLockExclusive)) {
            // NFS without its lock service, file systems without locks: the digest of the whole file still tells whether
            // another process wrote to the part.
            Err(Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
            locked => Ok(locked?),
        }
    }

    fn close(self) -> io::Result<()> {
        Ok(nix::unistd::close(self)?)
    }
}

fn status_of(stat: &Stat) -> FileStatus {
    FileStatus {
        kind: match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::Regular,
            FileType::Symlink => FileKind::Symlink,
            _ => FileKind::Other,
        },
        identity: Identity { device: stat.st_dev, inode: stat.st_ino },
        size: u64::try_from(stat.st_size).unwrap_or(0),
    }
}

fn repeat_interrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
