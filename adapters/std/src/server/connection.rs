//! Serves one connection, or refuses it.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use coracle_core::blocking::{Buffers, Served};
use coracle_core::{Action, Close, CloseHow, CloseReason, Code, Instant, ServerSession};
use socket2::Socket;

use super::context::ServerContext;
#[cfg(feature = "channel")]
use super::encryption::{Asker, Opening, close_silently};
use super::entry::{ConnectionEntry, ForcedClose};
use super::event::{Event, Peer};
use super::event_bridge::EventBridge;
use super::followed::Following;
use super::limits::millis;
use super::served_store::{ServedConnection, ServedStore};
use super::server_transport::{ClientSocket, ServerTransport};
use super::wake_list::{ConnectionWaker, WakeList};
use crate::rate_limit::RateLimit;
use crate::sys::{self, Pages};
use crate::transport::TcpTransport;

/// The longest request, in bytes; `maxRequest` in `hello`.
const REQUEST_BUF_LEN: usize = 4096;
/// How long a connection whose store is not ready sleeps before it asks again.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// The shortest that a session with any settings takes.
const REFUSAL_BUF_LEN: usize = 768;
/// Bodies that arrive pass through it; requests use one page of it.
const RECEIVE_BUF_LEN: usize = 64 * 1024;
/// Header, small body and trailer leave in one write where all three fit.
const SEND_BUF_LEN: usize = 64 * 1024;

/// The buffers of a worker thread, for one connection after the other.
///
/// They lie in pages of their own: what a client does not use takes no memory, and all of it goes back to the system with
/// the thread. An allocator would keep most of it.
pub(super) struct WorkerBuffers {
    pages: Pages,
}

impl WorkerBuffers {
    /// Fails where the process may not have more memory.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { pages: sys::pages(RECEIVE_BUF_LEN + SEND_BUF_LEN)? })
    }
}

/// A connection that is served, by one thread after the other where it waits without one in between.
pub(super) struct Connection<'c> {
    context: &'c ServerContext<'c>,
    entry: Arc<ConnectionEntry>,
    session: ServerSession<'c, Box<[u8]>>,
    transport: ServerTransport,
    bridge: EventBridge<'c>,
    /// The file for whose change it waits.
    following: Option<Following<'c>>,
    /// What was received behind the request that waits.
    unread: Box<[u8]>,
    /// Whether the arrival of bytes wakes it.
    pub is_listening: bool,
}

/// How serving a connection returns.
pub(super) enum Outcome<'c> {
    /// It has ended: its socket is to be closed so.
    Ended(CloseHow),
    /// It waits for a file to change, or for its client, and needs no thread for that.
    Waiting(Box<Connection<'c>>),
}

impl<'c> Connection<'c> {
    /// Begins a connection, with the handshake where it is encrypted.
    ///
    /// # Errors
    ///
    /// It has ended with that, and its socket is to be closed so.
    pub(super) fn begin(
        context: &'c ServerContext<'c>,
        entry: &Arc<ConnectionEntry>,
        peer: Peer,
    ) -> Result<Box<Self>, CloseHow> {
        let timeouts = context.timeouts;
        let socket = ClientSocket(Arc::clone(entry));
        let mut transport = TcpTransport::new(socket).with_timeouts(Some(timeouts.read), Some(timeouts.write));
        let own_limit = context.connection_rate_limit.map(RateLimit::new);
        for limit in context.rate_limit.iter().chain(&own_limit) {
            transport = transport.with_send_limit(limit.clone());
        }
        #[cfg(not(feature = "channel"))]
        let (transport, refused) = (ServerTransport::plain(transport), None::<Code>);
        #[cfg(feature = "channel")]
        let (transport, refused, asker) = match &context.encryption {
            None => (ServerTransport::plain(transport), None, None),
            Some(encryption) => match encryption.open(&|event| context.emit(event), entry, &peer, transport) {
                Opening::Serve(transport, asker) => (transport, None, Some(asker)),
                Opening::Refuse(code) => {
                    let transport = TcpTransport::new(ClientSocket(Arc::clone(entry)));
                    (ServerTransport::plain(transport), Some(code), None)
                }
                Opening::End(reason) => {
                    EventBridge::new(context, entry, peer).end(reason);
                    return Err(close_silently(&entry.socket));
                }
            },
        };
        #[cfg(feature = "channel")]
        let peer = peer.with_client(asker.as_ref().and_then(Asker::client));
        #[cfg_attr(not(feature = "channel"), expect(unused_mut, reason = "no client is known by a key"))]
        let mut bridge = EventBridge::new(context, entry, peer);
        #[cfg(feature = "channel")]
        bridge.set_asker(asker);
        let buf = vec![0; REQUEST_BUF_LEN].into_boxed_slice();
        let session = match refused {
            None => ServerSession::new(&context.config, buf, context.now()),
            Some(code) => ServerSession::refusing(code, &context.config, buf, context.now()),
        };
        Ok(Box::new(Self {
            context,
            entry: Arc::clone(entry),
            session,
            transport,
            bridge,
            following: None,
            unread: Box::default(),
            is_listening: false,
        }))
    }

