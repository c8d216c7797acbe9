//! A server: listening sockets, a thread for each client, and the files of a [`Store`].
//!
//! ```
//! use std::thread;
//!
//! use coracle::Server;
//! use coracle_core::{StaticFile, StaticStore};
//!
//! static FILES: [StaticFile<'static>; 1] = [StaticFile::new("motd", "1", b"Mind the step.\n")];
//!
//! # fn main() -> std::io::Result<()> {
//! let server = Server::new(StaticStore::new(&FILES)).with_address("127.0.0.1:0".parse().unwrap()).bind()?;
//! println!("listening on {}", server.addresses()[0]);
//! let handle = server.handle();
//! let running = thread::spawn(move || server.run());
//! // … until it is time to end:
//! handle.stop();
//! let summary = running.join().expect("no panic")?;
//! assert_eq!(summary.aborted, 0);
//! # Ok(())
//! # }
//! ```
//!
//! A directory is served by [`DirectoryStore`](crate::store::DirectoryStore); many threads share a reference to it.
//!
//! Threads: one worker for each connection and some that wait for one (`worker`, `acceptor`), one for lingering sockets
//! (`linger`), one for the files that clients follow (`followed`), one for their connections, which wait without a thread
//! (`parking`), and one for the queue (`queue_sweeper`). They share a `context`.

mod abortable_store;
mod acceptor;
mod acceptor_threads;
mod address_limits;
mod admission;
mod arrivals;
mod connection;
mod context;
#[cfg(feature = "channel")]
mod encryption;
mod entry;
mod event;
mod event_bridge;
mod followed;
mod handle;
#[cfg(feature = "channel")]
mod handshake_fault;
#[cfg(feature = "channel")]
mod handshake_limits;
#[cfg(feature = "channel")]
mod key_watcher;
mod limits;
mod linger;
mod listener;
mod log;
mod log_line;
mod observer;
mod parking;
mod proxy;
mod queue;
mod queue_sweeper;
mod registry;
pub(crate) mod retry_estimate;
mod served_file;
mod served_store;
mod server_transport;
mod shared_accept;
mod wake_list;
mod worker;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, Builder};
use std::time::Duration;

use coracle_core::{ServerName, Store, WritableStore};
use mio::Poll;
use portable_atomic::AtomicU64;

pub use event::{
    ClientIdentity, ConnectionSummary, DequeueReason, DisconnectReason, Event, Peer, RequestOutcome, RequestSummary,
};
pub use handle::ServerHandle;
#[cfg(feature = "channel")]
pub use handshake_fault::HandshakeFault;
pub use limits::{Admission, Limits, OnText, OnTextError, SPARE_DESCRIPTORS};
pub use listener::DEFAULT_ADDRESS;
pub use log::Log;
pub use log_line::{LogFormat, LogLevel};
pub use observer::Observer;
pub use proxy::{ProxyFault, ProxyNetwork, ProxyNetworkError};
pub use served_store::{ReadOnly, ReadWrite, ServedStore};

#[cfg(feature = "channel")]
use crate::channel::ServerChannel;
use crate::rate_limit::RateLimit;
use crate::sys;
use crate::transport::KernelFile;
use context::ServerContext;
#[cfg(feature = "channel")]
use encryption::Encryption;
#[cfg(feature = "channel")]
use key_watcher::watch_files;
use linger::LingeringSockets;
use listener::{Listener, SocketTimeouts};
use parking::Parking;
use proxy::Proxies;
use queue_sweeper::sweep_queue;
use registry::{AcceptorCommand, ConnectionRegistry, Phase};
use worker::Workers;

const LINGER_STACK_SIZE: usize = 64 * 1024;
/// Time between two looks at whether the thread of lingering sockets has ended.
const LINGER_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Builder of a server.
///
/// `S` is the store, [`ReadOnly`] or [`ReadWrite`]: a clone of it for each thread, so a reference or something that shares. `'a` is
/// the lifetime of the observers.
pub struct Server<'a, S> {
    store: S,
    addresses: Vec<SocketAddr>,
    sockets: Vec<TcpListener>,
    ipv6_only: bool,
    limits: Limits,
    name: String,
    proxies: Vec<ProxyNetwork>,
    observers: Vec<Box<dyn Observer + 'a>>,
    #[cfg(feature = "channel")]
    channel: Option<Arc<ServerChannel>>,
}

impl<S> Server<'_, ReadOnly<S>>
where
    S: Store<File: KernelFile + Send> + Clone + Send,
{
    /// A server of the files in `store`, on [`DEFAULT_ADDRESS`], with the default limits.
    pub fn new(store: S) -> Self {
        Self::of(ReadOnly::new(store))
    }
}

impl<S> Server<'_, ReadWrite<S>>
where
    S: WritableStore<File: KernelFile + Send> + Clone + Send,
{
    /// A server whose clients can also write to `store`: everybody who reaches it. On [`DEFAULT_ADDRESS`], with the default
    /// limits.
    pub fn writable(store: S) -> Self {
        Self::of(ReadWrite::new(store))
    }
}

