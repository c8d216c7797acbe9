//! What a mirror says of its deletions.

use std::fmt::{self, Display};
use std::io::{self, Write};

use super::plan::Deletion;

/// Where that is said.
#[derive(Clone, Copy, Debug)]
pub struct Telling {
    pub json: bool,
    pub quiet: bool,
}

impl Telling {
    /// Prints a line on standard output. A closed one does not change what is done.
    pub fn say(self, line: impl Display) {
        if !self.quiet && !self.json {
            drop(writeln!(io::stdout(), "{line}"));
        }
    }
}

/// How many entries of each kind.
pub struct Counts {
    files: usize,
    directories: usize,
}

impl Counts {
    pub fn of<'d>(deletions: impl Iterator<Item = &'d Deletion>) -> Self {
        let (directories, files): (Vec<_>, Vec<_>) = deletions.partition(|deletion| deletion.is_directory);
        Self { files: files.len(), directories: directories.len() }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: usize, one: &'static str, many: &'static str| if count == 1 { one } else { many };
        let Self { files, directories } = *self;
        write!(f, "{files} {}", plural(files, "file", "files"))?;
        write!(f, " and {directories} {}", plural(directories, "directory", "directories"))
    }
}
