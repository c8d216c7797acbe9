//! What clients ask for: a file to put, a name to delete, or a file to read meanwhile.

use std::rc::Rc;

use coracle_core::{
    ClientRequest, Delete, Digest, DigestKind, FileName, GetRequest, Hasher, Put, Replace, Version, WriteRequest,
};

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
    Put { contents: Bytes, digest: Digest, replace: Precondition, parents: bool, deferred: bool },
    Delete { version: Option<Version> },
    Get,
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
    pub fn request(&self) -> ClientRequest<'_> {
        match &self.what {
            What::Put { .. } => ClientRequest::Write(WriteRequest::Put(self.put())),
            What::Delete { version } => {
                let version = version.as_ref().map(Version::as_str);
                ClientRequest::Write(WriteRequest::Delete(Delete::File { name: self.name(), version }))
            }
            What::Get => ClientRequest::Get(GetRequest::new(self.name())),
        }
    }

    /// The request of one that puts.
    pub fn put(&self) -> Put<'_> {
        let What::Put { contents, digest, replace, parents, deferred } = &self.what else { panic!("it puts nothing") };
        let put = Put::new(self.name(), contents.len() as u64, *digest);
        put.with_replace(replace.as_replace()).with_parents(*parents).with_deferred(*deferred)
    }

    /// The same one, durable at once.
    pub fn at_once(&self) -> Self {
        let mut job = self.clone();
        if let What::Put { deferred, .. } = &mut job.what {
            *deferred = false;
        }
        job
    }

    /// What has the name when it is done; `None` for nothing.
    pub const fn result(&self) -> Option<&Bytes> {
        match &self.what {
            What::Put { contents, .. } => Some(contents),
            What::Delete { .. } | What::Get => None,
        }
    }

    /// Whether it changes nothing.
    pub const fn is_get(&self) -> bool {
        matches!(self.what, What::Get)
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
            What::Get => false,
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
