//! Control of a running server from any thread.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::listener::{Listener, SocketTimeouts, bind_listeners};
use super::registry::{ConnectionRegistry, Phase};

/// Controls a server from any thread. Clones control the same server.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    pub(super) registry: Arc<ConnectionRegistry>,
    pub(super) ipv6_only: bool,
    pub(super) timeouts: SocketTimeouts,
}

impl ServerHandle {
    /// Stops in good order: each response under way is finished, then its client is told `shuttingDown`, as new clients are
    /// at once.
    /// The listeners are closed when no connection is left; those left after [`Limits::grace`](super::Limits::grace) are aborted. Does not wait for it.
    pub fn stop(&self) {
        self.registry.stop(Phase::Stopping);
    }

    /// Stops at once: aborts all connections.
    pub fn stop_now(&self) {
        self.registry.stop(Phase::Aborting);
    }

    /// Listens on `address` too, and returns it with its real port.
    ///
    /// # Errors
    ///
    /// It cannot be listened on, or the server was stopped.
    pub fn listen_on(&self, address: SocketAddr) -> io::Result<Vec<SocketAddr>> {
        let listeners = self.bind(&[address])?;
        let addresses = listeners.iter().map(|listener| listener.address).collect();
        if self.registry.open_listeners(listeners) { Ok(addresses) } else { Err(stopped()) }
    }

    /// Listens on `addresses` and nowhere else, and returns them with their real ports, without those that another one
    /// includes, as `[::]` does. Connections stay.
    ///
    /// # Errors
    ///
    /// One of them cannot be listened on, or the server was stopped. The server then listens where it did before.
    pub fn listen_only_on(&self, addresses: &[SocketAddr]) -> io::Result<Vec<SocketAddr>> {
        let before = self.addresses();
        let listeners = match self.bind(addresses) {
            // It may be a listener of this server that is in the way.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && !before.is_empty() => {
                self.stop_listening();
                self.bind(addresses).or_else(|error| {
                    self.registry.open_listeners(self.bind(&before)?);
                    Err(error)
                })?
            }
            bound => bound?,
        };
        let bound = listeners.iter().map(|listener| listener.address).collect();
        self.stop_listening();
        if self.registry.open_listeners(listeners) { Ok(bound) } else { Err(stopped()) }
    }

    /// Closes all listeners, and returns their addresses. Connections stay; [`ServerHandle::listen_on`] listens again.
    pub fn stop_listening(&self) -> Vec<SocketAddr> {
        self.registry.close_listeners()
    }

    /// Addresses that clients can connect to now.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.registry.addresses()
    }

    /// Clients that are connected now.
    #[must_use]
    pub fn live(&self) -> usize {
        self.registry.live()
    }

    /// Clients that wait in the queue now.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.registry.queued()
    }

    fn bind(&self, addresses: &[SocketAddr]) -> io::Result<Vec<Listener>> {
        bind_listeners(addresses, self.ipv6_only, self.timeouts)
    }
}

fn stopped() -> io::Error {
    io::Error::other("the server was stopped")
}
