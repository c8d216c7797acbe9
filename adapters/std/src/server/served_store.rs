//! How the connections of a server use its store: reading only, or writing too.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use coracle_core::blocking::{Buffers, Clock, Served, SessionObserver as _, serve_until_watch};
use coracle_core::exec::{Access, StoreExchange};
use coracle_core::{Action, Close, Instant, ServerConfig, ServerSession, Store, WritableStore};

use super::abortable_store::AbortableStore;
use super::entry::{ConnectionEntry, ForcedClose};
use super::event_bridge::EventBridge;
use super::followed::FollowedFiles;
use super::server_transport::ServerTransport;
use crate::transport::KernelFile;

/// How long a connection whose store is not ready sleeps before it asks again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// A store and what clients may do with it: [`ReadOnly`] or [`ReadWrite`].
pub trait ServedStore: Clone + Send + Sealed {
    /// Adds the requests that are offered to clients.
    #[doc(hidden)]
    fn offer<'c>(&self, config: ServerConfig<'c>) -> ServerConfig<'c>;

    /// Serves one connection until its session ends.
    #[doc(hidden)]
    fn serve(&mut self, connection: ServedConnection<'_, '_, '_>, clock: &mut impl Clock) -> Close;

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
pub struct ServedConnection<'c, 's, 'b> {
    pub(super) entry: &'c ConnectionEntry,
    pub(super) session: &'c mut ServerSession<'s, &'b mut [u8]>,
    pub(super) transport: &'c mut ServerTransport<'b>,
    pub(super) buffers: Buffers<'c>,
    pub(super) bridge: &'c mut EventBridge<'b>,
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

    fn serve(&mut self, connection: ServedConnection<'_, '_, '_>, clock: &mut impl Clock) -> Close {
        self.0.serve(connection, clock, StoreExchange::new)
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
        use coracle_core::RequestKind::{Delete, MakeDir, Put, Rename, Space};
        [Put, Delete, Rename, MakeDir, Space].into_iter().fold(self.0.offer(config), ServerConfig::with_offered)
    }

    fn serve(&mut self, connection: ServedConnection<'_, '_, '_>, clock: &mut impl Clock) -> Close {
        self.0.serve(connection, clock, StoreExchange::writable)
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

    /// Serves one connection, and waits for the files that its client follows.
    fn serve<'c, A: Access<AbortableStore<'c, S>>>(
        &'c mut self,
        connection: ServedConnection<'c, '_, '_>,
        clock: &mut impl Clock,
        exchange: fn() -> StoreExchange<AbortableStore<'c, S>, A>,
    ) -> Close {
        let ServedConnection { entry, session, transport, buffers, bridge } = connection;
        let Buffers { receive, send } = buffers;
        let followed = &*self.followed;
        let mut store = AbortableStore { store: &mut self.store, entry, followed };
        let (mut rest, mut following) = (0..0, None);
        loop {
            let buffers = Buffers { receive, send };
            match serve_until_watch(session, transport, &mut store, buffers, rest, clock, bridge, exchange()) {
                Served::Closed(close) => return close,
                Served::Watching { info, unread } => {
                    rest = unread;
                    if let (Some(info), Action::Watch { name }) = (info, session.action()) {
                        bridge.begin_waiting();
                        following = Some(followed.follow(name, &info));
                    }
                }
            }
            if session.awaits_store() {
                bridge.begin_preparing();
                thread::sleep(ASK_AGAIN);
                match entry.forced_close() {
                    Some(ForcedClose::Evicted | ForcedClose::Aborted) => session.send_failed(),
                    _ => ask_again(session, clock.now()),
                }
                continue;
            }
            let now = clock.now();
            let limit_ms = session.deadline().map_or(0, |(when, _)| when.since(now));
            entry.set_waiting(true);
            // What is wanted of it before that wakes no thread.
            let is_wanted = bridge.should_stop() || entry.forced_close().is_some() || entry.is_displaced();
            let limit = if is_wanted { Duration::ZERO } else { Duration::from_millis(limit_ms) };
            let has_changed = following.as_ref().is_none_or(|one| one.wait(limit));
            entry.set_waiting(false);
            let now = clock.now();
            match entry.forced_close() {
                Some(ForcedClose::Evicted | ForcedClose::Aborted) => session.send_failed(),
                // The driver looks at that itself.
                Some(ForcedClose::Stopping) => {}
                None if entry.is_displaced() => session.give_way(now),
                None if has_changed => {
                    following = None;
                    session.look_again(now);
                }
                None => session.handle_timeout(now),
            }
        }
    }
}

/// Sends a heartbeat where one is due; else has the request looked up again.
fn ask_again(session: &mut ServerSession<'_, &mut [u8]>, now: Instant) {
    if session.deadline().is_some_and(|(when, _)| when <= now) {
        session.handle_timeout(now);
    } else {
        session.look_again(now);
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
