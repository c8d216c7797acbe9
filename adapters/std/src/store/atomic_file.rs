//! Files that get their name when they are complete.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process;

use crate::sys;

/// Writes the file `path`, which has its old contents until the new ones are on the disk.
///
/// # Errors
///
/// It cannot be written; then it is as it was.
pub(super) fn write(path: &Path, contents: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> io::Result<()> {
    let (directory, temporary) = temporary(path)?;
    // What another process with this number has left there.
    let _ = fs::remove_file(&temporary);
    let file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
    let mut writer = BufWriter::with_capacity(256 * 1024, &file);
    let written = contents(&mut writer)
        .and_then(|()| writer.flush())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| sys::sync_directory(&directory));
    if written.is_err() {
        // The error that is told is the first one.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// The directory of `path`, and a name in it that no client can ask for.
fn temporary(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut temporary = OsString::from(".coracle-");
    temporary.push(name);
    temporary.push(format!(".{}", process::id()));
    Ok((directory.to_owned(), directory.join(temporary)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{self, Write};

    use super::write;

    #[test]
    fn b4_a_file_has_its_old_contents_until_the_new_ones_are_complete() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("manifest");
        let read = || fs::read_to_string(&path).expect("there");
        write(&path, |out| out.write_all(b"old")).expect("written");
        for is_written in [false, true] {
            let written = write(&path, |out| {
                out.write_all(b"new")?;
                out.flush()?;
                assert_eq!(read(), "old");
                if is_written { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
            });
            assert_eq!(written.is_ok(), is_written);
            assert_eq!(read(), if is_written { "new" } else { "old" });
            assert_eq!(fs::read_dir(directory.path()).expect("read").count(), 1, "nothing else is left");
        }
    }
}
