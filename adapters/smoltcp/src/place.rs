//! A socket of the server's, and what it is used for.

use coracle_core::{Close, CloseHow, Code, Instant, ServerConfig, ServerSession, Store};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp;

use crate::connection::{Connection, Outcome};
use crate::observer::{Gone, Observer};

/// How long a peer may take to complete its handshake. A lost packet costs it 1 s, then 2, then 4.
const HANDSHAKE_MS: u64 = 10_000;
/// How long a closed connection's last bytes may wait for an acknowledgement of any of them.
const DRAIN_MS: u64 = 10_000;
/// How long a peer may take to close its side after ours was acknowledged, and how much it may send meanwhile.
const LINGER_MS: u64 = 2_000;
const LINGER_LEN: usize = 1 << 20;
/// How long a reset may wait for the interface to send it (the link may be down).
const RESET_MS: u64 = 1_000;
/// How long the acknowledgement of the peer's end has, before the socket is used again.
const LAST_ACK_MS: u64 = 20;

pub(crate) struct Place<'c, S: Store> {
    pub(crate) handle: SocketHandle,
    state: State<'c, S>,
}

// Without a heap the largest variant cannot live elsewhere, and a server wants its memory reserved.
#[allow(clippy::large_enum_variant)]
enum State<'c, S: Store> {
    /// The socket listens, or shakes hands.
    Free {
        handshake_since: Option<Instant>,
    },
    Live(Connection<'c, S>),
    /// Closed by us; the peer acknowledges and closes in its turn.
    Draining {
        until: Instant,
        queued: usize,
        readable: usize,
    },
    /// Nothing is awaited any more but the departure of the last packet.
    Leaving {
        until: Instant,
    },
}

impl<'c, S: Store> Place<'c, S> {
    pub(crate) const fn new(handle: SocketHandle) -> Self {
        Self { handle, state: State::Free { handshake_since: None } }
    }

    pub(crate) const fn is_free(&self) -> bool {
        matches!(self.state, State::Free { .. })
    }

    pub(crate) const fn is_live(&self) -> bool {
        matches!(self.state, State::Live(_))
    }

    /// Whether a client has connected that nobody serves.
    pub(crate) fn has_newcomer(&self, sockets: &SocketSet<'_>) -> bool {
        let socket = sockets.get::<tcp::Socket<'_>>(self.handle);
        // A peer that has reset the connection already is not worth a session.
        self.is_free() && (socket.may_send() || socket.can_recv()) && socket.is_open()
    }

    pub(crate) fn serve(&mut self, config: &'c ServerConfig<'c>, now: Instant) {
        self.state = State::Live(Connection::new(ServerSession::new(config, [0; 512], now), now));
    }

    pub(crate) fn refuse(&mut self, code: Code, config: &'c ServerConfig<'c>, now: Instant) {
        self.state = State::Live(Connection::new(ServerSession::refusing(code, config, [0; 512], now), now));
    }

    /// When the client connected, if it has asked nothing since.
    pub(crate) fn silent_since(&self) -> Option<Instant> {
        match &self.state {
            State::Live(connection) => connection.silent_since(),
            _ => None,
        }
    }

    pub(crate) fn stop(&mut self, now: Instant) {
        if let State::Live(connection) = &mut self.state {
            connection.stop(now);
        }
    }

    /// Breaks the connection off.
    pub(crate) fn reset(&mut self, sockets: &mut SocketSet<'_>, now: Instant) {
        sockets.get_mut::<tcp::Socket<'_>>(self.handle).abort();
        self.state = State::Leaving { until: now.after(RESET_MS) };
    }

    /// Does what there is to do; returns when to come again. `port` is what to listen on, if at all.
    pub(crate) fn poll(
        &mut self,
        place: usize,
        port: Option<u16>,
        sockets: &mut SocketSet<'_>,
        store: &mut S,
        observer: &mut impl Observer,
        now: Instant,
    ) -> Option<Instant> {
        let socket = sockets.get_mut::<tcp::Socket<'_>>(self.handle);
        if let State::Live(connection) = &mut self.state {
            match connection.poll(place, socket, store, observer, now) {
                Outcome::Waiting(until) => return until,
                Outcome::Busy => return Some(now),
                Outcome::Over(close) => {
                    observer.gone(place, Gone::Closed(close));
                    self.state = close_socket(socket, close, now);
                }
            }
        }
        if let State::Draining { until, queued, readable } = &mut self.state {
            drain(socket, until, queued, readable, now);
            let is_last_ack_due = socket.state() == tcp::State::TimeWait;
            if now >= *until || *readable == 0 {
                socket.abort();
                self.state = State::Leaving { until: now.after(RESET_MS) };
            } else if is_last_ack_due {
                self.state = State::Leaving { until: now.after(LAST_ACK_MS) };
            } else if socket.is_open() {
                return Some(*until);
            } else {
                self.state = State::Free { handshake_since: None };
            }
        }
        if let State::Leaving { until } = self.state {
            // A socket that was reset forgets its peer when the reset has left.
            let is_left = socket.state() == tcp::State::Closed && socket.remote_endpoint().is_none();
            if now < until && !is_left {
                return Some(until);
            }
            self.state = State::Free { handshake_since: None };
        }
        let State::Free { handshake_since } = &mut self.state else { return None };
        match port {
            None => socket.close(),
            Some(port) if !socket.is_open() => {
                // An answer is written whole before the interface is polled: there is nothing to wait for.
                socket.set_nagle_enabled(false);
                socket.set_timeout(None);
                let is_listening = socket.listen(port).is_ok();
                debug_assert!(is_listening, "the port is not 0 and the socket is closed");
            }
            Some(_) => {}
        }
        if socket.state() != tcp::State::SynReceived {
            *handshake_since = None;
            return None;
        }
        let until = handshake_since.get_or_insert(now).after(HANDSHAKE_MS);
        if now >= until {
            self.reset(sockets, now);
            return Some(now.after(RESET_MS));
        }
        Some(until)
    }
}

fn close_socket<'c, S: Store>(socket: &mut tcp::Socket<'_>, close: Close, now: Instant) -> State<'c, S> {
    match close.how {
        CloseHow::Abort => {
            socket.abort();
            State::Leaving { until: now.after(RESET_MS) }
        }
        CloseHow::Finish | CloseHow::Linger => {
            socket.close();
            State::Draining { until: now.after(DRAIN_MS), queued: socket.send_queue(), readable: LINGER_LEN }
        }
    }
}

/// Reads off what arrives, and moves the deadline when the peer acknowledges something.
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
