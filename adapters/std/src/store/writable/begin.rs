//! The beginning of an upload, and the file that it is continued in.

use std::ffi::OsStr;
use std::fs::File as SystemFile;
use std::io;
use std::sync::Arc;

use coracle_core::{Begun, DigestKind, Instant, Put, PutAttempt, StoreError, WriteError};

use super::super::directory::DirectoryStore;
use super::super::file::File;
use super::commit::Partial;
use super::place::{Place, write_error};
use super::upload::Upload;
use super::uploads::Claim;
use super::writer::Writer;
use crate::local::{Access, DirectoryHandle, FileHandle, FileKind, Identity, Opened};
use crate::sys::{reserve, sync_contents};

/// Room is reserved for files of more bytes. A shorter one is here at once, so that the write itself tells of a full disk; and
/// many of them are stored in less time without.
const RESERVED_MIN: u64 = 64 * 1024;

impl Writer {
    /// [`WritableStore::begin`](coracle_core::WritableStore::begin).
    pub fn begin(
        self: &Arc<Self>,
        store: &DirectoryStore,
        put: &Put<'_>,
        attempt: PutAttempt,
        now: Instant,
    ) -> Result<Begun<Upload, File>, WriteError> {
        self.check_name(put.name)?;
        let place = match Place::open(&self.root, put.name, &self.append_only) {
            Err(WriteError::Store(StoreError::NotFound)) if put.parents => None,
            place => Some(place?),
        };
        let current = place.as_ref().map(Place::current).transpose()?.flatten();
        if let (Some(current), Some(place)) = (&current, &place)
            && self.may_compare(put, attempt)
            && let Some(begun) = compare(store, put, current)?
        {
            // Told that it is there, the client counts on it: it may have been stored without a sync, or not be synced yet.
            sync_contents(current.as_std()).map_err(|error| write_error(&error))?;
            place.sync()?;
            return Ok(begun);
        }
        let names = place.as_ref().map(|place| {
            let target = place.target();
            let name = target.partial_name(put.size, &put.digest);
            (target, name)
        });
        if let Some((target, name)) = &names
            && let available = self.shared.uploads.is_available(target, name, attempt, now)
            && available != Ok(true)
        {
            // It may be one that nobody has asked for yet.
            self.deferred.hurry();
            return available.map(|_| Begun::Wait);
        }
        let version = current.as_ref().map(File::info).transpose()?.map(|info| info.version);
        put.replace.check(version.as_ref())?;
        if let Some(place) = &place {
            place.check_writable()?;
        }
        let begun = place.as_ref().zip(names.as_ref()).map(|(place, (_, name))| place.directory.status(name));
        let is_begun = matches!(begun, Some(Ok(Some(_))));
        self.check_room(put, names.as_ref().map(|(target, _)| target), is_begun)?;
        let place = match place {
            Some(place) => place,
            None => {
                self.commits.create_parents(&self.root, put.name)?;
                Place::open(&self.root, put.name, &self.append_only)?
            }
        };
        let (target, name) = names.unwrap_or_else(|| {
            let target = place.target();
            let name = target.partial_name(put.size, &put.digest);
            (target, name)
        });
        // Counted while no other upload begins: those that are deferred are complete.
        let limits = (|| self.options.max_uploads.saturating_add(self.deferred.len()), || self.room_for_uploads());
        let claim = self.shared.uploads.claim(&target, &name, put.size, limits, attempt, now)?;
        let Claim::Granted { upload, ticket, displaced } = claim else { return Ok(Begun::Wait) };
        let file = displaced
            .map_or(Ok(()), |displaced| place.remove(&displaced))
            .and_then(|()| open_partial(&place, put, &name, is_begun, current.is_some()));
        match file {
            Ok((file, identity, have)) => {
                let partial = Partial {
                    share: self.commits.share(place.identity, have),
                    identity,
                    have,
                    shared: Arc::clone(&self.shared),
                    place: Arc::new(place),
                    target,
                    unfinished: upload,
                    ticket,
                };
                let upload = Upload::new(Arc::clone(self), partial, Arc::new(file), put);
                Ok(Begun::Upload { upload, have })
            }
            Err(error) => {
                upload.turn().release(ticket);
                self.shared.uploads.forget(&target, &upload);
                Err(error)
            }
        }
    }

    /// A file that was put by CRC-32 is not compared, since another with the same CRC-32 is easily made.
    fn may_compare(&self, put: &Put<'_>, attempt: PutAttempt) -> bool {
        attempt.may_compare && put.digest.kind() == DigestKind::Sha256 && !self.options.is_write_only(put.name)
    }
}

/// Opens or creates the file of an upload with room for all of it. Returns how much of it is there. `is_begun` says whether it was
/// there, and `replaces` whether another file has the name.
fn open_partial(
    place: &Place,
    put: &Put<'_>,
    name: &OsStr,
    is_begun: bool,
    replaces: bool,
) -> Result<(SystemFile, Identity, u64), WriteError> {
    let io = |error: io::Error| write_error(&error);
    let Opened::File(file) = open_or_create(place, name, is_begun).map_err(io)? else {
        return Err(StoreError::Io.into());
    };
    let status = FileHandle::status(&file).map_err(io)?;
    if status.kind != FileKind::Regular {
        return Err(StoreError::Io.into());
    }
    if replaces {
        // Before anything is in it: what only some may read is not readable while it is uploaded either.
        let _ = place.directory.copy_access(&place.leaf, &file, false);
    }
    let reserved = if put.size > RESERVED_MIN { reserve(&file, put.size) } else { Ok(()) };
    match reserved.map_err(io) {
        Ok(()) => Ok((file, status.identity, status.size.min(put.size))),
        Err(error) => {
            if status.size == 0 {
                place.remove(name)?;
            }
            Err(match error {
                WriteError::NoSpace { .. } => {
                    WriteError::NoSpace { free: place.directory.free_space().unwrap_or(None) }
                }
                error => error,
            })
        }
    }
}

/// Opens the file of an upload that was there, or creates it. Another connection may have done either in between.
fn open_or_create(place: &Place, name: &OsStr, was_there: bool) -> io::Result<Opened<SystemFile>> {
    let (first, second) = match was_there {
        true => (Access::ReadWrite, Access::CreateNew),
        false => (Access::CreateNew, Access::ReadWrite),
    };
    match place.directory.open(name, first) {
        Ok(Opened::Missing) => place.directory.open(name, second),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => place.directory.open(name, second),
        opened => opened,
    }
}

/// Whether `current` is the file that is put; `None` where it is not.
fn compare(store: &DirectoryStore, put: &Put<'_>, current: &File) -> Result<Option<Begun<Upload, File>>, WriteError> {
    let info = current.info()?;
    if info.size != put.size {
        return Ok(None);
    }
    let known = store.cached_digest(current, put.digest.kind());
    Ok(match known {
        Some(digest) if digest == put.digest => Some(Begun::Stored(info)),
        Some(_) => None,
        None => Some(Begun::Compare(current.try_clone()?)),
    })
}
