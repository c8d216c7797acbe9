//! The local file that all hosts are to have.

use std::fs::File;
use std::io;
use std::path::Path;

use coracle::local::{FileHandle, FileStatus, escape_path};
use coracle_core::{Digest, DigestKind, Hasher};

/// Bytes that are read at a time.
const READ_LEN: usize = 256 * 1024;

/// A file that was hashed, and must stay as it is.
#[derive(Debug)]
pub struct Source {
    pub file: File,
    pub sha256: Digest,
    status: FileStatus,
}

impl Source {
    /// Opens and hashes a regular file.
    ///
    /// # Errors
    ///
    /// Why it cannot be sent to many hosts.
    pub fn open(path: &Path) -> Result<Self, String> {
        let hashed = || -> io::Result<Option<Self>> {
            let file = File::open(path)?;
            if !file.metadata()?.is_file() {
                return Ok(None);
            }
            let before = FileHandle::status(&file)?;
            let mut hasher = Hasher::new(DigestKind::Sha256).expect("this program has every digest");
            let mut buf = vec![0; READ_LEN];
            let mut offset = 0;
            loop {
                match FileHandle::read_at(&file, &mut buf, offset) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                    Ok(0) => break,
                    Ok(len) => {
                        hasher.update(&buf[..len]);
                        offset += len as u64;
                    }
                }
            }
            let source = Self { file, sha256: hasher.finish(), status: before };
            if source.is_unchanged() { Ok(Some(source)) } else { Err(io::Error::other("it changes while it is read")) }
        };
        match hashed() {
            Ok(Some(source)) => Ok(source),
            Ok(None) => Err(format!("{} is no regular file", escape_path(path))),
            Err(error) => Err(format!("cannot read {}: {error}", escape_path(path))),
        }
    }

    /// Whether it is what was hashed, as far as its status tells.
    pub fn is_unchanged(&self) -> bool {
        FileHandle::status(&self.file).is_ok_and(|status| status == self.status)
    }
}
