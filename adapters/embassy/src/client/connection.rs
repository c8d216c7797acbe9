//! Requests that read, over one connection.

use core::convert::Infallible;
use core::fmt;
use core::ops::Range;

use coracle_core::{
    ClientAction, ClientEvent, ClientRequest, ClientSession, Code, DigestKind, End, Entry, Failure, FileName,
    GetRequest, Header, Hello, Instant, Listing, Refusal, StartError,
};
use embassy_futures::select::{Either, select};
use embedded_io_async::{Error as _, ErrorKind};

use crate::clock::Clock;
use crate::sink::AsyncSink;
use crate::transport::Transport;

/// Why a request failed. `T` is the transport's error, `S` that of the sink, of the source, or of the closure that receives entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ClientError<T, S = Infallible> {
    /// The request was not started.
    Start(StartError),
    /// The server refused; `None` for a code that this version does not know. [`Client::refusal`] has its text.
    Refused(Option<Code>),
    /// The session closed the connection.
    Failed(Failure),
    /// The transport failed.
    Transport(T),
    /// The sink, the source or the closure failed.
    Sink(S),
    /// [`AsyncSink::read_back`] has fewer bytes than the request's offset says, or a source fewer than its size.
    TooFewToReadBack,
}

/// A client's connection: the session, its transport, buffer and clock.
///
/// ```
/// use coracle_core::{ClientSession, End, FileName, GetRequest};
/// use coracle_embassy::{AsyncSink, Client, ClientError, Clock, Stream};
/// use embedded_io_async::{Read, Write};
///
/// /// Fetches `motd` into `sink`; whether all of it is there, and its digest right. `clock` is `EmbassyClock` on a board.
/// async fn fetch<T: Read + Write, S: AsyncSink>(
///     socket: T,
///     sink: &mut S,
///     clock: impl Clock,
/// ) -> Result<bool, ClientError<T::Error, S::Error>> {
///     let mut client = Client::new(ClientSession::new([0; 1024]), Stream(socket), [0; 512], clock);
///     let end = client.get(&GetRequest::new(FileName::from_static("motd")), sink).await?;
///     Ok(matches!(end, End::Verified(verified) if verified.is_whole()))
/// }
/// ```
///
/// `B` is the session's buffer, `R` the buffer for received bytes; a longer one means fewer calls of the transport and of the sink.
/// After an error of the kinds `Failed`, `Transport` or `Sink` the connection is closed. One whose request was dropped before it
/// completed takes no other.
#[derive(Debug)]
pub struct Client<B, R, T, C> {
    pub(super) session: ClientSession<B>,
    pub(super) transport: T,
    pub(super) receive: R,
    /// The part of `receive` that the session has not taken.
    pub(super) arrived: Range<usize>,
    pub(super) clock: C,
}

