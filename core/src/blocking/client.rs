//! Driver of a client session over a blocking transport.

use core::convert::Infallible;
use core::fmt;
use core::ops::Range;

use embedded_io::{Error as _, ErrorKind};

use super::transport::{Clock, Transport};
use crate::exec::{ReadBackError, Sink, read_back};
use crate::{
    ClientAction, ClientEvent, ClientRequest, ClientSession, Code, DigestKind, End, Entry, Failure, FileName,
    GetRequest, Header, Hello, Instant, Listing, Refusal, StartError,
};

/// Why a request failed. `T` is the transport's error, `S` that of the sink or of the closure that receives entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ClientError<T, S = Infallible> {
    /// The request was not started.
    Start(StartError),
    /// The server refused; `None` for a code that this version does not know. [`Connection::refusal`] has its text.
    Refused(Option<Code>),
    /// The session closed the connection.
    Failed(Failure),
    /// The transport failed.
    Transport(T),
    /// The sink or the closure failed.
    Sink(S),
    /// [`Sink::read_back`] has fewer bytes than the request's offset says.
    TooFewToReadBack,
}

/// A client's connection: the session, its transport, buffers and clock.
///
/// ```
/// use coracle_core::blocking::{Connection, NoTimeout};
/// use coracle_core::exec::Sink;
/// use coracle_core::{ClientSession, End, FileName, GetRequest, Instant};
///
/// struct Memory(Vec<u8>);
///
/// impl Sink for Memory {
///     type Error = core::convert::Infallible;
///
///     fn write(&mut self, _offset: u64, bytes: &[u8]) -> Result<(), Self::Error> {
///         self.0.extend_from_slice(bytes);
///         Ok(())
///     }
/// }
///
/// # struct Wire(&'static [u8]);
/// # impl embedded_io::ErrorType for Wire { type Error = embedded_io::ErrorKind; }
/// # impl embedded_io::Read for Wire {
/// #     fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> { self.0.read(buf).map_err(|never| match never {}) }
/// # }
/// # impl embedded_io::Write for Wire {
/// #     fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> { Ok(buf.len()) }
/// #     fn flush(&mut self) -> Result<(), Self::Error> { Ok(()) }
/// # }
/// # let wire = Wire(b"{\"type\":\"file\",\"fileName\":\"motd\",\"fileSize\":15,\"offset\":0,\"length\":15,\"chunkSize\":1024,\
/// #     \"readCnt\":1,\"lastSize\":15,\"version\":\"b17\",\"digest\":\"crc32\"}\nMind the step.\n{\"type\":\"end\",\"crc32\":\"e7e0539f\"}\n");
/// let mut millis = 0; // a board asks its timer
/// let clock = || { millis += 1; Instant::from_millis(millis) };
/// let transport = NoTimeout(wire); // any embedded-io Read + Write
/// let mut connection = Connection::new(ClientSession::new([0; 1024]), transport, [0; 512], clock);
/// let mut memory = Memory(Vec::new());
/// let end = connection.get(&GetRequest::new(FileName::from_static("motd")), &mut memory)?;
/// assert!(matches!(end, End::Verified(verified) if verified.is_whole()));
/// assert_eq!(memory.0, b"Mind the step.\n");
/// # Ok::<(), coracle_core::blocking::ClientError<embedded_io::ErrorKind>>(())
/// ```
///
/// `B` is the session's buffer, `R` the buffer for received bytes; a longer one means fewer calls of the transport and of the
/// [`Sink`]. After an error of the kinds `Failed`, `Transport` or `Sink` the connection is closed.
#[derive(Debug)]
pub struct Connection<B, R, T, C> {
    pub(super) session: ClientSession<B>,
    pub(super) transport: T,
    pub(super) receive: R,
    /// The part of `receive` that the session has not taken.
    pub(super) arrived: Range<usize>,
    pub(super) clock: C,
    limit_ms: Option<u64>,
}

