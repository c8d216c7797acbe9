//! What a follower yields, and what it is told to do.

use std::net::SocketAddr;

use super::super::error::Error;
use super::start::FollowFrom;

/// What a [`Follower`](super::Follower) yields.
#[derive(Debug)]
#[non_exhaustive]
pub enum FollowEvent<'a> {
    /// The next bytes of the file, at most 512 KiB. They were verified, and each comes once.
    Bytes(&'a [u8]),
    /// The file was truncated, replaced or rewritten: its bytes come from the first one on.
    BeginsAnew {
        /// How much of the old file was yielded, in bytes from its beginning, where it is not known whether it had more;
        /// `None` where it was read to its end.
        known_to: Option<u64>,
    },
    /// A log has dropped bytes, in whose place nothing comes, before they could be read.
    Dropped {
        /// How many.
        bytes: u64,
    },
    /// The server cannot be reached, has no place, or does not have the file: it is asked again, for as long as it takes.
    /// Comes once before a [`FollowEvent::Resumed`].
    Waiting {
        /// Why.
        error: Error,
    },
    /// The server has answered again.
    Resumed {
        /// Where it is, if that is another address than before.
        moved_to: Option<SocketAddr>,
    },
}

/// What a [`Follower`](super::Follower) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FollowOptions {
    pub(super) from: FollowFrom,
    pub(super) follows: bool,
}

impl FollowOptions {
    /// The last 10 lines, and what is appended.
    #[must_use]
    pub const fn new() -> Self {
        Self { from: FollowFrom::Lines(10), follows: true }
    }

    /// Sets where to begin. Default: 10 lines before the end. A file that is not there at first is followed from its beginning.
    #[must_use]
    pub const fn with_from(self, from: FollowFrom) -> Self {
        Self { from, ..self }
    }

    /// Sets whether what is appended is waited for; otherwise all ends with the last byte that the file had at first, and with
    /// the retries of the client. Default: true.
    #[must_use]
    pub const fn with_following(self, follows: bool) -> Self {
        Self { follows, ..self }
    }
}

impl Default for FollowOptions {
    fn default() -> Self {
        Self::new()
    }
}
