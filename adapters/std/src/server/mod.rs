//! A server: listening sockets, a thread for each client, and the files of a [`Store`].
//!
//! ```
//! use std::thread;
//!
//! use coracle::server::Server;
//! use coracle_core::{StaticFile, StaticStore};
//!
//! static FILES: [StaticFile<'static>; 1] = [StaticFile::new("motd", "1", b"Mind the step.\n")];
//!
//! # fn main() -> std::io::Result<()> {
//! let server = Server::new(StaticStore::new(&FILES)).listen_on("127.0.0.1:0".parse().unwrap()).bind()?;
//! println!("listening on {}", server.addresses()[0]);
//! let handle = server.handle();
//! let running = thread::spawn(move || server.run());
//! // … until somebody wants it to end:
//! handle.stop();
//! let summary = running.join().expect("no panic")?;
//! assert_eq!(summary.cut, 0);
//! # Ok(())
//! # }
//! ```
//!
//! A directory is served by [`DirectoryStore`](crate::store::DirectoryStore); many threads share a reference to it.

mod acceptor;
mod cut;
mod hall;
mod limits;
mod linger;
mod listen;
mod log;
mod observer;
mod queue;
mod seat;
mod shares;
mod visit;
mod worker;
mod worker_pool;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Duration;

use coracle_core::{ServerConfig, ServerName, Store};

pub use limits::{Admission, Limits, OnText, OnTextError, SPARE_DESCRIPTORS};
pub use listen::DEFAULT_ADDRESS;
pub use log::{Log, LogFormat, LogLevel};
pub use observer::{Answer, Event, Observer, Outcome, Peer, Reason, Visit, WaitEnd};

use crate::clock::coarse_ms;
use crate::transport::KernelFile;
use hall::{Chore, Hall, Phase};
use linger::Lingering;
use listen::{Inherited, bind_all};
use worker_pool::WorkerPool;

/// A server to be.
///
/// `S` is the store: a clone of it for each thread, so a reference or something that shares. `'a` is how long its
/// observers live.
pub struct Server<'a, S> {
    store: S,
    addresses: Vec<SocketAddr>,
    limits: Limits,
    name: String,
    observers: Vec<Box<dyn Observer + 'a>>,
}

impl<'a, S> Server<'a, S>
where
    S: Store<File: KernelFile> + Clone + Send,
{
    /// A server of the files in `store`, on [`DEFAULT_ADDRESS`], with the default limits.
    pub fn new(store: S) -> Self {
        Self { store, addresses: Vec::new(), limits: Limits::default(), name: String::new(), observers: Vec::new() }
    }

    /// Listens on `address` too. Port 0 is any free port; `[::]` takes IPv4 clients as well, unless `0.0.0.0` is listened
    /// on with the same port.
    #[must_use]
    pub fn listen_on(mut self, address: SocketAddr) -> Self {
        self.addresses.push(address);
        self
    }

    /// What is granted to clients.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The owner's word for this server, told in `hello`.
    #[must_use]
    pub fn name(self, name: ServerName<'_>) -> Self {
        Self { name: name.as_str().to_owned(), ..self }
    }

    /// Somebody who sees all events; may be called more than once.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer + 'a) -> Self {
        self.observers.push(Box::new(observer));
        self
    }

    /// Listens. Clients can connect from now on; they are served when [`BoundServer::run`] is called.
    ///
    /// # Errors
    ///
    /// An address cannot be listened on; the message names it and says why.
    pub fn bind(self) -> io::Result<BoundServer<'a, S>> {
        let addresses = if self.addresses.is_empty() { vec![DEFAULT_ADDRESS] } else { self.addresses.clone() };
        let bound = self.bind_later();
        bound.handle.listen_only_on(&addresses)?;
        Ok(bound)
    }

    /// Listens nowhere yet, whatever [`Server::listen_on`] said: that is up to [`ServerHandle::listen_only_on`] and
    /// [`ServerHandle::listen_on`], before [`BoundServer::run`] is called or while it runs.
    #[must_use]
    pub fn bind_later(self) -> BoundServer<'a, S> {
        let hall = Arc::new(Hall::new(&self.limits));
        let handle = ServerHandle { hall, inherited: inherited(&self.limits) };
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

/// What a server did, when it has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Clients that were cut off, since the time to stop was over.
    pub cut: usize,
}

