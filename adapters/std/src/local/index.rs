//! Index of what was fetched to a directory: which version each file is, and how to tell that it was not changed since.
//!
//! It is a file of JSON lines. Without it, or without some of its lines, nothing is lost: files are asked for that need not
//! be, and are not replaced unasked.

use std::collections::HashMap;
use std::io;

use super::directory::Directory;
use super::error::LocalError;
use super::fetched::Fetched;
use super::file_system::{Access, DirectoryHandle, FileHandle, FileStatus, Stamp, read_at, write_at};
use super::names::INDEX;
use super::staging::Staging;

/// The first line, with the version of the format.
const HEADER: &str = "{\"coracleIndex\":1}\n";

/// Larger files are no index, and none grows larger.
const MAX_LEN: usize = 256 * 1024 * 1024;

/// Bytes that are read or written at once.
const BUF_LEN: usize = 256 * 1024;

/// What was fetched to a directory and those below it, by the path below it.
#[derive(Debug, Default)]
pub struct Index {
    files: HashMap<String, Fetched>,
    /// What killed runs were about to name, the latest last: it is here, or what was here before is.
    announced: HashMap<String, Vec<Fetched>>,
    /// Length in bytes when it is written, at most.
    len: usize,
    /// Which of them were added or changed since it was read.
    changed: Vec<String>,
    /// The file that it was read from.
    read: Option<Stamp>,
}

impl Index {
    /// Reads the index of `directory`: what can be read of it.
    #[must_use]
    pub fn read<D: DirectoryHandle>(directory: &Directory<D>) -> Self {
        let mut index = Self::default();
        // What is no regular file, or cannot be read, is as good as none.
        if let Ok(Some((bytes, status))) = read_file(directory) {
            index.read = Some(status.stamp());
            index.add_lines(&bytes);
        }
        index
    }

