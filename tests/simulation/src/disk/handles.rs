//! Open directories and files of a simulated disk: the file system trait of `coracle::local`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::time::SystemTime;

use coracle::local::{Access, DirectoryHandle, FileHandle, FileKind, FileStatus, FileSystemHandle, Identity, Opened};

use super::contents::Contents;
use super::entries::Entries;
use super::{Content, Disk, State};

/// A page of memory: the system writes all of it, or nothing, whenever a process is killed.
const PAGE: usize = 4_096;

/// An open directory.
#[derive(Debug)]
pub struct DiskDirectory {
    disk: Disk,
    number: usize,
    epoch: u64,
}

/// An open file, closed when it is dropped.
#[derive(Debug)]
pub struct DiskFile {
    disk: Disk,
    number: usize,
    epoch: u64,
    has_lock: std::cell::Cell<bool>,
}

impl DiskDirectory {
    pub(super) fn new(disk: &Disk, number: usize) -> Self {
        let mut state = disk.state();
        state.nodes[number].handles += 1;
        Self { disk: disk.clone(), number, epoch: state.epoch }
    }
}

impl DirectoryHandle for DiskDirectory {
    type File = DiskFile;
    type FileSystem = DiskFileSystem;

    fn status(&self, name: &OsStr) -> io::Result<Option<FileStatus>> {
        let mut state = self.disk.operation(self.epoch)?;
        Ok(state.entries(self.number).get(name).map(|number| state.status(number)))
    }

