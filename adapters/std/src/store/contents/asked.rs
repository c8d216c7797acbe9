//! Files whose contents are asked for, and their SHA-256.

use std::fs::File;
use std::io;

use coracle_core::{Digest, DigestKind, Hasher};

use crate::local::FileHandle;
use crate::sys::{FileStamp, stamp};

/// Bytes that are read at once.
const BUF_LEN: usize = 256 * 1024;

/// A file whose contents are asked for.
#[derive(Debug)]
pub(in super::super) struct Asked<'a> {
    pub name: &'a str,
    pub file: &'a File,
    /// Its state when it was opened.
    pub stamp: FileStamp,
    /// Whether any change since that state would show.
    pub is_settled: bool,
    pub has_lasting_inode: bool,
}

/// The SHA-256 of `file` as long as it is in the state `stamp`; `None` where it is not, or cannot be read, or `goes_on` is false.
pub(super) fn sha256_of_state(file: &File, then: &FileStamp, goes_on: impl Fn() -> bool) -> Option<Digest> {
    let digest = sha256(file, then.size, goes_on).ok().flatten()?;
    let (now, _) = stamp(file).ok()?;
    (now == *then).then_some(digest)
}

/// The SHA-256 of the first `size` bytes of `file`; `None` where it has fewer, or `goes_on` is false.
fn sha256(file: &File, size: u64, goes_on: impl Fn() -> bool) -> io::Result<Option<Digest>> {
    let mut hasher = Hasher::new(DigestKind::Sha256).expect("this crate turns on the core's SHA-256");
    let mut buf = vec![0; usize::try_from(size).map_or(BUF_LEN, |size| size.clamp(1, BUF_LEN))];
    let mut done = 0;
    while done < size {
        let room = usize::try_from(size - done).map_or(buf.len(), |rest| rest.min(buf.len()));
        match FileHandle::read_at(file, &mut buf[..room], done) {
            Ok(0) => return Ok(None),
            Ok(len) => {
                hasher.update(&buf[..len]);
                done += len as u64;
                if !goes_on() {
                    return Ok(None);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(hasher.finish()))
}
