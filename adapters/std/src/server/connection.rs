//! Serves one connection, or refuses it.

use std::io;
use std::sync::Arc;

use coracle_core::blocking::Buffers;
use coracle_core::{Action, Close, CloseHow, CloseReason, Code, ServerSession};
use memmap2::MmapMut;
use socket2::Socket;

use super::context::ServerContext;
#[cfg(feature = "channel")]
use super::encryption::{Asker, Opening, close_silently};
use super::entry::ConnectionEntry;
use super::event::{Event, Peer};
use super::event_bridge::EventBridge;
use super::limits::millis;
use super::served_store::{ServedConnection, ServedStore};
use super::server_transport::ServerTransport;
use crate::rate_limit::RateLimit;
use crate::sys;
use crate::transport::TcpTransport;

/// The longest request, in bytes; `maxRequest` in `hello`.
const REQUEST_BUF_LEN: usize = 4096;
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
    pages: MmapMut,
}

impl WorkerBuffers {
    /// Fails where the process may not have more memory.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { pages: MmapMut::map_anon(REQUEST_BUF_LEN + RECEIVE_BUF_LEN + SEND_BUF_LEN)? })
    }
}

/// Serves a connection until it ends. The socket is then to be closed as the returned value says.
pub(super) fn serve_connection<S: ServedStore>(
    context: &ServerContext<'_>,
    entry: &Arc<ConnectionEntry>,
    peer: &Peer,
    store: &mut S,
    buffers: &mut WorkerBuffers,
) -> CloseHow {
    let (request, rest) = buffers.pages.split_at_mut(REQUEST_BUF_LEN);
    let (receive, send) = rest.split_at_mut(RECEIVE_BUF_LEN);
    let timeouts = context.timeouts;
    let mut transport = TcpTransport::new(&entry.socket).with_timeouts(Some(timeouts.read), Some(timeouts.write));
    let own_limit = context.connection_rate_limit.map(RateLimit::new);
    for limit in context.rate_limit.iter().chain(&own_limit) {
        transport = transport.with_send_limit(limit.clone());
    }
    #[cfg(not(feature = "channel"))]
    let (mut transport, refused) = (ServerTransport::Plain(transport), None::<Code>);
    #[cfg(feature = "channel")]
    let (mut transport, refused, asker) = match &context.encryption {
        None => (ServerTransport::Plain(transport), None, None),
        Some(encryption) => match encryption.open(&|event| context.emit(event), entry, peer, transport) {
            Opening::Serve(transport, asker) => (transport, None, Some(asker)),
            Opening::Refuse(code) => (ServerTransport::Plain(TcpTransport::new(&entry.socket)), Some(code), None),
            Opening::End(reason) => {
                EventBridge::new(context, entry, peer).end(reason);
                return close_silently(&entry.socket);
            }
        },
    };
    #[cfg(feature = "channel")]
    let identified = peer.clone().with_client(asker.as_ref().and_then(Asker::client));
    #[cfg(feature = "channel")]
    let peer = &identified;
    let mut bridge = EventBridge::new(context, entry, peer);
    #[cfg(feature = "channel")]
    bridge.set_asker(asker.as_ref());
    let mut session = match refused {
        None => ServerSession::new(&context.config, request, context.now()),
        Some(code) => ServerSession::refusing(code, &context.config, request, context.now()),
    };
    let mut clock = || context.now();
    let buffers = Buffers { receive, send };
    let connection =
        ServedConnection { entry, session: &mut session, transport: &mut transport, buffers, bridge: &mut bridge };
    let close = store.serve(connection, &mut clock);
    if close.how != CloseHow::Abort {
        transport.end();
    }
    if let Some(error) = transport.tcp().option_error() {
        context.emit(&Event::Warning { what: "a socket refused an option", error });
    }
    #[cfg(feature = "channel")]
    if let Some(fault) = transport.fault() {
        return bridge.finish_altered(fault);
    }
    bridge.finish(close, transport.tcp().last_error().map(io::Error::kind))
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
