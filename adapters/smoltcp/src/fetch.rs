//! The client's side: fetches a file into a [`Sink`].

use coracle_core::exec::Sink;
use coracle_core::{
    ClientAction, ClientEvent, ClientRequest, ClientSession, Code, End, Failure, GetRequest, StartError,
};
use smoltcp::iface::{Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::IpEndpoint;

use crate::{instant, moment};

type Session<'b> = ClientSession<&'b mut [u8]>;

/// Number of bytes of an earlier attempt that are read back at a time.
const READ_BACK_LEN: usize = 256;
/// Maximum number of actions in one poll.
const ACTIONS_A_POLL: usize = 16;
/// How long the server may take to acknowledge the end of the connection.
const LINGER: Duration = Duration::from_secs(2);

/// One attempt to fetch one file over one connection.
///
/// Where it fails with anything but [`Failure::Digest`], the next attempt may resume after the bytes that the [`Sink`] was
/// given: with an [`offset`](GetRequest::offset), a [`version`](GetRequest::version) and `digest_from: Some(0)` those bytes are
/// read back first, so that the digest at the end covers the whole file.
pub struct Fetch<'b> {
    session: Session<'b>,
    handle: SocketHandle,
    server: IpEndpoint,
    local_port: u16,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    ReadingBack,
    Connecting,
    Connected,
    Over,
}

/// Result of [`Fetch::poll`]. `E` is the sink's error.
#[derive(Debug)]
pub enum Progress<E> {
    /// Under way: call again when a frame has arrived, or at this time. `None`: only when a frame has arrived.
    Waiting(Option<Instant>),
    /// All bytes were received, and `End` says whether they were verified. The connection closes by itself; the socket can be
    /// used again when it is no longer open.
    Done(End),
    /// It failed; the connection was reset.
    Failed(FetchError<E>),
}

/// Why a fetch failed. `E` is the sink's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FetchError<E> {
    /// The socket is in use, the server's address or a port is 0, or the interface has no address yet.
    Unaddressable,
    /// The server's port is closed.
    ConnectionRefused,
    /// The server refused the request; `None` for a code that this version does not know.
    Refused(Option<Code>),
    /// The session failed.
    Failed(Failure),
    /// The sink failed.
    Sink(E),
    /// [`Sink::read_back`] has fewer bytes than the request's offset says.
    TooFewToReadBack,
    /// The fetch had ended before.
    Over,
}

impl<E> FetchError<E> {
    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::ConnectionRefused => true,
            Self::Refused(code) => code.is_some_and(Code::is_temporary),
            Self::Failed(failure) => failure.is_temporary(),
            Self::Unaddressable | Self::Sink(_) | Self::TooFewToReadBack | Self::Over => false,
        }
    }
}

impl<'b> Fetch<'b> {
    /// The minimum length of a buffer, in bytes: the longest line of a server.
    pub const BUF_LEN: usize = Session::MIN_BUF_LEN;

    /// Prepares a fetch from `server`, over the closed socket `handle`, from `local_port`. Use another port than for the last
    /// attempt, since the server may still know that connection. Nothing is sent before the first poll. `buf` is for the request
    /// and the lines of the response, at least [`Fetch::BUF_LEN`] bytes long; the body does not pass through it.
    ///
    /// # Errors
    ///
    /// The request cannot be made.
    pub fn new(
        get: &GetRequest<'_>,
        server: IpEndpoint,
        handle: SocketHandle,
        local_port: u16,
        buf: &'b mut [u8],
        now: Instant,
    ) -> Result<Self, StartError> {
        let mut session = ClientSession::new(buf);
        session.start(ClientRequest::Get(*get), moment(now))?;
        Ok(Self { session, handle, server, local_port, state: State::ReadingBack })
    }

    /// Advances the fetch, in bounded time. Call it like [`Server::poll`](crate::Server::poll), until the fetch has ended.
    ///
    /// # Panics
    ///
    /// If the handle does not belong to a TCP socket in `sockets`.
    pub fn poll<K: Sink>(
        &mut self,
        now: Instant,
        interface: &mut Interface,
        sockets: &mut SocketSet<'_>,
        sink: &mut K,
    ) -> Progress<K::Error> {
        let socket = sockets.get_mut::<tcp::Socket<'_>>(self.handle);
        for _ in 0..ACTIONS_A_POLL {
            match self.step(now, interface, socket, sink) {
                Step::Done => {}
                Step::Blocked => match self.session.deadline() {
                    Some((at, _)) if at <= moment(now) => self.session.handle_timeout(moment(now)),
                    deadline => return Progress::Waiting(deadline.map(|(at, _)| instant(at))),
                },
                Step::Over(Ok(end)) => {
                    self.state = State::Over;
                    socket.close();
                    socket.set_timeout(Some(LINGER));
                    return Progress::Done(end);
                }
                Step::Over(Err(error)) => {
                    if self.state != State::Over {
                        self.state = State::Over;
                        socket.abort();
                    }
                    return Progress::Failed(error);
                }
            }
        }
        Progress::Waiting(Some(now))
    }

