//! How the files of a store are identified: by what their versions are made of, and what is known of their contents.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use coracle_core::{Digest, StoreError, Version};

use super::contents::{Asked, Contents, DigestFile};
use super::manifest::{ManifestEvent, WatchedManifest};
use super::version::{InodeNumbers, VersionBy, version_of_content};
use crate::sys::has_lasting_inodes;

/// What the versions of a store's files come from. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Versions {
    by: VersionBy,
    /// Of the file system where most files lie; `None` where that may not be read.
    inodes: Option<InodeNumbers>,
    contents: Contents,
    manifest: Option<Arc<WatchedManifest>>,
}

/// What a file is in the state in which it was opened.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub version: Version,
    /// The SHA-256 of its contents, where that is known.
    pub sha256: Option<Digest>,
}

impl Versions {
    /// Those of files of which most lie in `directory`.
    pub fn of_directory(directory: &File) -> Self {
        Self { inodes: InodeNumbers::of(directory).ok(), ..Self::default() }
    }

    pub fn with_version_by(self, by: VersionBy) -> Self {
        Self { by, ..self }
    }

    pub fn with_manifest(self, path: &Path, observer: impl Fn(&ManifestEvent<'_>) + Send + Sync + 'static) -> Self {
        Self { manifest: Some(Arc::new(WatchedManifest::new(path, observer))), ..self }
    }

    pub fn with_digest_file(self, file: DigestFile) -> Self {
        Self { contents: Contents::kept_in(file), ..self }
    }

    pub const fn by(&self) -> VersionBy {
        self.by
    }

    /// Whether `file`, which lies on `device`, keeps its inode number.
    pub fn has_lasting_inode(&self, file: &File, device: u64) -> bool {
        let known = self.inodes.and_then(|inodes| inodes.are_lasting(device));
        known.unwrap_or_else(|| has_lasting_inodes(file))
    }

    /// What `file` is, which was opened as `name` in the state `stamp`.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotReady`] while a large file is hashed.
    pub fn identify(&self, asked: &Asked<'_>) -> Result<Identity, StoreError> {
        let listed = self.manifest.as_ref().and_then(|manifest| manifest.find(asked.name, &asked.stamp));
        let sha256 = match (listed, self.by) {
            (None, VersionBy::Content) => self.contents.digest(asked)?,
            (listed, _) => listed,
        };
        let version = match (self.by, &sha256) {
            (VersionBy::Content, Some(sha256)) => version_of_content(sha256),
            (by, _) => asked.stamp.version(by, asked.has_lasting_inode),
        };
        Ok(Identity { version, sha256 })
    }
}
