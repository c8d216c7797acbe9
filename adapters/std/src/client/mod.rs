//! Fetching from a server: with retries, resumes and verification, and nothing half-written under a real name.
//!
//! ```no_run
//! use coracle::client::{Client, Options};
//! use coracle_core::FileName;
//!
//! # fn main() -> Result<(), coracle::client::Error> {
//! let mut client = Client::new("192.168.7.2".parse().unwrap());
//! client.list(None, |entry| {
//!     println!("{}", entry.name);
//!     Ok(())
//! })?;
//! let name = FileName::from_static("boot.log");
//! client.get_to_path(name, "boot.log".as_ref(), &Options::default(), &mut ())?;
//! # Ok(())
//! # }
//! ```

mod address;
mod error;
mod fetch;
mod link;
mod retry;
mod stream;

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coracle_core::blocking::{ClientError, Clock as _, Connection};
use coracle_core::exec::{ReadBackError, Sink, read_back};
use coracle_core::{
    ClientRequest, ClientSession, Digest, DigestKind, End, Entry, Failure, FileName, GetRequest, Header, Listing,
    StartError,
};

pub use address::{Address, AddressError};
pub use error::{Blame, Error};
pub use fetch::Download;
use link::{Link, Ticks, connect};
use retry::Tries;

use crate::local::{Directory, DownloadTarget, Naming};
use crate::transport::TransportError;

/// Bytes that are asked of the socket at once.
const RECEIVE_LEN: usize = 256 * 1024;

/// A client of one server. It connects when there is something to ask, and keeps the connection for the next question.
pub struct Client {
    address: Address,
    connect_timeout: Option<Duration>,
    stall_timeout: Option<Duration>,
    retries: u32,
    connection: Option<Conn>,
}

/// What is fetched, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Which digest verifies it; `None`: nothing is verified. CRC-32 by default.
    pub digest: Option<DigestKind>,
    /// Whether an existing file is replaced.
    pub force: bool,
    /// Whether an earlier, unfinished download is continued; it is by default.
    pub resume: bool,
    /// Whether a file that changed while it was fetched is kept as it was sent, if its digest came and is right.
    pub snapshot: bool,
    /// The largest file that is fetched, in bytes.
    pub max_size: Option<u64>,
}

/// What was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetched {
    /// Bytes in the file.
    pub size: u64,
    /// How many of them an earlier run had brought.
    pub resumed: u64,
    /// The digest that they were verified by.
    pub digest: Option<Digest>,
    /// Whether the file changed while it was sent.
    pub is_snapshot: bool,
}

/// Sees how a fetch gets on.
pub trait Progress {
    /// A file of `size` bytes is coming, of which the first `offset` are here.
    fn begin(&mut self, size: u64, offset: u64) {
        let (_, _) = (size, offset);
    }

    /// The first `position` bytes are here.
    fn reached(&mut self, position: u64) {
        let _ = position;
    }

    /// Something is worth a word: a retry, a file that begins again, one that was set aside.
    fn note(&mut self, note: &Note<'_>) {
        let _ = note;
    }
}

impl Progress for () {}

/// What a [`Progress`] is told in between. As text: a sentence's fragment, with nothing in it that steers a terminal.
#[derive(Debug)]
#[non_exhaustive]
pub enum Note<'a> {
    /// After `pause` it goes on.
    Retry {
        /// What went wrong.
        error: &'a Error,
        /// How long it waits.
        pause: Duration,
    },
    /// The file changed at the server: from the first byte again.
    Changed,
    /// The digest is wrong: from the first byte again.
    WrongDigest,
    /// What stood at the temporary name lies at this path now.
    SetAside(&'a Path),
}

impl Default for Options {
    fn default() -> Self {
        Self { digest: Some(DigestKind::Crc32), force: false, resume: true, snapshot: false, max_size: None }
    }
}

