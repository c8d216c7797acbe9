//! Server: a fixed number of sessions on one interface.

#[cfg(feature = "wait")]
mod newcomer;

use coracle_core::exec::ReadOnly;
use coracle_core::{Code, ServerConfig, Store};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::time::Instant;

use crate::access::ServerAccess;
#[cfg(feature = "channel")]
use crate::channel::{ChannelKeys, Handshakes, Places};
use crate::observer::{DisconnectReason, Observer};
use crate::socket_slot::SocketSlot;
use crate::{instant, moment};

/// Serves `N` clients at once over smoltcp sockets.
///
/// Each session has its own TCP socket, created and added to the set by the owner. One more socket, the spare, takes a client
/// that finds all slots taken: it evicts a client that has been connected for more than 1 s without a request, or has been silent for
/// more than 200 ms in a handshake of the encrypted channel. If there is none but a client that waits for its file to change (feature
/// `wait`), the newcomer stays in the spare's place for up to 1 s, and gets that of the client that has waited longest as soon as it
/// has made a request other than `hello`. Or else it is told `busy`, with the
/// [`with_busy_retry_ms`](ServerConfig::with_busy_retry_ms) of the configuration, as is a client that had to leave. Meanwhile smoltcp
/// refuses further clients with a reset.
///
/// A slot is used again when the client has acknowledged the end of the connection, or a time-out has passed; one whose handshake
/// failed as soon as no socket listens.
///
/// A value of this type takes about 1.4 KB for each session and for the spare. On a board it belongs in a static, which is
/// initialized without a copy on the stack, since [`Server::new`] is `const`.
///
/// Clients can write where `A` is `ReadWrite` (feature `write`) and the configuration offers it; each session's buffer has `BUF`
/// bytes, of which that takes 640, or 768 with `rename` ([`ServerConfig`]'s `min_buf_len`).
pub struct Server<'c, S: Store, const N: usize, A: ServerAccess<S> = ReadOnly, const BUF: usize = 512> {
    binding: Option<Binding<'c>>,
    slots: [SocketSlot<'c, S, A, BUF>; N],
    spare: SocketSlot<'c, S, A, BUF>,
    #[cfg(feature = "channel")]
    handshakes: Handshakes,
    /// Whether a client was told to leave for the newcomer in the spare place.
    #[cfg(feature = "wait")]
    has_displaced: bool,
    is_stopping: bool,
}

#[derive(Clone, Copy)]
struct Binding<'c> {
    config: &'c ServerConfig<'c>,
    port: u16,
}

