//! How the connections of a server use its store: reading only, or writing too.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use coracle_core::blocking::{Buffers, Clock, Served, serve_until_watch};
use coracle_core::exec::{Access, StoreExchange};
use coracle_core::{FileInfo, FileName, ServerConfig, ServerSession, Store, WritableStore};

use super::abortable_store::AbortableStore;
use super::entry::ConnectionEntry;
use super::event_bridge::EventBridge;
use super::followed::{FollowedFiles, Following};
use super::server_transport::ServerTransport;
use super::wake_list::ConnectionWaker;
use crate::transport::KernelFile;

/// A store and what clients may do with it: [`ReadOnly`] or [`ReadWrite`].
pub trait ServedStore: Clone + Send + Sealed {
    /// Adds the requests that are offered to clients.
    #[doc(hidden)]
    fn offer<'c>(&self, config: ServerConfig<'c>) -> ServerConfig<'c>;

    /// Serves one connection until its session ends, or needs no thread.
    #[doc(hidden)]
    fn serve(&mut self, connection: ServedConnection<'_, '_>, clock: &mut impl Clock) -> Served;

    /// Begins to watch a file, which is `info`, for a connection.
    #[doc(hidden)]
    fn follow<'f>(&self, name: FileName<'_>, info: &FileInfo, connection: ConnectionWaker) -> Following<'f>
    where
        Self: 'f;

    /// Watches the files for whose change clients wait, until [`ServedStore::stop_watching`] is called.
    #[doc(hidden)]
    fn watch(&mut self);

    #[doc(hidden)]
    fn stop_watching(&self);
}

/// A store whose files clients can list and read.
#[derive(Debug)]
pub struct ReadOnly<S: Store>(Shared<S>);

/// A store whose files clients can also put, delete and rename.
#[derive(Debug)]
pub struct ReadWrite<S: Store>(Shared<S>);

/// A store, and the files in it that clients follow.
struct Shared<S: Store> {
    store: S,
    followed: Arc<FollowedFiles<S::File>>,
}

/// A connection that is served.
#[doc(hidden)]
pub struct ServedConnection<'c, 's> {
    pub(super) entry: &'c ConnectionEntry,
    pub(super) session: &'c mut ServerSession<'s, Box<[u8]>>,
    pub(super) transport: &'c mut ServerTransport,
    pub(super) buffers: Buffers<'c>,
    /// Bytes of the receive buffer that the session has not taken.
    pub(super) unread: Range<usize>,
    pub(super) bridge: &'c mut EventBridge<'s>,
}

impl<S: Store> ReadOnly<S> {
    pub(super) fn new(store: S) -> Self {
        Self(Shared::new(store))
    }
}

impl<S: Store> ReadWrite<S> {
    pub(super) fn new(store: S) -> Self {
        Self(Shared::new(store))
    }
}

impl<S> ServedStore for ReadOnly<S>
where
    S: Store<File: KernelFile + Send> + Clone + Send,
{
    fn offer<'c>(&self, config: ServerConfig<'c>) -> ServerConfig<'c> {
        self.0.offer(config)
    }

    fn serve(&mut self, connection: ServedConnection<'_, '_>, clock: &mut impl Clock) -> Served {
        self.0.serve(connection, clock, StoreExchange::new)
    }

    fn follow<'f>(&self, name: FileName<'_>, info: &FileInfo, connection: ConnectionWaker) -> Following<'f>
    where
        Self: 'f,
    {
        self.0.followed.follow(name, info, connection)
    }

    fn watch(&mut self) {
        self.0.followed.run(&mut self.0.store);
    }

    fn stop_watching(&self) {
        self.0.followed.close();
    }
}

impl<S> ServedStore for ReadWrite<S>
where
    S: WritableStore<File: KernelFile + Send> + Clone + Send,
{
    fn offer<'c>(&self, config: ServerConfig<'c>) -> ServerConfig<'c> {
        use coracle_core::RequestKind::{Delete, MakeDir, Put, Rename, Space, Sync};
        [Put, Delete, Rename, MakeDir, Space, Sync].into_iter().fold(self.0.offer(config), ServerConfig::with_offered)
    }

    fn serve(&mut self, connection: ServedConnection<'_, '_>, clock: &mut impl Clock) -> Served {
        self.0.serve(connection, clock, StoreExchange::writable)
    }

    fn follow<'f>(&self, name: FileName<'_>, info: &FileInfo, connection: ConnectionWaker) -> Following<'f>
    where
        Self: 'f,
    {
        self.0.followed.follow(name, info, connection)
    }

    fn watch(&mut self) {
        self.0.followed.run(&mut self.0.store);
    }

    fn stop_watching(&self) {
        self.0.followed.close();
    }
}

impl<S: Store<File: KernelFile>> Shared<S> {
    fn offer<'c>(&self, config: ServerConfig<'c>) -> ServerConfig<'c> {
        if self.followed.can_watch() { config } else { config.with_wait_max_ms(0) }
    }

    fn serve<'c, A: Access<AbortableStore<'c, S>>>(
        &'c mut self,
        connection: ServedConnection<'c, '_>,
        clock: &mut impl Clock,
        exchange: fn() -> StoreExchange<AbortableStore<'c, S>, A>,
    ) -> Served {
        let ServedConnection { entry, session, transport, buffers, unread, bridge } = connection;
        let mut store = AbortableStore { store: &mut self.store, entry, followed: &self.followed };
        serve_until_watch(session, transport, &mut store, buffers, unread, clock, bridge, exchange())
    }
}

impl<S: Store> Shared<S> {
    fn new(store: S) -> Self {
        Self { store, followed: Arc::new(FollowedFiles::new()) }
    }
}

impl<S: Store + fmt::Debug> fmt::Debug for Shared<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

impl<S: Store + Clone> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), followed: Arc::clone(&self.followed) }
    }
}

impl<S: Store + Clone> Clone for ReadOnly<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Store + Clone> Clone for ReadWrite<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Store> Sealed for ReadOnly<S> {}

impl<S: Store> Sealed for ReadWrite<S> {}

/// Keeps other crates from more ways to use a store.
pub trait Sealed {}
