//! The store's side of an exchange.

use super::access::{Access, ReadOnly};
#[cfg(feature = "write")]
use super::access::{ReadWrite, Writer as _};
#[cfg(feature = "write")]
use super::put_state::{Progress, PutState};
#[cfg(feature = "rights")]
use crate::server::Permit;
use crate::server::{Finished, Reply, Request};
use crate::store::{FileInfo, Listed, Store, StoreError};
use crate::types::digest::{Digest, Hasher};
#[cfg(feature = "rights")]
use crate::types::file_name::FileName;

/// The state of an exchange with its store: the open file, listing or upload, and the digest. `A` says whether requests may
/// write.
#[derive(Debug)]
pub struct StoreExchange<S: Store, A: Access<S> = ReadOnly> {
    pub(super) open: Open<S, A>,
    pub(super) hasher: Option<Hasher>,
    /// Number of bytes hashed so far.
    pub(super) hashed: u64,
    /// Some of them were read separately from those that were sent, and are the same only if the file has not changed.
    is_hashed_apart: bool,
    #[cfg(feature = "write")]
    pub(super) put: Option<PutState>,
    /// Whether the client may learn that a file is there by what it puts.
    #[cfg(feature = "write")]
    pub(super) may_read: bool,
    /// The same of the request under way.
    #[cfg(all(feature = "write", feature = "rights"))]
    pub(super) may_compare: bool,
    /// Whether the client's right is limited to a directory, so that no link is followed.
    #[cfg(feature = "rights")]
    is_confined: bool,
}

pub(super) enum Open<S: Store, A: Access<S>> {
    Nothing,
    File {
        file: S::File,
        info: FileInfo,
    },
    Listing(S::Listing),
    #[cfg(feature = "write")]
    Upload {
        upload: A::Upload,
        /// Nothing is hashed while it is written.
        reads_back: bool,
        progress: Progress,
    },
    /// What was put is stored.
    #[cfg(feature = "write")]
    Stored(FileInfo),
    /// Never made: without the feature `write`, no other variant says what access there is.
    #[cfg(not(feature = "write"))]
    #[allow(dead_code, reason = "see above")]
    Upload(core::convert::Infallible, core::marker::PhantomData<A>),
}

impl<S: Store> StoreExchange<S> {
    /// An exchange with nothing open, which refuses to write.
    #[must_use]
    pub const fn new() -> Self {
        Self::closed()
    }
}

#[cfg(feature = "write")]
impl<S: crate::store::WritableStore> StoreExchange<S, ReadWrite> {
    /// An exchange with nothing open, which may write.
    #[must_use]
    pub const fn writable() -> Self {
        Self::closed()
    }

    /// Sets whether a `put` may end without a byte because the very file is there already. Default: true; false for a client that
    /// may not read, since it would learn by that what files hold.
    #[must_use]
    pub const fn with_comparing(mut self, may_read: bool) -> Self {
        self.may_read = may_read;
        self
    }
}

impl<S: Store, A: Access<S>> StoreExchange<S, A> {
    pub(crate) const fn closed() -> Self {
        Self {
            open: Open::Nothing,
            hasher: None,
            hashed: 0,
            is_hashed_apart: false,
            #[cfg(feature = "write")]
            put: None,
            #[cfg(feature = "write")]
            may_read: true,
            #[cfg(all(feature = "write", feature = "rights"))]
            may_compare: true,
            #[cfg(feature = "rights")]
            is_confined: false,
        }
    }

