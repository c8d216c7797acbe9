//! Files that the server has, and makes durable later.

use std::mem;

use coracle_core::WriteRequest;

use super::requester::Requester;
use super::upload::PutSummary;

/// After so many the server is asked to make them durable, so that not too many are sent in vain.
const MAX_LEN: usize = 1_024;

/// Files that were sent and are not known to be durable.
pub(super) struct Unsettled<T> {
    /// Of the connection with this number.
    sent: Vec<(T, PutSummary)>,
    connection: u64,
    /// Of connections that broke.
    lost: Vec<(T, PutSummary)>,
}

/// Files by their tags.
type Files<T> = Vec<(T, PutSummary)>;

impl<T> Unsettled<T> {
    pub const fn new() -> Self {
        Self { sent: Vec::new(), connection: 0, lost: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether they are to be settled before more is sent.
    pub fn is_full(&self) -> bool {
        self.len() >= MAX_LEN
    }

    /// Whether one more makes it full.
    pub fn is_almost_full(&self) -> bool {
        self.len() + 1 >= MAX_LEN
    }

    /// Notes whether what was sent before was sent over the present connection.
    pub fn note_connection(&mut self, requester: &Requester) {
        if mem::replace(&mut self.connection, requester.connections) != requester.connections {
            self.lost.append(&mut self.sent);
        }
    }

    /// Adds a file that was sent over the connection that was noted last.
    pub fn add(&mut self, tag: T, summary: PutSummary) {
        self.sent.push((tag, summary));
    }

    /// Lets the server make them durable. Returns those that are, and those of which it is not known.
    pub fn settle(&mut self, requester: &mut Requester) -> (Files<T>, Files<T>) {
        let is_synced = !self.sent.is_empty()
            && requester.has_connection()
            && requester.connections == self.connection
            && requester.attempt(|connection| connection.write(&WriteRequest::Sync)).is_ok();
        // Over another connection it was the sync of nothing.
        self.note_connection(requester);
        let sent = mem::take(&mut self.sent);
        if is_synced {
            return (sent, mem::take(&mut self.lost));
        }
        self.lost.extend(sent);
        (Vec::new(), mem::take(&mut self.lost))
    }

    fn len(&self) -> usize {
        self.sent.len() + self.lost.len()
    }
}
