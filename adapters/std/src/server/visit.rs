//! One client, from its coming to its going.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant as Moment};

use coracle_core::blocking::{self, Buffers, serve};
use coracle_core::{
    Action, Close, CloseHow, CloseReason, Code, Exchange, FileInfo, FileName, Instant, Request, RequestKind,
    ServerSession, Store,
};
use memmap2::MmapMut;
use socket2::Socket;

use super::House;
use super::cut::UntilCut;
use super::observer::{Answer, Event, Outcome, Peer, Reason, Visit};
use super::seat::{Fate, Seat};
use crate::clock::{coarse_ms, whole_millis};
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
        TcpTransport::with_limits(&seat.socket, house.inherited_ms(), house.inherited.write_limit.map(whole_millis));
    let scratch = Buffers { receive, send };
    let mut clock = || house.now();
    let mut store = UntilCut { store, seat };
    let close = serve(&mut session, &mut transport, &mut store, scratch, &mut clock, &mut watch);
    if let Some(error) = transport.option_error() {
        house.tell(&Event::Trouble { what: "a socket refused an option", error });
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
        let flags = rustix::net::SendFlags::DONTWAIT | rustix::net::SendFlags::NOSIGNAL;
        match rustix::net::send(&socket, bytes, flags) {
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
    answers: u64,
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
        Self { house, seat, peer, current: None, name: String::new(), answers: 0, body_len: 0 }
    }

    fn finished(&mut self, kind: Option<RequestKind>, body_len: u64, outcome: Outcome) {
        self.answers += 1;
        let current = self.current.take();
        let answer = Answer {
            kind,
            name: current.as_ref().map_or("", |_| &self.name),
            file_size: current.as_ref().and_then(|current| current.file_size),
            body_len,
            duration: current.and_then(|current| current.started).map_or(Duration::ZERO, |started| started.elapsed()),
            outcome,
        };
        self.tell_of_answer(&Event::Finished { peer: self.peer, answer: &answer });
    }

    fn tell_of_answer(&self, event: &Event<'_>) {
        if self.house.tells_answers {
            self.house.tell(event);
        }
    }

    /// The session has ended.
    fn end(mut self, close: Close, error: Option<ErrorKind>) -> CloseHow {
        let (how, reason) = match self.seat.fate() {
            Fate::Dropped => (CloseHow::Finish, Reason::Dropped),
            Fate::Cut => (CloseHow::Abort, Reason::Cut),
            Fate::None | Fate::Told => (close.how, Reason::new(close.why, error)),
        };
        if let Some(current) = &self.current {
            let (kind, body_len) = (current.kind, current.body_len);
            self.finished(Some(kind), body_len, Outcome::CutShort(reason));
        }
        let duration = self.seat.since.elapsed();
        let visit = Visit { reason, answers: self.answers, body_len: self.body_len, duration };
        let live = self.house.hall.leave(self.seat);
        self.house.tell(&Event::Disconnected { peer: self.peer, visit: &visit, live });
        how
    }
}

impl blocking::Observer for Watch<'_> {
    fn request(&mut self, request: &Request<'_>) {
        self.seat.note_asked();
        let is_told = self.house.tells_answers;
        if is_told {
            self.name.clear();
            self.name.push_str(request.name().map_or("", FileName::as_str));
        }
        let started = is_told.then(Moment::now);
        self.current = Some(Current { kind: request.kind(), started, file_size: None, body_len: 0 });
        self.tell_of_answer(&Event::Requested { peer: self.peer, request });
    }

    fn opened(&mut self, info: &FileInfo) {
        if let Some(current) = &mut self.current {
            current.file_size = Some(info.size);
        }
        self.tell_of_answer(&Event::Opened { peer: self.peer, file_size: info.size });
    }

    fn body(&mut self, body_len: usize) {
        let body_len = u64::try_from(body_len).unwrap_or(u64::MAX);
        self.body_len += body_len;
        if let Some(current) = &mut self.current {
            current.body_len += body_len;
        }
        self.tell_of_answer(&Event::Progress { peer: self.peer, body_len });
    }

    fn text(&mut self, text: &[u8]) {
        self.seat.note_asked();
        self.tell_of_answer(&Event::Text { peer: self.peer, bytes: text });
    }

    fn exchange(&mut self, exchange: &Exchange) {
        self.seat.note_asked();
        let outcome = exchange.error.map_or(Outcome::Done, Outcome::Refused);
        self.finished(exchange.kind, exchange.body_len, outcome);
    }

    fn should_stop(&mut self) -> bool {
        self.house.hall.is_stopping()
    }
}

impl House<'_> {
    /// This moment as the sessions count. A tick of the kernel's, 1 to 10 ms, is as fine as the deadlines have to be, and
    /// takes less than half as long to read as the clock itself, which is read a dozen times for a request.
    fn now(&self) -> Instant {
        Instant::from_millis(coarse_ms().saturating_sub(self.began_ms))
    }

    fn inherited_ms(&self) -> Option<u64> {
        Some(whole_millis(self.inherited.read_limit))
    }
}
