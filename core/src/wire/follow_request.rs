//! Reads what a `get` or `stat` of a file that is followed has beside the others.

#[cfg(feature = "absolute")]
use super::request_kinds::RequestKind;
#[cfg(feature = "absolute")]
use super::request_reader::NAMES;
use super::request_reader::{ParsedRequest, RequestMembers};

#[cfg(feature = "wait")]
const WAIT_MS: usize = super::request_reader::BEFORE_WAIT;
#[cfg(feature = "absolute")]
const ABSOLUTE: usize = NAMES.len().saturating_sub(1);

impl ParsedRequest {
    /// Reads how long a `get` waits at the end of its file.
    #[cfg(feature = "wait")]
    pub(super) fn read_wait(&mut self, members: &mut RequestMembers<'_>) {
        self.wait_ms = members.number(WAIT_MS, 0);
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
