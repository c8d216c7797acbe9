//! Manifests: the files of a tree with their digests, as `coracle index` writes them.

mod watched;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use coracle_core::Digest;

pub use watched::ManifestEvent;
pub(super) use watched::WatchedManifest;

use super::atomic_file;
use super::digest_line::DigestLine;

/// The first line, with the version of the format.
const HEADER: &str = "{\"coracleManifest\":1}\n";
/// No line that was written is longer, in bytes.
const MAX_LINE_LEN: u64 = 4096;

/// The files of a tree, by their paths below it: their sizes, times and digests.
///
/// A file of JSON lines: a first line that says what it is, one for each file, in the order of their names, and a last one with
/// their number, so that one that was cut off is noticed.
///
/// ```text
/// {"coracleManifest":1}
/// {"fileName":"boot.log","fileSize":3390,"modified":1795323774,"modified_ns":0,"sha256":"25972e03…"}
/// {"count":1}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    files: BTreeMap<String, ManifestFile>,
}

/// A file of a [`Manifest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManifestFile {
    /// Length in bytes.
    pub size: u64,
    /// When it was modified: seconds since 1970-01-01 00:00 UTC, and nanoseconds from 0 to 999,999,999.
    pub modified: (i64, i64),
    /// The SHA-256 of its contents.
    pub sha256: Digest,
}

/// Why a file is not used as a manifest.
#[derive(Debug)]
#[non_exhaustive]
pub enum ManifestError {
    /// It cannot be read.
    Io(io::Error),
    /// It does not begin as a manifest does, or as that of another version.
    Other,
    /// The line of this number, from 1, is none of a manifest, or names a file that stood there before.
    Line(u64),
    /// It ends before its last line, or has another number of files than that says.
    Truncated,
}

impl ManifestFile {
    /// A file of `size` bytes with this SHA-256, modified so many seconds and nanoseconds after 1970-01-01 00:00 UTC.
    #[must_use]
    pub const fn new(size: u64, modified: (i64, i64), sha256: Digest) -> Self {
        Self { size, modified, sha256 }
    }
}

impl Manifest {
    /// The usual name, in the directory that it belongs to. No client can ask for it.
    pub const NAME: &'static str = ".coracle-manifest";

    /// A manifest without a file.
    #[must_use]
    pub const fn new() -> Self {
        Self { files: BTreeMap::new() }
    }

    /// Reads the manifest `path`.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is none, or not all of one.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ManifestError> {
        Self::read_from(&File::open(path)?)
    }

    fn read_from(file: &File) -> Result<Self, ManifestError> {
        let mut reader = BufReader::with_capacity(256 * 1024, file);
        let mut text = Vec::new();
        let mut next = |text: &mut Vec<u8>| {
            text.clear();
            reader.by_ref().take(MAX_LINE_LEN).read_until(b'\n', text)
        };
        next(&mut text)?;
        if text != HEADER.as_bytes() {
            return Err(ManifestError::Other);
        }
        let mut manifest = Self::new();
        for number in 2.. {
            next(&mut text)?;
            if text.last() != Some(&b'\n') {
                return Err(ManifestError::Truncated);
            }
            if let Some(count) = last_line(&text) {
                let is_whole = count == manifest.len() && next(&mut text)? == 0;
                return if is_whole { Ok(manifest) } else { Err(ManifestError::Truncated) };
            }
            let line = DigestLine::parse(text.trim_ascii_end()).ok_or(ManifestError::Line(number))?;
            match manifest.files.entry(line.name.into_owned()) {
                Entry::Vacant(place) => place.insert(ManifestFile::new(line.size, line.modified, line.sha256)),
                Entry::Occupied(_) => return Err(ManifestError::Line(number)),
            };
        }
        Err(ManifestError::Truncated)
    }

    /// Writes it to the file `path`, which keeps its old contents until the new ones are on the disk.
    ///
    /// # Errors
    ///
    /// The file cannot be written; then it is as it was.
    pub fn write(&self, path: impl AsRef<Path>) -> io::Result<()> {
        atomic_file::write(path.as_ref(), |out| {
            out.write_all(HEADER.as_bytes())?;
            let mut text = Vec::new();
            for (name, file) in self.files() {
                text.clear();
                let ManifestFile { size, modified, sha256 } = *file;
                DigestLine { name: name.into(), size, modified, sha256, local: None }.write(&mut text);
                out.write_all(&text)?;
            }
            writeln!(out, "{{\"count\":{}}}", self.len())
        })
    }

    /// The file `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ManifestFile> {
        self.files.get(name)
    }

    /// Adds the file `name`, or replaces what is known of it.
    pub fn insert(&mut self, name: impl Into<String>, file: ManifestFile) {
        self.files.insert(name.into(), file);
    }

    /// The files, in the order of their names.
    pub fn files(&self) -> impl Iterator<Item = (&str, &ManifestFile)> {
        self.files.iter().map(|(name, file)| (name.as_str(), file))
    }

    /// How many files there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is no file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