impl<'c, S: Store, const N: usize, A: ServerAccess<S>, const BUF: usize> Server<'c, S, N, A, BUF> {
    /// A server without sockets.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            binding: None,
            slots: [const { SocketSlot::new() }; N],
            spare: SocketSlot::new(),
            #[cfg(feature = "channel")]
            handshakes: Handshakes::new(),
            #[cfg(feature = "wait")]
            has_displaced: false,
            is_stopping: false,
        }
    }

    /// Listens on `port` from the next poll on, also after [`Server::stop`]. The handles belong to TCP sockets without other uses,
    /// with buffers of any length (a receive buffer of 512 bytes is enough for the longest request).
    ///
    /// # Panics
    ///
    /// If `port` is 0.
    pub fn bind(&mut self, config: &'c ServerConfig<'c>, port: u16, handles: [SocketHandle; N], spare: SocketHandle) {
        assert!(port != 0, "a server needs a port");
        self.binding = Some(Binding { config, port });
        self.is_stopping = false;
        for (slot, handle) in self.slots.iter_mut().zip(handles) {
            slot.bind(handle);
        }
        self.spare.bind(spare);
    }

    /// Advances all connections, in bounded time. Returns when to call it again if no frame arrives before: immediately for a
    /// time that is not later than `now`, only when a frame has arrived for `None`. Call it after
    /// [`Interface::poll`](smoltcp::iface::Interface::poll), which receives its input, and poll the interface again after it, to
    /// send its output.
    ///
    /// # Panics
    ///
    /// If a handle does not belong to a TCP socket in `sockets`.
    pub fn poll(
        &mut self,
        now: Instant,
        sockets: &mut SocketSet<'_>,
        store: &mut S,
        observer: &mut impl Observer,
    ) -> Option<Instant> {
        let Binding { config, port } = self.binding?;
        let now = moment(now);
        self.admit(config, false, now, sockets, observer);
        #[cfg(feature = "wait")]
        self.seat_newcomer(config, now, sockets, observer);
        self.advance(port, now, sockets, store, observer).map(instant)
    }

    /// The same for a server whose clients come encrypted, or may: see [`ChannelKeys::encryption`]. A client that is new is not in
    /// the clear but for its first byte; one handshake is made at a time, in steps of one Diffie-Hellman operation a call.
    ///
    /// Each socket's receive buffer has to have at least 52 bytes, and its transmit buffer 150.
    ///
    /// # Panics
    ///
    /// If a handle does not belong to a TCP socket in `sockets`.
    #[cfg(feature = "channel")]
    pub fn poll_encrypted(
        &mut self,
        now: Instant,
        sockets: &mut SocketSet<'_>,
        store: &mut S,
        observer: &mut impl Observer,
        keys: &mut impl ChannelKeys,
    ) -> Option<Instant> {
        let Binding { config, port } = self.binding?;
        let now = moment(now);
        self.admit(config, true, now, sockets, observer);
        #[cfg(feature = "wait")]
        if let Some(slot) = self.seat_newcomer(config, now, sockets, observer) {
            self.handshakes.identify_newcomer(slot, keys);
        }
        let mut places = Places { slots: &mut self.slots, spare: &mut self.spare };
        let handshakes_at = self.handshakes.poll(&mut places, config, sockets, observer, keys, now);
        if self.is_stopping {
            // Those whose handshake was complete just now.
            self.slots.iter_mut().for_each(|slot| slot.stop(now));
        }
        let sessions_at = self.advance(port, now, sockets, store, observer);
        [handshakes_at, sessions_at].into_iter().flatten().min().map(instant)
    }

    fn advance(
        &mut self,
        port: u16,
        now: coracle_core::Instant,
        sockets: &mut SocketSet<'_>,
        store: &mut S,
        observer: &mut impl Observer,
    ) -> Option<coracle_core::Instant> {
        let port = (!self.is_stopping).then_some(port);
        let slots = self.slots.iter_mut().chain([&mut self.spare]).enumerate();
        let at = slots.filter_map(|(index, slot)| slot.poll(index, port, sockets, store, observer, now)).min();
        #[cfg(feature = "wait")]
        let at = [at, self.newcomer_at(now)].into_iter().flatten().min();
        at
    }

    /// Number of live sessions.
    #[must_use]
    pub fn live(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_live()).count()
    }

    /// Stops accepting clients, and ends every session gracefully: finishes the exchange under way, then sends `shuttingDown`.
    /// Keep polling until [`Server::is_stopped`].
    pub fn stop(&mut self, now: Instant) {
        self.is_stopping = true;
        #[cfg(feature = "channel")]
        self.refuse_arrivals(moment(now));
        for slot in self.slots.iter_mut().chain([&mut self.spare]) {
            slot.stop(moment(now));
        }
    }

    /// Says that files may have changed, by a line in a log for example: clients that wait for their file to change are answered
    /// in the next poll, if it is theirs. Costs nothing but a look at that file for each of them.
    #[cfg(feature = "wait")]
    pub fn look_again(&mut self, now: Instant) {
        self.slots.iter_mut().for_each(|slot| slot.look_again(moment(now)));
    }

    /// Whether the server was stopped and all its sockets are free.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.is_stopping && self.slots.iter().chain([&self.spare]).all(SocketSlot::is_free)
    }

    /// Admits clients that have connected.
    fn admit(
        &mut self,
        config: &'c ServerConfig<'c>,
        is_encrypted: bool,
        now: coracle_core::Instant,
        sockets: &mut SocketSet<'_>,
        observer: &mut impl Observer,
    ) {
        #[cfg(feature = "channel")]
        if is_encrypted {
            self.abort_blocked(now, sockets);
            self.abort_done_with(now, sockets);
        }
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.has_new_client() {
                slot.welcome(config, is_encrypted, now);
                observer.connected(index, slot.peer(sockets));
            }
        }
        if !self.spare.has_new_client() {
            return;
        }
        if let Some((index, slot)) = self.slots.iter_mut().enumerate().find(|(_, slot)| !slot.is_live()) {
            // The slot has no session but a socket that is still closing, which the spare can wait for.
            slot.swap_socket(&mut self.spare);
            slot.welcome(config, is_encrypted, now);
            observer.connected(index, slot.peer(sockets));
        } else if let Some(index) = self.silent(now, sockets) {
            #[cfg(feature = "channel")]
            self.handshakes.abandon(index, now);
            if let Some(slot) = self.slots.get_mut(index) {
                slot.reset(sockets, now);
                observer.disconnected(index, DisconnectReason::Evicted);
                slot.swap_socket(&mut self.spare);
                slot.welcome(config, is_encrypted, now);
                observer.connected(index, slot.peer(sockets));
            }
        } else {
            #[cfg(feature = "wait")]
            if self.keep_newcomer(config, is_encrypted, now) {
                return;
            }
            self.spare.refuse(Code::Busy, config, now);
            observer.connected(N, self.spare.peer(sockets));
        }
    }

    /// Aborts new clients whose address has failed too often.
    #[cfg(feature = "channel")]
    fn abort_blocked(&mut self, now: coracle_core::Instant, sockets: &mut SocketSet<'_>) {
        for slot in self.slots.iter_mut().chain([&mut self.spare]).filter(|slot| slot.has_new_client()) {
            if slot.peer(sockets).is_some_and(|peer| self.handshakes.is_blocked(peer.addr, now)) {
                slot.reset(sockets, now);
            }
        }
    }

    /// Aborts what was closed to strangers, who may keep it open for as long as they can, where no socket listens for others meanwhile.
    #[cfg(feature = "channel")]
    fn abort_done_with(&mut self, now: coracle_core::Instant, sockets: &mut SocketSet<'_>) {
        if self.slots.iter().chain([&self.spare]).any(|slot| slot.is_listening(sockets)) {
            return;
        }
        for slot in self.slots.iter_mut().chain([&mut self.spare]).filter(|slot| slot.is_done_with()) {
            slot.reset(sockets, now);
        }
    }

    /// Tells those without a session that the server stops, unless they have been answered encrypted.
    #[cfg(feature = "channel")]
    fn refuse_arrivals(&mut self, now: coracle_core::Instant) {
        let Some(Binding { config, .. }) = self.binding else { return };
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.arrival().is_some_and(|arrival| !arrival.is_answered()) {
                self.handshakes.abandon(index, now);
                slot.refuse(Code::ShuttingDown, config, now);
            }
        }
    }

    /// The slot of the client that has been silent longest, of those that another may displace.
    fn silent(&self, now: coracle_core::Instant, sockets: &SocketSet<'_>) -> Option<usize> {
        let silent = self.slots.iter().enumerate().filter_map(|(index, slot)| Some((slot.silent_since(now)?, index)));
        // A handshake gives way to another address only.
        #[cfg(feature = "channel")]
        let newcomer = self.spare.peer(sockets).map(|peer| peer.addr);
        #[cfg(feature = "channel")]
        let silent = silent.filter(|(_, index)| self.handshakes.address(*index).is_none_or(|it| Some(it) != newcomer));
        #[cfg(not(feature = "channel"))]
        let _ = sockets;
        silent.min().map(|(_, index)| index)
    }
}

impl<S: Store, const N: usize, A: ServerAccess<S>, const BUF: usize> Default for Server<'_, S, N, A, BUF> {
    fn default() -> Self {
        Self::new()
    }
}
