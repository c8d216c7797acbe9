//! How long a session waits for its file.

use super::timers::NEVER;
use crate::types::time::Instant;

/// What a session that waits for its file knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    /// When the request under way is answered at the latest; [`NEVER`] where it has not begun to wait.
    pub until: Instant,
    /// The session ends in favour of another one.
    pub gives_way: bool,
    /// It does not wait for the file to change, but for the store, which was not ready.
    pub awaits_store: bool,
}

impl Watch {
    pub(super) const fn new() -> Self {
        Self { until: NEVER, gives_way: false, awaits_store: false }
    }
}
