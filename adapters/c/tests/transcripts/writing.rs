//! Writing to the documents' store as callbacks of C.

use core::ffi::{CStr, c_char, c_void};
use core::ptr::null;

use coracle_c::*;
use coracle_core::{
    Begun as CoreBegun, Committed, Delete, Digest, Instant, Put as CorePut, PutAttempt, Rename, Replace as CoreReplace,
    WritableStore, WriteError,
};

use super::callbacks::{fill, name_of, served, status, taken};
use super::uploads::{self, Upload};

const OK: StatusValue = StatusValue(Status::Ok as u8);

/// The callbacks for what clients may do of `features`.
pub fn writer(features: &[String], reads_back: bool) -> Writer {
    let has = |word: &str| features.iter().any(|feature| feature == word);
    Writer {
        begin: Some(begin),
        write: Some(write),
        read_back: Some(read_back),
        commit: Some(commit),
        keep: Some(keep),
        discard: Some(discard),
        remove: if has("delete") { Some(remove) } else { None },
        reads_back,
        rename: if has("rename") { Some(rename) } else { None },
        make_dir: if has("makeDir") { Some(make_dir) } else { None },
        space: if has("space") { Some(space) } else { None },
        actions: if has("do") { c"confirm restart calibrate".as_ptr() } else { null() },
        perform: Some(perform),
    }
}

unsafe extern "C" fn begin(user: *mut c_void, put: *const Put, begun: *mut Begun, now_ms: u64) -> StatusValue {
    // SAFETY: as the library calls it.
    let (served, put, begun) = unsafe { (served(user), &*put, &mut *begun) };
    let attempt = PutAttempt::new(Instant::from_millis(put.asked_ms), put.may_compare);
    // SAFETY: the same.
    match served.store.begin(&unsafe { put_of(put) }, attempt, Instant::from_millis(now_ms)) {
        Ok(CoreBegun::Wait) => StatusValue(Status::Pending as u8),
        Ok(CoreBegun::Upload { upload, have }) => {
            begun.have = have;
            begun.handle = served.hand_out(upload);
            OK
        }
        Ok(CoreBegun::Compare(file)) => {
            begun.kind = BegunKindValue(BegunKind::Compare as u8);
            begun.handle = served.hand_out(file);
            OK
        }
        Ok(CoreBegun::Stored(info)) => {
            begun.kind = BegunKindValue(BegunKind::Stored as u8);
            fill(&mut begun.info, &info);
            OK
        }
        Ok(_) => StatusValue(u8::MAX),
        Err(error) => {
            begun.limit = match error {
                WriteError::TooLarge { max } => max,
                WriteError::NoSpace { free } => free.unwrap_or(UNKNOWN),
                _ => UNKNOWN,
            };
            written(Err(error))
        }
    }
}

unsafe extern "C" fn write(
    user: *mut c_void,
    upload: *mut c_void,
    offset: u64,
    bytes: *const u8,
    len: usize,
    place: *mut usize,
    now_ms: u64,
) -> StatusValue {
    // SAFETY: as the library calls it.
    let (served, upload) = unsafe { (served(user), &mut *upload.cast::<Upload>()) };
    // SAFETY: the same.
    let (bytes, place) = unsafe { (std::slice::from_raw_parts(bytes, len), &mut *place) };
    taken(served.store.write(upload, offset, bytes, Instant::from_millis(now_ms)), place, |error| written(Err(error)))
}

unsafe extern "C" fn read_back(
    user: *mut c_void,
    upload: *mut c_void,
    offset: u64,
    buf: *mut u8,
    len: usize,
    place: *mut usize,
    now_ms: u64,
) -> StatusValue {
    // SAFETY: as the library calls it.
    let (served, upload) = unsafe { (served(user), &mut *upload.cast::<Upload>()) };
    // SAFETY: the same.
    let (buf, place) = unsafe { (std::slice::from_raw_parts_mut(buf, len), &mut *place) };
    let read = served.store.read_back(upload, offset, buf, Instant::from_millis(now_ms));
    taken(read, place, |error| written(Err(error)))
}

unsafe extern "C" fn commit(
    user: *mut c_void,
    upload: *mut c_void,
    put: *const Put,
    info: *mut FileInfo,
    now_ms: u64,
) -> StatusValue {
    let place = upload.cast::<Upload>();
    // SAFETY: as the library calls it.
    let (served, put, info) = unsafe { (served(user), put_of(&*put), &mut *info) };
    // SAFETY: the same.
    match served.store.commit(unsafe { &mut *place }, &put, Instant::from_millis(now_ms)) {
        Ok(Committed::Done(found)) => {
            fill(info, &found);
            // SAFETY: the last call for it.
            unsafe { served.take_back::<Upload>(upload) };
            OK
        }
        Ok(_) => StatusValue(Status::Pending as u8),
        Err(error) => written(Err(error)),
    }
}