impl<'a, S> Server<'a, S>
where
    S: ServedStore,
{
    fn of(store: S) -> Self {
        Self {
            store,
            addresses: Vec::new(),
            sockets: Vec::new(),
            ipv6_only: false,
            limits: Limits::default(),
            name: String::new(),
            proxies: Vec::new(),
            observers: Vec::new(),
            #[cfg(feature = "channel")]
            channel: None,
        }
    }

    /// Adds an address to listen on, in place of [`DEFAULT_ADDRESS`]. Port 0 is any free port; `[::]` takes IPv4 clients
    /// as well, unless `0.0.0.0` is listened on with the same port.
    #[must_use]
    pub fn with_address(mut self, address: SocketAddr) -> Self {
        self.addresses.push(address);
        self
    }

    /// Adds a socket that listens already, in place of [`DEFAULT_ADDRESS`]: one of a service manager, or of the process that
    /// served before. It goes on listening for those when this server has ended, and meanwhile does not block.
    #[must_use]
    pub fn with_listener(mut self, socket: TcpListener) -> Self {
        self.sockets.push(socket);
        self
    }

    /// Sets whether `[::]` takes IPv6 clients alone. Default: it takes IPv4 clients as well.
    #[must_use]
    pub fn with_ipv6_only(self, ipv6_only: bool) -> Self {
        Self { ipv6_only, ..self }
    }

    /// Sets what is granted to clients.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Sets the server's name, which `hello` tells. Default: none.
    #[must_use]
    pub fn with_name(self, name: ServerName<'_>) -> Self {
        Self { name: name.as_str().to_owned(), ..self }
    }

    /// Adds addresses of proxies, as balancers are. Each connection from there has to begin with a header of the PROXY protocol,
    /// version 2, and the client that it names is the one that limits, events and the log see. Its addresses are those of TCP
    /// over IPv4 or IPv6; where it names none, the client counts as the proxy. Connections from elsewhere are served as they
    /// are, and a header is no request. Default: there is no proxy.
    ///
    /// The header may take as long as a request ([`Limits::request_timeout`]). As many connections as clients are served at a
    /// time may wait for theirs, beside those.
    #[must_use]
    pub fn with_proxy_protocol(mut self, networks: impl IntoIterator<Item = ProxyNetwork>) -> Self {
        self.proxies.extend(networks);
        self
    }

    /// Sets the keys of the server: connections are encrypted then, and clients are known by their keys. What they may do is what
    /// the store offers and their rights allow.
    #[cfg(feature = "channel")]
    #[must_use]
    pub fn with_channel(self, channel: impl Into<Arc<ServerChannel>>) -> Self {
        Self { channel: Some(channel.into()), ..self }
    }

    /// Adds an observer of all events.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Observer + 'a) -> Self {
        self.observers.push(Box::new(observer));
        self
    }

    /// Listens. Clients can connect from now on; they are served when [`BoundServer::run`] is called.
    ///
    /// # Errors
    ///
    /// An address cannot be listened on; the message names it and says why. Or a socket of [`Server::with_listener`] cannot be
    /// used.
    pub fn bind(mut self) -> io::Result<BoundServer<'a, S>> {
        let sockets = std::mem::take(&mut self.sockets);
        let is_default = self.addresses.is_empty() && sockets.is_empty();
        let addresses = if is_default { vec![DEFAULT_ADDRESS] } else { self.addresses.clone() };
        let bound = self.bind_later();
        let handle = &bound.handle;
        let adopted = sockets.into_iter().map(|socket| Listener::adopt(socket, handle.timeouts));
        let adopted = adopted.collect::<io::Result<Vec<_>>>()?;
        handle.listen_only_on(&addresses)?;
        handle.registry.open_listeners(adopted);
        Ok(bound)
    }

    /// Listens nowhere yet, whatever [`Server::with_address`] and [`Server::with_listener`] said: [`ServerHandle::listen_only_on`] and
    /// [`ServerHandle::listen_on`] do so, before [`BoundServer::run`] is called or while it runs.
    #[must_use]
    pub fn bind_later(self) -> BoundServer<'a, S> {
        #[cfg(feature = "channel")]
        let has_keys = self.channel.is_some();
        #[cfg(not(feature = "channel"))]
        let has_keys = false;
        let registry = Arc::new(ConnectionRegistry::new(&self.limits, has_keys));
        let handle = ServerHandle { registry, ipv6_only: self.ipv6_only, timeouts: SocketTimeouts::new(&self.limits) };
        BoundServer { server: self, handle }
    }
}

impl<S: fmt::Debug> fmt::Debug for Server<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("store", &self.store)
            .field("addresses", &self.addresses)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A server that clients can connect to.
#[derive(Debug)]
pub struct BoundServer<'a, S> {
    server: Server<'a, S>,
    handle: ServerHandle,
}

/// What [`BoundServer::run`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Connections that were aborted, since the grace time was over.
    pub aborted: usize,
}

