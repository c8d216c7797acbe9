//! The callbacks as the store of a session.

use coracle_core::{
    Digest, DigestKind as CoreDigestKind, EntryKind as CoreEntryKind, FileInfo as CoreFileInfo, FileName, Listed,
    Store, StoreError, Version,
};

use crate::ffi::callbacks::{Callbacks, Handle};
use crate::text::text_in;
use crate::types::{DigestKind, Entry, EntryKind, EntryKindValue, FileInfo, Status, StatusValue, UNKNOWN, known};

/// An open file, closed when it is dropped.
pub(crate) struct OpenFile {
    pub(crate) callbacks: Callbacks,
    pub(crate) handle: Handle,
}

/// A listing, ended when it is dropped.
pub(crate) struct OpenListing {
    callbacks: Callbacks,
    handle: Handle,
}

impl Store for Callbacks {
    type File = OpenFile;
    type Listing = OpenListing;

    fn open(&mut self, name: FileName<'_>) -> Result<OpenFile, StoreError> {
        let (status, handle) = Callbacks::open(self, name);
        check(status)?;
        Ok(OpenFile { callbacks: *self, handle })
    }

    fn info(&mut self, file: &OpenFile) -> Result<CoreFileInfo, StoreError> {
        let mut info = FileInfo::EMPTY;
        check(self.stat(file.handle, &mut info))?;
        read_info(&info).ok_or(StoreError::Io)
    }

    fn read(&mut self, file: &mut OpenFile, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let (status, taken) = Callbacks::read(self, file.handle, offset, buf);
        check(status)?;
        Ok(taken)
    }

    fn list(&mut self, path: Option<FileName<'_>>) -> Result<OpenListing, StoreError> {
        let (status, handle) = Callbacks::list(self, path);
        check(status)?;
        Ok(OpenListing { callbacks: *self, handle })
    }

    fn next<'a>(&mut self, listing: &'a mut OpenListing) -> Result<Listed<'a>, StoreError> {
        let kind = EntryKindValue(EntryKind::End as u8);
        let mut entry = Entry { kind, is_link: false, name: core::ptr::null(), size: 0, modified: UNKNOWN };
        let (status, name) = Callbacks::next(self, &mut listing.handle, &mut entry);
        check(status)?;
        let kind = match entry.kind.0 {
            kind if kind == EntryKind::End as u8 => return Ok(Listed::End),
            kind if kind == EntryKind::Skipped as u8 => return Ok(Listed::Skipped),
            kind if kind == EntryKind::Unnameable as u8 => return Ok(Listed::Unnameable),
            kind if kind == EntryKind::Hidden as u8 => return Ok(Listed::Hidden),
            kind if kind == EntryKind::File as u8 => {
                CoreEntryKind::File { size: entry.size, modified: known(entry.modified) }
            }
            kind if kind == EntryKind::Directory as u8 => CoreEntryKind::Directory { link: entry.is_link },
            _ => return Err(StoreError::Io),
        };
        let name = name.and_then(|name| FileName::new(name.to_str().ok()?).ok());
        Ok(name.map_or(Listed::Unnameable, |name| Listed::Entry(coracle_core::Entry::new(name, kind))))
    }

    fn known_digest(&mut self, file: &OpenFile, kind: CoreDigestKind) -> Option<Digest> {
        let c_kind = match kind {
            CoreDigestKind::Crc32 => DigestKind::Crc32,
            CoreDigestKind::Sha256 => DigestKind::Sha256,
            _ => return None,
        };
        let bytes = Callbacks::known_digest(self, file.handle, c_kind)?;
        let [a, b, c, d, ..] = bytes;
        Some(match c_kind {
            DigestKind::Crc32 => Digest::Crc32(u32::from_be_bytes([a, b, c, d])),
            DigestKind::Sha256 => Digest::Sha256(bytes),
        })
    }

    #[cfg(feature = "rights")]
    fn is_linkless(&mut self, name: FileName<'_>) -> bool {
        Callbacks::is_linkless(self, name)
    }

    fn unix_time(&mut self) -> Option<u64> {
        Callbacks::unix_time(self)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.callbacks.close(self.handle);
    }
}

impl Drop for OpenListing {
    fn drop(&mut self) {
        self.callbacks.end_list(self.handle);
    }
}

/// What a callback has filled; `None` where that is no version.
#[inline(never)]
pub(crate) fn read_info(info: &FileInfo) -> Option<CoreFileInfo> {
    // `c_char` has a sign on some targets.
    let version = info.version.map(|character| u8::from_ne_bytes(character.to_ne_bytes()));
    let version = Version::new(text_in(&version)?).ok()?;
    Some(CoreFileInfo::new(info.size, version).with_modified(known(info.modified)))
}

/// What a callback that reads has returned.
#[inline(never)]
pub(crate) fn check(status: StatusValue) -> Result<(), StoreError> {
    Err(match status.0 {
        status if status == Status::Ok as u8 => return Ok(()),
        status if status == Status::NotFound as u8 => StoreError::NotFound,
        status if status == Status::NotFile as u8 => StoreError::NotFile,
        status if status == Status::NotDirectory as u8 => StoreError::NotDirectory,
        status if status == Status::Denied as u8 => StoreError::Denied,
        status if status == Status::BadName as u8 => StoreError::BadName,
        status if status == Status::Busy as u8 => StoreError::Busy,
        status if status == Status::Pending as u8 => StoreError::NotReady,
        _ => StoreError::Io,
    })
}
