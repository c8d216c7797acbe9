//! What a session tells and asks its owner.

use core::future::{Future, pending};

#[cfg(feature = "wait")]
use coracle_core::FileName;
#[cfg(feature = "manage")]
use coracle_core::StoreError;
#[cfg(feature = "rights")]
use coracle_core::{Demand, Permit};
use coracle_core::{Exchange, FileInfo, Request};

/// Observes a server session, for logs and counters, and can stop it.
#[allow(async_fn_in_trait, reason = "tasks of boards stay on their executor")]
pub trait Observer {
    /// Whether the client may do what it asks for. Asked only where the server's settings say so
    /// ([`ServerConfig`](coracle_core::ServerConfig)'s `with_permits`). Default: it may not.
    #[cfg(feature = "rights")]
    fn permit<'a>(&'a mut self, demand: &Demand<'_>) -> Permit<'a> {
        let _ = demand;
        Permit::Denied
    }

    /// A request is about to be passed to the store.
    fn request(&mut self, request: &Request<'_>) {
        let _ = request;
    }

    /// The requested file was opened.
    fn opened(&mut self, info: &FileInfo) {
        let _ = info;
    }

    /// `len` more bytes of a body were passed to the transport or its buffer, or to the store.
    fn body(&mut self, len: usize) {
        let _ = len;
    }

    /// A file was put, and has its name. `info` is what it is now.
    #[cfg(feature = "write")]
    fn stored(&mut self, info: &FileInfo) {
        let _ = info;
    }

    /// Does one of the owner's actions, for `do`. An action after which no answer could be sent (a restart) is only noted here,
    /// and done when the connection has closed.
    ///
    /// # Errors
    ///
    /// The action failed.
    #[cfg(feature = "manage")]
    fn perform(&mut self, action: &str) -> Result<(), StoreError> {
        let _ = action;
        Err(StoreError::Io)
    }

    /// An exchange has ended. Includes malformed requests.
    fn exchange(&mut self, exchange: &Exchange) {
        let _ = exchange;
    }

    /// Completes when the session has to end gracefully: after the exchange under way the client is told `shuttingDown`. May be
    /// dropped and called again, and completes again then. Default: never.
    // No `async fn`, whose futures keep their arguments, twice.
    fn stopped(&self) -> impl Future<Output = ()> {
        pending()
    }

    /// Completes when the file `name`, which a client waits for, may have changed. The session looks each second, too. May be
    /// dropped and called again. Default: never.
    #[cfg(feature = "wait")]
    fn changed(&self, name: FileName<'_>) -> impl Future<Output = ()> {
        let _ = name;
        pending()
    }
}

impl Observer for () {}

impl<O: Observer> Observer for &mut O {
    #[cfg(feature = "rights")]
    fn permit<'a>(&'a mut self, demand: &Demand<'_>) -> Permit<'a> {
        (**self).permit(demand)
    }

    fn request(&mut self, request: &Request<'_>) {
        (**self).request(request);
    }

    fn opened(&mut self, info: &FileInfo) {
        (**self).opened(info);
    }

    fn body(&mut self, len: usize) {
        (**self).body(len);
    }

    #[cfg(feature = "write")]
    fn stored(&mut self, info: &FileInfo) {
        (**self).stored(info);
    }

    #[cfg(feature = "manage")]
    fn perform(&mut self, action: &str) -> Result<(), StoreError> {
        (**self).perform(action)
    }

    fn exchange(&mut self, exchange: &Exchange) {
        (**self).exchange(exchange);
    }

    fn stopped(&self) -> impl Future<Output = ()> {
        (**self).stopped()
    }

    #[cfg(feature = "wait")]
    fn changed(&self, name: FileName<'_>) -> impl Future<Output = ()> {
        (**self).changed(name)
    }
}

/// Completes when the session has to end; never again where it is ending.
pub(crate) fn stopped(observer: &impl Observer, is_stopping: bool) -> impl Future<Output = ()> {
    async move { if is_stopping { core::future::pending().await } else { observer.stopped().await } }
}
