//! A socket of the server, and its session.

use core::mem::swap;

#[cfg(feature = "channel")]
use coracle_channel::Channel;
use coracle_core::{CloseHow, Code, Instant, ServerConfig, ServerSession, Store};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::wire::IpEndpoint;

use crate::access::ServerAccess;
#[cfg(feature = "channel")]
use crate::channel::Arrival;
use crate::connection::{Connection, PollOutcome};
use crate::observer::Observer;

/// A client without a request for longer than this may be evicted for a new one.
pub(crate) const SILENT_MS: u64 = 1_000;
/// The same before its handshake is made: strangers that leave theirs would hold all places for that second. An honest client needs
/// two round trips.
#[cfg(feature = "channel")]
const ARRIVAL_MS: u64 = 200;
/// How long a peer may take to complete its handshake. It resends a lost packet after 1 s, 2 s, 4 s.
const HANDSHAKE_MS: u64 = 10_000;
/// How long the last bytes of a closed connection may wait for an acknowledgement.
const DRAIN_MS: u64 = 10_000;
/// How long a peer may take to close its side after it acknowledged our FIN, and how much it may send meanwhile.
const LINGER_MS: u64 = 2_000;
const LINGER_LEN: usize = 1 << 20;
/// How long a reset may wait to be sent (the link may be down).
const RESET_MS: u64 = 1_000;

pub(crate) struct SocketSlot<'c, S: Store, A: ServerAccess<S>, const BUF: usize> {
    handle: Option<SocketHandle>,
    /// The state of a socket without a session.
    state: SocketState,
    session: Session<'c, S, A, BUF>,
}

#[derive(Clone, Copy)]
enum SocketState {
    /// Listens, completes a handshake, or has a client that is not served yet.
    Free { handshake_since: Option<Instant>, has_new_client: bool },
    /// Closed by us; waits for the peer to acknowledge and to close.
    Draining {
        until: Instant,
        queued: usize,
        readable: usize,
        /// Whether its client has shown who it is.
        #[cfg(feature = "channel")]
        is_encrypted: bool,
    },
    /// Reset; waits for the RST to be sent.
    Leaving { until: Instant },
    /// Closed by both sides; waits one poll for the last ACK to be sent.
    Closed,
}

const FREE: SocketState = SocketState::Free { handshake_since: None, has_new_client: false };

/// An `Option` whose `None` is all zero bytes, so that a server in a static lies in `.bss` and takes no flash.
// Without a heap the large variant cannot be boxed.
#[allow(clippy::large_enum_variant)]
#[repr(u8)]
enum Session<'c, S: Store, A: ServerAccess<S>, const BUF: usize> {
    None,
    /// It is not known yet whether this client speaks encrypted.
    #[cfg(feature = "channel")]
    Arriving(Arrival),
    Live(Connection<'c, S, A, BUF>),
}

impl<'c, S: Store, A: ServerAccess<S>, const BUF: usize> SocketSlot<'c, S, A, BUF> {
    pub(crate) const fn new() -> Self {
        Self { handle: None, state: FREE, session: Session::None }
    }

    pub(crate) fn bind(&mut self, handle: SocketHandle) {
        self.handle = Some(handle);
    }

    pub(crate) const fn is_free(&self) -> bool {
        matches!((&self.session, self.state), (Session::None, SocketState::Free { .. }))
    }

    pub(crate) const fn is_live(&self) -> bool {
        !matches!(self.session, Session::None)
    }

