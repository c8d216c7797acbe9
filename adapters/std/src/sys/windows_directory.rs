//! Directories and files that downloads are written to, as Windows has them.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use fs4::fs_std::FileExt as _;
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_READ_ATTRIBUTES,
};

use super::types;
use super::windows::{file_kind, has_lasting_inodes, is_shared_badly, open_any};
use super::windows_calls::{Information, information, move_to_free_name};
use super::windows_files::flush_directory;
use crate::local::{Access, DirectoryHandle, FileHandle, FileKind, FileStatus, FileSystemHandle, Identity, Opened};

/// Programs that look at new files, as search and virus scanners do, have them open for moments: so often is a rename or a
/// removal tried again, and so long is waited before.
const MAX_TRIES: u32 = 12;
const TRY_INTERVAL: Duration = Duration::from_millis(100);

/// 100 ns units from 1601 to 1970.
const EPOCH: i64 = 116_444_736_000_000_000;

/// A directory of the operating system. Paths below it cannot lead out of it.
#[derive(Debug)]
pub struct SystemDirectory {
    /// Paths of several components are looked up from here.
    dir: Dir,
    /// Complete, and in the form that has no limit of length and no devices.
    path: PathBuf,
}

impl SystemDirectory {
    /// The open directory `dir`.
    pub(crate) fn new(dir: Dir) -> io::Result<Self> {
        let path = winx::file::get_file_path(&dir.try_clone()?.into_std_file())?;
        Ok(Self { dir, path })
    }

    /// Opens `path`, and follows symbolic links in it.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        // wine has no complete form of paths that are longer than 260 characters.
        let path = fs::canonicalize(path).or_else(|_| std::path::absolute(path))?;
        Ok(Self { dir: Dir::open_ambient_dir(&path, ambient_authority())?, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The entry itself, where it is a link too.
    fn look(&self, name: &OsStr) -> io::Result<File> {
        let flags = FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT;
        OpenOptions::new().access_mode(FILE_READ_ATTRIBUTES).custom_flags(flags).open(self.path.join(name))
    }
}

/// Stands for a file system as a whole, which no program can sync here.
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
        match self.look(name) {
            Ok(file) => Ok(Some(status_of(&information(&file)?))),
            // A name that the file system cannot hold is not there.
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn open(&self, name: &OsStr, access: Access) -> io::Result<Opened<File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(access != Access::Read).create_new(access == Access::CreateNew);
        options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
        match repeat_shared(|| options.open(self.path.join(name))) {
            Ok(file) => Ok(match file_kind(&information(&file)?) {
                types::FileKind::Symlink => Opened::Symlink,
                _ => Opened::File(file),
            }),
            Err(error) if access != Access::CreateNew && is_missing(&error) => Ok(Opened::Missing),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Opened::Missing),
            // That is what is said of a directory.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => match self.status(name)? {
                Some(status) if status.kind == FileKind::Symlink => Ok(Opened::Symlink),
                Some(status) if status.kind == FileKind::Other => Ok(Opened::Other),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &OsStr, into: &Self, to: &OsStr) -> io::Result<()> {
        // What keeps the old file open is told as a lack of permission here.
        let is_held = |error: &io::Error| is_shared_badly(error) || error.kind() == io::ErrorKind::PermissionDenied;
        repeat_while(is_held, || fs::rename(self.path.join(from), into.path.join(to)))
    }

    fn rename_no_replace(&self, from: &OsStr, into: &Self, to: &OsStr) -> io::Result<()> {
        repeat_shared(|| move_to_free_name(&self.path.join(from), &into.path.join(to)))
    }

    fn link(&self, from: &OsStr, into: &Self, to: &OsStr) -> io::Result<()> {
        fs::hard_link(self.path.join(from), into.path.join(to))
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        repeat_shared(|| fs::remove_file(self.path.join(name)))
    }

    fn has_lasting_inodes(&self) -> bool {
        open_any(&self.path).map_or(true, |directory| has_lasting_inodes(&directory))
    }

    fn sync(&self) -> io::Result<()> {
        flush_directory(&self.path)
    }

    fn free_space(&self) -> io::Result<Option<u64>> {
        fs4::available_space(&self.path).map(Some)
    }

    fn open_directory(&self, path: &str) -> io::Result<Self> {
        let dir = self.dir.open_dir(path)?;
        Ok(Self { dir, path: below(&self.path, path) })
    }

    fn create_directory(&self, path: &str) -> io::Result<()> {
        let (parent, leaf) = path.rsplit_once('/').unwrap_or((".", path));
        // No link in it leads out of this directory.
        self.dir.open_dir(parent)?;
        fs::create_dir(below(&self.path, parent).join(leaf))
    }

    fn remove_directory(&self, name: &OsStr) -> io::Result<()> {
        fs::remove_dir(self.path.join(name))
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    /// A file that is moved keeps the access control list of the directory that it was created in, and which one that is is not
    /// looked at.
    fn is_like(&self, _: &Self) -> io::Result<bool> {
        Ok(false)
    }

    fn file_system(&self) -> io::Result<Option<SystemFileSystem>> {
        Ok(None)
    }
}

impl FileHandle for File {
    fn status(&self) -> io::Result<FileStatus> {
        Ok(status_of(&information(self)?))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.seek_read(buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.seek_write(bytes, offset)
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
        if self.try_lock_exclusive()? { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    fn close(self) -> io::Result<()> {
        // What could not be written was told by the write, or by the sync.
        Ok(())
    }
}

fn status_of(information: &Information) -> FileStatus {
    FileStatus {
        kind: match file_kind(information) {
            types::FileKind::Regular => FileKind::Regular,
            types::FileKind::Symlink => FileKind::Symlink,
            _ => FileKind::Other,
        },
        identity: Identity { device: u64::from(information.volume), inode: information.index },
        size: information.size,
        modified_ns: nanoseconds(information.modified),
        changed_ns: nanoseconds(information.changed),
    }
}

/// A time in nanoseconds since 1970; the nearest that there is where it is outside of the years 1677 to 2262.
fn nanoseconds(time: i64) -> i64 {
    time.saturating_sub(EPOCH).saturating_mul(100)
}

fn below(directory: &Path, path: &str) -> PathBuf {
    let components = path.split('/').filter(|component| *component != ".");
    components.fold(directory.to_owned(), |joined, component| joined.join(component))
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename | io::ErrorKind::NotADirectory)
}

/// Calls again what fails because another program has the file open.
fn repeat_shared<T>(call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    repeat_while(is_shared_badly, call)
}

fn repeat_while<T>(is_held: impl Fn(&io::Error) -> bool, mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..MAX_TRIES {
        match call() {
            Err(error) if is_held(&error) => sleep(TRY_INTERVAL),
            done => return done,
        }
    }
    call()
}
