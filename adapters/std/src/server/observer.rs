//! What a server tells of itself: one event for everything that a log, a console, a metrics page or a test wants to know.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use coracle_core::{CloseReason, Code, Request, RequestKind};

/// Sees every event of a server. A closure will do.
///
/// The events of one peer come in order and from one thread; those of different peers from many threads at once. Whatever
/// time an observer takes is taken from that peer, so it must not wait for long.
pub trait Observer: Send + Sync {
    /// Takes note of `event`.
    fn event(&self, event: &Event<'_>);

    /// Whether it looks at what clients ask and are answered: [`Event::Requested`], [`Event::Opened`],
    /// [`Event::Progress`], [`Event::Text`] and [`Event::Finished`]. Asked once, when the server begins; where no observer
    /// does, clients are served a little faster. Default: it does.
    fn sees_answers(&self) -> bool {
        true
    }
}

impl<F: Fn(&Event<'_>) + Send + Sync> Observer for F {
    fn event(&self, event: &Event<'_>) {
        self(event);
    }
}

/// Something has happened to a server.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Clients can connect to `address`; port 0 has become a real one.
    Listening {
        /// Where.
        address: SocketAddr,
    },
    /// Clients can connect to `address` no longer, and the server goes on.
    Unlistened {
        /// Where.
        address: SocketAddr,
    },
    /// A client has a place and a thread.
    Connected {
        /// Who.
        peer: &'a Peer,
        /// Clients that are connected now, this one included.
        live: usize,
    },
    /// A client was turned away: [`Code::Busy`] or [`Code::ShuttingDown`].
    Refused {
        /// Who. It has no number and no thread.
        address: SocketAddr,
        /// What it was told.
        code: Code,
        /// Whether that is since its address has as many places as
        /// [`Limits::max_clients_per_address`](super::Limits::max_clients_per_address) allows.
        is_over_share: bool,
    },
    /// A client waits for a place ([`Admission::Queue`](super::Admission::Queue)). [`Event::Dequeued`] follows, though
    /// another thread may tell of it earlier.
    Queued {
        /// Who. It has no number and no thread yet.
        address: SocketAddr,
        /// Clients that wait now, this one included.
        waiting: usize,
    },
    /// A client waits no longer. [`Event::Connected`] or [`Event::Refused`] follows, unless it is gone.
    Dequeued {
        /// Who.
        address: SocketAddr,
        /// Why.
        end: WaitEnd,
        /// How long it has waited.
        waited: Duration,
    },
    /// A request was read. `hello`, and what cannot be read, show up only as [`Event::Finished`].
    Requested {
        /// Who.
        peer: &'a Peer,
        /// What.
        request: &'a Request<'a>,
    },
    /// The requested file is open.
    Opened {
        /// Who.
        peer: &'a Peer,
        /// The file's length in bytes.
        file_size: u64,
    },
    /// More bytes of a body are on their way.
    Progress {
        /// Who.
        peer: &'a Peer,
        /// How many more.
        body_len: u64,
    },
    /// Bytes have arrived that are no request.
    Text {
        /// Who.
        peer: &'a Peer,
        /// One arrival's, or a part of it.
        bytes: &'a [u8],
    },
    /// An answer has ended, well or not.
    Finished {
        /// Who.
        peer: &'a Peer,
        /// Which, and how.
        answer: &'a Answer<'a>,
    },
    /// A client has left, and its place is free.
    Disconnected {
        /// Who.
        peer: &'a Peer,
        /// Why, and what it was served.
        visit: &'a Visit,
        /// Clients that are connected now.
        live: usize,
    },
    /// Something went wrong that concerns no client alone, or that service goes on in spite of.
    Trouble {
        /// What could not be done.
        what: &'a str,
        /// Why.
        error: &'a io::Error,
    },
    /// The server is being stopped: no new clients.
    Stopping {
        /// Clients that are connected now.
        live: usize,
    },
    /// The time for a graceful stop is over: the clients that are left are cut off.
    Cutting {
        /// How many.
        live: usize,
    },
}

/// Why a client waits no longer for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitEnd {
    /// It has one.
    Served,
    /// It has waited for too long, or the server is being stopped.
    Refused(Code),
    /// It has closed the connection.
    Gone,
}

/// A connected client.
#[derive(Clone, Debug)]
pub struct Peer {
    id: u64,
    address: SocketAddr,
    thread: Arc<str>,
}

impl Peer {
    pub(super) const fn new(id: u64, address: SocketAddr, thread: Arc<str>) -> Self {
        Self { id, address, thread }
    }

    /// The connection's number: 1 for the first one of this server.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Its address. An IPv4 client of a dual-stack socket has its IPv4 address here.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The name of the thread that serves it. Threads are used again: the name may have been another client's before.
    #[must_use]
    pub fn thread(&self) -> &str {
        &self.thread
    }
}

/// An answer that has ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Answer<'a> {
    /// To which request; `None` where it could not be read that far.
    pub kind: Option<RequestKind>,
    /// The file or directory; empty for the root and where none was named. It is a [`coracle_core::FileName`], so there is
    /// no control character in it, but what changes the direction of writing may be.
    pub name: &'a str,
    /// The length of the file in bytes, where one was opened.
    pub file_size: Option<u64>,
    /// Bytes of the body that were sent.
    pub body_len: u64,
    /// From the request to the last byte of the answer.
    pub duration: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

/// How an answer has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// In full.
    Done,
    /// With this error.
    Refused(Code),
    /// In the middle, with the connection.
    CutShort(Reason),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("ok"),
            Self::Refused(code) => code.fmt(f),
            Self::CutShort(reason) => reason.fmt(f),
        }
    }
}

/// What a client was served from its coming to its going.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Visit {
    /// Why it has ended.
    pub reason: Reason,
    /// Answers that have ended.
    pub answers: u64,
    /// Bytes of bodies that were sent.
    pub body_len: u64,
    /// How long it lasted.
    pub duration: Duration,
}

/// Why a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The client was done.
    Done,
    /// The client rested for too long.
    Idle,
    /// The client took no byte for too long, or took them too slowly.
    Stalled,
    /// The client was told an error that ends the connection.
    Refused(Code),
    /// The connection broke: reset by the client, or its machine is gone.
    Lost(io::ErrorKind),
    /// The file could not be read to the end that was announced.
    FileFault,
    /// A client of the classic dialect, which has no error for it, asked for a file that has changed since it was
    /// selected, or a listing failed half-way.
    Classic,
    /// The client had asked nothing yet, and a newcomer needed the place.
    Dropped,
    /// The server was stopped, and the time for that was over.
    Cut,
    /// A fault of the server's own; the thread's panic says more.
    Fault,
}

impl Reason {
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
            _ => Self::Fault,
        }
    }

    /// One word for a log.
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
            Self::Dropped => "dropped",
            Self::Cut => "cut",
            Self::Fault => "fault",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(kind) => write!(f, "lost ({kind})"),
            _ => f.write_str(self.as_str()),
        }
    }
}
