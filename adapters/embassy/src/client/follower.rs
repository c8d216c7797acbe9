//! How far a followed file was read.

use coracle_core::Version;

use super::window::Window;

/// A file that is followed over any number of connections: how far it was read, and the bytes before that place.
///
/// `W` is the buffer of those bytes, a `[u8; 256]` for example. Each request has a digest that covers them, too: a right one proves
/// that what comes continues them. A longer one makes it less likely that a file that was rewritten is taken for the old one.
#[derive(Debug)]
pub struct Follower<W> {
    pub(super) window: Window<W>,
    from: FollowFrom,
    wait_ms: u64,
    pub(super) stage: Stage,
    /// What the server can do; `None` before it has said so.
    pub(super) features: Option<FollowFeatures>,
    /// The version of the file that the window belongs to.
    pub(super) version: Option<Version>,
    /// Whether the file keeps its version when it grows: then the server can say at once that it is another one.
    pub(super) is_version_stable: bool,
    /// Whether the next answer has to be of that version: the window alone cannot prove it.
    pub(super) names_version: bool,
    /// Whether to look at once whether the file is another one.
    pub(super) is_in_doubt: bool,
    /// Answers with a wrong digest since the last right one.
    pub(super) mismatches: u32,
    /// Before the next request, in milliseconds.
    pub(super) pause_ms: u64,
}

/// Where following a file begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FollowFrom {
    /// At its beginning.
    #[default]
    Beginning,
    /// So many bytes before its end.
    Bytes(u64),
}

/// What came of a followed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Followed {
    /// The next so many bytes of the file, at least 1, stand at the front of the piece. They were verified, and each comes once.
    Bytes(usize),
    /// The file was truncated, replaced or rewritten: its bytes come from the first one on.
    BeginsAnew {
        /// How much of the old file was passed on, in bytes from its beginning, where it is not known whether it had more; `None` where
        /// it was read to its end.
        known_to: Option<u64>,
    },
    /// A log has dropped bytes, in whose place nothing comes, before they could be read.
    Dropped {
        /// How many.
        bytes: u64,
    },
}

/// What a server can do for followers.
#[derive(Clone, Copy, Debug)]
pub(super) struct FollowFeatures {
    pub(super) waits: bool,
    #[cfg(feature = "absolute")]
    pub(super) absolute: bool,
}

/// What is asked next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Where to begin.
    Find,
    /// What follows.
    Read,
    /// The rest of a file that another one has replaced, which the server may have kept.
    ReadReplaced,
}

impl<W: AsRef<[u8]> + AsMut<[u8]>> Follower<W> {
    /// A file from its beginning, of which the server waits 30 s at a time for something new.
    #[must_use]
    pub const fn new(window: W) -> Self {
        Self {
            window: Window::new(window),
            from: FollowFrom::Beginning,
            wait_ms: 30_000,
            stage: Stage::Find,
            features: None,
            version: None,
            is_version_stable: true,
            names_version: false,
            is_in_doubt: false,
            mismatches: 0,
            pause_ms: 0,
        }
    }

    /// Sets where to begin.
    #[must_use]
    pub fn with_from(self, from: FollowFrom) -> Self {
        Self { from, ..self }
    }

    /// Sets for how long a server that can is asked to wait for something new, in milliseconds. It sends heartbeats every 10 s
    /// meanwhile: less than the client's stall time where that is shorter. Default: 30,000.
    #[must_use]
    pub fn with_wait_ms(self, wait_ms: u64) -> Self {
        Self { wait_ms, ..self }
    }

    /// Where the next byte stands in the file.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.window.position()
    }

    /// Where it is to begin.
    pub(super) fn from(&self) -> FollowFrom {
        self.from
    }

    /// How long the server is to wait for something new; `None` where it is asked for what there is.
    pub(super) fn wait_ms(&self, features: FollowFeatures) -> Option<u64> {
        (features.waits && self.mismatches == 0 && !self.is_in_doubt).then_some(self.wait_ms)
    }

    /// The file is another one now; its old version can be asked for where that is known.
    pub(super) fn is_replaced(&mut self) {
        (self.mismatches, self.names_version, self.pause_ms) = (0, false, 0);
        self.stage = Stage::ReadReplaced;
    }

    /// The old file is read as far as it can be.
    pub(super) fn begin_anew(&mut self, may_have_had_more: bool) -> Followed {
        let known_to = may_have_had_more.then_some(self.window.position());
        self.window.reset(0);
        (self.stage, self.version) = (Stage::Read, None);
        (self.is_version_stable, self.is_in_doubt) = (true, false);
        Followed::BeginsAnew { known_to }
    }
}