impl Client {
    /// A client of the server at `address`: 10 s to connect, 30 s without a byte, 3 retries.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            connect_timeout: Some(Duration::from_secs(10)),
            stall_timeout: Some(Duration::from_secs(30)),
            retries: 3,
            connection: None,
        }
    }

    /// How long making a connection may take, over all of the host's addresses; `None`: as long as the system tries.
    #[must_use]
    pub fn with_connect_timeout(self, limit: Option<Duration>) -> Self {
        Self { connect_timeout: limit, ..self }
    }

    /// How long nothing may arrive while something is awaited; `None`: for ever.
    #[must_use]
    pub fn with_stall_timeout(self, limit: Option<Duration>) -> Self {
        Self { stall_timeout: limit, ..self }
    }

    /// How many times in a row to try again without progress, after a growing pause; 0: never.
    #[must_use]
    pub fn with_retries(self, retries: u32) -> Self {
        Self { retries, ..self }
    }

    /// The server.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Lists the directory `path`, or all that is served for `None`: gives one entry after the other to `each`, in the
    /// server's order. Tried again only as long as there was no entry.
    ///
    /// # Errors
    ///
    /// Why the listing is not whole; an error of `each` ends it.
    pub fn list(
        &mut self,
        path: Option<FileName<'_>>,
        mut each: impl FnMut(Entry<'_>) -> Result<(), Error>,
    ) -> Result<Listing, Error> {
        let mut any = false;
        self.persist(|client| {
            let outcome = client.once(|connection| {
                connection.list(path, |entry| {
                    any = true;
                    each(entry)
                })
            });
            outcome.map_err(|failed| Failed { is_final: any, ..failed })
        })
    }

    /// Like [`Client::list`], for a caller who gathers the entries in `all` and can `forget` them again: then a listing that
    /// fails half-way begins again, too.
    ///
    /// # Errors
    ///
    /// As [`Client::list`].
    pub fn list_whole<C>(
        &mut self,
        path: Option<FileName<'_>>,
        all: &mut C,
        forget: impl Fn(&mut C),
        mut each: impl FnMut(&mut C, Entry<'_>) -> Result<(), Error>,
    ) -> Result<Listing, Error> {
        self.persist(|client| {
            forget(all);
            client.once(|connection| connection.list(path, |entry| each(all, entry)))
        })
    }

    /// Asks what the file `name` is, and for its digest.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub fn stat(&mut self, name: FileName<'_>, digest: Option<DigestKind>) -> Result<Header, Error> {
        self.persist(|client| client.once(|connection| connection.stat(name, digest)))
    }

    /// Fetches `name` to `place`: see the [module](self) for what that promises.
    ///
    /// # Errors
    ///
    /// Why it is not there. What came is kept beside it, and is continued by the next call.
    pub fn get(
        &mut self,
        name: FileName<'_>,
        place: &DownloadTarget,
        options: &Options,
        progress: &mut dyn Progress,
    ) -> Result<Fetched, Error> {
        Ok(self.download(name, place, options, progress)?.commit()?)
    }

    /// Like [`Client::get`], but does not wait for the disk: for many small files, where that takes longer than all else.
    /// The file has its name only when [`Download::commit`] has returned, which any thread may call.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub fn download(
        &mut self,
        name: FileName<'_>,
        place: &DownloadTarget,
        options: &Options,
        progress: &mut dyn Progress,
    ) -> Result<Download, Error> {
        fetch::download(self, name, place, options, progress)
    }

    /// Fetches `name` to the file `path`.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub fn get_to_path(
        &mut self,
        name: FileName<'_>,
        path: &Path,
        options: &Options,
        progress: &mut dyn Progress,
    ) -> Result<Fetched, Error> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let leaf = path.file_name().unwrap_or(OsStr::new(name.last()));
        let place = DownloadTarget::new(Arc::new(Directory::open(parent)?), leaf, Naming::Single);
        self.get(name, &place, options, progress)
    }

    /// Fetches `name` into `out`. Only at the end it is known whether what was written is right; after an error it is
    /// a beginning of the file at most. What was written cannot begin again, so a file that changes is an error.
    ///
    /// # Errors
    ///
    /// Why what was written is not the file.
    pub fn get_to_writer(
        &mut self,
        name: FileName<'_>,
        out: &mut dyn Write,
        options: &Options,
        progress: &mut dyn Progress,
    ) -> Result<Fetched, Error> {
        stream::fetch(self, name, out, options, progress)
    }

    /// One try to get something.
    fn get_once<S: Sink<Error = Error>>(&mut self, get: &GetRequest<'_>, sink: &mut S) -> Result<End, Failed> {
        let rereads = get.digest.is_some() && get.digest_from.is_some_and(|from| from < get.offset);
        let mut session = self.session();
        let mut ticks = Ticks::new();
        if !rereads || session.start(ClientRequest::Get(*get), ticks.now()).is_err() {
            return self.once(|connection| connection.get(get, sink));
        }
        // A server would not wait until all that is here has been read.
        self.connection = None;
        let mut buf = receive_buf();
        read_back(&mut session, sink, &mut buf, || ticks.now()).map_err(|error| match error {
            ReadBackError::Sink(error) => Failed::new(error),
            ReadBackError::TooFew => Failed::new(too_few()),
        })?;
        let mut connection = self.connect(session, buf, ticks)?;
        let outcome = connection.finish_get(sink);
        self.keep(connection, outcome, false)
    }

    /// One try of anything, on the connection that there is, or on a new one.
    fn once<A, S: Into<Error>>(
        &mut self,
        mut ask: impl FnMut(&mut Conn) -> Result<A, ClientError<TransportError, S>>,
    ) -> Result<A, Failed> {
        let kept = self.connection.take().filter(Conn::is_idle);
        let was_kept = kept.is_some();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect(self.session(), receive_buf(), Ticks::new())?,
        };
        let mut outcome = ask(&mut connection);
        if matches!(outcome, Err(ClientError::Start(StartError::NameDoesNotFit))) {
            // The server may well take longer requests than the least that every server takes.
            if let Err(error) = connection.hello(|_| ()) {
                return self.keep(connection, Err(error), was_kept);
            }
            outcome = ask(&mut connection);
        }
        self.keep(connection, outcome, was_kept)
    }

    /// Tries until it works, until it is clear that it will not, or until the retries are used up.
    fn persist<A>(&mut self, mut once: impl FnMut(&mut Self) -> Result<A, Failed>) -> Result<A, Error> {
        let mut tries = Tries::new(self.retries);
        loop {
            let failed = match once(self) {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            if failed.is_final || !failed.error.is_temporary() {
                return Err(failed.error);
            }
            if failed.was_kept {
                continue;
            }
            match tries.failed(false) {
                Some(pause) => std::thread::sleep(pause),
                None => return Err(failed.error),
            }
        }
    }

    fn session(&self) -> ClientSession<Box<[u8]>> {
        let stall_ms =
            self.stall_timeout.map_or(0, |limit| u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).max(1));
        ClientSession::new(vec![0; ClientSession::<Box<[u8]>>::MIN_BUF_LEN].into_boxed_slice()).with_stall_ms(stall_ms)
    }

    fn connect(&self, session: ClientSession<Box<[u8]>>, buf: Box<[u8]>, ticks: Ticks) -> Result<Conn, Failed> {
        match connect(&self.address, self.connect_timeout) {
            Ok(link) => Ok(Connection::new(session, link, buf, ticks)),
            Err(error) => Err(Failed::new(Error::Connect { peer: self.address.to_string(), error })),
        }
    }

    /// Keeps `connection` for the next question, where it can be asked one, and explains what went wrong.
    fn keep<A, S: Into<Error>>(
        &mut self,
        mut connection: Conn,
        outcome: Result<A, ClientError<TransportError, S>>,
        was_kept: bool,
    ) -> Result<A, Failed> {
        let outcome = outcome.map_err(|error| Failed {
            error: explain(error, &mut connection, &self.address),
            was_kept,
            is_final: false,
        });
        self.connection = Some(connection).filter(Conn::is_idle);
        outcome
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.address).finish_non_exhaustive()
    }
}

