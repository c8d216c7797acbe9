//! What clients ask for: a file to put, or a name to delete.

use std::rc::Rc;

use coracle_core::{Delete, Digest, DigestKind, FileName, Hasher, Put, Replace, Version, WriteRequest};

/// Paths of the files that are put.
pub const PATHS: [&str; 4] = ["a.bin", "b", "d/a", "d/e/c"];

/// Contents of a file.
pub type Bytes = Rc<[u8]>;

/// One request of a client, until it is answered.
#[derive(Clone, Debug)]
pub struct Job {
    pub path: &'static str,
    pub what: What,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub enum What {
    Put { contents: Bytes, digest: Digest, replace: Precondition, parents: bool },
    Delete { version: Option<Version> },
}

/// [`Replace`], owned.
#[derive(Clone, Debug)]
pub enum Precondition {
    Nothing,
    Anything,
    Version(Version),
}

impl Job {
    pub fn name(&self) -> FileName<'static> {
        FileName::from_static(self.path)
    }

    /// The request for a client's session.
    pub fn request(&self) -> WriteRequest<'_> {
        match &self.what {
            What::Put { contents, digest, replace, parents } => {
                let put = Put::new(self.name(), contents.len() as u64, *digest);
                WriteRequest::Put(put.with_replace(replace.as_replace()).with_parents(*parents))
            }
            What::Delete { version } => {
                let version = version.as_ref().map(Version::as_str);
                WriteRequest::Delete(Delete::File { name: self.name(), version })
            }
        }
    }

    /// What has the name when it is done; `None` for nothing.
    pub const fn result(&self) -> Option<&Bytes> {
        match &self.what {
            What::Put { contents, .. } => Some(contents),
            What::Delete { .. } => None,
        }
    }

    /// Whether it may be done where `old` has the name.
    pub fn may_replace(&self, old: Option<&Bytes>) -> bool {
        let old = old.map(|old| version(old));
        match &self.what {
            What::Put { replace, .. } => match replace {
                Precondition::Nothing => old.is_none(),
                Precondition::Anything => true,
                Precondition::Version(expected) => old.as_ref() == Some(expected),
            },
            What::Delete { version: None } => old.is_some(),
            What::Delete { version } => old.is_some() && old == *version,
        }
    }
}

impl Precondition {
    fn as_replace(&self) -> Replace<'_> {
        match self {
            Self::Nothing => Replace::Nothing,
            Self::Anything => Replace::Anything,
            Self::Version(version) => Replace::Version(version.as_str()),
        }
    }
}

/// The version of a file with these contents, on every disk.
pub fn version(contents: &[u8]) -> Version {
    let hex = digest(contents, DigestKind::Sha256).to_hex();
    Version::new(&hex.as_str()[..16]).expect("hexadecimal digits are a version")
}

/// The digest of `contents`.
pub fn digest(contents: &[u8], kind: DigestKind) -> Digest {
    let mut hasher = Hasher::new(kind).expect("both kinds are built in");
    hasher.update(contents);
    hasher.finish()
}
