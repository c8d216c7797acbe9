//! The directory that downloads go to, held open so that nothing can move it under them.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use coracle_core::FileName;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstatvfs, fsync, openat, statat, unlinkat};
use rustix::io::retry_on_intr;

use super::error::LocalError;
use super::names::name_restriction;
use super::sidecar::Identity;

/// An open directory.
#[derive(Debug)]
pub struct Directory {
    dir: Dir,
    path: PathBuf,
}

impl Directory {
    /// Opens `path`, which the user chose: links in it are followed.
    pub fn open(path: &Path) -> Result<Self, LocalError> {
        let dir = Dir::open_ambient_dir(path, ambient_authority()).map_err(LocalError::io("open directory", path))?;
        Ok(Self { dir, path: path.to_owned() })
    }

    /// Opens `path`, and creates its last component where that is missing.
    pub fn open_or_create(path: &Path) -> Result<Self, LocalError> {
        match std::fs::create_dir(path) {
            Ok(()) => {
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
                Self::open(parent)?.sync()?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(LocalError::io("create directory", path)(error)),
        }
        Self::open(path)
    }

    /// Opens the directory `below` this one, and creates what is missing of it. Links are followed only as long as
    /// they stay inside of this directory.
    pub fn open_below(&self, below: FileName<'_>) -> Result<Self, LocalError> {
        let path = self.path.join(below.as_str());
        for component in below.components() {
            if let Some(why) = name_restriction(component) {
                return Err(LocalError::Name { name: below.as_str().to_owned(), why });
            }
        }
        match self.dir.open_dir(below.as_str()) {
            Ok(dir) => return Ok(Self { dir, path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(LocalError::io("open directory", &path)(error)),
        }
        let ends = below.as_str().match_indices('/').map(|(end, _)| end).chain([below.as_str().len()]);
        for end in ends {
            let level = &below.as_str()[..end];
            match self.dir.create_dir(level) {
                Ok(()) => self.sync_parent(level)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(LocalError::io("create directory", &self.path.join(level))(error)),
            }
        }
        let dir = self.dir.open_dir(below.as_str()).map_err(LocalError::io("open directory", &path))?;
        Ok(Self { dir, path })
    }

    /// The path of `name` in this directory, as it is shown.
    #[must_use]
    pub fn path_of(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    /// What stands at `name`; a link is not followed.
    pub fn stat(&self, name: &OsStr) -> Result<Option<FileStatus>, LocalError> {
        match statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileStatus::new(&stat))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(LocalError::io("look at", &self.path_of(name))(error)),
        }
    }

    /// Opens the regular file `name`, never through a link, never waiting for a FIFO's other end; `None` where nothing
    /// is there.
    pub fn open_file(&self, name: &OsStr, flags: OFlags) -> Result<Option<File>, LocalError> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let path = self.path_of(name);
        let file = match retry_on_intr(|| openat(&self.dir, name, flags, Mode::from_raw_mode(0o666))) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(rustix::io::Errno::LOOP) => return Err(LocalError::Symlink(path)),
            Err(rustix::io::Errno::ISDIR | rustix::io::Errno::NXIO) => return Err(LocalError::NotFile(path)),
            Err(error) => return Err(LocalError::io("open", &path)(error)),
        };
        let stat = rustix::fs::fstat(&file).map_err(|error| {
            if flags.contains(OFlags::EXCL) {
                // It was made here, and would be in the way of the next try. The first error is the one to tell.
                let _ = unlinkat(&self.dir, name, AtFlags::empty());
            }
            LocalError::io("look at", &path)(error)
        })?;
        if FileStatus::new(&stat).kind != FileType::RegularFile {
            return Err(LocalError::NotFile(path));
        }
        Ok(Some(file))
    }

    /// Makes what was renamed, created or removed in here survive a power cut.
    pub fn sync(&self) -> Result<(), LocalError> {
        self.sync_level(".").map_err(LocalError::io("sync directory", &self.path))
    }

    /// Errs where `needed` bytes do not fit on the file system, as far as that is known.
    pub fn check_free(&self, needed: u64) -> Result<(), LocalError> {
        let stat = fstatvfs(&self.dir).map_err(LocalError::io("measure the free space of", &self.path))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        // A file system that counts no blocks cannot tell.
        if stat.f_blocks > 0 && needed > free {
            return Err(LocalError::NoSpace { path: self.path.clone(), needed, free });
        }
        Ok(())
    }

