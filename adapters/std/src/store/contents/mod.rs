//! Digests of contents, by which files are versioned: computed once for each state of a file, and remembered.

mod asked;
mod jobs;
mod record;

use std::io;
use std::path::Path;
use std::sync::Arc;

use coracle_core::{Digest, StoreError};

pub(super) use asked::Asked;

use asked::sha256_of_state;
use jobs::{Jobs, Outcome};
use record::Record;

/// Files up to this size are hashed by the thread that asks: in less time than it takes to ask again.
const INLINE_MAX: u64 = 4 * 1024 * 1024;

/// The digests that [`VersionBy::Content`](super::VersionBy::Content) needs, in a file for the next start: a line of JSON for each
/// state of a file that was hashed. Clones share it.
#[derive(Clone, Debug)]
pub struct DigestFile(Arc<Record>);

impl DigestFile {
    /// The usual name, in the directory that it belongs to. No client can ask for it.
    pub const NAME: &'static str = ".coracle-digests";

    /// The digests in the file `path`, which new ones are added to. It is created where there is none.
    ///
    /// # Errors
    ///
    /// It cannot be read or written, or is something else.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Record::open(path.as_ref()).map(Arc::new).map(Self)
    }
}

/// What is known of contents. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    record: Arc<Record>,
    jobs: Jobs,
}

impl Contents {
    /// Digests that are kept in `file` as well.
    pub fn kept_in(file: DigestFile) -> Self {
        Self { record: file.0, jobs: Jobs::default() }
    }

    /// The SHA-256 of a file; `None` where it changes while it is hashed, or cannot be read.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotReady`] while a large file is hashed.
    pub fn digest(&self, asked: &Asked<'_>) -> Result<Option<Digest>, StoreError> {
        let lasting = asked.stamp.lasting(asked.has_lasting_inode);
        if let Some(digest) = self.record.find(asked.name, &lasting) {
            return Ok(Some(digest));
        }
        if asked.stamp.size > INLINE_MAX {
            return match self.jobs.ask(asked, &self.record)? {
                Outcome::Pending => Err(StoreError::NotReady),
                Outcome::Done(digest) => Ok(digest),
            };
        }
        let digest = sha256_of_state(asked.file, &asked.stamp, || true);
        if let (Some(digest), true) = (&digest, asked.is_settled) {
            self.record.insert(asked.name, lasting, *digest);
        }
        Ok(digest)
    }
}
