//! What a server with writing asks of the file system, as Windows has it.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;

use super::SystemDirectory;

/// Does nothing: room is taken as it is written.
pub(crate) fn reserve(_: &File, _: u64) -> io::Result<()> {
    Ok(())
}

/// Makes the contents of `file`, which may be open for reading alone, survive a power cut.
pub(crate) fn sync_contents(file: &File) -> io::Result<()> {
    // Only who may write to a file can do that.
    OpenOptions::new().write(true).open(winx::file::get_file_path(file)?)?.sync_all()
}

/// The size of the file system in bytes.
pub(crate) fn total_space(directory: &SystemDirectory) -> io::Result<Option<u64>> {
    fs4::total_space(directory.path()).map(Some)
}

/// Whether an error means that no room is left: on the file system, in the quota, or in the largest possible file.
pub(crate) fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// Whether an error means that nothing can be written here.
pub(crate) fn is_read_only(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ReadOnlyFilesystem
}

/// Whether the file `name` may be written as far as its attributes say, or nothing has that name.
pub(crate) fn may_write(directory: &SystemDirectory, name: &OsStr) -> bool {
    match fs::symlink_metadata(directory.path().join(name)) {
        Ok(metadata) => !metadata.permissions().readonly(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}
