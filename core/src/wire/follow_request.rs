//! Reads what a `get` or `stat` of a file that is followed has beside the others.

#[cfg(feature = "absolute")]
use super::request_kinds::RequestKind;
#[cfg(feature = "absolute")]
use super::request_reader::NO_FAULT;
#[cfg(feature = "replaced")]
use super::request_reader::text;
use super::request_reader::{ParsedRequest, RequestMembers};

#[cfg(feature = "wait")]
const WAIT_MS: usize = super::request_reader::BEFORE_WAIT;
#[cfg(feature = "absolute")]
const ABSOLUTE: usize = NO_FAULT.saturating_sub(1);

impl ParsedRequest {
    /// The version that the file has to have.
    #[cfg(feature = "replaced")]
    pub(crate) fn named_version(&self) -> Option<&str> {
        self.is_versioned.then(|| text(&self.version, self.version_len))
    }

    /// Reads how long a `get` waits at the end of its file; not at all where it asks for no byte.
    #[cfg(feature = "wait")]
    pub(super) fn read_wait(&mut self, members: &mut RequestMembers<'_>) {
        let wait_ms = u32::try_from(members.number(WAIT_MS, 0)).unwrap_or(u32::MAX);
        self.wait_ms = if self.length > 0 { wait_ms } else { 0 };
    }

    /// Reads whether offsets are absolute, and returns whether the digest can be told of such a file: not that of all of it, since
    /// its head may be gone.
    #[cfg(feature = "absolute")]
    pub(super) fn read_absolute(&mut self, members: &mut RequestMembers<'_>) -> bool {
        if !matches!(self.kind, RequestKind::Get | RequestKind::Stat) {
            return true;
        }
        self.is_absolute = members.flag(ABSOLUTE);
        !self.is_absolute || self.kind == RequestKind::Get || self.digest.is_none()
    }
}
