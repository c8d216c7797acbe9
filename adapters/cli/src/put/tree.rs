//! The files of a local directory.

use std::fs;
use std::path::Path;

use coracle::local::{escape_path, name_restriction};
use coracle_core::FileName;

use super::Job;
use crate::exit::{Exit, print_error};

/// The regular files beneath `directory`, whose names at the server begin with `top`. Links are not followed; what no server
/// takes, and other things than files and directories, are an error.
pub fn files(directory: &Path, top: &str) -> Result<Vec<Job>, Exit> {
    let mut jobs = Vec::new();
    let mut waiting = vec![(directory.to_owned(), top.to_owned())];
    while let Some((directory, top)) = waiting.pop() {
        let entries = fs::read_dir(&directory).map_err(|error| cannot("read", &directory, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| cannot("read", &directory, &error))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(|error| cannot("look at", &path, &error))?;
            let leaf = entry.file_name();
            let name = leaf.to_str().map(|leaf| if top.is_empty() { leaf.to_owned() } else { format!("{top}/{leaf}") });
            let Some(name) = name.filter(|name| FileName::new(name).is_ok()) else {
                print_error(format_args!("{} has a name that no server takes", escape_path(&path)));
                return Err(Exit::LocalFile);
            };
            // Downloads that are not complete.
            if leaf.to_str().is_some_and(|leaf| name_restriction(leaf).is_some()) {
                continue;
            }
            if kind.is_dir() {
                waiting.push((path, name));
            } else if kind.is_file() {
                jobs.push(Job { path, name });
            } else {
                print_error(format_args!("{} is neither a file nor a directory, and is left out", escape_path(&path)));
            }
        }
    }
    jobs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(jobs)
}

fn cannot(doing: &str, path: &Path, error: &std::io::Error) -> Exit {
    print_error(format_args!("cannot {doing} {}: {error}", escape_path(path)));
    Exit::LocalFile
}
