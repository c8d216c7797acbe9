//! The store's side of an exchange: the open file or listing, and the digest.

use core::future::Future;

#[cfg(feature = "rights")]
use coracle_core::Permit;
#[cfg(feature = "write")]
use coracle_core::WriteError;
use coracle_core::{Digest, FileInfo, FileName, Finished, Hasher, Listed, Reply, Request, StoreError};

#[cfg(feature = "write")]
use crate::progress::Progress;
use crate::store::AsyncStore;

/// The outcome of a request: what is open now is the reply, with the digest of all of it where that is known; or this reply.
pub(crate) type Answer = Result<Option<Digest>, Reply<'static>>;

/// What `coracle_core::exec::StoreExchange` is for a store that is not awaited.
pub(crate) struct Exchange<S: AsyncStore, U, P> {
    pub(crate) open: Open<S, U>,
    pub(crate) hasher: Option<Hasher>,
    /// Number of bytes hashed so far.
    pub(crate) hashed: u64,
    /// A `put` under way.
    #[cfg_attr(not(feature = "write"), allow(dead_code, reason = "nothing is put"))]
    pub(crate) put: Option<P>,
    /// A file that was there before it was hashed, in one version.
    #[cfg(feature = "write")]
    pub(crate) is_compared: bool,
    /// Whether the client may learn that a file is there by what it puts.
    #[cfg(all(feature = "write", feature = "rights"))]
    pub(crate) may_compare: bool,
    /// Whether the client's right is limited to a directory, so that no link is followed.
    #[cfg(feature = "rights")]
    is_confined: bool,
}

pub(crate) enum Open<S: AsyncStore, U> {
    Nothing,
    File {
        file: S::File,
        info: FileInfo,
    },
    Listing(S::Listing),
    #[cfg(feature = "write")]
    Upload {
        upload: U,
        /// Nothing is hashed while it is written.
        reads_back: bool,
        progress: Progress,
    },
    /// What was put is stored.
    #[cfg(feature = "write")]
    Stored(FileInfo),
    /// Never made: without the feature `write` nothing else has an upload.
    #[cfg(not(feature = "write"))]
    #[allow(dead_code, reason = "see above")]
    Upload(core::convert::Infallible, core::marker::PhantomData<U>),
}

impl<S: AsyncStore, U, P> Exchange<S, U, P> {
    /// An exchange with nothing open.
    pub(crate) const fn new() -> Self {
        Self {
            open: Open::Nothing,
            hasher: None,
            hashed: 0,
            put: None,
            #[cfg(feature = "write")]
            is_compared: false,
            #[cfg(all(feature = "write", feature = "rights"))]
            may_compare: true,
            #[cfg(feature = "rights")]
            is_confined: false,
        }
    }

    /// Takes over how the owner permits the request that is to be looked up.
    #[cfg(feature = "rights")]
    pub(crate) fn permit(&mut self, permit: &Permit<'_>) {
        if let Permit::Granted(grant) = permit {
            self.is_confined = grant.is_confined();
            #[cfg(feature = "write")]
            {
                self.may_compare = grant.may_compare();
            }
        }
    }

    /// Opens what `request` names. Requests that write are refused.
    // The future keeps what it needs of the request, which is large.
    pub(crate) fn open(&mut self, store: &mut S, request: Request<'_>) -> impl Future<Output = Answer> {
        let (target, digest) = (Target::of(&request), request.digest());
        self.hasher = digest.and_then(Hasher::new);
        self.hashed = 0;
        // Before opening, so that a store with few handles gets this one back.
        self.open = Open::Nothing;
        async move {
            #[cfg(feature = "rights")]
            self.check_links(store, target.name()).await.map_err(refused)?;
            let file = match target {
                Target::Directory(path) => {
                    self.open = Open::Listing(store.list(path).await.map_err(refused)?);
                    return Ok(None);
                }
                Target::File(name) => store.open(name).await.map_err(refused)?,
                #[cfg(feature = "replaced")]
                Target::Version(name, version) => store.open_version(name, version).await.map_err(refused)?,
                #[cfg(feature = "absolute")]
                Target::Log(name) => store.open_absolute(name).await.map_err(refused)?,
                #[cfg(feature = "write")]
                Target::Nothing => return Err(Reply::Failed(WriteError::Unsupported)),
                #[cfg(not(feature = "write"))]
                Target::Nothing => return Err(refused(StoreError::BadName)),
            };
            let info = store.info(&file).await.map_err(refused)?;
            self.open = Open::File { file, info };
            match (&self.open, digest) {
                (Open::File { file, .. }, Some(kind)) => Ok(store.known_digest(file, kind).await),
                _ => Ok(None),
            }
        }
    }

