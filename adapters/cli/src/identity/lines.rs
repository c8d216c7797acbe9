//! Files of lines that the user writes, and what is wrong with them.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::sys;

/// More than any such file has.
const MAX_LEN: u64 = 16 << 20;

/// A file, or one of its lines, that is not as it must be.
#[derive(Debug, PartialEq, Eq)]
pub struct FileProblem {
    path: PathBuf,
    line: Option<usize>,
    what: String,
}

impl FileProblem {
    pub fn new(path: &Path, what: impl fmt::Display) -> Self {
        Self { path: path.to_owned(), line: None, what: what.to_string() }
    }

    pub fn in_line(path: &Path, line: usize, what: impl fmt::Display) -> Self {
        Self { line: Some(line), ..Self::new(path, what) }
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path.display(), self.what),
            None => write!(f, "{}: {}", self.path.display(), self.what),
        }
    }
}

/// The text of a file; empty where there is none.
pub fn read(path: &Path) -> Result<String, FileProblem> {
    let problem = |error: io::Error| FileProblem::new(path, error);
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        opened => opened.map_err(problem)?,
    };
    let metadata = file.metadata().map_err(problem)?;
    if !metadata.is_file() {
        return Err(FileProblem::new(path, "is no regular file"));
    }
    if sys::is_writable_by_all(&metadata) {
        return Err(FileProblem::new(path, "everybody can write it, and it says whom you trust: chmod o-w"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_LEN + 1).read_to_end(&mut bytes).map_err(problem)?;
    if bytes.len() as u64 > MAX_LEN {
        return Err(FileProblem::new(path, "is longer than 16 MiB"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        FileProblem::in_line(path, line, "is not UTF-8")
    })
}

/// The words of a line, without its comment.
pub fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace().take_while(|word| !word.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::{read, words};

    #[test]
    fn a_file_that_is_not_there_is_empty_and_one_that_cannot_be_read_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("hosts");
        assert_eq!(read(&path).expect("none"), "");
        fs::write(&path, b"one\ntwo\xff\n").expect("written");
        assert!(read(&path).expect_err("not UTF-8").to_string().ends_with("hosts:2: is not UTF-8"));
        fs::write(&path, "one").expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o646)).expect("set");
        assert!(read(&path).expect_err("everybody's").to_string().contains("chmod o-w"));
        assert!(read(directory.path()).expect_err("a directory").to_string().contains("is no regular file"));
    }

    #[test]
    fn comments_end_lines() {
        let all = |line| words(line).collect::<Vec<_>>();
        assert_eq!(all("  a b#c # d e"), ["a", "b#c"]);
        assert_eq!(all("# a"), Vec::<&str>::new());
        assert_eq!(all(" \t\r"), Vec::<&str>::new());
    }
}
