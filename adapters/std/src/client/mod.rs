//! Fetches files from a server: retries, resumes, verifies, and gives a file its name only when it is whole.
//!
//! A file is received under a temporary name beside its target. It is renamed to the target once its digest was compared and
//! its bytes are on the disk. A fetch that fails leaves the received bytes behind, and the next one resumes there: the digest is
//! that of the whole file, so that a resume never joins parts of two files.
//!
//! Many small files, listings or digests are asked for by [`Client::pipeline`], which does not wait for one answer before it
//! sends the next request.
//!
//! ```no_run
//! use coracle::client::{Client, GetOptions};
//! use coracle_core::FileName;
//!
//! # fn main() -> Result<(), coracle::client::Error> {
//! let mut client = Client::new("192.168.7.2".parse().unwrap());
//! client.list(None, |entry| {
//!     println!("{}", entry.name);
//!     Ok(())
//! })?;
//! let name = FileName::from_static("boot.log");
//! client.get_to_path(name, "boot.log".as_ref(), &GetOptions::new(), &mut ())?;
//! # Ok(())
//! # }
//! ```

mod address;
mod attempt;
mod backoff;
mod clock;
mod connect;
#[cfg(test)]
mod crowd_tests;
mod download;
mod error;
mod follow;
mod limits;
mod options;
mod outgoing;
mod pipeline;
mod progress;
mod put_queue;
mod reading;
mod requester;
#[cfg(feature = "channel")]
mod secure;
mod stream;
mod unsettled;
mod upload;
mod wire;

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coracle_core::{Delete, DigestKind, Entry, FileName, Header, Hello, Listing, Rename, Space, WriteRequest};

pub use address::{Address, AddressError};
pub use clock::ServerClock;
pub use connect::AddressFamily;
pub use download::Download;
pub use error::{Error, ErrorKind};
pub use follow::{FollowEvent, FollowFrom, FollowOptions, Follower};
pub use options::{GetOptions, GetSummary};
pub use pipeline::{PipelineAnswer, PipelineRequest, RequestQueue};
pub use progress::{Progress, ProgressEvent};
pub use put_queue::{PutQueue, PutRequest, QueuedPut};
#[cfg(feature = "channel")]
pub use secure::{ClientChannel, ServerTrust};
pub use upload::{PutOptions, PutReplace, PutSummary};

use self::attempt::FailedAttempt;
use self::requester::Requester;
use crate::local::{Directory, DownloadTarget};
use crate::rate_limit::RateLimit;

/// A client of one server. It connects with its first request, and uses the connection again for the next ones.
pub struct Client {
    requester: Requester,
}

