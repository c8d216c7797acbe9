//! A store whose versions are made by counting: what is written.

use super::counted::CountedStore;
use super::{
    Begun, Committed, Delete, Put, PutAttempt, Rename, Replace, Space, Store, StoreError, WritableStore, WriteError,
};
use crate::types::digest::Digest;
use crate::types::file_name::FileName;
use crate::types::time::Instant;
use crate::types::version::Version;

impl<S: Store, const N: usize> CountedStore<S, N> {
    /// The version beneath of the file `name`, where `version`, as a client wrote it, is its version here.
    fn own_version(&mut self, name: FileName<'_>, version: &str) -> Result<Option<Version>, WriteError> {
        let file = match self.store.open(name) {
            Ok(file) => file,
            Err(error @ (StoreError::Io | StoreError::Busy | StoreError::NotReady)) => return Err(error.into()),
            // What that means for a request, the store beneath says.
            Err(_) => return Ok(None),
        };
        let own = self.store.info(&file)?;
        let is_meant = self.count(name, own.clone())?.version.as_str() == version;
        Ok(is_meant.then_some(own.version))
    }

    /// The version beneath that `replace` asks for, if it asks for one.
    fn own_replaced(&mut self, put: &Put<'_>) -> Result<Option<Version>, WriteError> {
        match put.replace {
            Replace::Version(version) => self.own_version(put.name, version),
            _ => Ok(None),
        }
    }

    /// Counts a change of `name`, unless nothing has changed.
    fn note<T>(&mut self, name: FileName<'_>, done: &Result<T, WriteError>) {
        if matches!(done, Ok(_) | Err(WriteError::Store(StoreError::Io))) {
            self.changed(name);
        }
    }
}

/// `put` as the store beneath is asked.
fn own_put<'a>(put: &Put<'a>, own: Option<&'a Version>) -> Put<'a> {
    let put = match put.replace {
        Replace::Version(_) => put.with_replace(Replace::Version(own_text(own))),
        _ => *put,
    };
    // Counted is what is done.
    #[cfg(feature = "sync")]
    let put = put.with_deferred(false);
    put
}

/// A version that no file has, for `None`.
fn own_text(own: Option<&Version>) -> &str {
    own.map_or("", Version::as_str)
}

impl<S: WritableStore, const N: usize> WritableStore for CountedStore<S, N> {
    type Upload = S::Upload;

    fn begin(
        &mut self,
        put: &Put<'_>,
        attempt: PutAttempt,
        now: Instant,
    ) -> Result<Begun<Self::Upload, Self::File>, WriteError> {
        let own = self.own_replaced(put)?;
        Ok(match self.store.begin(&own_put(put, own.as_ref()), attempt, now)? {
            Begun::Upload { upload, have } => Begun::Upload { upload, have },
            Begun::Stored(info) => Begun::Stored(self.count(put.name, info)?),
            Begun::Compare(file) => Begun::Compare(Self::opened(put.name, file)),
            Begun::Wait => Begun::Wait,
        })
    }

    fn write(
        &mut self,
        upload: &mut Self::Upload,
        offset: u64,
        bytes: &[u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        self.store.write(upload, offset, bytes, now)
    }

    fn verifies_by_reading(&self, upload: &Self::Upload) -> bool {
        self.store.verifies_by_reading(upload)
    }

    fn hashes_itself(&self, upload: &Self::Upload) -> bool {
        self.store.hashes_itself(upload)
    }

    fn digest(&mut self, upload: &mut Self::Upload) -> Result<Digest, StoreError> {
        self.store.digest(upload)
    }

    fn read_back(
        &mut self,
        upload: &mut Self::Upload,
        offset: u64,
        buf: &mut [u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        self.store.read_back(upload, offset, buf, now)
    }

    fn commit(&mut self, upload: &mut Self::Upload, put: &Put<'_>, now: Instant) -> Result<Committed, WriteError> {
        let own = self.own_replaced(put)?;
        let done = self.store.commit(upload, &own_put(put, own.as_ref()), now);
        if done != Ok(Committed::Pending) {
            self.note(put.name, &done);
        }
        Ok(match done? {
            Committed::Done(info) => Committed::Done(self.count(put.name, info)?),
            other => other,
        })
    }

    fn keep(&mut self, upload: Self::Upload) {
        self.store.keep(upload);
    }

    fn discard(&mut self, upload: Self::Upload) {
        self.store.discard(upload);
    }

    fn delete(&mut self, delete: &Delete<'_>) -> Result<(), WriteError> {
        let Delete::File { name, version } = *delete else { return self.store.delete(delete) };
        let own = version.map(|version| self.own_version(name, version)).transpose()?;
        let version = own.as_ref().map(|own| own_text(own.as_ref()));
        let done = self.store.delete(&Delete::File { name, version });
        self.note(name, &done);
        done
    }

    fn rename(&mut self, rename: &Rename<'_>) -> Result<(), WriteError> {
        let own = rename.version.map(|version| self.own_version(rename.name, version)).transpose()?;
        let version = own.as_ref().map(|own| own_text(own.as_ref()));
        let done = self.store.rename(&rename.with_version(version));
        self.note(rename.name, &done);
        self.note(rename.to, &done);
        done
    }

    fn make_dir(&mut self, path: FileName<'_>) -> Result<(), WriteError> {
        self.store.make_dir(path)
    }

    fn space(&mut self) -> Result<Space, WriteError> {
        self.store.space()
    }
}
