//! A server with a fixed number of sockets.

use core::future::Future;

use coracle_core::ServerConfig;
use embassy_net::tcp::TcpSocket;

#[cfg(feature = "channel")]
use super::encrypted::Encrypted;
use super::observer::ServerObserver;
use super::places::Places;
use super::slot::{Settings, Slot};
use crate::access::ReadOnly;
#[cfg(feature = "channel")]
use crate::channel::ChannelKeys;
use crate::clock::Clock;
use crate::serve::Buffers;
use crate::store::AsyncStore;
#[cfg(feature = "write")]
use crate::upload::ReadWrite;
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
    settings: Settings<'c>,
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
        Self { settings: Settings { config, port }, places: Places::new() }
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
        self.slot(socket, observer).run::<ReadOnly, _, _>(store, buffers, clock)
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
        self.slot(socket, observer).run::<ReadWrite, _, _>(store, buffers, clock)
    }

    /// Serves clients as [`Server::serve`] does, over the encrypted channel. The handshakes of several sockets take turns, a step of
    /// computing each. A client for which there is no place is told `busy` encrypted, too.
    ///
    /// ```
    /// use coracle_core::StaticStore;
    /// use coracle_embassy::channel::{ChannelBuffers, ChannelKeys};
    /// use coracle_embassy::net::{Encrypted, Server};
    /// use coracle_embassy::{Buffers, EmbassyClock};
    /// use embassy_net::Stack;
    /// use embassy_net::tcp::TcpSocket;
    ///
    /// async fn serve_files(stack: Stack<'static>, server: &'static Server<'static, 5>, keys: &impl ChannelKeys) {
    ///     let (mut received, mut to_send) = ([0; 1024], [0; 2048]);
    ///     let mut socket = TcpSocket::new(stack, &mut received, &mut to_send);
    ///     let buffers = Buffers { receive: &mut [0; 64], send: &mut [0; 256] };
    ///     let (mut arriving, mut leaving) = ([0; 530], [0; 1024]);
    ///     let encrypted = Encrypted { keys, buffers: ChannelBuffers::new(&mut arriving[..], &mut leaving[..]) };
    ///     let mut store = StaticStore::new(&[]);
    ///     server.serve_encrypted(&mut socket, &mut store, buffers, encrypted, &EmbassyClock, &mut ()).await
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// As [`Server::serve`].
    #[cfg(feature = "channel")]
    pub fn serve_encrypted<'s, S, C, O, K>(
        &'s self,
        socket: &'s mut TcpSocket<'_>,
        store: &'s mut S,
        buffers: Buffers<'s>,
        encrypted: Encrypted<'s, K>,
        clock: &'s C,
        observer: &'s mut O,
    ) -> impl Future<Output = ()>
    where
        S: AsyncStore,
        C: Clock,
        O: ServerObserver,
        K: ChannelKeys,
    {
        self.slot(socket, observer).run_encrypted::<ReadOnly, _, _, _>(store, buffers, encrypted, clock)
    }

    /// The same from a store that clients may write to.
    ///
    /// # Panics
    ///
    /// As [`Server::serve`].
    #[cfg(all(feature = "channel", feature = "write"))]
    pub fn serve_writable_encrypted<'s, S, C, O, K>(
        &'s self,
        socket: &'s mut TcpSocket<'_>,
        store: &'s mut S,
        buffers: Buffers<'s>,
        encrypted: Encrypted<'s, K>,
        clock: &'s C,
        observer: &'s mut O,
    ) -> impl Future<Output = ()>
    where
        S: AsyncWritableStore,
        C: Clock,
        O: ServerObserver,
        K: ChannelKeys,
    {
        self.slot(socket, observer).run_encrypted::<ReadWrite, _, _, _>(store, buffers, encrypted, clock)
    }

    fn slot<'s, 'b, O: ServerObserver>(
        &'s self,
        socket: &'s mut TcpSocket<'b>,
        observer: &'s mut O,
    ) -> Slot<'s, 'b, 'c, O, SOCKETS, BUF> {
        Slot::new(&self.settings, &self.places, socket, observer)
    }
}