impl fmt::Display for Note<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry { error, pause } => write!(f, "{error}; trying again in {:.1} s", pause.as_secs_f32()),
            Self::Changed => f.write_str("the file changed at the server: starting over"),
            Self::WrongDigest => f.write_str("the digest is wrong: starting over"),
            Self::SetAside(path) => {
                write!(f, "what was in the way lies at {} now", crate::local::escape_path(path))
            }
        }
    }
}

type Conn = Connection<Box<[u8]>, Box<[u8]>, Link, Ticks>;

/// A try that failed.
struct Failed {
    error: Error,
    /// On a connection that had been kept: the server may have closed it long ago, which says nothing about now.
    was_kept: bool,
    /// There is no point in trying again, whatever the error.
    is_final: bool,
}

impl Failed {
    fn new(error: Error) -> Self {
        Self { error, was_kept: false, is_final: false }
    }
}

impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

fn receive_buf() -> Box<[u8]> {
    vec![0; RECEIVE_LEN].into_boxed_slice()
}

fn too_few() -> Error {
    Error::Write(io::ErrorKind::UnexpectedEof.into())
}

fn explain<S: Into<Error>>(error: ClientError<TransportError, S>, connection: &mut Conn, address: &Address) -> Error {
    let refused = |code, connection: &Conn| {
        let (word, text) = connection.refusal().map_or(("", ""), |refusal| (refusal.word, refusal.text));
        Error::Refused { code, word: word.to_owned(), text: text.to_owned() }
    };
    match error {
        ClientError::Start(error) => Error::Start(error),
        ClientError::Refused(code) | ClientError::Failed(Failure::Refused(code)) => refused(code, connection),
        ClientError::Failed(Failure::Violation(breach)) => Error::Violation(breach),
        ClientError::Failed(Failure::Digest) => Error::Digest,
        ClientError::Failed(failure) => Error::Connection { peer: address.to_string(), error: None, failure },
        ClientError::Transport(error) => {
            let broken = connection.transport_mut().last_error().map_or_else(
                || io::Error::other(error),
                |last| last.raw_os_error().map_or_else(|| last.kind().into(), io::Error::from_raw_os_error),
            );
            Error::Connection { peer: address.to_string(), error: Some(broken), failure: Failure::Closed }
        }
        ClientError::Sink(error) => error.into(),
        _ => too_few(),
    }
}
