//! The objects of a bucket as a store.

mod container;
mod credentials;
mod digests;
mod error;
mod listing;
mod location;
mod object;
mod page;
mod profile;
mod request;
mod settings;

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use coracle_core::{Digest, DigestKind, FileInfo, FileName, Listed, Store, StoreError};

pub use error::{S3Error, S3Trouble};
pub use listing::S3Listing;
pub use location::S3Location;
pub use object::S3File;
pub use settings::{S3Settings, S3Style};

use crate::local::name_restriction;
use digests::ObjectDigests;
use request::{S3Client, S3Request};

/// The objects beneath a prefix of a bucket of S3, or of another service that speaks its protocol. Many threads share one:
/// `&S3Store` is a [`Store`].
///
/// - A file's version is the object's ETag, so that all servers of a bucket give it the same one. Every request for bytes names it
///   (`If-Match`): no body is a mixture, and one whose object is replaced or deleted ends there. Who may write objects can make
///   two with one ETag where that is an MD5.
/// - Keys with a `/` in them are paths. Where an object has the path of a directory as well, both are listed, and both can be
///   requested; only one of them finds a place in a directory.
/// - A listing holds one page of 1,000 keys at a time, an open object as much as its connection does: at most 80 KiB.
/// - Objects carry no digest that S3 computes for all of them, so that one that a client asks for is computed from the bytes, and
///   cached by the ETag.
/// - Requests that fail since the service is out of order are repeated for a few seconds. Then the client is told `busy`
///   ([`StoreError::Busy`]) and comes again; within a body its connection ends, and it resumes. What the service refuses to the
///   server is [`StoreError::Denied`].
/// - A thread waits for the service no longer than 15 s at a time.
///
/// ```no_run
/// use coracle::Server;
/// use coracle::store::{S3Settings, S3Store};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = S3Store::new(&"s3://images/boards".parse()?, S3Settings::from_environment()?)?;
/// store.check()?;
/// Server::new(&store).bind()?.run()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct S3Store {
    client: S3Client,
    /// What all keys begin with.
    root: String,
    hidden: bool,
    digests: ObjectDigests,
    observer: Option<TroubleObserver>,
}

