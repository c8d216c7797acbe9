//! The documents' store as callbacks of C.

use core::ffi::{CStr, c_char, c_void};

use coracle_c::{DIGEST_LEN, DigestKind, Entry, EntryKind, EntryKindValue, FileInfo, Status, StatusValue, UNKNOWN};
use coracle_core::{
    Digest, DigestKind as CoreDigestKind, EntryKind as CoreEntryKind, FileName, Listed, Store, StoreError,
};

use super::store::{Listing, Open, ScriptedStore};

/// A store, and what it has open.
pub struct Served {
    pub store: ScriptedStore,
    pub open: i32,
    /// The name of the last entry.
    name: Vec<u8>,
}

impl Served {
    pub fn new(store: ScriptedStore) -> Self {
        Self { store, open: 0, name: Vec::new() }
    }
}

/// The callbacks for `served`, which has to stay where it is.
pub fn callbacks(served: &mut Served) -> coracle_c::Store {
    coracle_c::Store {
        user: (&raw mut *served).cast(),
        open: Some(open),
        stat: Some(stat),
        read: Some(read),
        close: Some(close),
        list: Some(list),
        next: Some(next),
        end_list: Some(end_list),
        known_digest: Some(known_digest),
        unix_time: Some(unix_time),
    }
}

/// # Safety
///
/// `user` is a [`Served`], which nothing else uses.
unsafe fn served<'a>(user: *mut c_void) -> &'a mut Served {
    // SAFETY: the caller's promise.
    unsafe { &mut *user.cast() }
}

unsafe fn name_of<'a>(name: *const c_char) -> FileName<'a> {
    // SAFETY: a name from the library.
    let name = unsafe { CStr::from_ptr(name) };
    FileName::new(name.to_str().expect("UTF-8")).expect("a name that was checked")
}

/// Stores what was opened, or says why it was not.
unsafe fn hand_out<T>(served: &mut Served, opened: Result<T, StoreError>, place: *mut *mut c_void) -> StatusValue {
    match opened {
        Ok(opened) => {
            served.open += 1;
            // SAFETY: a place from the library.
            unsafe { *place = Box::into_raw(Box::new(opened)).cast() };
            StatusValue(Status::Ok as u8)
        }
        Err(error) => status(error),
    }
}

unsafe extern "C" fn open(user: *mut c_void, name: *const c_char, file: *mut *mut c_void) -> StatusValue {
    // SAFETY: as the library calls it.
    unsafe {
        let served = served(user);
        let opened = served.store.open(name_of(name));
        hand_out(served, opened, file)
    }
}

unsafe extern "C" fn stat(user: *mut c_void, file: *mut c_void, info: *mut FileInfo) -> StatusValue {
    // SAFETY: as the library calls it.
    let (served, file, info) = unsafe { (served(user), &*file.cast::<Open>(), &mut *info) };
    match served.store.info(file) {
        Ok(found) => {
            info.size = found.size;
            info.modified = found.modified.unwrap_or(UNKNOWN);
            for (place, byte) in info.version.iter_mut().zip(found.version.as_str().bytes()) {
                *place = c_char::from_ne_bytes([byte]);
            }
            StatusValue(Status::Ok as u8)
        }
        Err(error) => status(error),
    }
}

unsafe extern "C" fn read(
    user: *mut c_void,
    file: *mut c_void,
    offset: u64,
    buf: *mut u8,
    len: usize,
    taken: *mut usize,
) -> StatusValue {
    // SAFETY: as the library calls it.
    let (served, file) = unsafe { (served(user), &mut *file.cast::<Open>()) };
    // SAFETY: the same.
    let (buf, taken) = unsafe { (std::slice::from_raw_parts_mut(buf, len), &mut *taken) };
    match served.store.read(file, offset, buf) {
        Ok(len) => {
            *taken = len;
            StatusValue(Status::Ok as u8)
        }
        Err(error) => status(error),
    }
}

unsafe extern "C" fn close(user: *mut c_void, file: *mut c_void) {
    // SAFETY: as the library calls it, once for each file.
    unsafe {
        served(user).open -= 1;
        drop(Box::from_raw(file.cast::<Open>()));
    }
}

unsafe extern "C" fn list(user: *mut c_void, path: *const c_char, listing: *mut *mut c_void) -> StatusValue {
    // SAFETY: as the library calls it.
    unsafe {
        let served = served(user);
        let opened = served.store.list((!path.is_null()).then(|| name_of(path)));
        hand_out(served, opened, listing)
    }
}

unsafe extern "C" fn next(user: *mut c_void, listing: *mut c_void, entry: *mut Entry) -> StatusValue {
    // SAFETY: as the library calls it.
    let (served, listing, entry) = unsafe { (served(user), &mut *listing.cast::<Listing>(), &mut *entry) };
    let kind = match served.store.next(listing) {
        Ok(Listed::Entry(found)) => {
            served.name = [found.name.as_str().as_bytes(), b"\0"].concat();
            entry.name = served.name.as_ptr().cast();
            match found.kind {
                CoreEntryKind::File { size, modified } => {
                    (entry.size, entry.modified) = (size, modified.unwrap_or(UNKNOWN));
                    EntryKind::File
                }
                CoreEntryKind::Directory { link } => {
                    entry.is_link = link;
                    EntryKind::Directory
                }
                _ => return StatusValue(u8::MAX),
            }
        }
        Ok(Listed::Skipped) => EntryKind::Skipped,
        Ok(Listed::Unnameable) => EntryKind::Unnameable,
        Ok(Listed::Hidden) => EntryKind::Hidden,
        Ok(_) => EntryKind::End,
        Err(error) => return status(error),
    };
    entry.kind = EntryKindValue(kind as u8);
    StatusValue(Status::Ok as u8)
}

unsafe extern "C" fn end_list(user: *mut c_void, listing: *mut c_void) {
    // SAFETY: as the library calls it, once for each listing.
    unsafe {
        served(user).open -= 1;
        drop(Box::from_raw(listing.cast::<Listing>()));
    }
}

unsafe extern "C" fn known_digest(user: *mut c_void, file: *mut c_void, kind: DigestKind, digest: *mut u8) -> bool {
    // SAFETY: as the library calls it.
    let (served, file) = unsafe { (served(user), &*file.cast::<Open>()) };
    // SAFETY: the same.
    let place = unsafe { std::slice::from_raw_parts_mut(digest, DIGEST_LEN) };
    let kind = match kind {
        DigestKind::Crc32 => CoreDigestKind::Crc32,
        DigestKind::Sha256 => CoreDigestKind::Sha256,
    };
    match served.store.known_digest(file, kind) {
        Some(Digest::Crc32(crc)) => place[..4].copy_from_slice(&crc.to_be_bytes()),
        Some(Digest::Sha256(bytes)) => place.copy_from_slice(&bytes),
        _ => return false,
    }
    true
}

unsafe extern "C" fn unix_time(user: *mut c_void) -> u64 {
    // SAFETY: as the library calls it.
    unsafe { served(user) }.store.unix_time().unwrap_or(UNKNOWN)
}

fn status(error: StoreError) -> StatusValue {
    StatusValue(match error {
        StoreError::NotFound => Status::NotFound as u8,
        StoreError::NotFile => Status::NotFile as u8,
        StoreError::NotDirectory => Status::NotDirectory as u8,
        StoreError::Denied => Status::Denied as u8,
        // No status, which counts as a fault.
        _ => 200,
    })
}
