//! The documents' store as callbacks of C.

use core::ffi::{CStr, c_char, c_void};
use std::ffi::CString;

use coracle_c::{
    Client, DIGEST_LEN, DigestKind, Entry, EntryKind, EntryKindValue, FileInfo, Status, StatusValue, UNKNOWN,
};
use coracle_core::{
    Digest, DigestKind as CoreDigestKind, EntryKind as CoreEntryKind, FileInfo as CoreFileInfo, FileName, Listed,
    Store, StoreError,
};

use super::store::{Listing, Open, ScriptedStore};

/// A store, and what it has open.
pub struct Served {
    pub store: ScriptedStore,
    pub open: i32,
    /// What the client may do, in words that end with 0; `None`: it is not known.
    pub rights: Option<CString>,
    /// The name of the last entry.
    name: Vec<u8>,
}

impl Served {
    pub fn new(store: ScriptedStore) -> Self {
        Self { store, open: 0, rights: None, name: Vec::new() }
    }

    /// Something open, as C knows it.
    pub fn hand_out<T>(&mut self, opened: T) -> *mut c_void {
        self.open += 1;
        Box::into_raw(Box::new(opened)).cast()
    }

    /// The same again, at its end.
    ///
    /// # Safety
    ///
    /// `handle` is of [`Served::hand_out`] with the same type, and is given back once.
    pub unsafe fn take_back<T>(&mut self, handle: *mut c_void) -> T {
        self.open -= 1;
        // SAFETY: the caller's promise.
        *unsafe { Box::from_raw(handle.cast()) }
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
        is_linkless: Some(is_linkless),
    }
}

/// What says the rights of the client.
pub unsafe extern "C" fn rights(user: *mut c_void, _: *const Client) -> *const c_char {
    // SAFETY: as the library calls it.
    unsafe { served(user) }.rights.as_ref().map_or(core::ptr::null(), |rights| rights.as_ptr())
}

/// # Safety
///
/// `user` is a [`Served`], which nothing else uses.
pub unsafe fn served<'a>(user: *mut c_void) -> &'a mut Served {
    // SAFETY: the caller's promise.
    unsafe { &mut *user.cast() }
}

/// # Safety
///
/// `name` is a name from the library.
pub unsafe fn name_of<'a>(name: *const c_char) -> FileName<'a> {
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_ptr(name) };
    FileName::new(name.to_str().expect("UTF-8")).expect("a name that was checked")
}

/// Tells C what a file is.
pub fn fill(info: &mut FileInfo, found: &CoreFileInfo) {
    info.size = found.size;
    info.modified = found.modified.unwrap_or(UNKNOWN);
    for (place, byte) in info.version.iter_mut().zip(found.version.as_str().bytes()) {
        *place = c_char::from_ne_bytes([byte]);
    }
}

/// Tells C how many bytes were moved.
pub fn taken<E>(moved: Result<usize, E>, place: &mut usize, status: impl Fn(E) -> StatusValue) -> StatusValue {
    match moved {
        Ok(len) => {
            *place = len;
            StatusValue(Status::Ok as u8)
        }
        Err(error) => status(error),
    }
}

/// Stores what was opened, or says why it was not.
unsafe fn hand_out<T>(served: &mut Served, opened: Result<T, StoreError>, place: *mut *mut c_void) -> StatusValue {
    match opened {
        Ok(opened) => {
            // SAFETY: a place from the library.
            unsafe { *place = served.hand_out(opened) };
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
            fill(info, &found);
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
    place: *mut usize,
) -> StatusValue {
    // SAFETY: as the library calls it.
    let (served, file) = unsafe { (served(user), &mut *file.cast::<Open>()) };
    // SAFETY: the same.
    let (buf, place) = unsafe { (std::slice::from_raw_parts_mut(buf, len), &mut *place) };
    taken(served.store.read(file, offset, buf), place, status)
}

unsafe extern "C" fn close(user: *mut c_void, file: *mut c_void) {
    // SAFETY: as the library calls it, once for each file.
    unsafe { drop(served(user).take_back::<Open>(file)) }
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
    unsafe { drop(served(user).take_back::<Listing>(listing)) }
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

unsafe extern "C" fn is_linkless(user: *mut c_void, name: *const c_char) -> bool {
    // SAFETY: as the library calls it.
    unsafe { served(user).store.is_linkless(name_of(name)) }
}

/// What C returns for an error.
pub fn status(error: StoreError) -> StatusValue {
    StatusValue(match error {
        StoreError::NotFound => Status::NotFound as u8,
        StoreError::NotFile => Status::NotFile as u8,
        StoreError::NotDirectory => Status::NotDirectory as u8,
        StoreError::Denied => Status::Denied as u8,
        // No status, which counts as a fault.
        _ => 200,
    })
}