    fn sync_parent(&self, level: &str) -> Result<(), LocalError> {
        let parent = level.rsplit_once('/').map_or(".", |(parent, _)| parent);
        self.sync_level(parent).map_err(LocalError::io("sync directory", &self.path.join(parent)))
    }

    /// The handle itself may be good for looking up names only: syncing takes one that is good for reading.
    fn sync_level(&self, level: &str) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        loop {
            let synced = self.dir.open_dir(level).and_then(|dir| Ok(fsync(openat(&dir, ".", flags, Mode::empty())?)?));
            match synced {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                synced => return synced,
            }
        }
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

/// What stands at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStatus {
    /// A regular file, a link or something else.
    pub kind: FileType,
    /// Which one.
    pub identity: Identity,
    /// Length in bytes.
    pub size: u64,
}

impl FileStatus {
    /// What `stat` says.
    pub fn new(stat: &Stat) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            identity: Identity { device: stat.st_dev, inode: stat.st_ino },
            size: u64::try_from(stat.st_size).unwrap_or(0),
        }
    }

    /// Errs where it is no regular file; `path` is where it stands.
    pub fn must_be_file(self, path: impl FnOnce() -> PathBuf) -> Result<Self, LocalError> {
        match self.kind {
            FileType::RegularFile => Ok(self),
            FileType::Symlink => Err(LocalError::Symlink(path())),
            _ => Err(LocalError::NotFile(path())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use coracle_core::FileName;
    use rustix::fs::OFlags;

    use super::{Directory, LocalError};

    #[test]
    fn m1_links_lead_nowhere_outside() {
        let outside = tempfile::tempdir().expect("a directory");
        let inside = tempfile::tempdir().expect("a directory");
        symlink(outside.path(), inside.path().join("absolute")).expect("link");
        symlink("../", inside.path().join("up")).expect("link");
        fs::create_dir(inside.path().join("real")).expect("directory");
        symlink("real", inside.path().join("alias")).expect("link");
        let directory = Directory::open(inside.path()).expect("open");
        for name in ["absolute", "absolute/x", "up", "up/x/y"] {
            assert!(directory.open_below(FileName::from_static(name)).is_err(), "{name}");
        }
        directory.open_below(FileName::from_static("alias/new/er")).expect("a link that stays inside");
        assert!(inside.path().join("real/new/er").is_dir());
        assert_eq!(fs::read_dir(outside.path()).expect("list").count(), 0);
    }

    #[test]
    fn m4_no_link_and_no_fifo_is_opened() {
        let root = tempfile::tempdir().expect("a directory");
        let directory = Directory::open(root.path()).expect("open");
        symlink("elsewhere", root.path().join("link")).expect("link");
        rustix::fs::mkfifoat(&directory, "fifo", rustix::fs::Mode::RWXU).expect("fifo");
        fs::create_dir(root.path().join("dir")).expect("directory");
        let open = |name: &str, flags| directory.open_file(name.as_ref(), flags);
        let create = OFlags::RDWR | OFlags::CREATE;
        assert!(matches!(open("link", OFlags::RDONLY), Err(LocalError::Symlink(_))));
        assert!(matches!(open("link", create), Err(LocalError::Symlink(_))));
        assert!(matches!(open("fifo", OFlags::RDONLY), Err(LocalError::NotFile(_))));
        assert!(matches!(open("fifo", OFlags::WRONLY), Err(LocalError::NotFile(_))));
        assert!(matches!(open("dir", OFlags::RDONLY), Err(LocalError::NotFile(_))));
        assert!(matches!(open("nothing", OFlags::RDONLY), Ok(None)));
        assert!(!root.path().join("elsewhere").exists());
    }

    #[test]
    fn m5_free_space() {
        let root = tempfile::tempdir().expect("a directory");
        let directory = Directory::open(root.path()).expect("open");
        directory.check_free(1).expect("room for a byte");
        assert!(matches!(directory.check_free(u64::MAX), Err(LocalError::NoSpace { .. })));
    }
}
