//! Events of a server: everything that a log, a console, a metrics page or a test may want to know.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use coracle_core::{CloseReason, Code, Request, RequestKind};

#[cfg(feature = "channel")]
use super::handshake_fault::HandshakeFault;
use super::proxy::ProxyFault;
#[cfg(feature = "channel")]
use crate::channel::RecordError;

/// Something that happened in a server.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Clients can connect to `address`.
    Listening {
        /// With the real port, where port 0 was asked for.
        address: SocketAddr,
    },
    /// Clients can no longer connect to `address`; the server continues.
    ListenerClosed {
        /// Address of the listener.
        address: SocketAddr,
    },
    /// A client was admitted and has a worker thread.
    Connected {
        /// The client.
        peer: &'a Peer,
        /// Clients connected when it was admitted, this one included.
        live: usize,
    },
    /// A client was turned away with [`Code::Busy`] or [`Code::ShuttingDown`].
    Refused {
        /// The client; it has no number and no thread.
        address: SocketAddr,
        /// Code that it was sent.
        code: Code,
        /// Whether the limit was [`Limits::max_clients_per_address`](super::Limits::max_clients_per_address).
        is_over_address_limit: bool,
    },
    /// A connection of a proxy was closed, since it did not say as it should whose it is
    /// ([`Server::with_proxy_protocol`](super::Server::with_proxy_protocol)).
    ProxyRefused {
        /// The proxy; the connection has no number and no thread.
        address: SocketAddr,
        /// What was wrong.
        fault: ProxyFault,
    },
    /// A handshake of an encrypted connection has ended; where it failed, [`Event::Disconnected`] follows.
    #[cfg(feature = "channel")]
    Handshake {
        /// The client; where it succeeded, with its [`identity`](Peer::client).
        peer: &'a Peer,
        /// What went wrong.
        outcome: Result<(), HandshakeFault>,
    },
    /// A client was turned away without a byte, since too many handshakes of its address have failed.
    #[cfg(feature = "channel")]
    Barred {
        /// The client; it has no number and no thread.
        address: SocketAddr,
        /// Whether this was the failure that bars the address: it was not turned away yet.
        is_new: bool,
    },
    /// The files of pre-shared keys and clients have changed, and what they hold now is in force.
    #[cfg(feature = "channel")]
    KeysReloaded {
        /// How many clients the server knows.
        clients: usize,
    },
    /// A client waits in the queue, as [`Admission`](super::Admission) says. [`Event::Dequeued`] follows, though another thread
    /// may report it earlier.
    Queued {
        /// The client; it has no number and no thread yet.
        address: SocketAddr,
        /// Clients in the queue, this one included.
        waiting: usize,
    },
    /// A client left the queue. [`Event::Connected`] or [`Event::Refused`] follows, unless it is gone.
    Dequeued {
        /// The client.
        address: SocketAddr,
        /// Why it left the queue.
        reason: DequeueReason,
        /// Time in the queue.
        waited: Duration,
    },
    /// A request was read. `hello`, and what cannot be read, appear only as [`Event::Finished`].
    Requested {
        /// The client.
        peer: &'a Peer,
        /// Its request.
        request: &'a Request<'a>,
    },
    /// The requested file is open.
    Opened {
        /// The client.
        peer: &'a Peer,
        /// Length of the file in bytes.
        file_size: u64,
    },
    /// More bytes of a body were sent or stored.
    Progress {
        /// The client.
        peer: &'a Peer,
        /// Bytes since the last event of this kind.
        body_len: u64,
    },
    /// Bytes arrived that are no request.
    Text {
        /// The client.
        peer: &'a Peer,
        /// What arrived, or a part of it.
        bytes: &'a [u8],
    },
    /// The response to a request ended, complete or not.
    Finished {
        /// The client.
        peer: &'a Peer,
        /// Request, bytes, time and outcome.
        summary: &'a RequestSummary<'a>,
    },
    /// A connection ended, and no longer counts.
    Disconnected {
        /// The client.
        peer: &'a Peer,
        /// Reason, requests and bytes.
        summary: &'a ConnectionSummary,
        /// Clients that are still connected.
        live: usize,
    },
    /// Something failed that concerns no client alone, or that did not end its connection.
    Warning {
        /// What could not be done.
        what: &'a str,
        /// Why.
        error: &'a io::Error,
    },
    /// The server is being stopped: no new clients.
    Stopping {
        /// Clients that are connected.
        live: usize,
    },
    /// The grace time of a stop is over: the remaining connections are aborted.
    Aborting {
        /// How many.
        live: usize,
    },
}