    /// When to make the next attempt, as told by a server that was busy or shutting down; `None` where it did not tell. Change
    /// it by a random part of up to a fifth, for other boards may have been told the same, and do not wait for longer than 30 s
    /// at a time: nothing proves that the line is the server's. Such an attempt is none without progress.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.session.refusal()?.retry_ms.map(|retry_ms| Duration::from_millis(retry_ms.into()))
    }

    /// The buffer, for the next attempt.
    #[must_use]
    pub fn into_buf(self) -> &'b mut [u8] {
        self.session.into_buf()
    }

    fn step<K: Sink>(
        &mut self,
        now: Instant,
        interface: &mut Interface,
        socket: &mut tcp::Socket<'_>,
        sink: &mut K,
    ) -> Step<K::Error> {
        match self.state {
            State::Over => return Step::Over(Err(FetchError::Over)),
            State::ReadingBack => return self.read_back(now, interface, socket, sink),
            State::Connecting if socket.state() == tcp::State::SynSent => {
                return match self.session.action() {
                    ClientAction::Close(why) => Step::Over(Err(FetchError::Failed(why))),
                    _ => Step::Blocked,
                };
            }
            State::Connecting if !socket.is_open() => return Step::Over(Err(FetchError::ConnectionRefused)),
            State::Connecting => {
                self.session.connected(moment(now));
                self.state = State::Connected;
            }
            State::Connected => {}
        }
        match self.session.action() {
            ClientAction::SendBytes { bytes } => match socket.send_slice(bytes) {
                Ok(0) => return Step::Blocked,
                Ok(len) => self.session.sent(len, moment(now)),
                Err(tcp::SendError::InvalidState) => self.session.send_failed(),
            },
            ClientAction::Receive => return self.receive(now, socket, sink),
            ClientAction::Close(why) => return Step::Over(Err(FetchError::Failed(why))),
            // Idle without an end, or an action of a newer core that this version does not know.
            _ => return Step::Over(Err(FetchError::Over)),
        }
        Step::Done
    }

    /// Passes the bytes of an earlier attempt to the session; then connects.
    // Not inlined: its buffer should not enlarge the stack frame of paths that call deeply.
    #[inline(never)]
    fn read_back<K: Sink>(
        &mut self,
        now: Instant,
        interface: &mut Interface,
        socket: &mut tcp::Socket<'_>,
        sink: &mut K,
    ) -> Step<K::Error> {
        if let ClientAction::Rehash { offset, len } = self.session.action() {
            let mut buf = [0; READ_BACK_LEN];
            let len = usize::try_from(len).unwrap_or(READ_BACK_LEN).min(READ_BACK_LEN);
            let slot = buf.get_mut(..len).unwrap_or_default();
            return match sink.read_back(offset, slot) {
                Ok(0) => Step::Over(Err(FetchError::TooFewToReadBack)),
                Ok(read) => {
                    self.session.rehashed(slot.get(..read).unwrap_or(slot), moment(now));
                    Step::Done
                }
                Err(error) => Step::Over(Err(FetchError::Sink(error))),
            };
        }
        socket.set_nagle_enabled(false);
        socket.set_timeout(None);
        match socket.connect(interface.context(), self.server, self.local_port) {
            Ok(()) => {
                self.session.connected(moment(now));
                self.state = State::Connecting;
                Step::Done
            }
            Err(_) => {
                // The socket is in use elsewhere, and is left alone.
                self.state = State::Over;
                Step::Over(Err(FetchError::Unaddressable))
            }
        }
    }

    fn receive<K: Sink>(&mut self, now: Instant, socket: &mut tcp::Socket<'_>, sink: &mut K) -> Step<K::Error> {
        if !socket.can_recv() {
            if socket.may_recv() {
                return Step::Blocked;
            }
            self.session.receive_eof();
            return Step::Done;
        }
        let session = &mut self.session;
        let step = socket.recv(|bytes| {
            let (taken, event) = session.receive(bytes, moment(now));
            let step = match event {
                None => Step::Done,
                Some(ClientEvent::Header(header)) => sink_step(sink.begin(&header)),
                Some(ClientEvent::Body { offset, bytes }) => sink_step(sink.write(offset, bytes)),
                Some(ClientEvent::End(end)) => Step::Over(Ok(end)),
                Some(ClientEvent::Refused(refusal)) => Step::Over(Err(FetchError::Refused(refusal.code))),
                Some(ClientEvent::ServerClosing(code)) => Step::Over(Err(FetchError::Failed(Failure::Ended(code)))),
                // A get has no other events.
                Some(_) => Step::Over(Err(FetchError::Over)),
            };
            (taken, step)
        });
        step.unwrap_or_else(|_| {
            self.session.receive_eof();
            Step::Done
        })
    }
}

/// Result of one action.
enum Step<E> {
    Done,
    Blocked,
    Over(Result<End, FetchError<E>>),
}

fn sink_step<E>(written: Result<(), E>) -> Step<E> {
    match written {
        Ok(()) => Step::Done,
        Err(error) => Step::Over(Err(FetchError::Sink(error))),
    }
}

/// A sink that passes every piece of a body, with its offset in the file, to `write`.
pub fn sink_fn<E>(write: impl FnMut(u64, &[u8]) -> Result<(), E>) -> impl Sink<Error = E> {
    SinkFn(write)
}

struct SinkFn<F>(F);

impl<E, F: FnMut(u64, &[u8]) -> Result<(), E>> Sink for SinkFn<F> {
    type Error = E;

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), E> {
        (self.0)(offset, bytes)
    }
}
