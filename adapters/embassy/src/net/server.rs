//! A server with a fixed number of sockets.

use core::future::Future;

use coracle_core::{Close, CloseHow, Code, FileInfo, Instant, Request, ServerConfig, ServerSession};
#[cfg(feature = "rights")]
use coracle_core::{Demand, Permit};
use embassy_futures::select::{Either, select};
use embassy_net::tcp::TcpSocket;

use super::close::close;
use super::listen::accept;
use super::observer::{DisconnectReason, ServerObserver};
use super::places::Places;
use crate::clock::Clock;
use crate::observer::Observer;
#[cfg(feature = "write")]
use crate::serve::serve_writable;
use crate::serve::{Buffers, serve};
use crate::store::AsyncStore;
#[cfg(feature = "write")]
use crate::writable::AsyncWritableStore;

/// A server with `SOCKETS` TCP sockets, for one client less: whichever socket a client finds when all places are taken evicts a
/// client that has been connected for more than 1 s without a request, or else tells its own `busy`, with the
/// [`with_busy_retry_ms`](ServerConfig::with_busy_retry_ms) of the configuration. Further clients are refused by the network stack.
///
/// Each socket is served by a call of [`Server::serve`], in a task of its own, or several of them joined in one task. All run on
/// one executor. `BUF` is the length of a session's buffer: 640 for stores that are written to, or 768 with `rename`
/// ([`ServerConfig`]'s `min_buf_len`).
///
/// ```
/// use coracle_core::{ServerConfig, StaticFile, StaticStore};
/// use coracle_embassy::net::Server;
/// use coracle_embassy::{Buffers, EmbassyClock};
/// use embassy_net::Stack;
/// use embassy_net::tcp::TcpSocket;
///
/// static FILES: [StaticFile<'static>; 1] = [StaticFile::new("motd", "build-17", b"Mind the step.\n")];
/// static CONFIG: ServerConfig<'static> = ServerConfig::new();
///
/// /// `#[embassy_executor::task(pool_size = 5)]`, spawned five times: for four clients, and a fifth that is told `busy`.
/// async fn serve_files(stack: Stack<'static>, server: &'static Server<'static, 5>) {
///     let (mut received, mut to_send) = ([0; 512], [0; 2048]);
///     let mut socket = TcpSocket::new(stack, &mut received, &mut to_send);
///     let (mut receive, mut send) = ([0; 64], [0; 256]);
///     let buffers = Buffers { receive: &mut receive, send: &mut send };
///     let mut store = StaticStore::new(&FILES);
///     server.serve(&mut socket, &mut store, buffers, &EmbassyClock, &mut ()).await
/// }
///
/// let server: Server<'_, 5> = Server::new(&CONFIG, 8888); // in a `static_cell::StaticCell` on a board
/// # let _ = (serve_files, server);
/// ```
pub struct Server<'c, const SOCKETS: usize, const BUF: usize = 512> {
    config: &'c ServerConfig<'c>,
    port: u16,
    places: Places<SOCKETS>,
}

impl<'c, const SOCKETS: usize, const BUF: usize> Server<'c, SOCKETS, BUF> {
    /// A server on `port`.
    ///
    /// # Panics
    ///
    /// If `port` is 0, or `SOCKETS` less than 2.
    #[must_use]
    pub const fn new(config: &'c ServerConfig<'c>, port: u16) -> Self {
        assert!(port != 0, "a server needs a port");
        assert!(SOCKETS >= 2, "a server needs a socket for a client, and one more");
        Self { config, port, places: Places::new() }
    }

    /// Number of clients that are served.
    #[must_use]
    pub fn live(&self) -> usize {
        self.places.live()
    }

    /// Stops accepting clients, and ends every session gracefully: finishes the exchange under way, then sends `shuttingDown`. The
    /// calls of [`Server::serve`] complete when their sockets are closed.
    pub fn stop(&self) {
        self.places.stop();
    }

