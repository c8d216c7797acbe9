//! Directories and files that downloads are written to, as the standard library shows them on any system.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::plain::{confined, kind_of, root, stamp_of};
use super::plain_paths::sync_entries;
use super::types;
use crate::local::{Access, DirectoryHandle, FileHandle, FileKind, FileStatus, FileSystemHandle, Identity, Opened};

/// A file's position is that of all its handles, and no call of the standard library reads at another one on every system.
static POSITION: Mutex<()> = Mutex::new(());

/// A directory of the operating system. Paths below it cannot lead out of it, but for a user who changes links at the same time.
#[derive(Debug)]
pub struct SystemDirectory {
    /// Complete, and without links.
    path: PathBuf,
}

impl SystemDirectory {
    /// The directory with the complete path `path`.
    #[expect(clippy::unnecessary_wraps, reason = "on other systems it can fail")]
    pub(crate) fn new(path: PathBuf) -> io::Result<Self> {
        Ok(Self { path })
    }

    /// Opens `path`, and follows symbolic links in it.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: root(path)? })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Stands for a file system as a whole, which the standard library cannot sync.
#[derive(Debug)]
pub struct SystemFileSystem(());

impl FileSystemHandle for SystemFileSystem {
    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl DirectoryHandle for SystemDirectory {
    type File = File;
    type FileSystem = SystemFileSystem;

    fn status(&self, name: &OsStr) -> io::Result<Option<FileStatus>> {
        match fs::symlink_metadata(self.path.join(name)) {
            Ok(metadata) => Ok(Some(status_of(&metadata))),
            // A name that the file system cannot hold is not there.
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn open(&self, name: &OsStr, access: Access) -> io::Result<Opened<File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(access != Access::Read).create_new(access == Access::CreateNew);
        if access != Access::CreateNew {
            match self.status(name)?.map(|status| status.kind) {
                None => return Ok(Opened::Missing),
                Some(FileKind::Symlink) => return Ok(Opened::Symlink),
                Some(FileKind::Other) => return Ok(Opened::Other),
                Some(FileKind::Regular) => {}
            }
        }
        match options.open(self.path.join(name)) {
            Ok(file) => Ok(Opened::File(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Opened::Missing),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &OsStr, into: &Self, to: &OsStr) -> io::Result<()> {
        fs::rename(self.path.join(from), into.path.join(to))
    }

    /// The standard library has none.
    fn rename_no_replace(&self, _: &OsStr, _: &Self, _: &OsStr) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn link(&self, from: &OsStr, into: &Self, to: &OsStr) -> io::Result<()> {
        fs::hard_link(self.path.join(from), into.path.join(to))
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn has_lasting_inodes(&self) -> bool {
        false
    }

    fn sync(&self) -> io::Result<()> {
        sync_entries(&self.path)
    }

    fn free_space(&self) -> io::Result<Option<u64>> {
        Ok(None)
    }

    fn open_directory(&self, path: &str) -> io::Result<Self> {
        Self::open(&confined(&self.path, path)?)
    }

    fn create_directory(&self, path: &str) -> io::Result<()> {
        let (parent, leaf) = path.rsplit_once('/').unwrap_or((".", path));
        fs::create_dir(confined(&self.path, parent)?.join(leaf))
    }

    fn remove_directory(&self, name: &OsStr) -> io::Result<()> {
        fs::remove_dir(self.path.join(name))
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    /// What files get of their directory is not known here.
    fn is_like(&self, _: &Self) -> io::Result<bool> {
        Ok(false)
    }

    fn file_system(&self) -> io::Result<Option<SystemFileSystem>> {
        Ok(None)
    }
}

impl FileHandle for File {
    fn status(&self) -> io::Result<FileStatus> {
        Ok(status_of(&self.metadata()?))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let _position = seek(self, offset)?;
        (&*self).read(buf)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let _position = seek(self, offset)?;
        (&*self).write(bytes)
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

    /// The standard library has locks since Rust 1.89, which is later than this crate asks for.
    fn lock_exclusive(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn close(self) -> io::Result<()> {
        // What could not be written was told by the write, or by the sync.
        Ok(())
    }
}

/// Goes to a place of a file, for as long as no other handle of it may go anywhere.
fn seek(mut file: &File, offset: u64) -> io::Result<MutexGuard<'static, ()>> {
    let position = POSITION.lock().unwrap_or_else(PoisonError::into_inner);
    file.seek(SeekFrom::Start(offset))?;
    Ok(position)
}

fn status_of(metadata: &fs::Metadata) -> FileStatus {
    let stamp = stamp_of(metadata);
    FileStatus {
        kind: match kind_of(metadata.file_type()) {
            types::FileKind::Regular => FileKind::Regular,
            types::FileKind::Symlink => FileKind::Symlink,
            _ => FileKind::Other,
        },
        identity: Identity { device: stamp.device, inode: stamp.inode },
        size: stamp.size,
        modified_ns: nanoseconds(stamp.modified),
        changed_ns: nanoseconds(stamp.changed),
    }
}

/// A time in nanoseconds since 1970; the nearest that there is where it is outside of the years 1677 to 2262.
fn nanoseconds((secs, nanos): (i64, i64)) -> i64 {
    secs.saturating_mul(1_000_000_000).saturating_add(nanos)
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename | io::ErrorKind::NotADirectory)
}
