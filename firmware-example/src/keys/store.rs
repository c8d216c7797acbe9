//! The store with one more file, which is put and never seen: the next pre-shared key.

use coracle_channel::Psk;
use coracle_core::{
    Begun, Committed, Delete, Digest, DigestKind, FileInfo, FileName, Instant, Listed, Put, PutAttempt, Space, Store,
    StoreError, Version, WritableStore, WriteError,
};
use heapless::{String, Vec};
use zeroize::Zeroize as _;

use super::trust::Trust;

/// The name by which it is put.
pub const NEXT: &str = "psk.next";
/// Length of the longest file with a key, which may have a line of comment.
const TEXT_LEN: usize = 128;

/// `S`, and the next pre-shared key as `psk.next`.
pub struct KeyedStore<S> {
    inner: S,
    trust: &'static Trust,
    /// What has arrived of the key that a client is sending.
    text: Option<Vec<u8, TEXT_LEN>>,
}

/// An upload: of `S`, or the key.
pub enum KeyedUpload<U> {
    Inner(U),
    Key,
}

impl<S> KeyedStore<S> {
    pub const fn new(inner: S, trust: &'static Trust) -> Self {
        Self { inner, trust, text: None }
    }

    /// Forgets what has arrived.
    fn forget(&mut self) {
        if let Some(text) = &mut self.text {
            text.as_mut_slice().zeroize();
        }
        self.text = None;
    }

    fn begin_key<U, F>(&mut self, put: &Put<'_>) -> Result<Begun<KeyedUpload<U>, F>, WriteError> {
        if self.text.is_some() {
            return Err(WriteError::InUse);
        }
        self.trust.psks_mut().borrow().may_put()?;
        if put.size > TEXT_LEN as u64 {
            return Err(WriteError::TooLarge { max: TEXT_LEN as u64 });
        }
        self.text = Some(Vec::new());
        Ok(Begun::Upload { upload: KeyedUpload::Key, have: 0 })
    }

    fn commit_key(&mut self) -> Result<Committed, WriteError> {
        let text = self.text.as_ref().ok_or(StoreError::Io)?;
        let psk = core::str::from_utf8(text).ok().and_then(parse);
        let size = text.len() as u64;
        self.forget();
        let number = self.trust.psks_mut().borrow_mut().put_next(psk.ok_or(WriteError::Corrupt)?)?;
        let mut version = String::<24>::new();
        core::fmt::write(&mut version, format_args!("psk-{number}")).map_err(|_| StoreError::Io)?;
        Ok(Committed::Done(FileInfo::new(size, Version::new(&version).map_err(|_| StoreError::Io)?)))
    }
}

/// The key in the one line that is no comment.
fn parse(text: &str) -> Option<Psk> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let psk = lines.next()?.parse().ok()?;
    lines.next().is_none().then_some(psk)
}

impl<S: Store> Store for KeyedStore<S> {
    type File = S::File;
    type Listing = S::Listing;

    fn open(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError> {
        self.inner.open(name)
    }

    fn open_absolute(&mut self, name: FileName<'_>) -> Result<Self::File, StoreError> {
        self.inner.open_absolute(name)
    }

    fn info(&mut self, file: &Self::File) -> Result<FileInfo, StoreError> {
        self.inner.info(file)
    }

    fn read(&mut self, file: &mut Self::File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        self.inner.read(file, offset, buf)
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<Self::Listing, StoreError> {
        self.inner.list(path)
    }

    fn next<'a>(&mut self, listing: &'a mut Self::Listing) -> Result<Listed<'a>, StoreError> {
        self.inner.next(listing)
    }

    fn is_linkless(&mut self, name: FileName<'_>) -> bool {
        self.inner.is_linkless(name)
    }

    fn known_digest(&mut self, file: &Self::File, kind: DigestKind) -> Option<Digest> {
        self.inner.known_digest(file, kind)
    }
}

impl<S: WritableStore> WritableStore for KeyedStore<S> {
    type Upload = KeyedUpload<S::Upload>;

    fn begin(
        &mut self,
        put: &Put<'_>,
        attempt: PutAttempt,
        now: Instant,
    ) -> Result<Begun<Self::Upload, Self::File>, WriteError> {
        if put.name.as_str() == NEXT {
            return self.begin_key(put);
        }
        Ok(match self.inner.begin(put, attempt, now)? {
            Begun::Upload { upload, have } => Begun::Upload { upload: KeyedUpload::Inner(upload), have },
            Begun::Stored(info) => Begun::Stored(info),
            Begun::Compare(file) => Begun::Compare(file),
            _ => Begun::Wait,
        })
    }

    fn write(
        &mut self,
        upload: &mut Self::Upload,
        offset: u64,
        bytes: &[u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        let KeyedUpload::Key = upload else {
            let KeyedUpload::Inner(upload) = upload else { return Err(StoreError::Io.into()) };
            return self.inner.write(upload, offset, bytes, now);
        };
        let text = self.text.as_mut().filter(|text| text.len() as u64 == offset).ok_or(StoreError::Io)?;
        text.extend_from_slice(bytes).map_err(|_| StoreError::Io)?;
        Ok(bytes.len())
    }

    fn read_back(
        &mut self,
        upload: &mut Self::Upload,
        offset: u64,
        buf: &mut [u8],
        now: Instant,
    ) -> Result<usize, WriteError> {
        match upload {
            KeyedUpload::Inner(upload) => self.inner.read_back(upload, offset, buf, now),
            KeyedUpload::Key => {
                let text = self.text.as_deref().unwrap_or_default();
                let rest = usize::try_from(offset).ok().and_then(|offset| text.get(offset..)).unwrap_or_default();
                let len = rest.len().min(buf.len());
                buf.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                Ok(len)
            }
        }
    }

    fn commit(&mut self, upload: &mut Self::Upload, put: &Put<'_>, now: Instant) -> Result<Committed, WriteError> {
        match upload {
            KeyedUpload::Inner(upload) => self.inner.commit(upload, put, now),
            KeyedUpload::Key => self.commit_key(),
        }
    }

    fn keep(&mut self, upload: Self::Upload) {
        match upload {
            KeyedUpload::Inner(upload) => self.inner.keep(upload),
            KeyedUpload::Key => self.forget(),
        }
    }

    fn discard(&mut self, upload: Self::Upload) {
        match upload {
            KeyedUpload::Inner(upload) => self.inner.discard(upload),
            KeyedUpload::Key => self.forget(),
        }
    }

    fn delete(&mut self, delete: &Delete<'_>) -> Result<(), WriteError> {
        self.inner.delete(delete)
    }

    fn space(&mut self) -> Result<Space, WriteError> {
        self.inner.space()
    }
}