    /// Opens what `request` names, and returns the reply to [`Action::Reply`](crate::Action::Reply).
    pub fn open(&mut self, store: &mut S, request: &Request<'_>) -> Reply<'_> {
        self.hasher = request.digest().and_then(Hasher::new);
        self.hashed = 0;
        self.is_hashed_apart = false;
        match self.look_up(store, request) {
            #[cfg(feature = "wait")]
            Err(StoreError::NotReady) => Reply::Pending,
            Err(error) => Reply::Refuse(error.code()),
            Ok(known) => match &self.open {
                Open::File { info, .. } => Reply::File { info, known },
                _ => Reply::Listing,
            },
        }
    }

    /// The open file's information from when it was opened; `None` where no file is open.
    #[must_use]
    pub const fn info(&self) -> Option<&FileInfo> {
        match &self.open {
            Open::File { info, .. } => Some(info),
            _ => None,
        }
    }

    /// The open file, for a transport that sends files itself.
    pub fn file_mut(&mut self) -> Option<&mut S::File> {
        match &mut self.open {
            Open::File { file, .. } => Some(file),
            _ => None,
        }
    }

    /// The next entry of the listing: the reply to [`Action::Entry`](crate::Action::Entry).
    ///
    /// # Errors
    ///
    /// As [`Store::next`], and [`StoreError::Io`] where no listing is open.
    pub fn entry(&mut self, store: &mut S) -> Result<Listed<'_>, StoreError> {
        let Open::Listing(listing) = &mut self.open else { return Err(StoreError::Io) };
        let listed = store.next(listing)?;
        #[cfg(feature = "rights")]
        if let (true, Listed::Entry(entry)) = (self.is_confined, &listed)
            && !store.is_linkless(entry.name)
        {
            return Ok(Listed::Skipped);
        }
        Ok(listed)
    }

    /// Takes over how the owner permits the request that is to be looked up: before [`StoreExchange::open`] or `answer`.
    #[cfg(feature = "rights")]
    pub const fn permit(&mut self, permit: &Permit<'_>) {
        if let Permit::Granted(grant) = permit {
            self.is_confined = grant.is_confined();
            #[cfg(feature = "write")]
            {
                self.may_compare = grant.may_compare();
            }
        }
    }

    /// Checks that `name` leads through no link, where the client may not follow any.
    #[cfg(feature = "rights")]
    pub(super) fn check_links(&self, store: &mut S, name: Option<FileName<'_>>) -> Result<(), StoreError> {
        match name {
            Some(name) if self.is_confined && !store.is_linkless(name) => Err(StoreError::Denied),
            _ => Ok(()),
        }
    }

    /// Reads the open file from `offset` on into `buf`, and returns the number of bytes: at least 1. With `hash` they are
    /// hashed; they have to be sent then, or belong to [`Action::Hash`](crate::Action::Hash).
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where the medium fails, the file ends at or before `offset`, no file is open, or `buf` is empty:
    /// report `file_fault`.
    pub fn read(&mut self, store: &mut S, offset: u64, buf: &mut [u8], hash: bool) -> Result<usize, StoreError> {
        let Open::File { file, .. } = &mut self.open else { return Err(StoreError::Io) };
        let len = store.read(file, offset, buf)?.min(buf.len());
        let bytes = buf.get(..len).filter(|bytes| !bytes.is_empty()).ok_or(StoreError::Io)?;
        if hash {
            self.hasher.as_mut().ok_or(StoreError::Io)?.update(bytes);
            self.hashed = self.hashed.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        }
        Ok(len)
    }

    /// Hashes the `len` bytes from `offset` on that a transport has sent itself: reads them again, through `buf`. If the file
    /// turns out to have changed meanwhile, no digest is reported.
    ///
    /// # Errors
    ///
    /// As [`StoreExchange::read`].
    pub fn hash_range(&mut self, store: &mut S, offset: u64, len: usize, buf: &mut [u8]) -> Result<(), StoreError> {
        self.is_hashed_apart = true;
        let mut done: usize = 0;
        while done < len {
            let room = len.saturating_sub(done).min(buf.len());
            let offset = offset.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
            done = done.saturating_add(self.read(store, offset, buf.get_mut(..room).unwrap_or_default(), true)?);
        }
        Ok(())
    }