    /// What was fetched to `path`.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Fetched> {
        self.files.get(path)
    }

    /// What killed runs were about to put at `path`, the latest last. It is there, or what was there before.
    #[must_use]
    pub fn announced(&self, path: &str) -> &[Fetched] {
        self.announced.get(path).map_or(&[], Vec::as_slice)
    }

    /// Notes what was fetched to `path`. Does nothing when the index is full.
    pub fn insert(&mut self, path: &str, fetched: Fetched) {
        if self.get(path) != Some(&fetched) && self.add(path, fetched) {
            self.changed.push(path.to_owned());
        }
    }

    /// Notes in the file of `directory` what is about to get its name, each by the path below it, so that a run which is
    /// killed before it [writes](Self::write) the index leaves no file that the next one takes for the user's.
    ///
    /// # Errors
    ///
    /// [`LocalError::Io`]; what is not noted is asked for, and not replaced unasked.
    pub fn announce<D: DirectoryHandle>(
        &mut self,
        directory: &Directory<D>,
        files: impl IntoIterator<Item = (String, Fetched)>,
    ) -> Result<(), LocalError> {
        let path = || directory.path_of(INDEX.as_ref());
        let opened = match directory.open_file(INDEX.as_ref(), Access::ReadWrite)? {
            None => directory.open_file(INDEX.as_ref(), Access::CreateNew)?,
            found => found,
        };
        let Some(file) = opened else { return Ok(()) };
        let status = file.status().map_err(LocalError::io("look at", path))?;
        let mut header = [0; HEADER.len()];
        let is_index = status.size > 0
            && read_at(&file, &mut header, 0).map_err(LocalError::io("read", path))? == header.len()
            && header == *HEADER.as_bytes();
        if status.size > 0 && !is_index {
            return Ok(());
        }
        // Where the last line was cut off, this one is not part of it.
        let mut bytes = if is_index { b"\n".to_vec() } else { HEADER.as_bytes().to_vec() };
        for (path, fetched) in files {
            bytes.extend_from_slice(&fetched.line(&path));
            bytes.push(b'\n');
        }
        if status.size.saturating_add(bytes.len() as u64) > MAX_LEN as u64 {
            return Ok(());
        }
        let was_read = !is_index || self.read == Some(status.stamp());
        let written = write_all(&file, &bytes, &mut status.size.clone()).and_then(|()| file.status());
        let status = written.map_err(LocalError::io("write", path))?;
        if was_read {
            self.read = Some(status.stamp());
        }
        Ok(())
    }

    /// Whether there is anything to write.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Writes the index of the directory of `staging`, which replaces the old one in one step. What another process has
    /// written there since this one was read is kept.
    ///
    /// # Errors
    ///
    /// [`LocalError::Io`]; the old one is unchanged.
    pub fn write<D: DirectoryHandle>(&mut self, staging: &Staging<D>, is_durable: bool) -> Result<(), LocalError> {
        let root = staging.root();
        let path = || root.path_of(INDEX.as_ref());
        self.merge(root);
        let (name, file) = staging.create_file()?;
        let written = self.write_lines(&file);
        if is_durable {
            // What is lost of it costs questions only.
            let _ = file.sync();
        }
        let stamped = file.status();
        let renamed = written.and(file.close()).and_then(|()| match root.handle().status(INDEX.as_ref())? {
            Some(status) if status.must_be_file(path).is_err() => Err(io::ErrorKind::AlreadyExists.into()),
            _ => staging.directory().rename(&name, root, INDEX.as_ref()),
        });
        if let Err(error) = renamed {
            staging.directory().remove(&name)?;
            return Err(LocalError::io("write", path)(error));
        }
        // The rename has changed the time of its last change on some file systems, so the next write merges once more.
        self.read = stamped.ok().map(|status| status.stamp());
        self.changed.clear();
        Ok(())
    }

    /// Takes over what another process has noted since this was read.
    fn merge<D: DirectoryHandle>(&mut self, directory: &Directory<D>) {
        let is_read = |status: Option<FileStatus>| status.map(|status| status.stamp()) == self.read;
        if directory.status(INDEX.as_ref()).is_ok_and(is_read) {
            return;
        }
        let mut theirs = Self::read(directory);
        for path in &self.changed {
            if let Some(fetched) = self.files.remove(path) {
                theirs.add(path, fetched);
            }
        }
        self.files = theirs.files;
        self.announced = theirs.announced;
        self.len = theirs.len;
    }

    fn add(&mut self, path: &str, fetched: Fetched) -> bool {
        let line = fetched.line(path);
        let len = line.len() + 1;
        if self.len + len > MAX_LEN {
            return false;
        }
        self.len += len;
        self.announced.remove(path);
        self.files.insert(path.to_owned(), fetched);
        true
    }

    fn add_lines(&mut self, bytes: &[u8]) {
        let Some(lines) = bytes.strip_prefix(HEADER.as_bytes()) else { return };
        self.len = bytes.len();
        for line in lines.split(|byte| *byte == b'\n') {
            // A damaged line is left out.
            match Fetched::parse(line) {
                Some((path, fetched)) if fetched.is_announced() => {
                    self.announced.entry(path).or_default().push(fetched);
                }
                Some((path, fetched)) => {
                    self.announced.remove(&path);
                    self.files.insert(path, fetched);
                }
                None => {}
            }
        }
    }

    fn write_lines(&self, file: &impl FileHandle) -> io::Result<()> {
        let mut offset = 0;
        let mut buf = HEADER.as_bytes().to_vec();
        let announced = self.announced.iter().flat_map(|(path, all)| all.iter().map(move |fetched| (path, fetched)));
        for (path, fetched) in self.files.iter().chain(announced) {
            buf.extend_from_slice(&fetched.line(path));
            buf.push(b'\n');
            if buf.len() >= BUF_LEN {
                write_all(file, &buf, &mut offset)?;
                buf.clear();
            }
        }
        write_all(file, &buf, &mut offset)
    }
}

/// The whole index of `directory`; `None` where there is none, or what is there is none.
fn read_file<D: DirectoryHandle>(directory: &Directory<D>) -> Result<Option<(Vec<u8>, FileStatus)>, LocalError> {
    let Some(file) = directory.open_file(INDEX.as_ref(), Access::Read)? else { return Ok(None) };
    let path = || directory.path_of(INDEX.as_ref());
    let status = file.status().map_err(LocalError::io("look at", path))?;
    let mut bytes = Vec::new();
    loop {
        let len = bytes.len();
        if len > MAX_LEN {
            return Ok(None);
        }
        bytes.resize(len + BUF_LEN, 0);
        let read = read_at(&file, &mut bytes[len..], len as u64).map_err(LocalError::io("read", path))?;
        bytes.truncate(len + read);
        if read == 0 {
            return Ok(Some((bytes, status)));
        }
    }
}

