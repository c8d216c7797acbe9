//! Digests of files that did not change since, by their names; kept in a file where there is one, so that a server that is
//! restarted need not hash again.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use coracle_core::Digest;

use super::super::atomic_file;
use super::super::digest_line::{DigestLine, Local};
use crate::sys::{self, FileStamp};

/// The first line, with the version of the format.
const HEADER: &str = "{\"coracleDigests\":1}\n";
/// Digests beyond are not kept.
const MAX_FILES: usize = 1 << 20;
/// No line that was written is longer, in bytes.
const MAX_LINE_LEN: u64 = 4096;
/// Lines of earlier states of files that may stand there before the file is written anew.
const MAX_STALE: usize = 1000;

/// Digests by the names of files.
#[derive(Debug, Default)]
pub(super) struct Record(Mutex<State>);

type Files = HashMap<String, (FileStamp, Digest)>;

#[derive(Debug, Default)]
struct State {
    files: Files,
    /// Where new ones are noted.
    file: Option<File>,
}

impl Record {
    /// Those in the file `path`, which new ones are added to. It is created where there is none.
    ///
    /// # Errors
    ///
    /// It cannot be read or written, or is something else.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = open(path)?;
        let (files, lines) = read(&file)?;
        if lines > files.len().saturating_mul(2).saturating_add(MAX_STALE) {
            atomic_file::write(path, |text| {
                text.write_all(HEADER.as_bytes())?;
                files.iter().try_for_each(|(name, (stamp, digest))| text.write_all(&line(name, stamp, digest)))
            })?;
            file = open(path)?;
        }
        end_last_line(&file)?;
        Ok(Self(Mutex::new(State { files, file: Some(file) })))
    }

    /// The digest of the file `name` in exactly the state `stamp`.
    pub fn find(&self, name: &str, stamp: &FileStamp) -> Option<Digest> {
        self.state().files.get(name).filter(|(then, _)| then == stamp).map(|(_, digest)| *digest)
    }

    pub fn insert(&self, name: &str, stamp: FileStamp, digest: Digest) {
        let mut state = self.state();
        if state.files.len() >= MAX_FILES && !state.files.contains_key(name) {
            return;
        }
        if state.files.insert(name.to_owned(), (stamp, digest)) == Some((stamp, digest)) {
            return;
        }
        let line = line(name, &stamp, &digest);
        if state.file.as_mut().is_some_and(|file| file.write_all(&line).is_err()) {
            // Part of a line may be there, which the next one must not continue; what is not noted is hashed again.
            state.file = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    // Neither a link to somewhere else nor a pipe.
    let file = sys::for_owner(sys::without_links(&mut options)).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    if metadata.len() == 0 {
        (&file).write_all(HEADER.as_bytes())?;
    }
    Ok(file)
}

/// What stands in `file`, the latest for each name, and how many lines there are. A damaged line is left out.
fn read(mut file: &File) -> io::Result<(Files, usize)> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::with_capacity(256 * 1024, file);
    let mut text = Vec::new();
    let mut next = |text: &mut Vec<u8>| {
        text.clear();
        reader.by_ref().take(MAX_LINE_LEN).read_until(b'\n', text)
    };
    next(&mut text)?;
    if text != HEADER.as_bytes() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it holds something else than digests"));
    }
    let (mut files, mut lines) = (Files::new(), 0);
    while next(&mut text)? > 0 && files.len() < MAX_FILES {
        lines += 1;
        if let Some(DigestLine { name, size, modified, sha256, local: Some(local) }) =
            DigestLine::parse(text.trim_ascii_end())
        {
            let stamp = FileStamp { device: 0, inode: local.inode, size, modified, changed: local.changed };
            files.insert(name.into_owned(), (stamp, sha256));
        }
    }
    Ok((files, lines))
}

/// Ends a line that was cut off.
fn end_last_line(mut file: &File) -> io::Result<()> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

fn line(name: &str, stamp: &FileStamp, digest: &Digest) -> Vec<u8> {
    let FileStamp { inode, size, modified, changed, .. } = *stamp;
    let local = Some(Local { inode, changed });
    let mut text = Vec::new();
    DigestLine { name: name.into(), size, modified, sha256: *digest, local }.write(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use std::fs;
    #[cfg(unix)]
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use coracle_core::Digest;

    #[cfg(unix)]
    use super::HEADER;
    use super::{MAX_STALE, Record};
    use crate::sys::FileStamp;

    const STAMP: FileStamp = FileStamp { device: 0, inode: 2, size: 3, modified: (4, 5), changed: (6, 7) };
    const DIGEST: Digest = Digest::Sha256([7; 32]);

    fn open(path: &Path) -> Record {
        Record::open(path).expect("open")
    }

    #[test]
    fn digests_outlast_a_restart_for_the_same_state_alone() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("digests");
        open(&path).insert("a", STAMP, DIGEST);
        let record = open(&path);
        assert_eq!(record.find("a", &STAMP), Some(DIGEST));
        assert_eq!(record.find("b", &STAMP), None);
        for other in [
            FileStamp { inode: 3, ..STAMP },
            FileStamp { size: 4, ..STAMP },
            FileStamp { modified: (4, 6), ..STAMP },
            FileStamp { changed: (6, 8), ..STAMP },
        ] {
            assert_eq!(record.find("a", &other), None, "{other:?}");
        }
        let newer = FileStamp { changed: (8, 0), ..STAMP };
        record.insert("a", newer, Digest::Sha256([8; 32]));
        assert_eq!(open(&path).find("a", &newer), Some(Digest::Sha256([8; 32])));
        assert_eq!(open(&path).find("a", &STAMP), None);
    }

    #[test]
    fn b4_a_file_that_was_cut_costs_its_last_line() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("digests");
        let record = open(&path);
        record.insert("a", STAMP, DIGEST);
        let one = fs::read(&path).expect("read").len();
        record.insert("b", STAMP, DIGEST);
        let whole = fs::read(&path).expect("read");
        for len in (one + 1..whole.len()).chain([one]) {
            fs::write(&path, &whole[..len]).expect("cut");
            let record = open(&path);
            let is_whole = len == whole.len() - 1;
            assert_eq!(
                (record.find("a", &STAMP), record.find("b", &STAMP)),
                (Some(DIGEST), is_whole.then_some(DIGEST))
            );
            record.insert("c", STAMP, DIGEST);
            assert_eq!(open(&path).find("c", &STAMP), Some(DIGEST), "{len}");
        }
    }

    #[test]
    fn old_lines_are_dropped_in_the_end() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("digests");
        let record = open(&path);
        let states = i64::try_from(MAX_STALE).expect("few") + 10;
        for second in 0..states {
            record.insert("a", FileStamp { changed: (second, 0), ..STAMP }, DIGEST);
        }
        drop(open(&path));
        let text = fs::read_to_string(&path).expect("read");
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(open(&path).find("a", &FileStamp { changed: (states - 1, 0), ..STAMP }).is_some());
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_written_to_what_is_something_else() {
        let home = tempfile::tempdir().expect("a directory");
        let at = |name: &str| home.path().join(name);
        fs::write(at("notes"), "notes\n").expect("written");
        symlink("notes", at("link")).expect("a link");
        fs::write(at("empty"), HEADER.trim_end()).expect("written");
        for name in ["notes", "link", ".", "missing/digests", "empty"] {
            Record::open(&at(name)).expect_err(name);
        }
        assert_eq!(fs::read(at("notes")).expect("read"), b"notes\n");
    }
}