unsafe extern "C" fn keep(user: *mut c_void, upload: *mut c_void) {
    // SAFETY: as the library calls it, once.
    unsafe {
        let served = served(user);
        let upload = served.take_back(upload);
        served.store.keep(upload);
    }
}

unsafe extern "C" fn discard(user: *mut c_void, upload: *mut c_void) {
    // SAFETY: as the library calls it, once.
    unsafe {
        let served = served(user);
        let upload = served.take_back(upload);
        served.store.discard(upload);
    }
}

unsafe extern "C" fn remove(
    user: *mut c_void,
    name: *const c_char,
    kind: DeleteKind,
    version: *const c_char,
) -> StatusValue {
    // SAFETY: as the library calls it.
    let (served, name, version) = unsafe { (served(user), name_of(name), text_of(version)) };
    written(served.store.delete(&match kind {
        DeleteKind::File => Delete::File { name, version },
        DeleteKind::Partial => Delete::Partial { name },
        DeleteKind::Directory => Delete::Directory { path: name },
    }))
}

unsafe extern "C" fn rename(
    user: *mut c_void,
    name: *const c_char,
    to: *const c_char,
    version: *const c_char,
) -> StatusValue {
    // SAFETY: as the library calls it.
    let (served, name, to, version) = unsafe { (served(user), name_of(name), name_of(to), text_of(version)) };
    written(served.store.rename(&Rename::new(name, to).with_version(version)))
}

unsafe extern "C" fn make_dir(user: *mut c_void, path: *const c_char) -> StatusValue {
    // SAFETY: as the library calls it.
    unsafe { written(served(user).store.make_dir(name_of(path))) }
}

unsafe extern "C" fn space(user: *mut c_void, space: *mut Space) -> StatusValue {
    // SAFETY: as the library calls it.
    let (served, space) = unsafe { (served(user), &mut *space) };
    written(served.store.space().map(|room| {
        space.total = room.total.unwrap_or(UNKNOWN);
        space.free = room.free.unwrap_or(UNKNOWN);
        space.max_file = room.max_file.unwrap_or(UNKNOWN);
    }))
}

unsafe extern "C" fn perform(_: *mut c_void, _: *const Client, action: *const c_char) -> StatusValue {
    // SAFETY: as the library calls it.
    let action = unsafe { CStr::from_ptr(action) };
    uploads::perform(action.to_str().expect("a word")).map_or_else(status, |()| OK)
}

/// What a client puts, as the store knows it.
unsafe fn put_of(put: &Put) -> CorePut<'_> {
    let [a, b, c, d, ..] = put.digest;
    let digest = match put.digest_kind {
        DigestKind::Crc32 => Digest::Crc32(u32::from_be_bytes([a, b, c, d])),
        DigestKind::Sha256 => Digest::Sha256(put.digest),
    };
    let replace = match put.replace {
        Replace::Nothing => CoreReplace::Nothing,
        Replace::Anything => CoreReplace::Anything,
        // SAFETY: text from the library.
        Replace::Version => CoreReplace::Version(unsafe { text_of(put.version) }.unwrap_or_default()),
    };
    // SAFETY: a name from the library.
    let core = CorePut::new(unsafe { name_of(put.name) }, put.size, digest).with_replace(replace);
    core.with_parents(put.parents).with_modified(Some(put.modified).filter(|time| *time != UNKNOWN))
}

unsafe fn text_of<'a>(text: *const c_char) -> Option<&'a str> {
    // SAFETY: NULL, or text from the library.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_str().expect("UTF-8"))
}

fn written(done: Result<(), WriteError>) -> StatusValue {
    StatusValue(match done {
        Ok(()) => Status::Ok as u8,
        Err(WriteError::Store(error)) => return status(error),
        Err(WriteError::Exists) => Status::Exists as u8,
        Err(WriteError::Changed) => Status::Changed as u8,
        Err(WriteError::TooLarge { .. }) => Status::TooLarge as u8,
        Err(WriteError::NoSpace { .. }) => Status::NoSpace as u8,
        Err(WriteError::InUse) => Status::InUse as u8,
        Err(WriteError::Corrupt) => Status::Corrupt as u8,
        Err(WriteError::NotEmpty) => Status::NotEmpty as u8,
        Err(_) => Status::Unsupported as u8,
    })
}
