//! Digests of local files.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use coracle::client::Error;
use coracle::local::LocalError;
use coracle_core::{Digest, DigestKind, Hasher};

/// The digest of the file `path`; `None` where this program does not compute one of this kind.
pub fn digest_of(path: &Path, kind: DigestKind) -> Result<Option<Digest>, Error> {
    let failed = |error| Error::from(LocalError::Io { doing: "read", path: path.to_owned(), error });
    let Some(mut hasher) = Hasher::new(kind) else { return Ok(None) };
    let mut file = File::open(path).map_err(failed)?;
    let mut buf = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buf) {
            Ok(0) => return Ok(Some(hasher.finish())),
            Ok(len) => hasher.update(&buf[..len]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}