impl<B, R, T, C> Connection<B, R, T, C>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
    T: Transport,
    C: Clock,
{
    /// A connection over `transport`, which is connected. `receive` is at least one byte long.
    pub fn new(mut session: ClientSession<B>, transport: T, receive: R, mut clock: C) -> Self {
        session.connected(clock.now());
        Self { session, transport, receive, arrived: 0..0, clock, limit_ms: None }
    }

    /// Requests `hello`, and passes the response to `take`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub fn hello<A>(&mut self, take: impl FnOnce(&Hello<'_>) -> A) -> Result<A, ClientError<T::Error>> {
        self.start(ClientRequest::Hello)?;
        let mut take = Some(take);
        self.run(|event| match event {
            ClientEvent::Hello(hello) => Ok(take.take().map(|take| take(&hello))),
            _ => Ok(None),
        })
    }

    /// Lists the directory `path`, or the root for `None`, and passes each entry to `each`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`]; an error of `each` ends the connection.
    pub fn list<E>(
        &mut self,
        path: Option<FileName<'_>>,
        each: impl FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<Listing, ClientError<T::Error, E>> {
        self.start(ClientRequest::List { path })?;
        self.finish_list(each)
    }

    /// Receives the response to a `list` that [`Connection::start_sent`] started.
    ///
    /// # Errors
    ///
    /// As [`Connection::list`].
    pub fn finish_list<E>(
        &mut self,
        mut each: impl FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<Listing, ClientError<T::Error, E>> {
        self.run(|event| match event {
            ClientEvent::Entry(entry) => each(entry).map(|()| None),
            ClientEvent::Listed(listing) => Ok(Some(listing)),
            _ => Ok(None),
        })
    }

    /// Describes the file `name`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub fn stat(&mut self, name: FileName<'_>, digest: Option<DigestKind>) -> Result<Header, ClientError<T::Error>> {
        self.start(ClientRequest::Stat { name, digest })?;
        self.finish_stat()
    }

    /// Describes the log `name`, with offsets that count from its beginning.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    #[cfg(feature = "absolute")]
    pub fn stat_absolute(&mut self, name: FileName<'_>) -> Result<Header, ClientError<T::Error>> {
        self.start(ClientRequest::StatAbsolute { name })?;
        self.finish_stat()
    }

    /// Receives the response to a `stat` that [`Connection::start_sent`] started.
    ///
    /// # Errors
    ///
    /// As [`Connection::stat`].
    pub fn finish_stat(&mut self) -> Result<Header, ClientError<T::Error>> {
        self.run(|event| match event {
            ClientEvent::Header(header) => Ok(Some(header)),
            _ => Ok(None),
        })
    }

    /// Fetches a file into `sink`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`]. The bytes that the sink was given before can be resumed from, unless the failure is
    /// [`Failure::Digest`].
    pub fn get<S: Sink>(&mut self, get: &GetRequest<'_>, sink: &mut S) -> Result<End, ClientError<T::Error, S::Error>> {
        self.start(ClientRequest::Get(*get))?;
        self.finish_get(sink)
    }

    /// Like [`Connection::get`], for a request that [`Connection::start_sent`] started, or that was started on the session
    /// before this connection was made: so the bytes of an earlier attempt can be read back, by [`read_back`], before connecting.
    ///
    /// # Errors
    ///
    /// As [`Connection::get`].
    pub fn finish_get<S: Sink>(&mut self, sink: &mut S) -> Result<End, ClientError<T::Error, S::Error>> {
        let clock = &mut self.clock;
        read_back(&mut self.session, sink, self.receive.as_mut(), || clock.now()).map_err(|error| match error {
            ReadBackError::Sink(error) => ClientError::Sink(error),
            ReadBackError::TooFew => ClientError::TooFewToReadBack,
        })?;
        self.run(|event| match event {
            ClientEvent::Header(header) => sink.begin(&header).map(|()| None),
            ClientEvent::Body { offset, bytes } => sink.write(offset, bytes).map(|()| None),
            ClientEvent::End(end) => Ok(Some(end)),
            _ => Ok(None),
        })
    }

    /// Writes `request` to `buf` for sending it ahead, and returns its length; see [`ClientSession::write_request`]. It is sent
    /// by [`Connection::transport_mut`], which must not wait for room: the server may be waiting for its response to be read.
    ///
    /// # Errors
    ///
    /// Why it cannot be sent ahead.
    pub fn write_request(&self, request: &ClientRequest<'_>, buf: &mut [u8]) -> Result<usize, StartError> {
        self.session.write_request(request, buf)
    }

    /// Starts a request that was sent ahead, when its response is the next one. One of the functions that begin with `finish_`
    /// receives it.
    ///
    /// # Errors
    ///
    /// As [`ClientSession::start_sent`].
    pub fn start_sent(&mut self, request: ClientRequest<'_>) -> Result<(), StartError> {
        let now = self.clock.now();
        self.session.start_sent(request, now)
    }

    /// Whether the next part of a response has been received, and is processed without waiting.
    #[must_use]
    pub fn has_received(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// The contents of the last refusal, until the next request.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal<'_>> {
        self.session.refusal()
    }

    /// Whether the next request can be started. Does not check what the server has sent meanwhile.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.session.action() == ClientAction::Idle
    }

    /// The transport.
    pub fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// The transport and the buffers, for the next connection.
    #[must_use]
    pub fn into_parts(self) -> (T, B, R) {
        (self.transport, self.session.into_buf(), self.receive)
    }

    pub(super) fn start<S>(&mut self, request: ClientRequest<'_>) -> Result<(), ClientError<T::Error, S>> {
        if !self.arrived.is_empty() && self.is_idle() {
            // It can only be an error that ends the connection.
            self.run(|_| Ok(None::<Infallible>))?;
        }
        if let ClientAction::Close(why) = self.session.action() {
            return Err(ClientError::Failed(why));
        }
        let now = self.clock.now();
        self.session.start(request, now).map_err(ClientError::Start)
    }

    /// Performs the session's actions until `each` returns a value for an event.
    pub(super) fn run<A, S>(
        &mut self,
        mut each: impl FnMut(ClientEvent<'_>) -> Result<Option<A>, S>,
    ) -> Result<A, ClientError<T::Error, S>> {
        let mut broken = None;
        let mut now = self.clock.now();
        loop {
            match self.session.action() {
                ClientAction::SendBytes { .. } => now = self.send(now, &mut broken)?,
                ClientAction::Receive if self.arrived.is_empty() => now = self.read(now)?,
                ClientAction::Close(Failure::SendFailed) => {
                    return Err(broken.map_or(ClientError::Failed(Failure::SendFailed), ClientError::Transport));
                }
                ClientAction::Close(why) => return Err(ClientError::Failed(why)),
                _ if self.arrived.is_empty() => return Err(ClientError::Start(StartError::NotStarted)),
                _ => {
                    let bytes = self.receive.as_ref().get(self.arrived.clone()).unwrap_or_default();
                    let (taken, event) = self.session.receive(bytes, now);
                    self.arrived.start = self.arrived.start.saturating_add(taken);
                    let code = match &event {
                        Some(ClientEvent::Refused(refusal)) => Some(refusal.code),
                        _ => None,
                    };
                    if let Some(code) = code {
                        return Err(ClientError::Refused(code));
                    }
                    match event.map(&mut each) {
                        None | Some(Ok(None)) => {}
                        Some(Ok(Some(made))) => return Ok(made),
                        Some(Err(error)) => {
                            self.session.abandon();
                            return Err(ClientError::Sink(error));
                        }
                    }
                }
            }
        }
    }

    /// Sends a part of the request, and returns the time after it. A transport error is stored in `broken`.
    fn send<S>(&mut self, now: Instant, broken: &mut Option<T::Error>) -> Result<Instant, ClientError<T::Error, S>> {
        self.limit_wait(now)?;
        let ClientAction::SendBytes { bytes } = self.session.action() else { return Ok(now) };
        let is_all = |sent| sent >= bytes.len();
        match self.transport.write_part(bytes, false) {
            Ok(0) => self.session.send_failed(),
            // Counts as sent only when flushed: a flush that is repeated must not send it again.
            Ok(len) if !is_all(len) || self.flush(broken) => {
                let now = self.clock.now();
                self.session.sent(len, now);
            }
            Ok(_) => {}
            Err(error) => self.send_error(error, broken),
        }
        Ok(self.clock.now())
    }

    /// Flushes the transport; false when that has failed.
    fn flush(&mut self, broken: &mut Option<T::Error>) -> bool {
        while matches!(self.session.action(), ClientAction::SendBytes { .. }) {
            match self.transport.flush() {
                Ok(()) => return true,
                Err(error) => self.send_error(error, broken),
            }
        }
        false
    }

    fn send_error(&mut self, error: T::Error, broken: &mut Option<T::Error>) {
        match error.kind() {
            ErrorKind::Interrupted => {}
            ErrorKind::TimedOut => {
                let now = self.clock.now();
                self.session.handle_timeout(now);
            }
            _ => {
                *broken = Some(error);
                self.session.send_failed();
            }
        }
    }

    /// Waits for bytes, and returns the time after it.
    fn read<S>(&mut self, now: Instant) -> Result<Instant, ClientError<T::Error, S>> {
        self.limit_wait(now)?;
        let outcome = self.transport.read(self.receive.as_mut());
        let now = self.clock.now();
        match outcome {
            Ok(0) => self.session.receive_eof(),
            Ok(len) => self.arrived = 0..len.min(self.receive.as_ref().len()),
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::TimedOut => self.session.handle_timeout(now),
                _ => return Err(self.broken(error)),
            },
        }
        Ok(now)
    }

    /// Limits the transport to the session's deadline. The deadline restarts with each arrival and `now` is the time of that, so
    /// the limit seldom changes.
    pub(super) fn limit_wait<S>(&mut self, now: Instant) -> Result<(), ClientError<T::Error, S>> {
        let limit_ms = self.session.deadline().map(|(at, _)| at.since(now).max(1));
        if limit_ms != self.limit_ms {
            self.limit_ms = limit_ms;
            self.transport.limit_wait(limit_ms).map_err(|error| self.broken(error))?;
        }
        Ok(())
    }

    fn broken<S>(&mut self, error: T::Error) -> ClientError<T::Error, S> {
        self.session.receive_eof();
        ClientError::Transport(error)
    }
}

impl<T: fmt::Display, S: fmt::Display> fmt::Display for ClientError<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => error.fmt(f),
            Self::Refused(code) => Failure::Refused(*code).fmt(f),
            Self::Failed(failure) => failure.fmt(f),
            Self::Transport(error) => write!(f, "the connection broke: {error}"),
            Self::Sink(error) => error.fmt(f),
            Self::TooFewToReadBack => f.write_str("less is there to go on from than the request says"),
        }
    }
}

impl<T: fmt::Display + fmt::Debug, S: fmt::Display + fmt::Debug> core::error::Error for ClientError<T, S> {}
