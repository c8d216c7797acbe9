//! Makes requests to one server, over a connection that is used again, with retries.

use std::io;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use coracle_core::blocking::{ClientError, Clock as _, Connection};
use coracle_core::exec::{ReadBackError, Sink, read_back};
use coracle_core::{ClientRequest, ClientSession, DigestKind, End, Failure, GetRequest, StartError};
use socket2::Socket;

use super::address::Address;
use super::attempt::FailedAttempt;
use super::backoff::{Backoff, RetryPolicy};
use super::connect::{AddressFamily, MonotonicClock, connect};
use super::error::Error;
use super::limits::{ClientTransport, Overrun, TransferLimits};
use super::progress::ProgressEvent;
#[cfg(feature = "channel")]
use super::secure::{Handshaken, Secure};
use super::wire::Wire;
use crate::transport::{TcpTransport, TransportError};

/// The size of the receive buffer, in bytes.
const RECEIVE_LEN: usize = 256 * 1024;

/// Over which the lowest rate is measured where nothing else says so.
const RATE_WINDOW: Duration = Duration::from_secs(30);

/// A connection with the session on it.
pub type ClientConnection = Connection<Box<[u8]>, Box<[u8]>, ClientTransport, MonotonicClock>;

/// The server, how to connect to it, and the connection of the last request, if it can be used again.
pub struct Requester {
    pub address: Address,
    pub connect_timeout: Option<Duration>,
    pub stall_timeout: Option<Duration>,
    pub policy: RetryPolicy,
    pub limits: TransferLimits,
    pub family: Option<AddressFamily>,
    /// How connections are encrypted.
    #[cfg(feature = "channel")]
    pub secure: Option<Secure>,
    connection: Option<ClientConnection>,
    /// How many connections were made.
    pub connections: u64,
    /// The address that was connected to last.
    peer: Option<SocketAddr>,
    /// Says where the host is now, where the resolver does not know it.
    pub locator: Option<Locator>,
    /// Whether it is asked before the next connection.
    is_lost: bool,
    /// Called before the pause of each retry of a listing or a `stat`.
    pub on_retry: Option<RetryObserver>,
    /// The digest of files that are put, once the server has said which it computes.
    pub put_digest: Option<DigestKind>,
}

/// What [`Client::with_locator`](super::Client::with_locator) sets.
pub type Locator = Box<dyn FnMut() -> Option<Vec<SocketAddr>> + Send>;