impl<S> BoundServer<'_, S>
where
    S: Store<File: KernelFile> + Clone + Send,
{
    /// The addresses with their real ports.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.handle.addresses()
    }

    /// What stops the server, from any thread.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Serves until it is stopped. All threads have ended when it returns.
    ///
    /// # Errors
    ///
    /// There is no thread or descriptor even for the first steps. Later on, no failure ends a server.
    pub fn run(self) -> io::Result<Summary> {
        let Self { server, handle } = self;
        let lingering = Lingering::new()?;
        let config = match ServerName::new(&server.name) {
            Ok(name) => server.limits.config().server_name(name),
            Err(_) => server.limits.config(),
        };
        let house = House {
            hall: &handle.hall,
            lingering: &lingering,
            config,
            observers: &server.observers,
            tells_answers: server.observers.iter().any(|observer| observer.sees_answers()),
            inherited: handle.inherited,
            began_ms: coarse_ms(),
            threads_made: AtomicU64::new(0),
            workers: WorkerPool::default(),
        };
        let grace = server.limits.grace;
        thread::scope(|scope| {
            let lingerer = thread::Builder::new().name("linger".to_owned()).stack_size(64 * 1024);
            let lingerer = lingerer.spawn_scoped(scope, || lingering.run())?;
            let attendant = house.hall.keeps_order().then(|| {
                let attendant = thread::Builder::new().name("queue".to_owned()).stack_size(worker::STACK_SIZE);
                attendant.spawn_scoped(scope, || queue::attend(&house))
            });
            let outcome = attendant.transpose().and_then(|attendant| {
                while let Some(chore) = house.hall.next_chore() {
                    let listener = match chore {
                        Chore::Accept(listener) => listener,
                        Chore::TellClosed(address) => {
                            house.tell(&Event::Unlistened { address });
                            continue;
                        }
                    };
                    for (what, error) in &listener.refused_options {
                        house.tell(&Event::Trouble { what, error });
                    }
                    house.tell(&Event::Listening { address: listener.address });
                    acceptor::spawn_acceptor(scope, &house, listener, server.store.clone())?;
                }
                let summary = house.close(grace);
                // Whom it dismisses lingers, too.
                let ended = attendant.map_or(Ok(()), |attendant| attendant.join());
                ended.map_err(|_| io::Error::other("a panic in the server's queue"))?;
                Ok(summary)
            });
            if outcome.is_err() {
                house.hall.stop(Phase::Cut);
            }
            house.workers.close();
            lingering.finish();
            while !lingerer.is_finished() {
                if house.hall.phase() == Phase::Cut {
                    lingering.cut();
                }
                thread::sleep(Duration::from_millis(5));
            }
            outcome
        })
    }
}

/// Steers a running server, from any thread.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    hall: Arc<Hall>,
    inherited: Inherited,
}

impl ServerHandle {
    /// Stops in good order: nobody is accepted any more, each client's answer under way is finished, then it is told
    /// `shuttingDown`. Who is left after [`Limits::grace`] is cut off. Does not wait for it.
    pub fn stop(&self) {
        self.hall.stop(Phase::Stopping);
    }

    /// Stops at once: cuts everybody off.
    pub fn stop_now(&self) {
        self.hall.stop(Phase::Cut);
    }

    /// Listens on `address` too.
    ///
    /// # Errors
    ///
    /// It cannot be listened on, or the server was stopped.
    pub fn listen_on(&self, address: SocketAddr) -> io::Result<Vec<SocketAddr>> {
        let listeners = bind_all(&[address], self.inherited)?;
        let addresses = listeners.iter().map(|listener| listener.address).collect();
        if self.hall.open(listeners) { Ok(addresses) } else { Err(io::Error::other("the server was stopped")) }
    }

    /// Listens on `addresses` and nowhere else, and returns them with their real ports. Clients that are connected stay.
    ///
    /// # Errors
    ///
    /// One of them cannot be listened on, or the server was stopped. Then it is listened where it was before.
    pub fn listen_only_on(&self, addresses: &[SocketAddr]) -> io::Result<Vec<SocketAddr>> {
        let before = self.addresses();
        let listeners = match bind_all(addresses, self.inherited) {
            // It may be this server itself that is in the way.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && !before.is_empty() => {
                self.unlisten();
                bind_all(addresses, self.inherited).or_else(|error| {
                    self.hall.open(bind_all(&before, self.inherited)?);
                    Err(error)
                })?
            }
            bound => bound?,
        };
        let bound = listeners.iter().map(|listener| listener.address).collect();
        self.unlisten();
        if self.hall.open(listeners) { Ok(bound) } else { Err(io::Error::other("the server was stopped")) }
    }

    /// Accepts no more clients. Those that are connected stay; [`ServerHandle::listen_on`] opens again.
    pub fn unlisten(&self) -> Vec<SocketAddr> {
        self.hall.close_listeners()
    }

    /// Where clients can connect now.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.hall.addresses()
    }

    /// How many clients are connected now.
    #[must_use]
    pub fn live(&self) -> usize {
        self.hall.live()
    }

    /// How many clients wait for a place now.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.hall.queued()
    }
}

/// What the threads of a running server share.
struct House<'h> {
    hall: &'h Hall,
    lingering: &'h Lingering,
    config: ServerConfig<'h>,
    observers: &'h [Box<dyn Observer + 'h>],
    /// Whether one of them looks at what clients are answered.
    tells_answers: bool,
    inherited: Inherited,
    /// The zero of the sessions' time.
    began_ms: u64,
    threads_made: AtomicU64,
    workers: WorkerPool,
}

impl House<'_> {
    fn tell(&self, event: &Event<'_>) {
        for observer in self.observers {
            // A fault of an observer's is no reason to leave a client, or a place, as it is. The panic has said what it was.
            drop(catch_unwind(AssertUnwindSafe(|| observer.event(event))));
        }
    }

    /// Waits until the last client of a server that is being stopped has left, or cuts it off.
    fn close(&self, grace: Option<Duration>) -> Summary {
        self.tell(&Event::Stopping { live: self.hall.live() });
        if self.hall.wait_until_empty(grace) {
            return Summary { cut: 0 };
        }
        let cut = self.hall.live();
        self.tell(&Event::Cutting { live: cut });
        self.hall.stop(Phase::Cut);
        self.hall.wait_until_empty(None);
        Summary { cut }
    }
}

/// Sockets have time-outs from their first moment on: those that are needed first. The listener itself wakes as often.
fn inherited(limits: &Limits) -> Inherited {
    const SHORTEST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(60);
    let shorten = |limit: Option<Duration>| limit.map_or(LONGEST, |limit| limit.clamp(SHORTEST, LONGEST));
    Inherited { read_limit: shorten(limits.idle_timeout), write_limit: Some(shorten(limits.stall_timeout)) }
}