impl<S> BoundServer<'_, S>
where
    S: ServedStore,
{
    /// The addresses with their real ports.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.handle.addresses()
    }

    /// A handle that stops the server, from any thread.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Serves until the server is stopped. All threads have ended when it returns.
    ///
    /// # Errors
    ///
    /// There is no thread or descriptor for the server itself, or no thread for a listener. No other failure ends a
    /// server.
    pub fn run(self) -> io::Result<Summary> {
        let Self { server, handle } = self;
        let lingering = LingeringSockets::new()?;
        let config = match ServerName::new(&server.name) {
            Ok(name) => server.limits.config().with_name(name),
            Err(_) => server.limits.config(),
        };
        let context = ServerContext {
            registry: &handle.registry,
            lingering: &lingering,
            #[cfg(feature = "channel")]
            config: server.store.offer(config).with_permits(server.channel.is_some()),
            #[cfg(not(feature = "channel"))]
            config: server.store.offer(config),
            observers: &server.observers,
            sees_requests: server.observers.iter().any(|observer| observer.sees_requests()),
            timeouts: handle.timeouts,
            proxies: Proxies::new(server.proxies, server.limits.request_timeout),
            rate_limit: server.limits.rate_limit.map(RateLimit::new),
            connection_rate_limit: server.limits.connection_rate_limit,
            began: sys::monotonic(),
            threads_spawned: AtomicU64::new(0),
            #[cfg(feature = "channel")]
            encryption: server.channel.as_deref().map(|channel| Encryption::new(channel, &server.limits)),
        };
        let registry = context.registry;
        thread::scope(|scope| {
            let (parking, poll) = Parking::new()?;
            let linger_thread = Builder::new().name("linger".to_owned()).stack_size(LINGER_STACK_SIZE);
            let linger_thread = linger_thread.spawn_scoped(scope, || lingering.run())?;
            let (parking, store) = (Arc::new(parking), server.store.clone());
            let workers = Workers { scope, context: &context, parking: Arc::clone(&parking), store };
            let outcome = run_threads(&workers, poll, server.limits.grace);
            if outcome.is_err() {
                server.store.stop_watching();
                registry.stop(Phase::Aborting);
            }
            parking.close();
            lingering.finish();
            while !linger_thread.is_finished() {
                if registry.phase() == Phase::Aborting {
                    lingering.abort();
                }
                thread::sleep(LINGER_POLL_INTERVAL);
            }
            outcome
        })
    }
}

/// Starts the acceptors, and waits until the last connection of the stopped server has ended.
fn run_threads<'env, S>(workers: &Workers<'_, 'env, S>, poll: Poll, grace: Option<Duration>) -> io::Result<Summary>
where
    S: ServedStore + 'env,
{
    let Workers { scope, context, store, .. } = workers;
    let sweeper = Builder::new().name("queue".to_owned()).stack_size(worker::STACK_SIZE);
    let sweeper = sweeper.spawn_scoped(scope, || sweep_queue(context))?;
    #[cfg(feature = "channel")]
    if let Some(channel) =
        context.encryption.as_ref().map(|encryption| encryption.channel).filter(|one| one.has_files())
    {
        let watcher = Builder::new().name("keys".to_owned()).stack_size(worker::STACK_SIZE);
        watcher.spawn_scoped(scope, || watch_files(context, channel))?;
    }
    let mut watched = store.clone();
    let watcher = Builder::new().name("files".to_owned()).stack_size(worker::STACK_SIZE);
    watcher.spawn_scoped(scope, move || watched.watch())?;
    workers.spawn_parking(poll)?;
    while let Some(command) = context.registry.next_command() {
        match command {
            AcceptorCommand::Start(listener) => {
                report_listening(context, &listener);
                workers.spawn_first(listener)?;
            }
            AcceptorCommand::Closed(address) => context.emit(&Event::ListenerClosed { address }),
        }
    }
    let summary = wait_for_connections(context, grace);
    context.registry.close_for_good();
    store.stop_watching();
    // Clients that it refuses linger, too.
    sweeper.join().map_err(|_| io::Error::other("a panic in the server's queue"))?;
    Ok(summary)
}

fn report_listening(context: &ServerContext<'_>, listener: &Listener) {
    for (what, error) in &listener.refused_options {
        context.emit(&Event::Warning { what, error });
    }
    context.emit(&Event::Listening { address: listener.address });
}

/// Waits until no connection is left, and aborts those that are left after `grace`.
fn wait_for_connections(context: &ServerContext<'_>, grace: Option<Duration>) -> Summary {
    let registry = context.registry;
    context.emit(&Event::Stopping { live: registry.live() });
    if registry.wait_until_empty(grace) {
        return Summary { aborted: 0 };
    }
    let aborted = registry.live();
    context.emit(&Event::Aborting { live: aborted });
    registry.stop(Phase::Aborting);
    registry.wait_until_empty(None);
    Summary { aborted }
}