    #[cfg(feature = "channel")]
    pub(crate) fn socket<'a, 's>(&self, sockets: &'a mut SocketSet<'s>) -> Option<&'a mut tcp::Socket<'s>> {
        Some(sockets.get_mut::<tcp::Socket<'s>>(self.handle?))
    }

    pub(crate) fn peer(&self, sockets: &SocketSet<'_>) -> Option<IpEndpoint> {
        sockets.get::<tcp::Socket<'_>>(self.handle?).remote_endpoint()
    }

    /// Swaps the sockets and their states with `other`; neither may have a session.
    pub(crate) fn swap_socket(&mut self, other: &mut Self) {
        debug_assert!(!self.is_live() && !other.is_live(), "a session keeps its socket");
        swap(&mut self.handle, &mut other.handle);
        swap(&mut self.state, &mut other.state);
    }

    /// Whether the last poll saw a client that is not served yet.
    pub(crate) const fn has_new_client(&self) -> bool {
        matches!((&self.session, self.state), (Session::None, SocketState::Free { has_new_client: true, .. }))
    }

    /// Takes a new client: where it may be encrypted, its first byte has to be seen before.
    pub(crate) fn welcome(&mut self, config: &'c ServerConfig<'c>, is_encrypted: bool, now: Instant) {
        #[cfg(feature = "channel")]
        if is_encrypted {
            self.state = FREE;
            self.session = Session::Arriving(Arrival::new(now));
            return;
        }
        let _ = is_encrypted;
        self.serve(config, now);
    }

    // Not inlined, like `refuse`: a session is created on the stack and moved.
    #[inline(never)]
    pub(crate) fn serve(&mut self, config: &'c ServerConfig<'c>, now: Instant) {
        self.state = FREE;
        self.session = Session::Live(Connection::new(ServerSession::new(config, [0; BUF], now), now));
    }

    #[inline(never)]
    pub(crate) fn refuse(&mut self, code: Code, config: &'c ServerConfig<'c>, now: Instant) {
        self.state = FREE;
        self.session = Session::Live(Connection::new(ServerSession::refusing(code, config, [0; BUF], now), now));
    }

    /// Since when the client is silent, if that is so long that another may have its place.
    pub(crate) fn silent_since(&self, now: Instant) -> Option<Instant> {
        self.silence().filter(|(since, limit_ms)| now.since(*since) > *limit_ms).map(|(since, _)| since)
    }

    /// When it will be silent for so long.
    #[cfg(feature = "wait")]
    pub(crate) fn silent_at(&self) -> Option<Instant> {
        self.silence().map(|(since, limit_ms)| since.after(limit_ms + 1))
    }

    /// Since when the client is silent, and for how many milliseconds it may be.
    fn silence(&self) -> Option<(Instant, u64)> {
        match &self.session {
            Session::Live(connection) => Some((connection.silent_since()?, SILENT_MS)),
            #[cfg(feature = "channel")]
            Session::Arriving(arrival) => Some((arrival.silent_since()?, ARRIVAL_MS)),
            Session::None => None,
        }
    }

    #[cfg(feature = "wait")]
    pub(crate) fn look_again(&mut self, now: Instant) {
        if let Session::Live(connection) = &mut self.session {
            connection.look_again(now);
        }
    }

    /// Since when its client waits for its file to change, if it does.
    #[cfg(feature = "wait")]
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        if let Session::Live(connection) = &self.session { connection.waiting_since() } else { None }
    }

    /// Ends that wait, and the connection, in favour of another client.
    #[cfg(feature = "wait")]
    pub(crate) fn give_way(&mut self, now: Instant) {
        if let Session::Live(connection) = &mut self.session {
            connection.give_way(now);
        }
    }

    /// Holds the session, or no longer, see [`Connection::hold`].
    #[cfg(feature = "wait")]
    pub(crate) const fn hold(&mut self, is_held: bool) {
        if let Session::Live(connection) = &mut self.session {
            connection.hold(is_held);
        }
    }