    /// Checks the file's version after its last byte: the reply to [`Action::Finish`](crate::Action::Finish). A digest
    /// of the whole file is passed to [`Store::remember_digest`].
    ///
    /// # Errors
    ///
    /// As [`Store::info`], and [`StoreError::Io`] where no file is open: report `file_fault`.
    pub fn finish(&mut self, store: &mut S, from: u64, to: u64) -> Result<Finished, StoreError> {
        #[cfg(feature = "write")]
        if let Open::Upload { upload, progress, .. } = &mut self.open {
            if self.hasher.is_none() {
                let digest = A::Writer::digest(store, upload)?;
                *progress = Progress::Hashed;
                return Ok(Finished::new(Some(digest), true));
            }
            *progress = Progress::Hashed;
            let is_hashed = self.hashed == to.saturating_sub(from);
            return Ok(Finished::new(self.hasher.take().filter(|_| is_hashed).map(Hasher::finish), true));
        }
        let Open::File { file, info } = &self.open else { return Err(StoreError::Io) };
        let now = store.info(file)?;
        let same_version = now.version == info.version;
        #[cfg(feature = "write")]
        // One that has grown is another one.
        if self.note_compared(same_version && now.size == info.size) {
            return Ok(Finished::new(None, same_version));
        }
        let Open::File { file, info } = &self.open else { return Err(StoreError::Io) };
        // Nothing was hashed where the digest was known.
        let is_hashed = self.hashed == to.saturating_sub(from);
        let is_of_sent = same_version || !self.is_hashed_apart;
        let digest: Option<Digest> = self.hasher.take().filter(|_| is_hashed && is_of_sent).map(Hasher::finish);
        // A file that has grown keeps its version, but this is not the digest of all of it.
        if let (true, 0, Some(digest)) = (same_version && to == info.size && now.size == info.size, from, &digest) {
            store.remember_digest(file, info, digest);
        }
        Ok(Finished::new(digest, same_version))
    }

    /// Closes what is open, at the end of the exchange.
    pub fn close(&mut self) {
        self.open = Open::Nothing;
        self.hasher = None;
    }

    // Not inlined: on a board the large stack frames of a store's file system should not add to those of the owner's loop.
    #[inline(never)]
    fn look_up(&mut self, store: &mut S, request: &Request<'_>) -> Result<Option<Digest>, StoreError> {
        // Before opening, so that a store with few handles gets this one back.
        self.open = Open::Nothing;
        #[cfg(feature = "rights")]
        self.check_links(store, request.name())?;
        if let Request::List { path } = request {
            self.open = Open::Listing(store.list(*path)?);
            return Ok(None);
        }
        let file = open_file(store, request)?;
        let info = store.info(&file)?;
        let known = request.digest().and_then(|kind| store.known_digest(&file, kind));
        self.open = Open::File { file, info };
        Ok(known)
    }
}

/// Opens what a request is about.
#[cfg(not(any(feature = "replaced", feature = "absolute")))]
fn open_file<S: Store>(store: &mut S, request: &Request<'_>) -> Result<S::File, StoreError> {
    store.open(request.name().ok_or(StoreError::BadName)?)
}

#[cfg(any(feature = "replaced", feature = "absolute"))]
fn open_file<S: Store>(store: &mut S, request: &Request<'_>) -> Result<S::File, StoreError> {
    match request {
        #[cfg(feature = "absolute")]
        Request::Stat { name, absolute: true, .. } | Request::Get { name, absolute: true, .. } => {
            store.open_absolute(*name)
        }
        #[cfg(feature = "replaced")]
        Request::Get { name, version: Some(version), .. } => store.open_version(*name, version),
        _ => store.open(request.name().ok_or(StoreError::BadName)?),
    }
}

impl<S: Store> Default for StoreExchange<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Store, A: Access<S>> core::fmt::Debug for Open<S, A> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::File { .. } => "File",
            Self::Listing(_) => "Listing",
            #[cfg(feature = "write")]
            Self::Stored(_) => "Stored",
            Self::Upload { .. } => "Upload",
        })
    }
}
