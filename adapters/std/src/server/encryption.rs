//! The beginning of a connection to a server with keys: plain or encrypted, and who asks.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coracle_core::{CloseHow, Code, Demand, Permit};
use socket2::Socket;

use super::entry::{ConnectionEntry, ForcedClose};
use super::event::{ClientIdentity, DisconnectReason, Event, Peer};
use super::handshake_fault::HandshakeFault;
use super::handshake_limits::HandshakeLimits;
use super::limits::Limits;
use super::server_transport::{ClientSocket, ServerTransport};
use crate::channel::{AcceptDeadlines, FIRST_BYTE, HandshakeCause, HandshakeFailure, PublicKey, ServerChannel, accept};
use crate::sys;
use crate::transport::{TcpTransport, TransportError};

/// For message 1 where requests have any time.
const LONGEST_FIRST: Duration = Duration::from_secs(60);

/// What the connections of a server with keys share.
pub(super) struct Encryption<'c> {
    pub channel: &'c ServerChannel,
    limits: HandshakeLimits,
    deadlines: AcceptDeadlines,
    idle: Option<Duration>,
}

/// Who asks.
#[derive(Debug)]
pub(super) enum Asker {
    /// A client without encryption.
    Plain,
    /// Who has this key, which is also here as text.
    Known(PublicKey, Arc<ClientIdentity>),
}

impl Asker {
    pub(super) fn client(&self) -> Option<Arc<ClientIdentity>> {
        match self {
            Self::Plain => None,
            Self::Known(_, client) => Some(Arc::clone(client)),
        }
    }
}

/// How a connection begins.
pub(super) enum Opening {
    Serve(ServerTransport, Asker),
    /// The client is told so in plain.
    Refuse(Code),
    /// It ends without a byte.
    End(DisconnectReason),
}

impl<'c> Encryption<'c> {
    pub(super) fn new(channel: &'c ServerChannel, limits: &Limits) -> Self {
        let first = limits.request_timeout.unwrap_or(LONGEST_FIRST).min(LONGEST_FIRST);
        let deadlines = AcceptDeadlines::new().with_first(first);
        Self { channel, limits: HandshakeLimits::default(), deadlines, idle: limits.idle_timeout }
    }

    /// Whether a client that connects is turned away.
    pub(super) fn is_barred(&self, address: SocketAddr) -> bool {
        self.limits.is_barred(address.ip(), Instant::now())
    }

    /// Waits for a client's first byte, and makes the handshake where it begins one. Events go to `report`.
    pub(super) fn open(
        &self,
        report: &dyn Fn(&Event<'_>),
        entry: &Arc<ConnectionEntry>,
        peer: &Peer,
        transport: TcpTransport<ClientSocket>,
    ) -> Opening {
        let is_stopping = || entry.forced_close() == Some(ForcedClose::Stopping);
        match self.first_byte(entry) {
            _ if is_stopping() => Opening::Refuse(Code::ShuttingDown),
            Err(reason) => Opening::End(reason),
            Ok(FIRST_BYTE) => {
                let current = self.channel.current();
                let made = accept(transport, &[], &self.channel.key, &current.psks, self.deadlines);
                match made {
                    Ok(channel) => {
                        self.limits.completed(entry.address.ip());
                        entry.mark_introduced();
                        let key = *channel.peer();
                        let name = current.clients.client(&key).map_or("", |client| client.name());
                        let client = Arc::new(ClientIdentity::new(key.to_string(), name.to_owned()));
                        let peer = peer.clone().with_client(Some(Arc::clone(&client)));
                        report(&Event::Handshake { peer: &peer, outcome: Ok(()) });
                        Opening::Serve(ServerTransport::sealed(channel, Arc::clone(entry)), Asker::Known(key, client))
                    }
                    Err(failure) if failure.message == 1 && is_stopping() => Opening::Refuse(Code::ShuttingDown),
                    Err(failure) => Opening::End(self.failed(report, entry, peer, failure)),
                }
            }
            Ok(_) if !self.channel.offers_plain || self.channel.current().clients.plain().is_none() => {
                Opening::Refuse(Code::Encrypted)
            }
            Ok(_) => {
                entry.mark_introduced();
                Opening::Serve(ServerTransport::plain(transport), Asker::Plain)
            }
        }
    }

    /// Looks at the first byte, which stays to be read.
    fn first_byte(&self, entry: &ConnectionEntry) -> Result<u8, DisconnectReason> {
        let mut byte = [0];
        loop {
            match sys::peek(&entry.socket, &mut byte) {
                Ok(0) => return Err(DisconnectReason::Done),
                Ok(_) => return Ok(byte[0]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The socket's own time-out may be shorter.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.idle.is_some_and(|idle| entry.admitted.elapsed() >= idle) {
                        return Err(DisconnectReason::Idle);
                    }
                }
                Err(error) => return Err(DisconnectReason::Lost(error.kind())),
            }
        }
    }

    /// Counts and reports a handshake that came to nothing.
    fn failed(
        &self,
        report: &dyn Fn(&Event<'_>),
        entry: &ConnectionEntry,
        peer: &Peer,
        failure: HandshakeFailure<TransportError>,
    ) -> DisconnectReason {
        let fault = HandshakeFault::new(&failure);
        if let HandshakeCause::Entropy(error) = &failure.cause {
            report(&Event::Warning { what: "getting random bytes for a handshake", error });
        }
        report(&Event::Handshake { peer, outcome: Err(fault) });
        if fault.is_suspicious() && self.limits.failed(entry.address.ip(), Instant::now()) {
            report(&Event::Barred { address: entry.address, is_new: true });
        }
        DisconnectReason::Handshake(fault)
    }

    /// Whether `asker` may do what it asks for.
    pub(super) fn permit<'a>(&self, asker: &'a Asker, demand: &Demand<'_>) -> Permit<'a> {
        let current = self.channel.current();
        match asker {
            Asker::Known(key, client) => current.clients.permit(key, client.key(), demand),
            Asker::Plain => current.clients.plain().map_or(Permit::Denied, |rights| rights.permit(demand)),
        }
    }
}

/// How a socket is to be closed after a handshake that failed: with FIN, though bytes of the client were not read.
pub(super) fn close_silently(socket: &Socket) -> CloseHow {
    let is_all_read = sys::peek_now(socket, &mut [0]).is_err();
    if is_all_read { CloseHow::Finish } else { CloseHow::Linger }
}
