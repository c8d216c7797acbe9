//! Where the user's own files are.

use std::env;
use std::path::{Path, PathBuf};

use crate::sys;

/// The user's own file `name`; `None` where the environment has no place for it.
pub fn own(name: &str) -> Option<PathBuf> {
    Some(sys::configuration()?.join("coracle").join(name))
}

/// A path as it stands in the file `named_in`: `~/` is the user's home, anything else lies beside that file.
pub fn relative(path: &str, named_in: &Path) -> PathBuf {
    match (path.strip_prefix("~/"), env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => named_in.parent().unwrap_or(Path::new("")).join(path),
    }
}