    /// Serves it until it ends, or waits without a thread. It is on `wake_list` then when its file changes.
    pub(super) fn serve<S>(
        mut self: Box<Self>,
        store: &mut S,
        buffers: &mut WorkerBuffers,
        wake_list: &Arc<WakeList>,
    ) -> Outcome<'c>
    where
        S: ServedStore + 'c,
    {
        let this = &mut *self;
        let (receive, send) = buffers.pages.split_at_mut(RECEIVE_BUF_LEN);
        let mut unread: Range<usize> = 0..this.unread.len();
        receive[unread.clone()].copy_from_slice(&std::mem::take(&mut this.unread));
        loop {
            let connection = ServedConnection {
                entry: &this.entry,
                session: &mut this.session,
                transport: &mut this.transport,
                buffers: Buffers { receive: &mut *receive, send: &mut *send },
                unread,
                bridge: &mut this.bridge,
            };
            match store.serve(connection, &mut || this.context.now()) {
                Served::Closed(close) => return Outcome::Ended(self.end(close)),
                Served::Receiving => break,
                Served::Watching { unread: rest, .. } if this.session.awaits_store() => {
                    unread = rest;
                    this.wait_for_store();
                }
                Served::Watching { info, unread } => {
                    this.unread = receive.get(unread).unwrap_or_default().into();
                    if let (Some(info), Action::Watch { name }) = (info, this.session.action()) {
                        let waker = ConnectionWaker::new(Arc::clone(wake_list), this.entry.id);
                        this.following = Some(store.follow(name, &info, waker));
                        this.bridge.begin_waiting();
                    }
                    // Between its answer and the next request, who follows a file needs no thread either.
                    this.transport.may_rest = true;
                    break;
                }
            }
        }
        this.transport.rest();
        Outcome::Waiting(self)
    }

    /// Sleeps until the store, which is not ready, is to be asked again, or a heartbeat is due.
    fn wait_for_store(&mut self) {
        self.bridge.begin_preparing();
        thread::sleep(ASK_AGAIN);
        let now = self.context.now();
        match self.entry.forced_close() {
            Some(ForcedClose::Evicted | ForcedClose::Aborted) => self.session.send_failed(),
            _ if self.deadline().is_some_and(|deadline| deadline <= now) => self.session.handle_timeout(now),
            _ => self.session.look_again(now),
        }
    }

    /// Tells the session what it was woken for.
    pub(super) fn wake(&mut self) {
        let now = self.context.now();
        match self.entry.forced_close() {
            Some(ForcedClose::Evicted | ForcedClose::Aborted) => self.session.send_failed(),
            // The driver looks at that itself.
            Some(ForcedClose::Stopping) => {}
            None if self.entry.is_displaced() => self.session.give_way(now),
            None if self.has_changed() => match self.following.take() {
                // Where a file without a name is all that is left, its client looks for another one.
                Some(following) if following.is_gone() => self.session.end_wait(now),
                _ => self.session.look_again(now),
            },
            None => self.session.handle_timeout(now),
        }
    }

    /// Sends the heartbeat that is due by `now`, where the client is told no more than that. Returns whether the connection
    /// still waits for its file; otherwise it needs a thread.
    pub(super) fn send_heartbeat(&mut self, now: Instant) -> bool {
        if !self.is_watching() || self.is_wanted() {
            return false;
        }
        self.session.handle_timeout(now);
        if let Action::SendBytes { bytes, .. } = self.session.action()
            && let Ok(len) = self.transport.send_now(bytes)
        {
            self.session.sent(len, now);
            self.transport.rest();
        }
        self.is_watching()
    }

    /// Whether it waits for a file to change. Otherwise it waits for its client.
    pub(super) fn is_watching(&self) -> bool {
        matches!(self.session.action(), Action::Watch { .. })
    }

    /// Whether it has to go on at once.
    pub(super) fn is_wanted(&self) -> bool {
        self.has_changed()
            || self.entry.forced_close().is_some()
            || self.entry.is_displaced()
            || self.context.registry.is_stopping()
    }

    /// When it has to go on, or send a heartbeat, whatever happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.session.deadline().map(|(when, _)| when)
    }

    /// Has a thread wait for the client from now on.
    pub(super) const fn keep_thread(&mut self) {
        self.transport.may_rest = false;
    }

    pub(super) const fn entry(&self) -> &Arc<ConnectionEntry> {
        &self.entry
    }

    pub(super) const fn peer(&self) -> &Peer {
        self.bridge.peer()
    }

    fn has_changed(&self) -> bool {
        self.is_watching() && self.following.as_ref().is_none_or(Following::is_woken)
    }

    /// The session has ended. Removes the connection from the registry.
    fn end(mut self, close: Close) -> CloseHow {
        if close.how != CloseHow::Abort {
            self.transport.end();
        }
        if let Some(error) = self.transport.tcp().option_error() {
            self.context.emit(&Event::Warning { what: "a socket refused an option", error });
        }
        #[cfg(feature = "channel")]
        if let Some(fault) = self.transport.fault() {
            return self.bridge.finish_altered(fault);
        }
        self.bridge.finish(close, self.transport.tcp().last_error().map(io::Error::kind))
    }
}

/// Sends `code` to a client that is not admitted, without waiting for it.
#[inline(never)]
pub(super) fn refuse(context: &ServerContext<'_>, socket: Socket, code: Code, is_over_address_limit: bool) {
    let mut buf = [0; REFUSAL_BUF_LEN];
    let now = context.now();
    let config = match code {
        Code::Busy => {
            let retry_after = context.registry.retry_after(is_over_address_limit);
            context.config.with_busy_retry_ms(millis(Some(retry_after)))
        }
        _ => context.config,
    };
    let mut session = ServerSession::refusing(code, &config, &mut buf, now);
    while let Action::SendBytes { bytes, .. } = session.action() {
        // The socket is fresh: its send buffer has room for a line, or the client is gone.
        match sys::send_now(&socket, bytes) {
            Ok(len) => session.sent(len, now),
            Err(_) => session.send_failed(),
        }
    }
    if session.action() == (Action::Close(Close::new(CloseHow::Linger, CloseReason::Refused(code)))) {
        context.lingering.add(socket, false);
    }
}