/// Why a client left the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DequeueReason {
    /// It was admitted.
    Served,
    /// It waited for too long, or the server is being stopped.
    Refused(Code),
    /// It closed the connection.
    Gone,
}

/// A connected client.
#[derive(Clone, Debug)]
pub struct Peer {
    id: u64,
    address: SocketAddr,
    thread: Arc<str>,
    client: Option<Arc<ClientIdentity>>,
    is_proxy: bool,
}

/// Who has made the handshake of an encrypted connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    key: String,
    name: String,
}

impl ClientIdentity {
    #[cfg(feature = "channel")]
    pub(super) const fn new(key: String, name: String) -> Self {
        Self { key, name }
    }

    /// Its public key, as text.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its name in the list of clients when it connected; empty where it has none, or is not in there. May hold any characters.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Peer {
    pub(super) const fn new(id: u64, address: SocketAddr, thread: Arc<str>) -> Self {
        Self { id, address, thread, client: None, is_proxy: false }
    }

    pub(super) fn with_proxy(self, is_proxy: bool) -> Self {
        Self { is_proxy, ..self }
    }

    #[cfg(feature = "channel")]
    pub(super) fn with_client(self, client: Option<Arc<ClientIdentity>>) -> Self {
        Self { client, ..self }
    }

    /// Who it is, where the connection is encrypted and the handshake was made.
    #[must_use]
    pub fn client(&self) -> Option<&ClientIdentity> {
        self.client.as_deref()
    }

    /// Number of the connection: 1 for the first one of a server.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Whether a proxy has made the connection for itself, to see whether the server is there.
    #[must_use]
    pub const fn is_proxy(&self) -> bool {
        self.is_proxy
    }

    /// Address of the client, behind the proxy where there is one that says so; an IPv4 address for an IPv4 client of a
    /// dual-stack socket.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Name of the worker thread that began to serve it. Threads serve one client after the other, so names are used again.
    #[must_use]
    pub fn thread(&self) -> &str {
        &self.thread
    }
}

/// A request, and how the response to it ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RequestSummary<'a> {
    /// Kind of the request; `None` where it could not be read that far.
    pub kind: Option<RequestKind>,
    /// The file or directory; empty for the root and where none was named. It is a [`coracle_core::FileName`], so it has
    /// no control characters, but what changes the direction of writing may be in it.
    pub name: &'a str,
    /// The new name, of a rename.
    pub to: Option<&'a str>,
    /// The version that a request that writes expects; `*` for any.
    pub expected: Option<&'a str>,
    /// The version of a file that was put.
    pub version: Option<&'a str>,
    /// Length of the file in bytes, where one was opened or put.
    pub file_size: Option<u64>,
    /// Bytes of the body that were sent or stored.
    pub body_len: u64,
    /// Whether it has waited for its file to change.
    pub has_waited: bool,
    /// From the request to the last byte of the response.
    pub duration: Duration,
    /// How the response ended.
    pub outcome: RequestOutcome,
}

impl<'a> RequestSummary<'a> {
    /// A summary of no bytes and no time; its members can be set.
    #[must_use]
    pub const fn new(kind: Option<RequestKind>, name: &'a str, outcome: RequestOutcome) -> Self {
        Self {
            kind,
            name,
            to: None,
            expected: None,
            version: None,
            file_size: None,
            body_len: 0,
            has_waited: false,
            duration: Duration::ZERO,
            outcome,
        }
    }
}

