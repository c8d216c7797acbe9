//! The store's side of the exchanges that write.

use super::access::{Access, Writer};
use super::exchange::{Open, StoreExchange};
use super::put_state::{Progress, PutState};
use crate::server::{Reply, Request};
#[cfg(feature = "sync")]
use crate::store::Synced;
use crate::store::{Begun, Committed, Put, PutAttempt, Store, StoreError, WriteError};
use crate::types::digest::{DigestKind, Hasher};
use crate::types::time::Instant;

impl<S: Store, A: Access<S>> StoreExchange<S, A> {
    /// Replies to any request: the reply to [`Action::Reply`](crate::Action::Reply). `Request::Do` is the owner's own, and
    /// refused.
    pub fn answer(&mut self, store: &mut S, request: &Request<'_>, now: Instant) -> Reply<'_> {
        #[cfg(feature = "rights")]
        if let Err(error) = self.check_written(store, request) {
            return Reply::Failed(error.into());
        }
        let done = match request {
            Request::Put(put) => return self.begin(store, put, now),
            Request::Delete(delete) => A::Writer::delete(store, delete),
            #[cfg(feature = "manage")]
            Request::Rename(rename) => A::Writer::rename(store, rename),
            #[cfg(feature = "manage")]
            Request::MakeDir { path } => A::Writer::make_dir(store, *path),
            #[cfg(feature = "manage")]
            Request::Space => return A::Writer::space(store).map_or_else(Reply::Failed, Reply::Space),
            #[cfg(feature = "manage")]
            Request::Do { .. } => Err(WriteError::Unsupported),
            #[cfg(feature = "sync")]
            Request::Sync { deferral } => match A::Writer::sync(store, *deferral) {
                Ok(Synced::Pending) => return Reply::Pending,
                synced => synced.map(|_| ()),
            },
            _ => return self.open(store, request),
        };
        done.map_or_else(Reply::Failed, |()| Reply::Done)
    }

    /// Passes the bytes of [`ServerEvent::Body`](crate::ServerEvent::Body) to the upload, and returns how many it took: report them with
    /// `stored`.
    ///
    /// # Errors
    ///
    /// As [`WritableStore::write`](crate::WritableStore::write): report it with `store_failed`.
    pub fn write(&mut self, store: &mut S, offset: u64, bytes: &[u8], now: Instant) -> Result<usize, WriteError> {
        let Open::Upload { upload, reads_back, .. } = &mut self.open else { return Err(StoreError::Io.into()) };
        let len = A::Writer::write(store, upload, offset, bytes, now)?.min(bytes.len());
        if let (false, Some(hasher)) = (*reads_back, &mut self.hasher) {
            hasher.update(bytes.get(..len).unwrap_or_default());
            self.hashed = self.hashed.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        }
        Ok(len)
    }

    /// Reads up to `buf.len()` bytes from `offset` on of the open file or upload through `buf`, hashes them, and returns
    /// their number: the work of [`Action::Hash`](crate::Action::Hash), in every exchange.
    ///
    /// # Errors
    ///
    /// The medium fails, it ends at or before `offset`, or another connection has the upload: report it with `store_failed`, or
    /// `file_fault` in an exchange that reads.
    pub fn hash(&mut self, store: &mut S, offset: u64, buf: &mut [u8], now: Instant) -> Result<usize, WriteError> {
        let Open::Upload { upload, .. } = &mut self.open else { return Ok(self.read(store, offset, buf, true)?) };
        let len = A::Writer::read_back(store, upload, offset, buf, now)?.min(buf.len());
        let bytes = buf.get(..len).filter(|bytes| !bytes.is_empty()).ok_or(StoreError::Io)?;
        self.hasher.as_mut().ok_or(StoreError::Io)?.update(bytes);
        self.hashed = self.hashed.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        Ok(len)
    }

    /// Whether an upload is open.
    #[must_use]
    pub const fn is_upload(&self) -> bool {
        matches!(self.open, Open::Upload { .. })
    }

    /// Gives the upload its name: the reply to [`Action::Commit`](crate::Action::Commit).
    pub fn commit(&mut self, store: &mut S, put: &Put<'_>, now: Instant) -> Reply<'_> {
        let Open::Upload { upload, progress, .. } = &mut self.open else {
            return Reply::Failed(WriteError::Store(StoreError::Io));
        };
        *progress = Progress::Verified;
        match A::Writer::commit(store, upload, put, now) {
            Ok(Committed::Pending) => Reply::Pending,
            Ok(Committed::Done(info)) => self.stored(info),
            #[cfg(feature = "sync")]
            Ok(Committed::Deferred(deferral)) => Reply::Deferred(deferral),
            Err(error) => {
                if error == WriteError::Corrupt {
                    *progress = Progress::Hashed;
                }
                Reply::Failed(error)
            }
        }
    }

    /// Ends the exchange, or the connection inside of one: an upload that is not complete is kept for the next connection, one
    /// with wrong contents discarded.
    pub fn end(&mut self, store: &mut S) {
        if let Open::Upload { upload, progress, .. } = core::mem::replace(&mut self.open, Open::Nothing) {
            match progress {
                Progress::Hashed => A::Writer::discard(store, upload),
                Progress::Open | Progress::Verified => A::Writer::keep(store, upload),
            }
        }
        self.put = None;
        self.close();
    }

    /// Checks that the names of a request that writes lead through no link, where the client may not follow any.
    #[cfg(feature = "rights")]
    fn check_written(&self, store: &mut S, request: &Request<'_>) -> Result<(), StoreError> {
        #[cfg(feature = "manage")]
        if let Request::Rename(rename) = request {
            self.check_links(store, Some(rename.to))?;
        }
        if request.kind().writes() { self.check_links(store, request.name()) } else { Ok(()) }
    }

    fn begin(&mut self, store: &mut S, put: &Put<'_>, now: Instant) -> Reply<'_> {
        let may_compare = put.digest.kind() == DigestKind::Sha256 && self.may_read;
        #[cfg(feature = "rights")]
        let may_compare = may_compare && self.may_compare;
        let state = self.put.get_or_insert(PutState { attempt: PutAttempt::new(now, may_compare), is_compared: false });
        if state.is_compared {
            (state.is_compared, state.attempt.may_compare) = (false, false);
            let digest = self.hasher.take().map(Hasher::finish);
            if let (Some(digest), Open::File { file, info }) =
                (digest, core::mem::replace(&mut self.open, Open::Nothing))
            {
                // The same put again does not wait for that.
                store.remember_digest(&file, &info, &digest);
                if digest == put.digest {
                    return self.stored(info);
                }
            }
        }
        let Some(state) = &mut self.put else { return Reply::Failed(WriteError::Unsupported) };
        let begun = match A::Writer::begin(store, put, state.attempt, now) {
            Ok(begun) => begun,
            Err(error) => return Reply::Failed(error),
        };
        self.hasher = Hasher::new(put.digest.kind());
        self.hashed = 0;
        match begun {
            Begun::Wait => Reply::Pending,
            Begun::Stored(info) => self.stored(info),
            Begun::Upload { upload, have } => {
                let hashes_itself = A::Writer::hashes_itself(store, &upload);
                let reads_back = !hashes_itself && A::Writer::verifies_by_reading(store, &upload);
                if hashes_itself {
                    self.hasher = None;
                }
                self.open = Open::Upload { upload, reads_back, progress: Progress::Open };
                Reply::Upload { have, reads_back }
            }
            Begun::Compare(file) => match store.info(&file) {
                Err(error) => Reply::Failed(error.into()),
                Ok(info) => {
                    if store.known_digest(&file, put.digest.kind()) == Some(put.digest) {
                        return self.stored(info);
                    }
                    self.open = Open::File { file, info };
                    Reply::Compare
                }
            },
        }
    }

    fn stored(&mut self, info: crate::FileInfo) -> Reply<'_> {
        self.open = Open::Stored(info);
        match &self.open {
            Open::Stored(info) => Reply::Stored { info },
            _ => Reply::Pending,
        }
    }

    /// Notes that a file that was there is hashed; true where that is what is under way.
    pub(super) fn note_compared(&mut self, same_version: bool) -> bool {
        let (Some(state), Open::File { .. }) = (&mut self.put, &self.open) else { return false };
        state.is_compared = true;
        if !same_version {
            self.hasher = None;
        }
        true
    }
}
