//! A file that was fetched, as a line of the index.

use std::borrow::Cow;

use coracle_core::{Digest, DigestKind, Version};
use serde::{Deserialize, Serialize};

use super::error::LocalError;
use super::file_system::{DirectoryHandle, FileStatus, Stamp};
use super::sidecar::Origin;
use super::target::DownloadTarget;

/// A file that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// What it was fetched from.
    pub origin: Origin,
    /// The server's time of its last modification, in seconds since 1970.
    pub modified: Option<u64>,
    /// Its digest, where it was verified.
    pub digest: Option<Digest>,
    /// By the server's clock, the modification was long enough ago that another one would have another time.
    pub is_settled: bool,
    /// The file as it was when it had got its name.
    pub stamp: Stamp,
}

/// A line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    /// Path below the directory.
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(borrow)]
    file_name: Cow<'a, str>,
    #[serde(borrow)]
    peer: Cow<'a, str>,
    file_size: u64,
    #[serde(borrow)]
    version: Cow<'a, str>,
    modified: Option<u64>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    crc32: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Cow<'a, str>>,
    is_settled: bool,
    stamp: Stamp,
}

impl Fetched {
    /// What is known of a file of `size` bytes before it has its name.
    #[must_use]
    pub fn announced(
        origin: Origin,
        modified: Option<u64>,
        digest: Option<Digest>,
        is_settled: bool,
        size: u64,
    ) -> Self {
        let stamp = Stamp { size, inode: 0, modified_ns: 0, changed_ns: 0 };
        Self { origin, modified, digest, is_settled, stamp }
    }

    /// Whether `target`, whose status is `status`, is still what was fetched: unchanged since, or with the same contents.
    ///
    /// # Errors
    ///
    /// Those of reading it.
    pub fn is_still<D: DirectoryHandle>(
        &self,
        target: &DownloadTarget<D>,
        status: &FileStatus,
    ) -> Result<bool, LocalError> {
        if status.stamp() == self.stamp {
            return Ok(true);
        }
        // It may have been copied, linked or touched.
        match &self.digest {
            Some(digest) if status.size == self.stamp.size => {
                Ok(target.digest(digest.kind())?.as_ref() == Some(digest))
            }
            _ => Ok(false),
        }
    }

    /// Its line in the index, without the end.
    pub(super) fn line(&self, path: &str) -> Vec<u8> {
        let Self { origin, modified, digest, is_settled, stamp } = self;
        let of_kind = |kind| digest.filter(|digest| digest.kind() == kind).map(|digest| digest.to_string().into());
        let line = Line {
            path: path.into(),
            file_name: origin.name.as_str().into(),
            peer: origin.peer.as_str().into(),
            file_size: origin.size,
            version: origin.version.as_str().into(),
            modified: *modified,
            crc32: of_kind(DigestKind::Crc32),
            sha256: of_kind(DigestKind::Sha256),
            is_settled: *is_settled,
            stamp: *stamp,
        };
        serde_json::to_vec(&line).unwrap_or_else(|_| unreachable!("strings and numbers are JSON"))
    }

    /// The path and the file of a line.
    pub(super) fn parse(bytes: &[u8]) -> Option<(String, Self)> {
        let line: Line<'_> = serde_json::from_slice(bytes).ok()?;
        let version = Version::new(&line.version).ok()?;
        let crc32 = line.crc32.and_then(|digits| Digest::from_hex(DigestKind::Crc32, &digits));
        let digest = crc32.or(line.sha256.and_then(|digits| Digest::from_hex(DigestKind::Sha256, &digits)));
        let origin =
            Origin { name: line.file_name.into_owned(), peer: line.peer.into_owned(), size: line.file_size, version };
        let Line { modified, is_settled, stamp, .. } = line;
        Some((line.path.into_owned(), Self { origin, modified, digest, is_settled, stamp }))
    }
}