/// What is called for each [`S3Trouble`].
struct TroubleObserver(Box<dyn Fn(&S3Trouble<'_>) + Send + Sync>);

impl S3Store {
    /// Digests that are cached unless [`S3Store::with_digest_cache`] says otherwise. Each takes about 300 bytes.
    pub const DEFAULT_DIGEST_CACHE: usize = 4096;

    /// The objects at `location`, without hidden ones. Nothing is requested yet.
    ///
    /// # Errors
    ///
    /// [`S3Error::Settings`] where the settings make no address.
    pub fn new(location: &S3Location, settings: S3Settings) -> Result<Self, S3Error> {
        let bucket = settings.bucket(location)?;
        Ok(Self {
            client: S3Client::new(bucket, settings),
            root: location.prefix().to_owned(),
            hidden: false,
            digests: ObjectDigests::new(Self::DEFAULT_DIGEST_CACHE),
            observer: None,
        })
    }

    /// Sets whether names with a component that begins with a dot are listed and fetched. Default: a listing counts them,
    /// and they do not exist otherwise.
    #[must_use]
    pub fn with_hidden(self, hidden: bool) -> Self {
        Self { hidden, ..self }
    }

    /// Sets how many digests of objects are cached at most, so that they need not be read for the next client; 0 for none.
    /// Forgets those that are.
    #[must_use]
    pub fn with_digest_cache(self, max_digests: usize) -> Self {
        Self { digests: ObjectDigests::new(max_digests), ..self }
    }

    /// Sets what is called for each request to the service that fails, other than for what is not there.
    #[must_use]
    pub fn with_observer(self, observer: impl Fn(&S3Trouble<'_>) + Send + Sync + 'static) -> Self {
        Self { observer: Some(TroubleObserver(Box::new(observer))), ..self }
    }

    /// Asks the service for a list, which shows that the address, the bucket and the keys are right.
    ///
    /// # Errors
    ///
    /// What is wrong with them, or that the service is out of order.
    pub fn check(&self) -> Result<(), S3Error> {
        S3Listing::new(&self.client, self.root.clone(), self.root.len(), true).map(drop)
    }

    /// The key of the object `name`.
    fn key(&self, name: FileName<'_>) -> String {
        format!("{}{}", self.root, name.as_str())
    }

    fn check_name(&self, name: FileName<'_>) -> Result<(), StoreError> {
        if name.as_str().split('/').any(|component| name_restriction(component).is_some()) {
            return Err(StoreError::BadName);
        }
        if !self.hidden && name.is_hidden() { Err(StoreError::NotFound) } else { Ok(()) }
    }

    /// Tells the observer, and returns what the client is told.
    fn explain(&self, key: &str, error: &S3Error) -> StoreError {
        if let (false, Some(TroubleObserver(observer))) = (error.is_not_found(), &self.observer) {
            observer(&S3Trouble { key, error });
        }
        error.store_error()
    }

    /// Whether there is an object whose key begins with `key` and a `/`.
    fn is_directory(&self, key: &str) -> Result<bool, S3Error> {
        let prefix = format!("{key}/");
        let request = S3Request::List { prefix: &prefix, token: None, max_keys: 1 };
        page::Page::fetch(&self.client, &request).map(|page| !page.entries.is_empty() || page.token.is_some())
    }
}

impl Store for &S3Store {
    type File = S3File;
    type Listing = S3Listing;

    fn open(&mut self, name: FileName<'_>) -> Result<S3File, StoreError> {
        self.check_name(name)?;
        let key = self.key(name);
        S3File::open(&self.client, key.clone()).map_err(|error| {
            if !error.is_not_found() {
                return self.explain(&key, &error);
            }
            match self.is_directory(&key) {
                Ok(true) => StoreError::NotFile,
                Ok(false) => StoreError::NotFound,
                Err(error) => self.explain(&key, &error),
            }
        })
    }

    fn info(&mut self, file: &S3File) -> Result<FileInfo, StoreError> {
        Ok(file.info().clone())
    }

    fn read(&mut self, file: &mut S3File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        file.read(&self.client, offset, buf).map_err(|error| {
            // What was replaced meanwhile is asked for again by clients, and answered with `changed`.
            if !error.is_change() {
                self.explain(file.key(), &error);
            }
            StoreError::Io
        })
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<S3Listing, StoreError> {
        path.map_or(Ok(()), |path| self.check_name(path))?;
        let key = path.map_or_else(|| self.root.clone(), |path| self.key(path));
        let prefix = if path.is_some() { format!("{key}/") } else { key.clone() };
        match S3Listing::new(&self.client, prefix, self.root.len(), self.hidden) {
            Ok(Some(listing)) => Ok(listing),
            Ok(None) if path.is_none() => Ok(S3Listing::empty()),
            Ok(None) => match S3File::open(&self.client, key.clone()) {
                Ok(_) => Err(StoreError::NotDirectory),
                Err(error) => Err(self.explain(&key, &error)),
            },
            Err(error) => Err(self.explain(&key, &error)),
        }
    }

    fn next<'a>(&mut self, listing: &'a mut S3Listing) -> Result<Listed<'a>, StoreError> {
        loop {
            let entry = listing.next_entry(&self.client).map_err(|error| {
                self.explain(listing.prefix(), &error);
                StoreError::Io
            })?;
            let Some(entry) = entry else { return Ok(Listed::End) };
            if listing.is_told(&entry)? {
                return listing.step(&entry);
            }
        }
    }

    /// An object store has no links.
    #[cfg(feature = "channel")]
    fn is_linkless(&mut self, _: FileName<'_>) -> bool {
        true
    }

    fn known_digest(&mut self, file: &S3File, kind: DigestKind) -> Option<Digest> {
        self.digests.find(file.key(), file.info(), kind)
    }

    fn unix_time(&mut self) -> Option<u64> {
        SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|time| time.as_secs())
    }

    fn remember_digest(&mut self, file: &S3File, info: &FileInfo, digest: &Digest) {
        self.digests.insert(file.key(), info, *digest);
    }
}

impl fmt::Debug for TroubleObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TroubleObserver")
    }
}
