//! The note beside an unfinished download that says what it is the beginning of.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use coracle_core::Version;
use serde::{Deserialize, Serialize};

/// The note has this many bytes, filled up with spaces, so that one write replaces it whole.
const LEN: usize = 2048;

/// How every note begins, whole or damaged.
const MAGIC: &[u8] = b"{\"coracle\":";

/// A file's identity on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The device that holds it.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

/// Of what a part is the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The name at the server.
    pub name: String,
    /// The server, as the user wrote it.
    pub peer: String,
    /// The file's size when it was last told.
    pub size: u64,
    /// The file's version.
    pub version: Version,
}

/// What a note says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecar {
    /// Of what the part is the beginning.
    pub origin: Origin,
    /// Which file the part is; `None` in the moment before it is created.
    pub part: Option<Identity>,
}

/// What was found where a note should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SidecarState {
    /// A note.
    Valid(Sidecar),
    /// What was a note once.
    Damaged,
    /// Nothing: a note that was about to be written.
    Empty,
    /// Anything else.
    Foreign,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SidecarFields {
    /// The note's own format.
    coracle: u32,
    file_name: String,
    peer: String,
    file_size: u64,
    version: String,
    part: Option<Identity>,
}

impl Sidecar {
    /// Replaces what stands in `file`.
    pub fn write(&self, file: &File) -> io::Result<()> {
        let written = SidecarFields {
            coracle: 1,
            file_name: self.origin.name.clone(),
            peer: self.origin.peer.clone(),
            file_size: self.origin.size,
            version: self.origin.version.as_str().to_owned(),
            part: self.part,
        };
        let mut bytes = serde_json::to_vec(&written)?;
        if bytes.len() >= LEN {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the host's name is too long to be noted"));
        }
        bytes.resize(LEN - 1, b' ');
        bytes.push(b'\n');
        file.write_all_at(&bytes, 0)
    }

    /// Reads `file`, at most as much of it as a note has.
    pub fn read(file: &File) -> io::Result<SidecarState> {
        let mut bytes = vec![0; LEN + 1];
        let mut len = 0;
        while len < bytes.len() {
            match file.read_at(&mut bytes[len..], len as u64) {
                Ok(0) => break,
                Ok(n) => len += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(len);
        Ok(match parse(&bytes) {
            Some(note) => SidecarState::Valid(note),
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
    let written: SidecarFields = serde_json::from_slice(bytes).ok()?;
    let version = Version::new(&written.version).ok()?;
    let origin = Origin { name: written.file_name, peer: written.peer, size: written.file_size, version };
    (written.coracle == 1).then_some(Sidecar { origin, part: written.part })
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