fn write_all(file: &impl FileHandle, mut bytes: &[u8], offset: &mut u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let len = write_at(file, bytes, *offset)?;
        *offset += len as u64;
        bytes = &bytes[len..];
    }
    Ok(())
}

// It is written where there are batches, which Windows has not.
#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::Arc;

    use coracle_core::{Digest, DigestKind, Version};
    use tempfile::TempDir;

    use super::super::{Directory, DownloadTarget, Origin, Staging};
    use super::{Fetched, INDEX, Index};

    fn directory() -> (TempDir, Arc<Directory>) {
        let home = tempfile::tempdir().expect("a directory");
        let directory = Arc::new(Directory::open(home.path()).expect("open"));
        (home, directory)
    }

    fn target(directory: &Arc<Directory>, name: &str) -> DownloadTarget {
        DownloadTarget::new(directory.clone(), name.as_ref())
    }

    /// What was fetched, had it been fetched now.
    fn fetched(directory: &Arc<Directory>, name: &str) -> Fetched {
        let target = target(directory, name);
        let stamp = target.status().expect("status").expect("a file").stamp();
        let version = Version::new("v1").expect("a version");
        let origin = Origin { name: format!("dir/{name}"), peer: "host:1".into(), size: stamp.size, version };
        let digest = target.digest(DigestKind::Crc32).expect("read");
        Fetched { origin, modified: Some(1), digest, is_settled: true, stamp }
    }

    #[test]
    fn reads_what_it_wrote_whatever_the_names() {
        let (home, directory) = directory();
        let staging = Staging::create(&directory).expect("a place");
        fs::write(home.path().join("a"), "1").expect("write");
        let one = fetched(&directory, "a");
        let other =
            Fetched { modified: None, digest: Digest::from_hex(DigestKind::Sha256, &"0a".repeat(32)), ..one.clone() };
        let names = ["a", "d/\"quoted\"\n", "caf\u{e9}/\u{1f600}"];
        let mut index = Index::read(&directory);
        for (name, fetched) in names.iter().zip([&one, &other, &one]) {
            index.insert(name, fetched.clone());
        }
        assert!(index.is_changed());
        index.write(&staging, true).expect("written");
        assert!(!index.is_changed());
        drop(staging);
        let read = Index::read(&directory);
        for (name, fetched) in names.iter().zip([&one, &other, &one]) {
            assert_eq!(read.get(name), Some(fetched));
        }
        assert_eq!((read.get("b"), read.is_changed()), (None, false));
        let mut left: Vec<_> =
            fs::read_dir(home.path()).expect("list").map(|entry| entry.expect("entry").file_name()).collect();
        left.sort();
        assert_eq!(left, [INDEX, "a"]);
    }

    #[test]
    fn d6_a_damaged_index_costs_its_damaged_lines() {
        let (home, directory) = directory();
        let staging = Staging::create(&directory).expect("a place");
        fs::write(home.path().join("a"), "1").expect("write");
        let mut index = Index::default();
        for number in 0..20 {
            index.insert(&number.to_string(), fetched(&directory, "a"));
        }
        index.write(&staging, false).expect("written");
        let path = home.path().join(INDEX);
        let whole = fs::read(&path).expect("read");
        for len in (0..whole.len()).step_by(7) {
            fs::write(&path, &whole[..len]).expect("cut");
            let read = Index::read(&directory);
            assert!((0..20).all(|number| {
                let name = number.to_string();
                read.get(&name).is_none_or(|found| Some(found) == index.get(&name))
            }));
            let lines = whole[..len].iter().filter(|byte| **byte == b'\n').count();
            assert!(read.files.len() + 1 >= lines, "{len} bytes");
        }
        for other in [b"".to_vec(), vec![0; 5_000], b"garbage\n".repeat(100), whole[1..].to_vec()] {
            fs::write(&path, other).expect("replaced");
            assert!(Index::read(&directory).files.is_empty());
        }
    }

    #[test]
    fn d1_what_was_announced_is_known_after_a_kill() {
        let (home, directory) = directory();
        fs::write(home.path().join("a"), "12345").expect("write");
        let target = target(&directory, "a");
        let Fetched { origin, modified, digest, is_settled, stamp } = fetched(&directory, "a");
        let announced = Fetched::announced(origin, modified, digest, is_settled, stamp.size);
        Index::read(&directory).announce(&directory, [("a".to_owned(), announced.clone())]).expect("written");
        // The second run was killed in the middle of a line.
        let path = home.path().join(INDEX);
        let whole = fs::read(&path).expect("read");
        fs::write(&path, [&whole[..], b"{\"path\":\"b\",\"file"].concat()).expect("write");
        let mut index = Index::read(&directory);
        index.announce(&directory, [("c".to_owned(), announced.clone())]).expect("written");
        let read = Index::read(&directory);
        let expected = [announced.clone()];
        assert_eq!(
            (read.announced("a"), read.announced("b"), read.announced("c")),
            (&expected[..], &[][..], &expected[..])
        );
        let status = target.status().expect("status").expect("a file");
        assert!(announced.is_still(&target, &status).expect("read"));
        // What was confirmed takes its place; what was not is kept for as long as it is unknown.
        let mut index = Index::read(&directory);
        let staging = Staging::create(&directory).expect("a place");
        index.insert("a", fetched(&directory, "a"));
        index.write(&staging, false).expect("written");
        let read = Index::read(&directory);
        assert_eq!((read.get("a"), read.announced("a")), (Some(&fetched(&directory, "a")), &[][..]));
        assert_eq!((read.get("c"), read.announced("c")), (None, &expected[..]));
        // Another program's file is no index.
        fs::write(&path, "notes\n").expect("write");
        Index::read(&directory).announce(&directory, [("a".to_owned(), announced)]).expect("nothing to do");
        assert_eq!(fs::read(&path).expect("read"), b"notes\n");
    }

    #[test]
    fn m4_a_link_at_its_name_is_neither_followed_nor_replaced() {
        let (home, directory) = directory();
        let staging = Staging::create(&directory).expect("a place");
        fs::write(home.path().join("a"), "1").expect("write");
        symlink("a", home.path().join(INDEX)).expect("link");
        let mut index = Index::read(&directory);
        index.insert("a", fetched(&directory, "a"));
        index.write(&staging, false).expect_err("a link");
        assert!(home.path().join(INDEX).is_symlink());
        assert_eq!(fs::read(home.path().join("a")).expect("read"), b"1");
        assert_eq!(
            fs::read_dir(home.path().join(".coracle-batch-0")).expect("list").count(),
            1,
            "only the lock is left"
        );
    }

    #[test]
    fn m17_two_processes_keep_what_the_other_has_noted() {
        let (home, directory) = directory();
        let staging = Staging::create(&directory).expect("a place");
        fs::write(home.path().join("a"), "1").expect("write");
        let (mut one, mut two) = (Index::read(&directory), Index::read(&directory));
        one.insert("one", fetched(&directory, "a"));
        two.insert("two", fetched(&directory, "a"));
        one.write(&staging, false).expect("written");
        two.write(&staging, false).expect("written");
        one.insert("three", fetched(&directory, "a"));
        one.write(&staging, false).expect("written");
        let read = Index::read(&directory);
        assert!(["one", "two", "three"].iter().all(|name| read.get(name).is_some()), "{read:?}");
    }

    #[test]
    fn a_file_is_what_was_fetched_until_somebody_changes_it() {
        let (home, directory) = directory();
        let path = home.path().join("a");
        fs::write(&path, "12345").expect("write");
        let target = target(&directory, "a");
        let fetched = fetched(&directory, "a");
        let is_still = |fetched: &Fetched| {
            let status = target.status().expect("status").expect("a file");
            fetched.is_still(&target, &status).expect("read")
        };
        assert!(is_still(&fetched));
        // Its contents are the same after these.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
        fs::hard_link(&path, home.path().join("b")).expect("link");
        assert!(is_still(&fetched));
        fs::rename(home.path().join("b"), &path).expect("rename");
        assert!(is_still(&fetched));
        assert!(!is_still(&Fetched { digest: None, ..fetched.clone() }), "without a digest nothing tells");
        // Another content with the old length and the old time. Some kernels count time in ticks of 10 ms.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let modified = fs::metadata(&path).and_then(|metadata| metadata.modified()).expect("status");
        fs::write(&path, "12346").expect("write");
        fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(modified)).expect("touch");
        assert!(!is_still(&fetched));
    }
}