impl<B, R, T, C> Client<B, R, T, C>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
    T: Transport,
    C: Clock,
{
    /// A connection over `transport`, which is connected. `receive` is at least one byte long.
    pub fn new(mut session: ClientSession<B>, transport: T, receive: R, clock: C) -> Self {
        session.connected(clock.now());
        Self { session, transport, receive, arrived: 0..0, clock }
    }

    /// Requests `hello`, and passes the response to `take`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn hello<A>(&mut self, take: impl FnOnce(&Hello<'_>) -> A) -> Result<A, ClientError<T::Error>> {
        self.start(ClientRequest::Hello).await?;
        let mut take = Some(take);
        let handler = Now(|event: ClientEvent<'_>| match event {
            ClientEvent::Hello(hello) => Ok(take.take().map(|take| take(&hello))),
            _ => Ok(None),
        });
        self.run(handler).await
    }

    /// Lists the directory `path`, or the root for `None`, and passes each entry to `each`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`]; an error of `each` ends the connection.
    pub async fn list<E>(
        &mut self,
        path: Option<FileName<'_>>,
        mut each: impl FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<Listing, ClientError<T::Error, E>> {
        self.start(ClientRequest::List { path }).await?;
        let handler = Now(|event: ClientEvent<'_>| match event {
            ClientEvent::Entry(entry) => each(entry).map(|()| None),
            ClientEvent::Listed(listing) => Ok(Some(listing)),
            _ => Ok(None),
        });
        self.run(handler).await
    }

    /// Describes the file `name`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn stat(
        &mut self,
        name: FileName<'_>,
        digest: Option<DigestKind>,
    ) -> Result<Header, ClientError<T::Error>> {
        self.start(ClientRequest::Stat { name, digest }).await?;
        self.run(Now(header)).await
    }

    /// Describes the log `name`, with offsets that count from its beginning.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    #[cfg(feature = "absolute")]
    pub async fn stat_absolute(&mut self, name: FileName<'_>) -> Result<Header, ClientError<T::Error>> {
        self.start(ClientRequest::StatAbsolute { name }).await?;
        self.run(Now(header)).await
    }

    /// Fetches a file into `sink`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`]. The bytes that the sink was given before can be resumed from, unless the failure is
    /// [`Failure::Digest`].
    pub async fn get<S: AsyncSink>(
        &mut self,
        get: &GetRequest<'_>,
        sink: &mut S,
    ) -> Result<End, ClientError<T::Error, S::Error>> {
        self.start(ClientRequest::Get(*get)).await?;
        self.read_back(sink).await?;
        self.run(Body(sink)).await
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

    /// The transport, and the buffer of the session, for the next connection.
    #[must_use]
    pub fn into_parts(self) -> (T, B, R) {
        (self.transport, self.session.into_buf(), self.receive)
    }

    pub(super) async fn start<S>(&mut self, request: ClientRequest<'_>) -> Result<(), ClientError<T::Error, S>> {
        if !self.arrived.is_empty() && self.is_idle() {
            // It can only be an error that ends the connection.
            self.run(Now(|_: ClientEvent<'_>| Ok(None::<Infallible>))).await?;
        }
        if let ClientAction::Close(why) = self.session.action() {
            return Err(ClientError::Failed(why));
        }
        self.session.start(request, self.clock.now()).map_err(ClientError::Start)
    }

    /// Feeds the bytes of an earlier attempt to the session, where it needs them.
    async fn read_back<S: AsyncSink>(&mut self, sink: &mut S) -> Result<(), ClientError<T::Error, S::Error>> {
        while let ClientAction::Rehash { offset, len } = self.session.action() {
            let buf = self.receive.as_mut();
            let len = usize::try_from(len).unwrap_or(usize::MAX).min(buf.len());
            let place = buf.get_mut(..len).unwrap_or_default();
            let error = match sink.read_back(offset, place).await {
                Ok(0) => ClientError::TooFewToReadBack,
                Ok(len) => {
                    self.session.rehashed(place.get(..len).unwrap_or(place), self.clock.now());
                    continue;
                }
                Err(error) => ClientError::Sink(error),
            };
            self.session.abandon();
            return Err(error);
        }
        Ok(())
    }

    /// Performs the session's actions until `handler` returns a value for an event.
    pub(super) async fn run<H: Handler>(
        &mut self,
        mut handler: H,
    ) -> Result<H::Output, ClientError<T::Error, H::Error>> {
        let mut now = self.clock.now();
        loop {
            match self.session.action() {
                ClientAction::SendBytes { .. } => now = self.send().await?,
                ClientAction::Receive if self.arrived.is_empty() => now = self.read().await?,
                ClientAction::Close(why) => return Err(ClientError::Failed(why)),
                _ if self.arrived.is_empty() => return Err(ClientError::Start(StartError::NotStarted)),
                _ => {
                    let bytes = self.receive.as_ref().get(self.arrived.clone()).unwrap_or_default();
                    let (taken, event) = self.session.receive(bytes, now);
                    self.arrived.start = self.arrived.start.saturating_add(taken);
                    let Some(event) = event else { continue };
                    if let ClientEvent::Refused(refusal) = &event {
                        return Err(ClientError::Refused(refusal.code));
                    }
                    match handler.handle(event).await {
                        Ok(None) => {}
                        Ok(Some(output)) => return Ok(output),
                        Err(error) => {
                            self.session.abandon();
                            return Err(ClientError::Sink(error));
                        }
                    }
                    now = self.clock.now();
                }
            }
        }
    }

    /// Sends a part of the request, and returns the time after it.
    async fn send<S>(&mut self) -> Result<Instant, ClientError<T::Error, S>> {
        let until = self.until();
        let ClientAction::SendBytes { bytes } = self.session.action() else { return Ok(self.clock.now()) };
        let sending = async {
            let len = self.transport.write(bytes).await?;
            // A transport with a buffer sends by itself; flushing one waits for the peer's acknowledgement.
            let mut is_flushed = len < bytes.len() || !T::NEEDS_FLUSH;
            while !is_flushed {
                match self.transport.flush().await {
                    Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                    flushed => is_flushed = flushed.is_ok(),
                }
            }
            Ok(len)
        };
        let sent = select(sending, self.clock.sleep_until(until)).await;
        let now = self.clock.now();
        match sent {
            Either::First(Ok(0)) => self.session.send_failed(),
            Either::First(Ok(len)) => self.session.sent(len, now),
            Either::First(Err(error)) => self.failed(error)?,
            Either::Second(()) => self.session.handle_timeout(now),
        }
        Ok(now)
    }

    /// Waits for bytes, and returns the time after it.
    async fn read<S>(&mut self) -> Result<Instant, ClientError<T::Error, S>> {
        let until = self.until();
        let read = select(self.transport.read(self.receive.as_mut()), self.clock.sleep_until(until)).await;
        let now = self.clock.now();
        match read {
            Either::First(Ok(0)) => self.session.receive_eof(),
            Either::First(Ok(len)) => self.arrived = 0..len.min(self.receive.as_ref().len()),
            Either::First(Err(error)) => self.failed(error)?,
            Either::Second(()) => self.session.handle_timeout(now),
        }
        Ok(now)
    }

    /// The session's deadline; as late as can be where it has none.
    pub(super) fn until(&self) -> Instant {
        self.session.deadline().map_or(Instant::from_millis(u64::MAX), |(when, _)| when)
    }

    /// Handles a failed call of the transport.
    fn failed<S>(&mut self, error: T::Error) -> Result<(), ClientError<T::Error, S>> {
        if error.kind() == ErrorKind::Interrupted {
            return Ok(());
        }
        self.session.receive_eof();
        Err(ClientError::Transport(error))
    }
}

/// The response to a `stat`.
fn header(event: ClientEvent<'_>) -> Result<Option<Header>, Infallible> {
    match event {
        ClientEvent::Header(header) => Ok(Some(header)),
        _ => Ok(None),
    }
}

/// What is done with the events of a response.
pub(super) trait Handler {
    /// The result of the request.
    type Output;
    type Error;

    async fn handle(&mut self, event: ClientEvent<'_>) -> Result<Option<Self::Output>, Self::Error>;
}

/// A function that does not wait.
pub(super) struct Now<F>(pub F);

impl<A, E, F: FnMut(ClientEvent<'_>) -> Result<Option<A>, E>> Handler for Now<F> {
    type Output = A;
    type Error = E;

    async fn handle(&mut self, event: ClientEvent<'_>) -> Result<Option<A>, E> {
        (self.0)(event)
    }
}

/// The destination of a body.
struct Body<'s, S>(&'s mut S);

impl<S: AsyncSink> Handler for Body<'_, S> {
    type Output = End;
    type Error = S::Error;

    async fn handle(&mut self, event: ClientEvent<'_>) -> Result<Option<End>, S::Error> {
        match event {
            ClientEvent::Header(header) => self.0.begin(&header).await.map(|()| None),
            ClientEvent::Body { offset, bytes } => self.0.write(offset, bytes).await.map(|()| None),
            ClientEvent::End(end) => Ok(Some(end)),
            _ => Ok(None),
        }
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