/// What [`Client::with_retry_observer`](super::Client::with_retry_observer) sets.
pub type RetryObserver = Box<dyn FnMut(&ProgressEvent<'_>) + Send>;

impl Requester {
    pub fn new(address: Address) -> Self {
        Self {
            address,
            connect_timeout: Some(Duration::from_secs(10)),
            stall_timeout: Some(Duration::from_secs(30)),
            policy: RetryPolicy::new(),
            limits: TransferLimits::default(),
            family: None,
            #[cfg(feature = "channel")]
            secure: None,
            connection: None,
            connections: 0,
            peer: None,
            locator: None,
            is_lost: false,
            on_retry: None,
            put_digest: None,
        }
    }

    /// Repeats `attempt` until it succeeds, fails for good, or the retries are used up.
    pub fn retry<A>(&mut self, mut attempt: impl FnMut(&mut Self) -> Result<A, FailedAttempt>) -> Result<A, Error> {
        let first = attempt(self);
        self.retry_after(first, attempt)
    }

    /// Like [`Requester::retry`], after a `first` attempt that was made already.
    pub fn retry_after<A>(
        &mut self,
        first: Result<A, FailedAttempt>,
        mut attempt: impl FnMut(&mut Self) -> Result<A, FailedAttempt>,
    ) -> Result<A, Error> {
        let mut backoff = Backoff::new(self.policy);
        let mut outcome = first;
        loop {
            let failed = match outcome {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            if failed.is_final || !failed.error.is_temporary() {
                return Err(failed.error);
            }
            let Some(pause) = backoff.next_pause(&failed, false) else { return Err(failed.error) };
            if !pause.is_zero()
                && let Some(on_retry) = &mut self.on_retry
            {
                on_retry(&ProgressEvent::Retry { error: &failed.error, pause });
            }
            self.pause(pause);
            outcome = attempt(self);
        }
    }

    /// Makes one attempt of a request, on the connection of the last one or on a new one.
    pub fn attempt<A, S: Into<Error>>(
        &mut self,
        mut request: impl FnMut(&mut ClientConnection) -> Result<A, ClientError<TransportError, S>>,
    ) -> Result<A, FailedAttempt> {
        let reused = self.take_connection();
        let was_reused = reused.is_some();
        let mut connection = match reused {
            Some(connection) => connection,
            None => self.connect_idle()?,
        };
        let mut outcome = request(&mut connection);
        if matches!(outcome, Err(ClientError::Start(StartError::NameDoesNotFit))) {
            // The answer to a hello says how long requests to this server may be.
            if let Err(error) = connection.hello(|_| ()) {
                return self.finish(connection, Err(error), was_reused);
            }
            outcome = request(&mut connection);
        }
        self.finish(connection, outcome, was_reused)
    }

    /// Waits for `pause`, or until there is no more time.
    pub fn pause(&self, pause: Duration) {
        sleep(self.limits.bounded(Some(pause)).unwrap_or(pause));
    }

    /// Makes one attempt to fetch a file.
    pub fn attempt_get<S: Sink<Error = Error>>(
        &mut self,
        get: &GetRequest<'_>,
        sink: &mut S,
    ) -> Result<End, FailedAttempt> {
        let reads_back = get.digest.is_some() && get.digest_from.is_some_and(|from| from < get.offset);
        let mut session = self.session();
        let mut clock = MonotonicClock::start();
        if !reads_back || session.start(ClientRequest::Get(*get), clock.now()).is_err() {
            return self.attempt(|connection| connection.get(get, sink));
        }
        // Reads back first and connects then: the server would time out while the bytes before the offset are hashed.
        self.connection = None;
        let mut buf = receive_buf();
        read_back(&mut session, sink, &mut buf, || clock.now()).map_err(|error| match error {
            ReadBackError::Sink(error) => FailedAttempt::new(error),
            ReadBackError::TooFew => FailedAttempt::new(truncated()),
        })?;
        let mut connection = self.connect(session, buf, clock)?;
        let outcome = connection.finish_get(sink);
        self.finish(connection, outcome, false)
    }

    /// The connection of the last request, if it can be used again.
    pub fn take_connection(&mut self) -> Option<ClientConnection> {
        self.connection.take().filter(ClientConnection::is_idle)
    }

    /// Stores `connection` for the next request, if it can be used again.
    pub fn keep_connection(&mut self, connection: ClientConnection) {
        self.connection = Some(connection).filter(ClientConnection::is_idle);
    }

    /// Whether there is a connection for the next request.
    pub fn has_connection(&self) -> bool {
        self.connection.is_some()
    }

    /// Makes the next request on a new connection.
    pub fn drop_connection(&mut self) {
        self.connection = None;
    }

    /// Connects for requests that are made later.
    pub fn connect_idle(&mut self) -> Result<ClientConnection, FailedAttempt> {
        self.connect(self.session(), receive_buf(), MonotonicClock::start())
    }

    /// The attempt that failed with `error`.
    pub fn failed<S: Into<Error>>(
        &self,
        error: ClientError<TransportError, S>,
        connection: &mut ClientConnection,
        was_reused: bool,
    ) -> FailedAttempt {
        let error = convert(error, connection, &self.address);
        let retry_ms = connection.refusal().and_then(|refusal| refusal.retry_ms);
        let first = connection.refusal().and_then(|refusal| refusal.first);
        FailedAttempt { retry_ms, first, was_reused, ..FailedAttempt::new(error) }
    }

    fn session(&self) -> ClientSession<Box<[u8]>> {
        let stall_ms =
            self.stall_timeout.map_or(0, |limit| u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).max(1));
        ClientSession::new(vec![0; ClientSession::<Box<[u8]>>::MIN_BUF_LEN].into_boxed_slice()).with_stall_ms(stall_ms)
    }

    fn connect(
        &mut self,
        session: ClientSession<Box<[u8]>>,
        buf: Box<[u8]>,
        clock: MonotonicClock,
    ) -> Result<ClientConnection, FailedAttempt> {
        let limits = TransferLimits { window: self.stall_timeout.unwrap_or(RATE_WINDOW), ..self.limits.clone() };
        let wire = self.wire()?;
        self.connections += 1;
        Ok(Connection::new(session, ClientTransport::new(wire, limits), buf, clock))
    }

    /// Has the host looked for again before the next connection, since it may be elsewhere by now.
    pub const fn lose(&mut self) {
        self.is_lost = true;
    }

    /// The address that was connected to last.
    pub const fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Connects, and makes the handshake where there is to be one. Where no server is at the address, or another than is meant,
    /// the host is looked for.
    fn wire(&mut self) -> Result<Wire, FailedAttempt> {
        if std::mem::take(&mut self.is_lost) {
            self.locate();
        }
        let made = match self.wire_there() {
            Err(failed) if !failed.error.is_temporary() && self.locate() => self.wire_there(),
            made => made,
        };
        self.is_lost = made.is_err();
        made
    }

    /// Asks where the host is; whether that is somewhere else than before.
    fn locate(&mut self) -> bool {
        let Some(addresses) = self.locator.as_mut().and_then(|locate| locate()) else { return false };
        let Some(first) = addresses.first() else { return false };
        let address = self.address.clone().with_port(first.port()).with_addresses(&addresses);
        let is_other = address != self.address;
        self.address = address;
        is_other
    }

    fn wire_there(&mut self) -> Result<Wire, FailedAttempt> {
        #[cfg(feature = "channel")]
        if let Some(mut secure) = self.secure.take() {
            let made = self.encrypted(&mut secure);
            self.secure = Some(secure);
            return made;
        }
        self.tcp(false).map(Wire::Plain)
    }

    #[cfg(feature = "channel")]
    fn encrypted(&mut self, secure: &mut Secure) -> Result<Wire, FailedAttempt> {
        loop {
            let transport = self.tcp(true)?;
            match secure.handshake(transport, self.limits.bounded(self.connect_timeout), &self.address) {
                Ok(Handshaken::Done(wire)) => return Ok(wire),
                Ok(Handshaken::Again) => {}
                Err(failed) if failed.error.is_temporary() && self.limits.is_over() => {
                    return Err(FailedAttempt::new(Error::OutOfTime));
                }
                Err(failed) => return Err(failed),
            }
        }
    }

    /// Connects. `has_key` says whether the user has a key of the server.
    fn tcp(&mut self, has_key: bool) -> Result<TcpTransport<Socket>, FailedAttempt> {
        if self.limits.is_over() {
            return Err(FailedAttempt::new(Error::OutOfTime));
        }
        let timeout = self.limits.bounded(self.connect_timeout);
        let is_server_known = has_key || self.peer.is_some();
        connect(&self.address, timeout, self.family, &mut self.peer).map_err(|error| {
            let error = if self.limits.is_over() {
                Error::OutOfTime
            } else {
                Error::Connect { peer: self.address.to_string(), error }
            };
            FailedAttempt { is_server_known, ..FailedAttempt::new(error) }
        })
    }

    /// Stores `connection` for the next request, if it can be used again, and converts the error.
    fn finish<A, S: Into<Error>>(
        &mut self,
        mut connection: ClientConnection,
        outcome: Result<A, ClientError<TransportError, S>>,
        was_reused: bool,
    ) -> Result<A, FailedAttempt> {
        let outcome = outcome.map_err(|error| self.failed(error, &mut connection, was_reused));
        self.keep_connection(connection);
        outcome
    }
}

fn receive_buf() -> Box<[u8]> {
    vec![0; RECEIVE_LEN].into_boxed_slice()
}

fn truncated() -> Error {
    Error::Write(io::ErrorKind::UnexpectedEof.into())
}

fn convert<S: Into<Error>>(
    error: ClientError<TransportError, S>,
    connection: &mut ClientConnection,
    address: &Address,
) -> Error {
    let refused = |code, connection: &ClientConnection| {
        let (code_name, message) = connection.refusal().map_or(("", ""), |refusal| (refusal.word, refusal.text));
        Error::Refused { code, code_name: code_name.to_owned(), message: message.to_owned() }
    };
    match error {
        ClientError::Start(error) => Error::InvalidRequest(error),
        ClientError::Refused(code) | ClientError::Failed(Failure::Refused(code)) => refused(code, connection),
        ClientError::Failed(Failure::Violation(violation)) => Error::Violation(violation),
        ClientError::Failed(Failure::Digest) => Error::DigestMismatch,
        ClientError::Failed(Failure::Closed) | ClientError::Transport(_)
            if connection.transport_mut().overrun().is_none() && connection.transport_mut().wire().is_unanswered() =>
        {
            let error = io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "message 3 of the handshake was not answered: the server left, or somebody on the way has changed or cut it",
            );
            Error::Connection { peer: address.to_string(), error: Some(error), failure: Failure::Closed }
        }
        ClientError::Failed(failure) => Error::Connection { peer: address.to_string(), error: None, failure },
        ClientError::Transport(_) if connection.transport_mut().overrun() == Some(Overrun::Deadline) => {
            Error::OutOfTime
        }
        ClientError::Transport(_) if connection.transport_mut().overrun() == Some(Overrun::MinRate) => Error::TooSlow,
        ClientError::Transport(error) => {
            let broken = connection.transport_mut().wire().error().unwrap_or_else(|| io::Error::other(error));
            Error::Connection { peer: address.to_string(), error: Some(broken), failure: Failure::Closed }
        }
        ClientError::Sink(error) => error.into(),
        _ => truncated(),
    }
}