    /// The reply to the session.
    pub(crate) fn reply(&self, answer: Answer) -> Reply<'_> {
        match (answer, &self.open) {
            (Err(reply), _) => reply,
            (Ok(known), Open::File { info, .. }) => Reply::File { info, known },
            (Ok(_), Open::Listing(_)) => Reply::Listing,
            #[cfg(feature = "write")]
            (Ok(_), Open::Stored(info)) => Reply::Stored { info },
            _ => refused(StoreError::Io),
        }
    }

    /// The next entry of the listing.
    pub(crate) async fn entry(&mut self, store: &mut S) -> Result<Listed<'_>, StoreError> {
        let Open::Listing(listing) = &mut self.open else { return Err(StoreError::Io) };
        let listed = store.next(listing).await?;
        #[cfg(feature = "rights")]
        if let (true, Listed::Entry(entry)) = (self.is_confined, &listed)
            && !store.is_linkless(entry.name).await
        {
            return Ok(Listed::Skipped);
        }
        Ok(listed)
    }

    /// Reads the open file from `offset` on into `buf`, and returns the number of bytes: at least 1. With `hash` they are hashed.
    pub(crate) fn read<E: From<StoreError>>(
        &mut self,
        store: &mut S,
        offset: u64,
        buf: &mut [u8],
        hash: bool,
    ) -> impl Future<Output = Result<usize, E>> {
        async move {
            let Open::File { file, .. } = &mut self.open else { return Err(StoreError::Io.into()) };
            let len = store.read(file, offset, buf).await?;
            Ok(self.took(buf, len, hash)?)
        }
    }

    /// The same without waiting; `None` where the store has to be awaited.
    pub(crate) fn read_now(
        &mut self,
        store: &mut S,
        offset: u64,
        buf: &mut [u8],
        hash: bool,
    ) -> Option<Result<usize, StoreError>> {
        let Open::File { file, .. } = &mut self.open else { return Some(Err(StoreError::Io)) };
        match store.read_now(file, offset, buf)? {
            Ok(len) => Some(self.took(buf, len, hash)),
            Err(error) => Some(Err(error)),
        }
    }

    /// Checks the file's version after its last byte.
    pub(crate) fn finish(
        &mut self,
        store: &mut S,
        from: u64,
        to: u64,
    ) -> impl Future<Output = Result<Finished, StoreError>> {
        async move {
            #[cfg(feature = "write")]
            if let Open::Upload { progress, .. } = &mut self.open {
                *progress = Progress::Hashed;
                let is_hashed = self.hashed == to.saturating_sub(from);
                return Ok(Finished::new(self.hasher.take().filter(|_| is_hashed).map(Hasher::finish), true));
            }
            let Open::File { file, info } = &self.open else { return Err(StoreError::Io) };
            // What is not needed any more is dropped before the next call is awaited.
            let (same_version, size) = {
                let now = store.info(file).await?;
                (now.version == info.version, now.size)
            };
            #[cfg(feature = "write")]
            if self.put.is_some() {
                // A file that was there before the upload.
                self.is_compared = true;
                self.hasher = self.hasher.take().filter(|_| same_version);
                return Ok(Finished::new(None, same_version));
            }
            // Nothing was hashed where the digest was known.
            let is_hashed = self.hashed == to.saturating_sub(from);
            let digest: Option<Digest> = self.hasher.take().filter(|_| is_hashed).map(Hasher::finish);
            // A file that has grown keeps its version, but this is not the digest of all of it.
            if let (true, 0, Some(digest)) = (same_version && to == info.size && size == info.size, from, &digest) {
                store.remember_digest(file, info, digest).await;
            }
            Ok(Finished::new(digest, same_version))
        }
    }

    /// Closes the file or listing that is open.
    #[inline(never)]
    pub(crate) fn close(&mut self) {
        self.open = Open::Nothing;
        self.hasher = None;
    }

    /// Hashes the `len` bytes that were read into `buf`, where that is wanted.
    #[inline(never)]
    pub(crate) fn took(&mut self, buf: &[u8], len: usize, hash: bool) -> Result<usize, StoreError> {
        let len = len.min(buf.len());
        let bytes = buf.get(..len).filter(|bytes| !bytes.is_empty()).ok_or(StoreError::Io)?;
        if hash {
            self.hasher.as_mut().ok_or(StoreError::Io)?.update(bytes);
            self.hashed = self.hashed.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        }
        Ok(len)
    }

    /// Checks that `name` leads through no link, where the client may not follow any.
    #[cfg(feature = "rights")]
    pub(crate) async fn check_links(&self, store: &mut S, name: Option<FileName<'_>>) -> Result<(), StoreError> {
        match name {
            Some(name) if self.is_confined && !store.is_linkless(name).await => Err(StoreError::Denied),
            _ => Ok(()),
        }
    }
}

const fn refused(error: StoreError) -> Reply<'static> {
    Reply::Refuse(error.code())
}

/// What a request is about.
#[derive(Clone, Copy)]
enum Target<'a> {
    Directory(Option<FileName<'a>>),
    File(FileName<'a>),
    /// The file that has this version.
    #[cfg(feature = "replaced")]
    Version(FileName<'a>, &'a str),
    /// A file whose offsets count from its beginning.
    #[cfg(feature = "absolute")]
    Log(FileName<'a>),
    /// Nothing that can be opened.
    Nothing,
}

impl<'a> Target<'a> {
    fn of(request: &Request<'a>) -> Self {
        match *request {
            Request::List { path } => Self::Directory(path),
            #[cfg(feature = "absolute")]
            Request::Stat { name, absolute: true, .. } | Request::Get { name, absolute: true, .. } => Self::Log(name),
            #[cfg(feature = "replaced")]
            Request::Get { name, version: Some(version), .. } => Self::Version(name, version),
            Request::Stat { name, .. } | Request::Get { name, .. } => Self::File(name),
            _ => Self::Nothing,
        }
    }

    #[cfg(feature = "rights")]
    fn name(self) -> Option<FileName<'a>> {
        match self {
            Self::Directory(path) => path,
            Self::File(name) => Some(name),
            #[cfg(feature = "replaced")]
            Self::Version(name, _) => Some(name),
            #[cfg(feature = "absolute")]
            Self::Log(name) => Some(name),
            Self::Nothing => None,
        }
    }
}
