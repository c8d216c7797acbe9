//! Options of a fetch, and its summary.

use std::sync::Arc;

use coracle_core::{Digest, DigestKind, Header};

use crate::local::{Replace, Staging};

/// How a file is fetched.
///
/// ```
/// use coracle::client::GetOptions;
/// use coracle_core::DigestKind;
///
/// let options = GetOptions::new().with_digest(Some(DigestKind::Sha256)).with_max_size(Some(1 << 30));
/// assert_eq!(options.digest(), Some(DigestKind::Sha256));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct GetOptions {
    pub(super) digest: Option<DigestKind>,
    pub(super) replace: Replace,
    pub(super) resume: bool,
    pub(super) snapshot: bool,
    pub(super) max_size: Option<u64>,
    pub(super) offset: u64,
    pub(super) length: Option<u64>,
    pub(super) is_durable: bool,
    pub(super) staging: Option<Arc<Staging>>,
}

/// What was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GetSummary {
    /// The size of the file in bytes; of the range, where one was asked for.
    pub size: u64,
    /// How many of them were received by an earlier run.
    pub resumed: u64,
    /// The digest that they were verified by; `None` where they were not.
    pub digest: Option<Digest>,
    /// Whether the file changed at the server while it was sent. It is then as it was sent.
    pub is_snapshot: bool,
}

impl GetOptions {
    /// CRC-32 as digest, no existing file replaced, unfinished downloads resumed, no snapshots, no limit of the size, the
    /// whole file, durable when it gets its name.
    pub const fn new() -> Self {
        Self {
            digest: Some(DigestKind::Crc32),
            replace: Replace::Nothing,
            resume: true,
            snapshot: false,
            max_size: None,
            offset: 0,
            length: None,
            is_durable: true,
            staging: None,
        }
    }

    /// Sets the digest that verifies the file; `None` verifies nothing.
    pub const fn with_digest(mut self, digest: Option<DigestKind>) -> Self {
        self.digest = digest;
        self
    }

    /// Sets whether an existing file is replaced, whatever it is.
    pub const fn with_force(self, force: bool) -> Self {
        self.with_replace(if force { Replace::Anything } else { Replace::Nothing })
    }

    /// Sets which file is replaced.
    pub const fn with_replace(mut self, replace: Replace) -> Self {
        self.replace = replace;
        self
    }

    /// Sets whether an unfinished download of an earlier run is resumed.
    pub const fn with_resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Sets whether a file that changes while it is fetched is accepted as it was sent, if its digest came and is right.
    pub const fn with_snapshot(mut self, snapshot: bool) -> Self {
        self.snapshot = snapshot;
        self
    }

    /// Sets the size in bytes of the largest file that is fetched; `None` for no limit.
    pub const fn with_max_size(mut self, max_size: Option<u64>) -> Self {
        self.max_size = max_size;
        self
    }

    /// Sets whether a file is on the disk when it gets its name, so that a power cut cannot damage it.
    pub const fn with_durable(mut self, is_durable: bool) -> Self {
        self.is_durable = is_durable;
        self
    }

    /// Sets where small files are written, for [`Download::finish`](super::Download::finish); `None` for beside their targets.
    /// They are not resumed by a later run.
    pub fn with_staging(mut self, staging: Option<Arc<Staging>>) -> Self {
        self.staging = staging;
        self
    }

    /// Sets the range that is fetched: from the byte `offset` on at most `length` bytes, all for `None`. The digest is that
    /// of the range.
    pub const fn with_range(mut self, offset: u64, length: Option<u64>) -> Self {
        self.offset = offset;
        self.length = length;
        self
    }

    /// The digest that verifies the file.
    #[must_use]
    pub const fn digest(&self) -> Option<DigestKind> {
        self.digest
    }

    /// Whether it may be less than the whole file.
    pub(super) const fn is_range(&self) -> bool {
        self.offset > 0 || self.length.is_some()
    }

    /// How many bytes are to be asked for where the first `len` are here.
    pub(super) fn rest(&self, len: u64) -> Option<u64> {
        self.length.map(|length| length.saturating_sub(len))
    }
}

impl Default for GetOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// The end of the body that follows, which is that of the file unless a range ends before it.
pub(super) fn range_end(header: &Header) -> u64 {
    header.offset.saturating_add(header.length)
}
