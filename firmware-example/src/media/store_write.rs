//! A store with two more beneath directories of its root: what is written. The volume in flash is read-only.

use coracle_core::{
    Begun, Committed, Delete, FileName, Instant, Put, PutAttempt, Space, StoreError, WritableStore, WriteError,
};
use coracle_embedded_sdmmc::FatUpload;

use super::store::{Media, MediaFile, Place};

/// An upload: to `S`, or to the card.
pub enum MediaUpload<U> {
    Inner(U),
    Card(FatUpload),
}

impl<S: WritableStore> WritableStore for Media<S> {
    type Upload = MediaUpload<S::Upload>;

    fn begin(
        &mut self,
        put: &Put<'_>,
        attempt: PutAttempt,
        now: Instant,
    ) -> Result<Begun<Self::Upload, Self::File>, WriteError> {
        match self.place(put.name) {
            Place::Inner => Ok(begun(self.files.begin(put, attempt, now)?, MediaUpload::Inner, MediaFile::Inner)),
            Place::Card(Some(name)) => {
                let begun_there = self.card()?.begin(&named(put, name), attempt, now)?;
                Ok(begun(begun_there, MediaUpload::Card, MediaFile::Card))
            }
            Place::Flash(Some(_)) => Err(StoreError::Denied.into()),
            _ => Err(StoreError::NotFile.into()),
        }
    }

    fn write(
        &mut self,
        upload: &mut Self::Upload,
        offset: u64,
        bytes: &[u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        match upload {
            MediaUpload::Inner(upload) => self.files.write(upload, offset, bytes, now),
            MediaUpload::Card(upload) => self.card()?.write(upload, offset, bytes, now),
        }
    }

    fn read_back(
        &mut self,
        upload: &mut Self::Upload,
        offset: u64,
        buf: &mut [u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        match upload {
            MediaUpload::Inner(upload) => self.files.read_back(upload, offset, buf, now),
            MediaUpload::Card(upload) => self.card()?.read_back(upload, offset, buf, now),
        }
    }

    fn commit(&mut self, upload: &mut Self::Upload, put: &Put<'_>, now: Instant) -> Result<Committed, WriteError> {
        match (upload, self.place(put.name)) {
            (MediaUpload::Inner(upload), _) => self.files.commit(upload, put, now),
            (MediaUpload::Card(upload), Place::Card(Some(name))) => self.card()?.commit(upload, &named(put, name), now),
            _ => Err(StoreError::Io.into()),
        }
    }

    fn keep(&mut self, upload: Self::Upload) {
        match (upload, &mut self.card) {
            (MediaUpload::Inner(upload), _) => self.files.keep(upload),
            (MediaUpload::Card(upload), Some(card)) => card.keep(upload),
            _ => {}
        }
    }

    fn discard(&mut self, upload: Self::Upload) {
        match (upload, &mut self.card) {
            (MediaUpload::Inner(upload), _) => self.files.discard(upload),
            (MediaUpload::Card(upload), Some(card)) => card.discard(upload),
            _ => {}
        }
    }

    fn delete(&mut self, delete: &Delete<'_>) -> Result<(), WriteError> {
        let name = match self.place(delete.name()) {
            Place::Inner => return self.files.delete(delete),
            Place::Card(Some(name)) => name,
            _ => return Err(StoreError::Denied.into()),
        };
        let delete = match *delete {
            Delete::File { version, .. } => Delete::File { name, version },
            Delete::Partial { .. } => Delete::Partial { name },
            Delete::Directory { .. } => Delete::Directory { path: name },
            _ => return Err(WriteError::Unsupported),
        };
        self.card()?.delete(&delete)
    }

    fn space(&mut self) -> Result<Space, WriteError> {
        self.files.space()
    }
}

/// `put` under the name that the card knows.
fn named<'a>(put: &Put<'a>, name: FileName<'a>) -> Put<'a> {
    let mut put = *put;
    put.name = name;
    put
}

fn begun<U, F, V, G>(begun: Begun<U, F>, upload_of: fn(U) -> V, file_of: fn(F) -> G) -> Begun<V, G> {
    match begun {
        Begun::Upload { upload, have } => Begun::Upload { upload: upload_of(upload), have },
        Begun::Stored(info) => Begun::Stored(info),
        Begun::Compare(file) => Begun::Compare(file_of(file)),
        _ => Begun::Wait,
    }
}
