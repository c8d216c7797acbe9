//! One socket of a server, from client to client.

use core::future::Future;

use coracle_core::{Close, CloseHow, Code, Instant, ServerConfig, ServerSession};
use embassy_futures::select::{Either, select};
use embassy_net::tcp::TcpSocket;

use super::close::close;
use super::listen::accept;
use super::observer::{DisconnectReason, ServerObserver};
use super::places::Places;
use super::slot_observer::SlotObserver;
use crate::access::Access;
use crate::clock::Clock;
use crate::serve::{Buffers, serve_with};
use crate::store::AsyncStore;

/// What all sockets of a server have in common.
pub(super) struct Settings<'c> {
    pub(super) config: &'c ServerConfig<'c>,
    pub(super) port: u16,
}

/// One socket, and what it needs of its server.
pub(super) struct Slot<'s, 'b, 'c, O, const SOCKETS: usize, const BUF: usize> {
    /// By one reference, since the task keeps it.
    pub(super) settings: &'s Settings<'c>,
    pub(super) socket: &'s mut TcpSocket<'b>,
    pub(super) observer: SlotObserver<'s, O, SOCKETS>,
}

impl<'s, 'b, 'c, O: ServerObserver, const SOCKETS: usize, const BUF: usize> Slot<'s, 'b, 'c, O, SOCKETS, BUF> {
    /// A socket that no client has.
    ///
    /// # Panics
    ///
    /// If all sockets are in use.
    pub(super) fn new(
        settings: &'s Settings<'c>,
        places: &'s Places<SOCKETS>,
        socket: &'s mut TcpSocket<'b>,
        observer: &'s mut O,
    ) -> Self {
        let Some(number) = places.join() else { panic!("more sockets are served than the server has") };
        // Responses are written whole before the stack sends them, so that Nagle's algorithm would only delay them.
        socket.set_nagle_enabled(false);
        socket.set_timeout(None);
        Self { settings, socket, observer: SlotObserver { observer, places, number } }
    }

    /// Serves clients until the server stops.
    pub(super) fn run<A, S, C>(
        mut self,
        store: &'s mut S,
        Buffers { receive, send }: Buffers<'s>,
        clock: &'s C,
    ) -> impl Future<Output = ()>
    where
        S: AsyncStore,
        A: Access<S>,
        C: Clock,
    {
        async move {
            while let Some(accepted) = self.next_client(clock).await {
                let (places, number) = (self.observer.places, self.observer.number);
                let mut session = self.session(accepted);
                let buffers = Buffers { receive: &mut *receive, send: &mut *send };
                let (socket, observer) = (&mut *self.socket, &mut self.observer);
                let served = serve_with::<A, _, _, _, _, _>(&mut session, socket, store, buffers, clock, observer);
                let served = select(served, places.evicted(number)).await;
                self.end_client(served, clock).await;
            }
        }
    }

    /// Waits for a client; `None` when the server stops. Its session is made by the caller, whose future would otherwise keep room
    /// for it twice.
    pub(super) async fn next_client(&mut self, clock: &impl Clock) -> Option<Accepted> {
        let SlotObserver { places, number, .. } = self.observer;
        if places.is_stopping() {
            return None;
        }
        let client = select(places.stopped(number), accept(self.socket, self.settings.port, clock)).await;
        if let Either::First(()) = client {
            close(self.socket, CloseHow::Abort, clock).await;
            return None;
        }
        let now = clock.now();
        let is_served = self.observer.places.take(self.observer.number, now);
        self.observer.observer.connected(self.socket.remote_endpoint(), is_served);
        Some(Accepted { is_served, now })
    }

    fn session(&self, Accepted { is_served, now }: Accepted) -> ServerSession<'c, [u8; BUF]> {
        if is_served {
            ServerSession::new(self.settings.config, [0; BUF], now)
        } else {
            ServerSession::refusing(Code::Busy, self.settings.config, [0; BUF], now)
        }
    }

    /// Closes the connection.
    async fn end_client(&mut self, served: Either<Close, ()>, clock: &impl Clock) {
        let (why, how) = match served {
            Either::First(close) => (DisconnectReason::Closed(close), close.how),
            Either::Second(()) => (DisconnectReason::Evicted, CloseHow::Abort),
        };
        self.disconnect(why, how, clock).await;
    }

    /// Gives the place back, and closes the connection.
    pub(super) async fn disconnect(&mut self, why: DisconnectReason, how: CloseHow, clock: &impl Clock) {
        self.observer.places.leave(self.observer.number);
        self.observer.observer.disconnected(why);
        close(self.socket, how, clock).await;
    }
}

/// A client that has connected.
pub(super) struct Accepted {
    /// There is a place for it.
    pub(super) is_served: bool,
    now: Instant,
}