/// How a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestOutcome {
    /// Complete.
    Done,
    /// With this error.
    Refused(Code),
    /// In the middle, with the connection.
    CutShort(DisconnectReason),
}

impl fmt::Display for RequestOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("ok"),
            Self::Refused(code) => code.fmt(f),
            Self::CutShort(reason) => reason.fmt(f),
        }
    }
}

/// Totals of a connection that ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ConnectionSummary {
    /// Why it ended.
    pub reason: DisconnectReason,
    /// Requests whose response ended.
    pub requests: u64,
    /// Whether the client only said `hello`, or nothing, and left: as balancers do all the time, to see whether a server is
    /// there.
    pub is_probe: bool,
    /// Bytes of bodies that were sent or stored.
    pub body_len: u64,
    /// From admission to the end.
    pub duration: Duration,
}

impl ConnectionSummary {
    /// A summary of no requests, bytes and time; its members can be set.
    #[must_use]
    pub const fn new(reason: DisconnectReason) -> Self {
        Self { reason, requests: 0, is_probe: false, body_len: 0, duration: Duration::ZERO }
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The client closed it between requests.
    Done,
    /// The idle time-out.
    Idle,
    /// The stall time-out, or the lowest rate.
    Stalled,
    /// An error that ends the connection was sent.
    Refused(Code),
    /// The connection failed: reset by the client, or its machine is gone.
    Lost(io::ErrorKind),
    /// The file could not be read to the end that was announced.
    FileFault,
    /// A client of the classic dialect, which has no error for it, asked for a file that changed since it was selected,
    /// or a listing failed half-way.
    Classic,
    /// It had sent no request yet, and was closed in favour of a new client.
    Evicted,
    /// The server was stopped, and the grace time was over.
    Aborted,
    /// A panic in the store, or misuse of the core; the panic's message says more.
    ServerFault,
    /// The handshake failed.
    #[cfg(feature = "channel")]
    Handshake(HandshakeFault),
    /// What arrived over the encrypted connection was changed, or cut off.
    #[cfg(feature = "channel")]
    Altered(RecordError),
}

impl DisconnectReason {
    pub(super) const fn new(why: CloseReason, error: Option<io::ErrorKind>) -> Self {
        match why {
            CloseReason::Done => Self::Done,
            CloseReason::Idle => Self::Idle,
            CloseReason::Stalled => Self::Stalled,
            CloseReason::Refused(code) => Self::Refused(code),
            CloseReason::Broken => Self::FileFault,
            CloseReason::Classic => Self::Classic,
            CloseReason::Transport => match error {
                Some(kind) => Self::Lost(kind),
                None => Self::Lost(io::ErrorKind::Other),
            },
            _ => Self::ServerFault,
        }
    }

    /// One word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::Refused(code) => code.as_str(),
            Self::Lost(_) => "lost",
            Self::FileFault => "fileFault",
            Self::Classic => "classic",
            Self::Evicted => "dropped",
            Self::Aborted => "cut",
            Self::ServerFault => "fault",
            #[cfg(feature = "channel")]
            Self::Handshake(_) => "handshake",
            #[cfg(feature = "channel")]
            Self::Altered(RecordError::Truncated) => "truncated",
            #[cfg(feature = "channel")]
            Self::Altered(_) => "altered",
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(kind) => write!(f, "lost ({kind})"),
            #[cfg(feature = "channel")]
            Self::Handshake(fault) => write!(f, "handshake ({fault})"),
            #[cfg(feature = "channel")]
            Self::Altered(RecordError::Truncated) => f.write_str("truncated (cut off without the authenticated end)"),
            #[cfg(feature = "channel")]
            Self::Altered(error) => write!(f, "altered ({error})"),
            _ => f.write_str(self.as_str()),
        }
    }
}