/// The number of files in the last line of a manifest; `None` for another line.
fn last_line(line: &[u8]) -> Option<usize> {
    let digits = line.trim_ascii_end().strip_prefix(b"{\"count\":")?.strip_suffix(b"}")?;
    str::from_utf8(digits).ok()?.parse().ok()
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Other => f.write_str("it is no manifest that this version knows"),
            Self::Line(number) => write!(f, "line {number} is none of a manifest, or names a file twice"),
            Self::Truncated => f.write_str("it is not complete"),
        }
    }
}

impl std::error::Error for ManifestError {}

impl From<io::Error> for ManifestError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use coracle_core::Digest;

    use super::{Manifest, ManifestError, ManifestFile};

    fn manifest() -> Manifest {
        let mut manifest = Manifest::new();
        for (number, name) in ["b", "a/b", "d/\"quoted\"\n"].into_iter().enumerate() {
            let number = u8::try_from(number).expect("few");
            let file = ManifestFile::new(number.into(), (-1, 999_999_999), Digest::Sha256([number; 32]));
            manifest.insert(name, file);
        }
        manifest
    }

    #[test]
    fn reads_what_it_wrote_in_the_order_of_names() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join(Manifest::NAME);
        for manifest in [manifest(), Manifest::new()] {
            manifest.write(&path).expect("written");
            assert_eq!(Manifest::read(&path).expect("read"), manifest);
        }
        manifest().write(&path).expect("written");
        let text = fs::read_to_string(&path).expect("read");
        assert!(text.starts_with("{\"coracleManifest\":1}\n{\"fileName\":\"a/b\",\"fileSize\":1,"), "{text}");
        assert!(text.ends_with("{\"count\":3}\n"), "{text}");
        assert_eq!(fs::read_dir(home.path()).expect("list").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn b4_a_manifest_that_was_cut_anywhere_is_none() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("manifest");
        manifest().write(&path).expect("written");
        let whole = fs::read(&path).expect("read");
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len]).expect("cut");
            Manifest::read(&path).expect_err("cut");
        }
        let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
        for left_out in 0..lines.len() {
            let rest = [&lines[..left_out], &lines[left_out + 1..]].concat().concat();
            fs::write(&path, rest).expect("cut");
            Manifest::read(&path).expect_err("a line less");
        }
        fs::write(&path, [&whole[..], b"more\n"].concat()).expect("written");
        assert!(matches!(Manifest::read(&path), Err(ManifestError::Truncated)));
    }

    #[test]
    fn b4_damaged_lines_are_told() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("manifest");
        manifest().write(&path).expect("written");
        let whole = fs::read_to_string(&path).expect("read");
        let twice = whole.replace("\"b\"", "\"a/b\"");
        for (text, words) in [
            (whole.replace("\"sha256\":\"02", "\"sha256\":\"0"), "line 4 is none"),
            (twice, "line 3 is none of a manifest, or names a file twice"),
            (whole.replace("Manifest\":1", "Manifest\":2"), "no manifest that this version knows"),
            ("notes\n".to_owned(), "no manifest"),
        ] {
            fs::write(&path, text).expect("written");
            let error = Manifest::read(&path).expect_err("damaged").to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
