//! One client, from its coming to its going.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant as Moment};

use coracle_core::blocking::{self, Buffers, serve};
use coracle_core::{
    Action, Close, CloseHow, CloseReason, Code, Exchange, FileInfo, FileName, Request, RequestKind, ServerSession,
    Store,
};
use memmap2::MmapMut;
use socket2::Socket;

use super::House;
use super::cut::UntilCut;
use super::event::{ConnectionSummary, DisconnectReason, Event, Peer, RequestOutcome, RequestSummary};
use super::seat::{Fate, Seat};
use crate::sys;
use crate::transport::{KernelFile, TcpTransport};

/// The longest request, in bytes; `maxRequest` in `hello`.
const REQUEST_BUF_LEN: usize = 4096;
const RECEIVE_BUF_LEN: usize = 4096;
/// Header, small body and trailer leave in one write where all three fit.
const SEND_BUF_LEN: usize = 64 * 1024;

/// A thread's buffers, for one client after the other.
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

/// Serves the client of `seat`. Afterwards the socket is to be closed as the returned value says.
pub(super) fn visit<S>(
    house: &House<'_>,
    seat: &Seat,
    peer: &Peer,
    store: &mut S,
    buffers: &mut WorkerBuffers,
) -> CloseHow
where
    S: Store<File: KernelFile>,
{
    let (request, rest) = buffers.pages.split_at_mut(REQUEST_BUF_LEN);
    let (receive, send) = rest.split_at_mut(RECEIVE_BUF_LEN);
    let mut watch = Watch::new(house, seat, peer);
    let mut session = ServerSession::new(&house.config, request, house.now());
    let mut transport =
        TcpTransport::with_limits(&seat.socket, Some(house.inherited.read_limit), house.inherited.write_limit);
    let scratch = Buffers { receive, send };
    let mut clock = || house.now();
    let mut store = UntilCut { store, seat };
    let close = serve(&mut session, &mut transport, &mut store, scratch, &mut clock, &mut watch);
    if let Some(error) = transport.option_error() {
        house.tell(&Event::Warning { what: "a socket refused an option", error });
    }
    watch.end(close, transport.last_error().map(io::Error::kind))
}

/// Tells a client that has no place why, without waiting for it.
#[inline(never)]
pub(super) fn refuse(house: &House<'_>, socket: Socket, code: Code) {
    let mut buf = [0; 512];
    let now = house.now();
    let mut session = ServerSession::refusing(code, &house.config, &mut buf, now);
    while let Action::SendBytes { bytes, .. } = session.action() {
        // The socket is fresh: its send buffer has room for a line, or the client is gone.
        match sys::send_now(&socket, bytes) {
            Ok(len) => session.sent(len, now),
            Err(_) => session.send_failed(),
        }
    }
    if session.action() == (Action::Close(Close { how: CloseHow::Linger, why: CloseReason::Refused(code) })) {
        house.lingering.take(socket, false);
    }
}

/// Makes a server's events out of a session's.
struct Watch<'h> {
    house: &'h House<'h>,
    seat: &'h Seat,
    peer: &'h Peer,
    /// The request that is being answered.
    current: Option<Current>,
    /// Its name, where somebody is told.
    name: String,
    requests: u64,
    body_len: u64,
}

struct Current {
    kind: RequestKind,
    /// Where somebody is told.
    started: Option<Moment>,
    file_size: Option<u64>,
    body_len: u64,
}

impl<'h> Watch<'h> {
    fn new(house: &'h House<'h>, seat: &'h Seat, peer: &'h Peer) -> Self {
        Self { house, seat, peer, current: None, name: String::new(), requests: 0, body_len: 0 }
    }

    fn finished(&mut self, kind: Option<RequestKind>, body_len: u64, outcome: RequestOutcome) {
        self.requests += 1;
        let current = self.current.take();
        let summary = RequestSummary {
            kind,
            name: current.as_ref().map_or("", |_| &self.name),
            file_size: current.as_ref().and_then(|current| current.file_size),
            body_len,
            duration: current.and_then(|current| current.started).map_or(Duration::ZERO, |started| started.elapsed()),
            outcome,
        };
        self.emit_request(&Event::Finished { peer: self.peer, summary: &summary });
    }

    fn emit_request(&self, event: &Event<'_>) {
        if self.house.sees_requests {
            self.house.tell(event);
        }
    }

    /// The session has ended.
    fn end(mut self, close: Close, error: Option<ErrorKind>) -> CloseHow {
        let (how, reason) = match self.seat.fate() {
            Fate::Dropped => (CloseHow::Finish, DisconnectReason::Evicted),
            Fate::Cut => (CloseHow::Abort, DisconnectReason::Aborted),
            Fate::None | Fate::Told => (close.how, DisconnectReason::new(close.why, error)),
        };
        if let Some(current) = &self.current {
            let (kind, body_len) = (current.kind, current.body_len);
            self.finished(Some(kind), body_len, RequestOutcome::CutShort(reason));
        }
        let duration = self.seat.since.elapsed();
        let summary = ConnectionSummary { reason, requests: self.requests, body_len: self.body_len, duration };
        let live = self.house.hall.leave(self.seat);
        self.house.tell(&Event::Disconnected { peer: self.peer, summary: &summary, live });
        how
    }
}

impl blocking::SessionObserver for Watch<'_> {
    fn request(&mut self, request: &Request<'_>) {
        self.seat.note_asked();
        let is_told = self.house.sees_requests;
        if is_told {
            self.name.clear();
            self.name.push_str(request.name().map_or("", FileName::as_str));
        }
        let started = is_told.then(Moment::now);
        self.current = Some(Current { kind: request.kind(), started, file_size: None, body_len: 0 });
        self.emit_request(&Event::Requested { peer: self.peer, request });
    }

    fn opened(&mut self, info: &FileInfo) {
        if let Some(current) = &mut self.current {
            current.file_size = Some(info.size);
        }
        self.emit_request(&Event::Opened { peer: self.peer, file_size: info.size });
    }

    fn body(&mut self, body_len: usize) {
        let body_len = u64::try_from(body_len).unwrap_or(u64::MAX);
        self.body_len += body_len;
        if let Some(current) = &mut self.current {
            current.body_len += body_len;
        }
        self.emit_request(&Event::Progress { peer: self.peer, body_len });
    }

    fn text(&mut self, text: &[u8]) {
        self.seat.note_asked();
        self.emit_request(&Event::Text { peer: self.peer, bytes: text });
    }

    fn exchange(&mut self, exchange: &Exchange) {
        self.seat.note_asked();
        let outcome = exchange.error.map_or(RequestOutcome::Done, RequestOutcome::Refused);
        self.finished(exchange.kind, exchange.body_len, outcome);
    }

    fn should_stop(&mut self) -> bool {
        self.house.hall.is_stopping()
    }
}
