//! A fixed number of sessions on one interface.

use coracle_core::{Code, ServerConfig, Store};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::time::Instant;

use crate::observer::{DisconnectReason, Observer};
use crate::socket_slot::SocketSlot;
use crate::{instant, moment};

/// A client that has asked nothing for longer than this gives way to one that finds no slot.
const SILENT_MS: u64 = 1_000;

/// Serves `N` clients at once over sockets of smoltcp's.
///
/// Each session has a TCP socket of its own, made and added to the set by the owner. One socket more, the spare, is there
/// for the client that finds all slots taken: it is told `busy`, unless a client that has been connected for more than 1 s
/// without asking anything can be dropped for it. While the spare does that, further clients are refused by smoltcp (a
/// reset in answer to their first packet).
///
/// A slot is used again when the client has acknowledged the end of the connection, or a time-out has passed.
///
/// A value of this type takes about 1.4 KB for each session and for the spare: on a board it stands in a static, where
/// the compiler puts it without passing it over the stack, since [`Server::new`] is `const`.
pub struct Server<'c, S: Store, const N: usize> {
    binding: Option<Binding<'c>>,
    slots: [SocketSlot<'c, S>; N],
    spare: SocketSlot<'c, S>,
    is_stopping: bool,
}

#[derive(Clone, Copy)]
struct Binding<'c> {
    config: &'c ServerConfig<'c>,
    port: u16,
}

impl<'c, S: Store, const N: usize> Server<'c, S, N> {
    /// A server without sockets, which does nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { binding: None, slots: [const { SocketSlot::new() }; N], spare: SocketSlot::new(), is_stopping: false }
    }

    /// Listens on `port`, from the next poll on; also after it was stopped. The handles belong to TCP sockets that are in no other use, with buffers of
    /// any length (a receive buffer of 512 bytes holds the longest request).
    ///
    /// # Panics
    ///
    /// When `port` is 0.
    pub fn bind(&mut self, config: &'c ServerConfig<'c>, port: u16, handles: [SocketHandle; N], spare: SocketHandle) {
        assert!(port != 0, "a server needs a port");
        self.binding = Some(Binding { config, port });
        self.is_stopping = false;
        for (slot, handle) in self.slots.iter_mut().zip(handles) {
            slot.bind(handle);
        }
        self.spare.bind(spare);
    }

    /// Does what there is to do, in bounded time, and returns when to be called again if no frame arrives before; a moment
    /// that is not later than `now` means at once. `None`: only a frame brings work. Call it after
    /// [`Interface::poll`](smoltcp::iface::Interface::poll), which brings its input, and poll the interface again after it,
    /// which takes its output.
    ///
    /// # Panics
    ///
    /// When a handle does not belong to a TCP socket in `sockets`.
    pub fn poll(
        &mut self,
        now: Instant,
        sockets: &mut SocketSet<'_>,
        store: &mut S,
        observer: &mut impl Observer,
    ) -> Option<Instant> {
        let Binding { config, port } = self.binding?;
        let now = moment(now);
        self.admit(config, now, sockets, observer);
        let port = (!self.is_stopping).then_some(port);
        let slots = self.slots.iter_mut().chain([&mut self.spare]).enumerate();
        let next = slots.filter_map(|(index, slot)| slot.poll(index, port, sockets, store, observer, now)).min();
        next.map(instant)
    }

    /// How many clients are served.
    #[must_use]
    pub fn live(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_live()).count()
    }

    /// Accepts nobody any more, and ends every session in good order: an exchange under way is finished, then the client is
    /// told `shuttingDown`. Polling goes on until [`Server::is_stopped`].
    pub fn stop(&mut self, now: Instant) {
        self.is_stopping = true;
        for slot in self.slots.iter_mut().chain([&mut self.spare]) {
            slot.stop(moment(now));
        }
    }

    /// Whether the server was stopped, and no socket is in use any more.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.is_stopping && self.slots.iter().chain([&self.spare]).all(SocketSlot::is_free)
    }

    /// Admits clients that have connected.
    fn admit(
        &mut self,
        config: &'c ServerConfig<'c>,
        now: coracle_core::Instant,
        sockets: &mut SocketSet<'_>,
        observer: &mut impl Observer,
    ) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.has_new_client() {
                slot.serve(config, now);
                observer.connected(index, slot.peer(sockets));
            }
        }
        if !self.spare.has_new_client() {
            return;
        }
        if let Some((index, slot)) = self.slots.iter_mut().enumerate().find(|(_, slot)| !slot.is_live()) {
            // What a closed connection still waits for needs no session, and can be waited for over there.
            slot.swap_socket(&mut self.spare);
            slot.serve(config, now);
            observer.connected(index, slot.peer(sockets));
        } else if let Some(index) = self.silent(now) {
            if let Some(slot) = self.slots.get_mut(index) {
                slot.reset(sockets, now);
                observer.disconnected(index, DisconnectReason::Evicted);
                slot.swap_socket(&mut self.spare);
                slot.serve(config, now);
                observer.connected(index, slot.peer(sockets));
            }
        } else {
            self.spare.refuse(Code::Busy, config, now);
            observer.connected(N, self.spare.peer(sockets));
        }
    }

    /// The slot whose client has been silent for the longest time, if that is long enough.
    fn silent(&self, now: coracle_core::Instant) -> Option<usize> {
        let silent = self.slots.iter().enumerate().filter_map(|(index, slot)| Some((slot.silent_since()?, index)));
        silent.filter(|(since, _)| now.since(*since) > SILENT_MS).min().map(|(_, index)| index)
    }
}

impl<S: Store, const N: usize> Default for Server<'_, S, N> {
    fn default() -> Self {
        Self::new()
    }
}
