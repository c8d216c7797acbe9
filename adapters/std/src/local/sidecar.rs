//! Sidecar of an unfinished download: a file that says what the part is the beginning of.

use std::io;

use coracle_core::Version;
use serde::{Deserialize, Serialize};

use super::file_system::{FileHandle, Identity, read_at, write_at};

/// Every sidecar has this many bytes, filled up with spaces, so that one write replaces all of it.
const LEN: usize = 2048;

/// First bytes of every sidecar, valid or damaged.
const MAGIC: &[u8] = b"{\"coracle\":";

/// Version of a served file that a part is the beginning of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Name at the server; of a range another text, which is no file's name.
    pub name: String,
    /// Address of the server, as the user wrote it.
    pub peer: String,
    /// Size of the file or range in bytes, as the server last reported it.
    pub size: u64,
    /// Version of the file.
    pub version: Version,
}

/// Contents of a sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecar {
    /// What the part is the beginning of.
    pub origin: Origin,
    /// Identity of the part; `None` until it is created.
    pub part: Option<Identity>,
}

/// State of a file that has a sidecar's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SidecarState {
    /// A valid sidecar.
    Valid(Sidecar),
    /// Begins like a sidecar, and is not valid.
    Damaged,
    /// Has no bytes: created, and not written.
    Empty,
    /// Anything else.
    Foreign,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SidecarFields {
    /// Version of the format.
    coracle: u32,
    file_name: String,
    peer: String,
    file_size: u64,
    version: String,
    part: Option<Identity>,
}

impl Sidecar {
    /// Replaces the contents of `file`.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) where the names are too long; that of the operating system.
    pub fn write(&self, file: &impl FileHandle) -> io::Result<()> {
        let fields = SidecarFields {
            coracle: 1,
            file_name: self.origin.name.clone(),
            peer: self.origin.peer.clone(),
            file_size: self.origin.size,
            version: self.origin.version.as_str().to_owned(),
            part: self.part,
        };
        let mut bytes = serde_json::to_vec(&fields)?;
        if bytes.len() >= LEN {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the host's name is too long to be noted"));
        }
        bytes.resize(LEN - 1, b' ');
        bytes.push(b'\n');
        let mut written = 0;
        while written < bytes.len() {
            written += write_at(file, &bytes[written..], written as u64)?;
        }
        Ok(())
    }

    /// Reads `file`, at most one byte more than a sidecar has.
    ///
    /// # Errors
    ///
    /// That of the operating system.
    pub fn read(file: &impl FileHandle) -> io::Result<SidecarState> {
        let mut bytes = vec![0; LEN + 1];
        let mut len = 0;
        while len < bytes.len() {
            match read_at(file, &mut bytes[len..], len as u64)? {
                0 => break,
                read => len += read,
            }
        }
        bytes.truncate(len);
        Ok(match parse(&bytes) {
            Some(sidecar) => SidecarState::Valid(sidecar),
            None if bytes.starts_with(MAGIC) => SidecarState::Damaged,
            None if bytes.is_empty() => SidecarState::Empty,
            None => SidecarState::Foreign,
        })
    }
}

fn parse(bytes: &[u8]) -> Option<Sidecar> {
    if bytes.len() != LEN {
        return None;
    }
    let fields: SidecarFields = serde_json::from_slice(bytes).ok()?;
    let version = Version::new(&fields.version).ok()?;
    let origin = Origin { name: fields.file_name, peer: fields.peer, size: fields.file_size, version };
    (fields.coracle == 1).then_some(Sidecar { origin, part: fields.part })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::fs::OpenOptions;

    use coracle_core::Version;

    use super::{Identity, LEN, MAGIC, Origin, Sidecar, SidecarState};

    fn sidecar() -> Sidecar {
        let origin = Origin {
            name: "\"".repeat(255),
            peer: "h".repeat(255),
            size: u64::MAX,
            version: Version::new(&"\\".repeat(64)).expect("a version"),
        };
        Sidecar { origin, part: Some(Identity { device: u64::MAX, inode: 7 }) }
    }

    #[test]
    fn reads_what_it_wrote_and_nothing_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("note");
        let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).expect("open");
        sidecar().write(&open()).expect("written");
        assert_eq!(Sidecar::read(&open()).expect("read"), SidecarState::Valid(sidecar()));
        let whole = fs::read(&path).expect("whole");
        assert!(whole.starts_with(MAGIC));
        assert_eq!(whole.len(), LEN);
        for len in 0..LEN {
            fs::write(&path, &whole[..len]).expect("cut");
            let expected = match len {
                0 => SidecarState::Empty,
                _ if len < MAGIC.len() => SidecarState::Foreign,
                _ => SidecarState::Damaged,
            };
            assert_eq!(Sidecar::read(&open()).expect("read"), expected, "{len}");
        }
        let mut longer = whole.clone();
        longer.push(b' ');
        for other in [longer, vec![0; LEN], vec![b' '; LEN], b"garbage".to_vec()] {
            fs::write(&path, &other).expect("replaced");
            assert!(!matches!(Sidecar::read(&open()).expect("read"), SidecarState::Valid(_)));
        }
    }
}