    /// The session, if it is held.
    #[cfg(feature = "wait")]
    pub(crate) fn held(&self) -> Option<&Connection<'c, S, A, BUF>> {
        match &self.session {
            Session::Live(connection) if connection.is_held() => Some(connection),
            _ => None,
        }
    }

    /// Tells a client that is held, whether it is encrypted or not, that the server is busy; false where a part of a line has left.
    #[cfg(feature = "wait")]
    #[inline(never)]
    pub(crate) fn refuse_held(&mut self, config: &'c ServerConfig<'c>, now: Instant) -> bool {
        let Session::Live(connection) = &mut self.session else { return false };
        connection.refuse(ServerSession::refusing(Code::Busy, config, [0; BUF], now))
    }

    pub(crate) fn stop(&mut self, now: Instant) {
        if let Session::Live(connection) = &mut self.session {
            connection.stop(now);
        }
    }

    /// Resets the connection.
    pub(crate) fn reset(&mut self, sockets: &mut SocketSet<'_>, now: Instant) {
        let Some(handle) = self.handle else { return };
        sockets.get_mut::<tcp::Socket<'_>>(handle).abort();
        self.session = Session::None;
        self.state = SocketState::Leaving { until: now.after(RESET_MS) };
    }

    /// The client without a session.
    #[cfg(feature = "channel")]
    pub(crate) fn arrival(&mut self) -> Option<&mut Arrival> {
        match &mut self.session {
            Session::Arriving(arrival) => Some(arrival),
            _ => None,
        }
    }

    /// From now on the session's bytes are sealed.
    #[cfg(feature = "channel")]
    #[inline(never)]
    pub(crate) fn encrypt(&mut self, channel: Channel) {
        if let Session::Live(connection) = &mut self.session {
            connection.link().encrypt(channel);
        }
    }

    /// Closes the connection without a word.
    #[cfg(feature = "channel")]
    pub(crate) fn close_silently(&mut self, sockets: &mut SocketSet<'_>, how: CloseHow, now: Instant) {
        let Some(handle) = self.handle else { return };
        self.close(sockets.get_mut::<tcp::Socket<'_>>(handle), how, now);
    }

    /// Whether new clients can connect to this socket.
    #[cfg(feature = "channel")]
    pub(crate) fn is_listening(&self, sockets: &SocketSet<'_>) -> bool {
        self.handle.is_some_and(|handle| sockets.get::<tcp::Socket<'_>>(handle).is_listening())
    }

    /// Whether it was closed to a client that is not encrypted and has all that was sent to it.
    #[cfg(feature = "channel")]
    pub(crate) const fn is_done_with(&self) -> bool {
        matches!(self.state, SocketState::Draining { queued: 0, is_encrypted: false, .. })
    }

    fn close(&mut self, socket: &mut tcp::Socket<'_>, how: CloseHow, now: Instant) {
        #[cfg(feature = "channel")]
        let is_encrypted = matches!(&self.session, Session::Live(connection) if connection.is_encrypted());
        self.session = Session::None;
        if how == CloseHow::Abort {
            socket.abort();
            self.state = SocketState::Leaving { until: now.after(RESET_MS) };
        } else {
            socket.close();
            let queued = socket.send_queue();
            self.state = SocketState::Draining {
                until: now.after(DRAIN_MS),
                queued,
                readable: LINGER_LEN,
                #[cfg(feature = "channel")]
                is_encrypted,
            };
        }
    }

    /// Advances the connection or the socket, and returns when to poll again. Listens on `port`, if there is one.
    pub(crate) fn poll(
        &mut self,
        slot: usize,
        port: Option<u16>,
        sockets: &mut SocketSet<'_>,
        store: &mut S,
        observer: &mut impl Observer,
        now: Instant,
    ) -> Option<Instant> {
        let socket = sockets.get_mut::<tcp::Socket<'_>>(self.handle?);
        if let Session::Live(connection) = &mut self.session {
            match connection.poll(slot, socket, store, observer, now) {
                PollOutcome::Waiting(until) => return until,
                PollOutcome::Busy => return Some(now),
                PollOutcome::Over(close) => {
                    connection.end(store);
                    if !connection.is_held() {
                        observer.disconnected(slot, connection.disconnect_reason(close));
                    }
                    self.close(socket, close.how, now);
                }
            }
        }
        #[cfg(feature = "channel")]
        if let Session::Arriving(_) = self.session {
            // Advanced with the handshakes.
            return None;
        }
        if let SocketState::Draining { until, queued, readable, .. } = &mut self.state {
            drain(socket, until, queued, readable, now);
            let is_last_ack_due = socket.state() == tcp::State::TimeWait;
            if now >= *until || *readable == 0 {
                socket.abort();
                self.state = SocketState::Leaving { until: now.after(RESET_MS) };
            } else if is_last_ack_due {
                self.state = SocketState::Closed;
                return Some(now);
            } else if socket.is_open() {
                return Some(*until);
            } else {
                self.state = FREE;
            }
        }
        if let SocketState::Leaving { until } = self.state {
            // A socket that was reset has no remote endpoint once the RST was sent.
            let is_left = socket.state() == tcp::State::Closed && socket.remote_endpoint().is_none();
            if now < until && !is_left {
                return Some(until);
            }
            self.state = FREE;
        }
        if let SocketState::Closed = self.state {
            self.state = FREE;
        }
        let SocketState::Free { handshake_since, has_new_client } = &mut self.state else { return None };
        match port {
            None => socket.close(),
            Some(port) if !socket.is_open() => {
                // Responses are written whole before the interface is polled, so that Nagle's algorithm would only delay them.
                socket.set_nagle_enabled(false);
                socket.set_timeout(None);
                let is_listening = socket.listen(port).is_ok();
                debug_assert!(is_listening, "the port is not 0 and the socket is closed");
            }
            Some(_) => {}
        }
        if socket.state() != tcp::State::SynReceived {
            *handshake_since = None;
            // No session for a peer that has reset the connection already.
            *has_new_client = port.is_some() && (socket.may_send() || socket.can_recv()) && socket.is_open();
            return has_new_client.then_some(now);
        }
        let until = handshake_since.get_or_insert(now).after(HANDSHAKE_MS);
        if now >= until {
            self.reset(sockets, now);
            return Some(now.after(RESET_MS));
        }
        Some(until)
    }
}

/// Discards received bytes, and extends the deadline when the peer acknowledges bytes.
fn drain(socket: &mut tcp::Socket<'_>, until: &mut Instant, queued: &mut usize, readable: &mut usize, now: Instant) {
    while *readable > 0
        && let Ok(read) = socket.recv(|bytes| (bytes.len(), bytes.len()))
        && read > 0
    {
        *readable = readable.saturating_sub(read);
    }
    if socket.send_queue() < *queued {
        *queued = socket.send_queue();
        *until = now.after(DRAIN_MS);
    }
    if socket.state() == tcp::State::FinWait2 {
        *until = (*until).min(now.after(LINGER_MS));
    }
}
