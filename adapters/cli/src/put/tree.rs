//! A local directory that is sent, with all that is in it.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use coracle::local::{escape_path, name_restriction};
use coracle_core::FileName;

use super::transfer::Job;
use crate::exit::{Exit, print_error};
use crate::filter::Filter;

/// What is in a directory. Links are not followed.
#[derive(Debug, Default)]
pub struct Walked {
    /// Sorted by name; a directory stands before what is in it.
    pub entries: Vec<Entry>,
    /// What has a name that no server takes.
    pub unnameable: Vec<PathBuf>,
    /// Directories and files that could not be looked at, by their names below the top.
    pub unreadable: Vec<(String, PathBuf, io::Error)>,
}

/// A thing in the directory.
#[derive(Debug)]
pub struct Entry {
    pub path: PathBuf,
    /// Below the top.
    pub name: String,
    pub kind: Kind,
}

/// What a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File {
        size: u64,
        /// In seconds since 1970; `None` before that.
        modified: Option<u64>,
    },
    Directory,
    /// A link, or something else that is not sent.
    Other,
}

/// The regular files beneath `directory`, whose names at the server begin with `top`. What no server takes is an error.
pub fn files(directory: &Path, top: &str) -> Result<Vec<Job>, Exit> {
    let walked = walk(directory, top, &Filter::default());
    if let Some(path) = walked.unnameable.first() {
        print_error(format_args!("{} has a name that no server takes", escape_path(path)));
        return Err(Exit::LocalFile);
    }
    if let Some((_, path, error)) = walked.unreadable.first() {
        print_error(format_args!("cannot read {}: {error}", escape_path(path)));
        return Err(Exit::LocalFile);
    }
    let mut jobs = Vec::new();
    for Entry { path, name, kind } in walked.entries {
        match kind {
            Kind::File { size, .. } => jobs.push(Job::new(path, join(top, &name), size)),
            Kind::Directory => {}
            Kind::Other => {
                print_error(format_args!("{} is neither a file nor a directory, and is left out", escape_path(&path)));
            }
        }
    }
    Ok(jobs)
}

/// Reads `directory` and all that is beneath it, but for what `filter` excludes and for unfinished downloads. Names at the server
/// begin with `top`.
pub fn walk(directory: &Path, top: &str, filter: &Filter) -> Walked {
    let mut walked = Walked::default();
    let mut waiting = vec![(directory.to_owned(), String::new())];
    while let Some((directory, below)) = waiting.pop() {
        let entries = fs::read_dir(&directory).and_then(|entries| entries.collect::<io::Result<Vec<DirEntry>>>());
        match entries {
            // Removed in the meantime.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !below.is_empty() => {}
            Err(error) => walked.unreadable.push((below, directory, error)),
            Ok(entries) => {
                for entry in entries {
                    walked.add(&entry, &below, top, filter, &mut waiting);
                }
            }
        }
    }
    walked.entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    walked
}

impl Walked {
    fn add(&mut self, entry: &DirEntry, below: &str, top: &str, filter: &Filter, waiting: &mut Vec<(PathBuf, String)>) {
        let path = entry.path();
        let leaf = entry.file_name();
        let Some(leaf) = leaf.to_str() else { return self.unnameable.push(path) };
        let name = join(below, leaf);
        let kind = match kind(entry) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.unreadable.push((name, path, error)),
            Ok(kind) => kind,
        };
        if name_restriction(leaf).is_some() || filter.excludes(&name, kind == Kind::Directory) {
            return;
        }
        if FileName::new(&join(top, &name)).is_err() {
            return self.unnameable.push(path);
        }
        if kind == Kind::Directory {
            waiting.push((path.clone(), name.clone()));
        }
        self.entries.push(Entry { path, name, kind });
    }
}

fn kind(entry: &DirEntry) -> io::Result<Kind> {
    let kind = entry.file_type()?;
    if kind.is_dir() {
        return Ok(Kind::Directory);
    }
    if !kind.is_file() {
        return Ok(Kind::Other);
    }
    let metadata = entry.metadata()?;
    let modified = metadata.modified()?.duration_since(UNIX_EPOCH).ok().map(|time| time.as_secs());
    Ok(Kind::File { size: metadata.len(), modified })
}

/// The name of `leaf` in `directory`.
pub fn join(directory: &str, leaf: &str) -> String {
    if directory.is_empty() { leaf.to_owned() } else { format!("{directory}/{leaf}") }
}