    /// Serves clients with `socket`, one after the other, until the server is stopped. Bodies are read from the store into the
    /// socket's transmit buffer, which limits the throughput to its length for each round trip; a receive buffer of 512 bytes is
    /// enough. Of `buffers`, the send buffer is for hashing and for stores that are awaited.
    ///
    /// # Panics
    ///
    /// If it is called more than `SOCKETS` times.
    pub fn serve<'s, S, C, O>(
        &'s self,
        socket: &'s mut TcpSocket<'_>,
        store: &'s mut S,
        buffers: Buffers<'s>,
        clock: &'s C,
        observer: &'s mut O,
    ) -> impl Future<Output = ()>
    where
        S: AsyncStore,
        C: Clock,
        O: ServerObserver,
    {
        let Buffers { receive, send } = buffers;
        let mut slot = self.join(socket, observer);
        async move {
            while let Some(accepted) = slot.next_client(clock).await {
                let mut session = slot.session(accepted);
                let buffers = Buffers { receive: &mut *receive, send: &mut *send };
                let (socket, observer) = (&mut *slot.socket, &mut slot.observer);
                let served = serve(&mut session, socket, store, buffers, clock, observer);
                let served = select(served, self.places.evicted(slot.number)).await;
                slot.end_client(served, clock).await;
            }
        }
    }

    /// The same from a store that clients may write to.
    ///
    /// # Panics
    ///
    /// As [`Server::serve`].
    #[cfg(feature = "write")]
    pub fn serve_writable<'s, S, C, O>(
        &'s self,
        socket: &'s mut TcpSocket<'_>,
        store: &'s mut S,
        buffers: Buffers<'s>,
        clock: &'s C,
        observer: &'s mut O,
    ) -> impl Future<Output = ()>
    where
        S: AsyncWritableStore,
        C: Clock,
        O: ServerObserver,
    {
        let Buffers { receive, send } = buffers;
        let mut slot = self.join(socket, observer);
        async move {
            while let Some(accepted) = slot.next_client(clock).await {
                let mut session = slot.session(accepted);
                let buffers = Buffers { receive: &mut *receive, send: &mut *send };
                let (socket, observer) = (&mut *slot.socket, &mut slot.observer);
                let served = serve_writable(&mut session, socket, store, buffers, clock, observer);
                let served = select(served, self.places.evicted(slot.number)).await;
                slot.end_client(served, clock).await;
            }
        }
    }

    fn join<'s, 'b, O>(
        &'s self,
        socket: &'s mut TcpSocket<'b>,
        observer: &'s mut O,
    ) -> Slot<'s, 'b, 'c, O, SOCKETS, BUF> {
        let Some(number) = self.places.join() else { panic!("more sockets are served than the server has") };
        // Responses are written whole before the stack sends them, so that Nagle's algorithm would only delay them.
        socket.set_nagle_enabled(false);
        socket.set_timeout(None);
        Slot { server: self, number, socket, observer: SlotObserver { observer, places: &self.places, number } }
    }
}

/// One socket of a server.
struct Slot<'s, 'b, 'c, O, const SOCKETS: usize, const BUF: usize> {
    server: &'s Server<'c, SOCKETS, BUF>,
    number: usize,
    socket: &'s mut TcpSocket<'b>,
    observer: SlotObserver<'s, O, SOCKETS>,
}

impl<'c, O: ServerObserver, const SOCKETS: usize, const BUF: usize> Slot<'_, '_, 'c, O, SOCKETS, BUF> {
    /// Waits for a client; `None` when the server stops. Its session is made by the caller, whose future would otherwise keep room
    /// for it twice.
    async fn next_client(&mut self, clock: &impl Clock) -> Option<Accepted> {
        let Server { port, places, .. } = self.server;
        if places.is_stopping() {
            return None;
        }
        let client = select(places.stopped(self.number), accept(self.socket, *port, clock)).await;
        if let Either::First(()) = client {
            close(self.socket, CloseHow::Abort, clock).await;
            return None;
        }
        let now = clock.now();
        let is_served = places.take(self.number, now);
        self.observer.observer.connected(self.socket.remote_endpoint(), is_served);
        Some(Accepted { is_served, now })
    }

    fn session(&self, Accepted { is_served, now }: Accepted) -> ServerSession<'c, [u8; BUF]> {
        let config = self.server.config;
        if is_served {
            ServerSession::new(config, [0; BUF], now)
        } else {
            ServerSession::refusing(Code::Busy, config, [0; BUF], now)
        }
    }

    /// Closes the connection.
    async fn end_client(&mut self, served: Either<Close, ()>, clock: &impl Clock) {
        self.server.places.leave(self.number);
        let (why, how) = match served {
            Either::First(close) => (DisconnectReason::Closed(close), close.how),
            Either::Second(()) => (DisconnectReason::Evicted, CloseHow::Abort),
        };
        self.observer.observer.disconnected(why);
        close(self.socket, how, clock).await;
    }
}

/// A client that has connected.
struct Accepted {
    /// There is a place for it.
    is_served: bool,
    now: Instant,
}

/// The owner's observer, and what the server has to know.
struct SlotObserver<'s, O, const SOCKETS: usize> {
    observer: &'s mut O,
    places: &'s Places<SOCKETS>,
    number: usize,
}

impl<O: Observer, const SOCKETS: usize> Observer for SlotObserver<'_, O, SOCKETS> {
    #[cfg(feature = "rights")]
    fn permit<'a>(&'a mut self, demand: &Demand<'_>) -> Permit<'a> {
        self.observer.permit(demand)
    }

    fn request(&mut self, request: &Request<'_>) {
        self.places.note_request(self.number);
        self.observer.request(request);
    }

    fn opened(&mut self, info: &FileInfo) {
        self.observer.opened(info);
    }

    fn body(&mut self, len: usize) {
        self.observer.body(len);
    }

    #[cfg(feature = "write")]
    fn stored(&mut self, info: &FileInfo) {
        self.observer.stored(info);
    }

    #[cfg(feature = "manage")]
    fn perform(&mut self, action: &str) -> Result<(), coracle_core::StoreError> {
        self.observer.perform(action)
    }

    fn exchange(&mut self, exchange: &coracle_core::Exchange) {
        self.places.note_request(self.number);
        self.observer.exchange(exchange);
    }

    async fn stopped(&self) {
        select(self.places.stopped(self.number), self.observer.stopped()).await;
    }

    #[cfg(feature = "wait")]
    async fn changed(&self, name: coracle_core::FileName<'_>) {
        self.observer.changed(name).await;
    }
}