impl Client {
    /// A client of the server at `address`, with time-outs of 10 s to connect and 30 s without a byte, and 3 retries.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self { requester: Requester::new(address) }
    }

    /// Sets how long connecting may take, over all addresses of the host; `None` leaves it to the system.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.requester.connect_timeout = timeout;
        self
    }

    /// Sets how long the server may send nothing during a request; `None` for ever.
    #[must_use]
    pub fn with_stall_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.requester.stall_timeout = timeout;
        self
    }

    /// Sets how many retries without progress may follow each other, after growing pauses; 0 for none.
    #[must_use]
    pub fn with_retries(mut self, retries: u32) -> Self {
        self.requester.policy.retries = retries;
        self
    }

    /// Sets the longest sum of the pauses before the retries of a request, as long as none makes progress; `None` for no limit.
    /// A server that has no place, restarts or refuses connections is then waited for as long; such retries do not count among
    /// those of [`Client::with_retries`], and are made when the server says. By default it is 10 minutes for one that has no place or
    /// restarts, 30 s for one that only resets handshakes, 10 s for one that refuses connections though it answered before or there is
    /// a [`ClientChannel`] to it; and the other retries are limited by their number alone.
    #[must_use]
    pub fn with_patience(mut self, patience: Option<Duration>) -> Self {
        self.requester.policy = self.requester.policy.with_patience(patience);
        self
    }

    /// Sets when all requests have to be complete: pauses, connecting and everything that is received. What is not complete
    /// then fails with [`Error::OutOfTime`]. Default: never.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Option<Instant>) -> Self {
        self.requester.limits.deadline = deadline;
        self
    }

    /// Sets the lowest rate of the server in bytes a second, on average over the stall time-out (30 s where there is none), as
    /// long as this client waits for bytes; 0 for none, the default. A slower one fails with [`Error::TooSlow`]. While a
    /// server sends heartbeats it computes a digest, and no rate is demanded.
    #[must_use]
    pub fn with_min_rate(mut self, bytes_per_second: u32) -> Self {
        self.requester.limits.min_rate = bytes_per_second;
        self
    }

    /// Sets the limit of what is received and of the files that are sent, which other clients may share; `None` for none, the
    /// default.
    #[must_use]
    pub fn with_rate_limit(mut self, rate_limit: Option<RateLimit>) -> Self {
        self.requester.limits.rate_limit = rate_limit;
        self
    }

    /// Sets the family of the addresses to connect to; `None` for either, the default.
    #[must_use]
    pub fn with_address_family(mut self, family: Option<AddressFamily>) -> Self {
        self.requester.family = family;
        self
    }

    /// Sets how connections are encrypted; `None`, the default, for not at all. With a channel nothing is ever said in plain: a
    /// server that does not make the handshake is an error, [`Error::Handshake`] or [`Error::Untrusted`].
    #[cfg(feature = "channel")]
    #[must_use]
    pub fn with_channel(mut self, channel: Option<ClientChannel>) -> Self {
        self.requester.secure = channel.map(secure::Secure::new);
        self
    }

    /// Sets who is asked where the host is when nobody answers at its address, or a server that is not trusted: for names that the
    /// resolver does not know. `None` leaves it where it was; the addresses are in the order in which to try them.
    #[must_use]
    pub fn with_locator(mut self, locator: impl FnMut() -> Option<Vec<SocketAddr>> + Send + 'static) -> Self {
        self.requester.locator = Some(Box::new(locator));
        self
    }

    /// Asks what the server is and can do, and passes the answer to `take`.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub fn hello<A>(&mut self, mut take: impl FnMut(&Hello<'_>) -> A) -> Result<A, Error> {
        self.requester.retry(|requester| requester.attempt(|connection| connection.hello(&mut take)))
    }

    /// Sets whether a server that has no place is waited for, the default; otherwise [`Error::is_busy`] is returned at once.
    pub fn set_waits_when_busy(&mut self, waits: bool) {
        self.requester.policy.waits_when_busy = waits;
    }

    /// Sets what is called before the pause of each retry of a listing or of [`Client::stat`]. The retries of a fetch are
    /// events of its [`Progress`].
    #[must_use]
    pub fn with_retry_observer(mut self, observer: impl FnMut(&ProgressEvent<'_>) + Send + 'static) -> Self {
        self.requester.on_retry = Some(Box::new(observer));
        self
    }

    /// The address of the server.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.requester.address
    }

    /// Lists the directory `path`, or the root for `None`: calls `each` with one entry after the other, in the server's order.
    /// Retries only before the first entry; see [`Client::list_into`].
    ///
    /// # Errors
    ///
    /// Why the listing is not complete. An error of `each` ends it and is returned.
    pub fn list(
        &mut self,
        path: Option<FileName<'_>>,
        mut each: impl FnMut(Entry<'_>) -> Result<(), Error>,
    ) -> Result<Listing, Error> {
        let mut has_entries = false;
        self.requester.retry(|requester| {
            let outcome = requester.attempt(|connection| {
                connection.list(path, |entry| {
                    has_entries = true;
                    each(entry)
                })
            });
            outcome.map_err(|failed| FailedAttempt { is_final: has_entries, ..failed })
        })
    }

    /// Like [`Client::list`], but collects the entries in `collection` by `add`, and calls `clear` before each attempt: so a
    /// listing that fails half-way is retried, too.
    ///
    /// # Errors
    ///
    /// As [`Client::list`].
    pub fn list_into<C>(
        &mut self,
        path: Option<FileName<'_>>,
        collection: &mut C,
        clear: impl Fn(&mut C),
        mut add: impl FnMut(&mut C, Entry<'_>) -> Result<(), Error>,
    ) -> Result<Listing, Error> {
        self.requester.retry(|requester| {
            clear(collection);
            requester.attempt(|connection| connection.list(path, |entry| add(collection, entry)))
        })
    }

    /// Asks for the server's clock; `None` where it has none, or does not tell.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub fn clock(&mut self) -> Result<Option<ServerClock>, Error> {
        let time =
            self.requester.retry(|requester| requester.attempt(|connection| connection.hello(|hello| hello.time)))?;
        Ok(time.map(ServerClock::new))
    }

    /// Asks for the size, time and version of the file `name`, and for a digest of its contents.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub fn stat(&mut self, name: FileName<'_>, digest: Option<DigestKind>) -> Result<Header, Error> {
        self.requester.retry(|requester| requester.attempt(|connection| connection.stat(name, digest)))
    }

    /// Fetches the file `name` to `target`, as the [module](self) describes.
    ///
    /// # Errors
    ///
    /// Why the target was not written. The received bytes stay beside it, and the next call resumes there.
    pub fn get(
        &mut self,
        name: FileName<'_>,
        target: &DownloadTarget,
        options: &GetOptions,
        progress: &mut dyn Progress,
    ) -> Result<GetSummary, Error> {
        Ok(self.download(name, target, options, progress)?.commit()?)
    }

    /// Like [`Client::get`], but does not wait for the disk: for many small files, of which that is most of the time.
    /// The file gets its name by [`Download::commit`], which any thread may call.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub fn download(
        &mut self,
        name: FileName<'_>,
        target: &DownloadTarget,
        options: &GetOptions,
        progress: &mut dyn Progress,
    ) -> Result<Download, Error> {
        download::download(&mut self.requester, name, target, options, progress)
    }

    /// Makes the requests of `queue` over one connection, and sends up to 64 of them before the first is answered. Each has the
    /// outcome that it would have alone: what has no answer when the server closes is asked again, with the same retries.
    /// Returns the tags of requests that were taken and are not done, where the queue ended the pipeline.
    pub fn pipeline<Q: RequestQueue>(&mut self, queue: &mut Q) -> Vec<Q::Tag> {
        pipeline::run(&mut self.requester, queue)
    }

    /// Fetches the file `name` to the file `path`.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub fn get_to_path(
        &mut self,
        name: FileName<'_>,
        path: &Path,
        options: &GetOptions,
        progress: &mut dyn Progress,
    ) -> Result<GetSummary, Error> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let leaf = path.file_name().unwrap_or(OsStr::new(name.last()));
        let target = DownloadTarget::new(Arc::new(Directory::open(parent)?), leaf);
        self.get(name, &target, options, progress)
    }

    /// Fetches the file `name` and writes it to `out`. The digest is compared at the end, when all was written. A file that
    /// changes is an error, since what was written cannot be taken back.
    ///
    /// # Errors
    ///
    /// Why what was written is not the file: it is a beginning of it at most, and unverified.
    pub fn get_to_writer(
        &mut self,
        name: FileName<'_>,
        out: &mut dyn Write,
        options: &GetOptions,
        progress: &mut dyn Progress,
    ) -> Result<GetSummary, Error> {
        stream::get(&mut self.requester, name, out, options, progress)
    }

    /// Sends `file` to the server, which stores it as `name` once it is whole and its digest is right. What an earlier call has
    /// sent of the same contents is not sent again. A file that changes meanwhile is an error, and not stored.
    ///
    /// # Errors
    ///
    /// Why it was not stored; [`Error::SourceChanged`], [`Error::Read`].
    pub fn put(
        &mut self,
        name: FileName<'_>,
        file: &File,
        options: &PutOptions,
        progress: &mut dyn Progress,
    ) -> Result<PutSummary, Error> {
        upload::put(&mut self.requester, name, file, options, progress)
    }

    /// Sends the files of `queue` over one connection, the request of each right behind the body of the one before. Each has the
    /// outcome that [`Client::put`] would have; where that was [deferred](PutOptions::with_deferred), many are told together.
    /// Returns the tag of the file that was taken and is not done, where the queue ended
    /// it.
    pub fn put_all<Q: PutQueue>(&mut self, queue: &mut Q) -> Option<Q::Tag> {
        put_queue::run(&mut self.requester, queue)
    }

    /// Deletes a file, an unfinished upload or an empty directory at the server.
    ///
    /// # Errors
    ///
    /// Why it was not deleted.
    pub fn delete(&mut self, delete: Delete<'_>) -> Result<(), Error> {
        upload::write(&mut self.requester, &WriteRequest::Delete(delete))
    }

    /// Gives a file at the server another name, which must be free.
    ///
    /// # Errors
    ///
    /// Why it still has the old one.
    pub fn rename(&mut self, rename: Rename<'_>) -> Result<(), Error> {
        upload::write(&mut self.requester, &WriteRequest::Rename(rename))
    }

    /// Makes a directory at the server; it may exist already.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn make_dir(&mut self, path: FileName<'_>) -> Result<(), Error> {
        upload::write(&mut self.requester, &WriteRequest::MakeDir { path })
    }

    /// Lets the server do one of the actions that `hello` lists.
    ///
    /// # Errors
    ///
    /// Why it was not done.
    pub fn perform(&mut self, action: &str) -> Result<(), Error> {
        upload::write(&mut self.requester, &WriteRequest::Do { action })
    }

    /// Asks how much room the server has.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub fn space(&mut self) -> Result<Space, Error> {
        upload::space(&mut self.requester)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.requester.address).finish_non_exhaustive()
    }
}
