//! Interface of what observes a server.

use super::event::Event;

/// Receives every event of a server. A closure will do.
///
/// The events of one peer come in order, and one at a time; those of different peers from many threads at once. An
/// observer holds up the peer whose event it handles, so it must not block for long.
pub trait Observer: Send + Sync {
    /// Handles `event`.
    fn event(&self, event: &Event<'_>);

    /// Whether it needs the events of single requests: [`Event::Requested`], [`Event::Opened`], [`Event::Progress`],
    /// [`Event::Text`] and [`Event::Finished`]. Asked once, when the server starts; where no observer does, clients are
    /// served a little faster. Default: it does.
    fn sees_requests(&self) -> bool {
        true
    }
}

impl<F: Fn(&Event<'_>) + Send + Sync> Observer for F {
    fn event(&self, event: &Event<'_>) {
        self(event);
    }
}
