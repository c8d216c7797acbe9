//! How serving a connection returns, where requests may wait.

use core::ops::Range;

use crate::{Close, FileInfo};

/// How [`serve_until_watch`](super::serve_until_watch) returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// The session has ended: the socket is to be closed so.
    Closed(Close),
    /// The session waits for a file to change ([`Action::Watch`](crate::Action::Watch)).
    Watching {
        /// What the file was when it was looked up; `None` where that was in an earlier call.
        info: Option<FileInfo>,
        /// Which bytes of the receive buffer belong to the next call.
        unread: Range<usize>,
    },
    /// The session waits for its client's next request, of which nothing has been received, and a read would wait for it
    /// ([`Transport::would_wait`](super::Transport::would_wait)).
    Receiving,
}
