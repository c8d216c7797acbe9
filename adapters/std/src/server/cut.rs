//! A store whose reading ends with its client: hashing a large file touches no socket for seconds, so that nothing else
//! would tell a thread that its client was cut off.

use coracle_core::{Digest, DigestKind, FileInfo, FileName, Listed, Store, StoreError};

use super::seat::{Fate, Seat};

/// `store`, as long as nobody has cut off the client of `seat`.
pub(super) struct UntilCut<'v, S> {
    pub store: &'v mut S,
    pub seat: &'v Seat,
}

impl<S> UntilCut<'_, S> {
    fn check(&self) -> Result<(), StoreError> {
        match self.seat.fate() {
            Fate::None | Fate::Told => Ok(()),
            Fate::Dropped | Fate::Cut => Err(StoreError::Io),
        }
    }
}

impl<S: Store> Store for UntilCut<'_, S> {
    type File = S::File;
    type Listing = S::Listing;

    fn open(&mut self, name: FileName<'_>) -> Result<S::File, StoreError> {
        self.store.open(name)
    }

    fn info(&mut self, file: &S::File) -> Result<FileInfo, StoreError> {
        self.store.info(file)
    }

    fn read(&mut self, file: &mut S::File, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        self.check()?;
        self.store.read(file, offset, buf)
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<S::Listing, StoreError> {
        self.store.list(path)
    }

    fn next<'a>(&mut self, listing: &'a mut S::Listing) -> Result<Listed<'a>, StoreError> {
        self.check()?;
        self.store.next(listing)
    }

    fn known_digest(&mut self, file: &S::File, kind: DigestKind) -> Option<Digest> {
        self.store.known_digest(file, kind)
    }

    fn remember_digest(&mut self, file: &S::File, info: &FileInfo, digest: &Digest) {
        self.store.remember_digest(file, info, digest);
    }
}