    fn open(&self, name: &OsStr, access: Access) -> io::Result<Opened<DiskFile>> {
        let mut state = self.disk.operation(self.epoch)?;
        let found = state.entries(self.number).get(name);
        let number = match (found, access) {
            (Some(_), Access::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (None, Access::CreateNew) if state.nodes[self.number].is_removed => return Ok(Opened::Missing),
            (None, Access::CreateNew) => {
                let number = state.create(Content::File(Contents::default()));
                state.entries(self.number).add(name, number);
                number
            }
            (None, _) => return Ok(Opened::Missing),
            (Some(number), _) if matches!(state.nodes[number].content, Content::File(_)) => number,
            (Some(_), _) => return Ok(Opened::Other),
        };
        state.nodes[number].handles += 1;
        Ok(Opened::File(DiskFile { disk: self.disk.clone(), number, epoch: self.epoch, has_lock: false.into() }))
    }

    fn rename(&self, from: &OsStr, into: &Self, to: &OsStr) -> io::Result<()> {
        let mut state = self.disk.operation(self.epoch)?;
        let number = state.entries(self.number).get(from).ok_or(io::ErrorKind::NotFound)?;
        // As POSIX has it: two names of one file stay two names.
        if state.entries(into.number).get(to) != Some(number) {
            state.rename((self.number, from), (into.number, to));
        }
        Ok(())
    }

    fn rename_no_replace(&self, from: &OsStr, into: &Self, to: &OsStr) -> io::Result<()> {
        let mut state = self.disk.operation(self.epoch)?;
        if !state.behavior.has_no_replace {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if state.entries(self.number).get(from).is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        if state.entries(into.number).get(to).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.rename((self.number, from), (into.number, to));
        Ok(())
    }

    fn link(&self, from: &OsStr, into: &Self, to: &OsStr) -> io::Result<()> {
        let mut state = self.disk.operation(self.epoch)?;
        if !state.behavior.has_links {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let number = state.entries(self.number).get(from).ok_or(io::ErrorKind::NotFound)?;
        let entries = state.entries(into.number);
        if entries.get(to).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        entries.add(to, number);
        Ok(())
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        let mut state = self.disk.operation(self.epoch)?;
        let entries = state.entries(self.number);
        entries.get(name).ok_or(io::ErrorKind::NotFound)?;
        entries.remove(name);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.operation(self.epoch)?;
        state.entries(self.number).sync();
        state.free_unused();
        Ok(())
    }

    fn free_space(&self) -> io::Result<Option<u64>> {
        let mut state = self.disk.operation(self.epoch)?;
        Ok(state.random.chance(900).then_some(1 << 40))
    }

    fn open_directory(&self, path: &str) -> io::Result<Self> {
        let mut state = self.disk.operation(self.epoch)?;
        let number = state.walk_from(self.number, path).ok_or(io::ErrorKind::NotFound)?;
        if !matches!(state.nodes[number].content, Content::Directory(_)) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        state.nodes[number].handles += 1;
        Ok(Self { disk: self.disk.clone(), number, epoch: self.epoch })
    }

    fn create_directory(&self, path: &str) -> io::Result<()> {
        let mut state = self.disk.operation(self.epoch)?;
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = state.walk_from(self.number, parent).ok_or(io::ErrorKind::NotFound)?;
        if state.nodes[parent].is_removed {
            return Err(io::ErrorKind::NotFound.into());
        }
        if state.entries(parent).get(OsStr::new(name)).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let number = state.create(Content::Directory(Entries::default()));
        state.entries(parent).add(OsStr::new(name), number);
        Ok(())
    }

    fn remove_directory(&self, name: &OsStr) -> io::Result<()> {
        let mut state = self.disk.operation(self.epoch)?;
        let number = state.entries(self.number).get(name).ok_or(io::ErrorKind::NotFound)?;
        match &state.nodes[number].content {
            Content::Directory(entries) if entries.names().next().is_none() => {}
            Content::Directory(_) => return Err(io::ErrorKind::DirectoryNotEmpty.into()),
            _ => return Err(io::ErrorKind::NotADirectory.into()),
        }
        state.nodes[number].is_removed = true;
        state.entries(self.number).remove(name);
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        let mut state = self.disk.operation(self.epoch)?;
        Ok(state.entries(self.number).names().map(OsStr::to_owned).collect())
    }

    fn is_like(&self, _: &Self) -> io::Result<bool> {
        Ok(self.disk.operation(self.epoch)?.behavior.has_one_group)
    }

    fn file_system(&self) -> io::Result<Option<DiskFileSystem>> {
        let state = self.disk.operation(self.epoch)?;
        let system = DiskFileSystem { disk: self.disk.clone(), epoch: self.epoch };
        Ok(state.behavior.has_file_system_sync.then_some(system))
    }
}

/// The file system of a disk.
#[derive(Debug)]
pub struct DiskFileSystem {
    disk: Disk,
    epoch: u64,
}

impl FileSystemHandle for DiskFileSystem {
    fn sync(&self) -> io::Result<()> {
        let errors = self.disk.errors();
        let synced = self.disk.operation(self.epoch).map(drop);
        if self.disk.errors() > errors {
            self.disk.state().lose_unsynced();
        } else if synced.is_ok() {
            self.disk.state().sync_all();
        }
        synced
    }
}

impl FileHandle for DiskFile {
    fn status(&self) -> io::Result<FileStatus> {
        Ok(self.disk.operation(self.epoch)?.status(self.number))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.frequent_operation(self.epoch)?;
        let most = state.uneven(buf.len())?;
        let bytes = state.contents(self.number).bytes();
        let bytes = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
        let len = bytes.len().min(most);
        buf[..len].copy_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        match self.disk.frequent_operation(self.epoch) {
            Ok(mut state) => {
                let len = state.uneven(bytes.len())?;
                state.contents(self.number).write(offset, &bytes[..len]);
                Ok(len)
            }
            Err(error) => {
                // A process that is killed may have written the first pages.
                let mut state = self.disk.state();
                let end = (offset + state.random.below(bytes.len() + 1)) / PAGE * PAGE;
                if state.is_stopped && end > offset {
                    state.contents(self.number).write(offset, &bytes[..end - offset]);
                }
                Err(error)
            }
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.disk.operation(self.epoch)?.contents(self.number).set_len(len);
        Ok(())
    }

    fn set_modified(&self, _: SystemTime) -> io::Result<()> {
        self.disk.operation(self.epoch).map(drop)
    }

    fn sync(&self) -> io::Result<()> {
        let errors = self.disk.errors();
        match self.disk.operation(self.epoch) {
            Ok(mut state) => state.contents(self.number).sync(),
            Err(error) => {
                if self.disk.errors() > errors {
                    self.lose();
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn lock_exclusive(&self) -> io::Result<()> {
        let mut state = self.disk.operation(self.epoch)?;
        let is_locked = &mut state.nodes[self.number].is_locked;
        if *is_locked && !self.has_lock.get() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        *is_locked = true;
        self.has_lock.set(true);
        Ok(())
    }

    fn close(self) -> io::Result<()> {
        let errors = self.disk.errors();
        let closed = self.disk.operation(self.epoch).map(drop);
        if self.disk.errors() > errors {
            self.lose();
        }
        closed
    }
}

impl DiskFile {
    /// Loses what was written, though it can still be read.
    fn lose(&self) {
        let mut state = self.disk.state();
        state.contents(self.number).fail_sync();
        state.losses += 1;
        // A program that is killed now leaves what no other program can tell from a good file.
        state.stops_in = None;
    }
}

impl State {
    fn status(&self, number: usize) -> FileStatus {
        let identity = Identity { device: 1, inode: number as u64 };
        let (kind, size) = match &self.nodes[number].content {
            Content::File(contents) => (FileKind::Regular, contents.bytes().len() as u64),
            _ => (FileKind::Other, 0),
        };
        // No time passes on this disk.
        FileStatus { kind, identity, size, modified_ns: 0, changed_ns: 0 }
    }

    /// How many of `len` bytes one call moves; sometimes it is interrupted.
    fn uneven(&mut self, len: usize) -> io::Result<usize> {
        match self.random.below(1_000) {
            0..5 => Err(io::ErrorKind::Interrupted.into()),
            5..30 if len > 0 => Ok(1 + self.random.below(len)),
            _ => Ok(len),
        }
    }
}

impl Drop for DiskDirectory {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.epoch == self.epoch {
            state.nodes[self.number].handles -= 1;
        }
    }
}

impl Drop for DiskFile {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.epoch == self.epoch {
            let node = &mut state.nodes[self.number];
            node.handles -= 1;
            node.is_locked &= !self.has_lock.get();
        }
    }
}
