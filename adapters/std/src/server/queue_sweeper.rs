//! The thread that dismisses queued clients: those that are gone, that have waited for too long, or that would wait for a
//! server that stops.

use super::connection::refuse;
use super::context::ServerContext;
use super::event::{DequeueReason, Event};
use super::queue::{Dismissal, QueuedClient};

/// Dismisses clients until the server is being stopped and the queue is empty.
pub(super) fn sweep_queue(context: &ServerContext<'_>) {
    while let Some(dismissed) = context.registry.next_dismissals() {
        dismiss(context, dismissed);
    }
}

/// Reports clients that leave the queue, and refuses those that are still there.
pub(super) fn dismiss(context: &ServerContext<'_>, dismissed: Vec<Dismissal>) {
    for Dismissal { client: QueuedClient { socket, address, since }, reason } in dismissed {
        context.emit(&Event::Dequeued { address, reason, waited: since.elapsed() });
        if let DequeueReason::Refused(code) = reason {
            context.emit(&Event::Refused { address, code, is_over_address_limit: false });
            refuse(context, socket, code, false);
        }
    }
}
