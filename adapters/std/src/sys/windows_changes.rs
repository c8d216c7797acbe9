//! What a server with writing asks of the file system, as Windows has it.

use std::fs::{File, OpenOptions};
use std::io;

use super::SystemDirectory;

/// Makes the contents of `file`, which may be open for reading alone, survive a power cut.
pub(crate) fn sync_contents(file: &File) -> io::Result<()> {
    // Only who may write to a file can do that.
    OpenOptions::new().write(true).open(winx::file::get_file_path(file)?)?.sync_all()
}

/// The size of the file system in bytes.
pub(crate) fn total_space(directory: &SystemDirectory) -> io::Result<Option<u64>> {
    fs4::total_space(directory.path()).map(Some)
}
