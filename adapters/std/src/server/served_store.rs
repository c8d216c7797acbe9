//! How the connections of a server use its store: reading only, or writing too.

use coracle_core::blocking::{Buffers, Clock, serve, serve_writable};
use coracle_core::{Close, ServerConfig, ServerSession, Store, WritableStore};

use super::abortable_store::AbortableStore;
use super::entry::ConnectionEntry;
use super::event_bridge::EventBridge;
use super::server_transport::ServerTransport;
use crate::transport::KernelFile;

/// A store and what clients may do with it: [`ReadOnly`] or [`ReadWrite`].
pub trait ServedStore: Clone + Send + Sealed {
    /// Adds the requests that are offered to clients.
    #[doc(hidden)]
    fn offer<'c>(&self, config: ServerConfig<'c>) -> ServerConfig<'c>;

    /// Serves one connection until its session ends.
    #[doc(hidden)]
    fn serve(&mut self, connection: ServedConnection<'_, '_, '_>, clock: &mut impl Clock) -> Close;
}

/// A store whose files clients can list and read.
#[derive(Clone, Copy, Debug)]
pub struct ReadOnly<S>(pub(super) S);

/// A store whose files clients can also put, delete and rename.
#[derive(Clone, Copy, Debug)]
pub struct ReadWrite<S>(pub(super) S);

/// A connection that is served.
#[doc(hidden)]
pub struct ServedConnection<'c, 's, 'b> {
    pub(super) entry: &'c ConnectionEntry,
    pub(super) session: &'c mut ServerSession<'s, &'b mut [u8]>,
    pub(super) transport: &'c mut ServerTransport<'b>,
    pub(super) buffers: Buffers<'c>,
    pub(super) bridge: &'c mut EventBridge<'b>,
}

impl<S> ServedStore for ReadOnly<S>
where
    S: Store<File: KernelFile> + Clone + Send,
{
    fn offer<'c>(&self, config: ServerConfig<'c>) -> ServerConfig<'c> {
        config
    }

    fn serve(&mut self, connection: ServedConnection<'_, '_, '_>, clock: &mut impl Clock) -> Close {
        let ServedConnection { entry, session, transport, buffers, bridge } = connection;
        let mut store = AbortableStore { store: &mut self.0, entry };
        serve(session, transport, &mut store, buffers, clock, bridge)
    }
}

impl<S> ServedStore for ReadWrite<S>
where
    S: WritableStore<File: KernelFile> + Clone + Send,
{
    fn offer<'c>(&self, config: ServerConfig<'c>) -> ServerConfig<'c> {
        use coracle_core::RequestKind::{Delete, MakeDir, Put, Rename, Space};
        [Put, Delete, Rename, MakeDir, Space].into_iter().fold(config, ServerConfig::with_offered)
    }

    fn serve(&mut self, connection: ServedConnection<'_, '_, '_>, clock: &mut impl Clock) -> Close {
        let ServedConnection { entry, session, transport, buffers, bridge } = connection;
        let mut store = AbortableStore { store: &mut self.0, entry };
        serve_writable(session, transport, &mut store, buffers, clock, bridge)
    }
}

impl<S> Sealed for ReadOnly<S> {}

impl<S> Sealed for ReadWrite<S> {}

/// Keeps other crates from more ways to use a store.
pub trait Sealed {}
