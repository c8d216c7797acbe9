//! How long a session waits for its file.

use crate::types::time::Instant;

/// What a session that waits for its file knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    /// When the request under way is answered at the latest, where it waits for its file.
    pub until: Instant,
    /// The session ends in favour of another one.
    pub gives_way: bool,
}

impl Watch {
    pub(super) const fn new(now: Instant) -> Self {
        Self { until: now, gives_way: false }
    }
}
