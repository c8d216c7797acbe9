//! What the driver of a server session tells and asks its owner.

#[cfg(feature = "manage")]
use crate::StoreError;
#[cfg(feature = "rights")]
use crate::{Demand, Permit};
use crate::{Exchange, FileInfo, Request};

/// Observes a server session, for logs and counters, and can stop it.
pub trait SessionObserver {
    /// Whether the client may do what it asks for. Asked only where the server's settings say so
    /// ([`ServerConfig::with_permits`](crate::ServerConfig::with_permits)). Default: it may not.
    #[cfg(feature = "rights")]
    fn permit<'a>(&'a mut self, _demand: &Demand<'_>) -> Permit<'a> {
        Permit::Denied
    }

    /// A request is about to be passed to the store.
    fn request(&mut self, _request: &Request<'_>) {}

    /// The requested file was opened.
    fn opened(&mut self, _info: &FileInfo) {}

    /// `body_len` more bytes of a body were sent or buffered, or stored.
    fn body(&mut self, _body_len: usize) {}

    /// Bytes were received that are not a request; a response follows where the text policy has one.
    #[cfg(feature = "classic")]
    fn text(&mut self, _text: &[u8]) {}

    /// A file was put, and has its name. `info` is what it is now.
    #[cfg(feature = "write")]
    fn stored(&mut self, _info: &FileInfo) {}

    /// Does one of the owner's actions, for `do`. An action after which no answer could be sent (a restart) is only noted here,
    /// and done when the connection has closed.
    ///
    /// # Errors
    ///
    /// The action failed.
    #[cfg(feature = "manage")]
    fn perform(&mut self, _action: &str) -> Result<(), StoreError> {
        Err(StoreError::Io)
    }

    /// An exchange has ended. Includes malformed requests.
    fn exchange(&mut self, _exchange: &Exchange) {}

    /// Whether the session has to end gracefully. Called before each step.
    fn should_stop(&mut self) -> bool {
        false
    }
}

impl SessionObserver for () {}
