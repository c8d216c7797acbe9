//! The structures of callbacks, and their calls.

use core::ffi::{CStr, c_char, c_void};

#[cfg(feature = "write")]
use coracle_core::Delete;
use coracle_core::FileName;

#[cfg(feature = "write")]
use crate::text::CVersion;
use crate::text::{CName, CText};
use crate::types::{DIGEST_LEN, DigestKind, Entry, FileInfo, Status, StatusValue};
#[cfg(feature = "write")]
use crate::write_types::{Begun, DeleteKind, Put};

/// The files that are served: functions of the firmware. Each is called from within a function of a session, and gets `user` as its
/// first argument. It may call no function for that session. Names are paths from the store's root on, of at most 255 bytes of UTF-8
/// that end with 0 and are valid during the call; no component is empty, `.` or `..`, and there is no control character and no
/// backslash. Pointers that a callback is given are never NULL unless it says so.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Store {
    /// Passed to each callback; may be NULL.
    pub user: *mut c_void,
    /// Opens the regular file `name`, and sets `*file` to what the other callbacks are to be given; it finds NULL there.
    /// NOT_FILE for what exists and is not a regular file, BUSY where no handle is left.
    pub open:
        Option<unsafe extern "C" fn(user: *mut c_void, name: *const c_char, file: *mut *mut c_void) -> StatusValue>,
    /// Fills `*info` with what the open file is now. Called after `open`, and again after the last byte was sent.
    pub stat: Option<unsafe extern "C" fn(user: *mut c_void, file: *mut c_void, info: *mut FileInfo) -> StatusValue>,
    /// Reads up to `len` bytes from `offset` on into `buf`, and sets `*taken` to how many; 0 means that the file ends there.
    pub read: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            file: *mut c_void,
            offset: u64,
            buf: *mut u8,
            len: usize,
            taken: *mut usize,
        ) -> StatusValue,
    >,
    /// Closes what `open` has opened, or `begin` with COMPARE.
    pub close: Option<unsafe extern "C" fn(user: *mut c_void, file: *mut c_void)>,
    /// Begins a listing of the directory `path`, or of the root for NULL, and sets `*listing` to what `next` is to be given.
    pub list:
        Option<unsafe extern "C" fn(user: *mut c_void, path: *const c_char, listing: *mut *mut c_void) -> StatusValue>,
    /// Fills `*entry` with the next entry of the listing.
    pub next: Option<unsafe extern "C" fn(user: *mut c_void, listing: *mut c_void, entry: *mut Entry) -> StatusValue>,
    /// Ends a listing.
    pub end_list: Option<unsafe extern "C" fn(user: *mut c_void, listing: *mut c_void)>,
    /// Stores the digest of all of the file, from the first to the last byte of the size that `stat` has told, in `digest`,
    /// CORACLE_DIGEST_LEN bytes, if it is known without reading; else returns false. NULL: none is.
    pub known_digest:
        Option<unsafe extern "C" fn(user: *mut c_void, file: *mut c_void, kind: DigestKind, digest: *mut u8) -> bool>,
    /// The time now, in seconds since 1970-01-01 00:00 UTC; CORACLE_UNKNOWN where there is no clock. NULL: there is none.
    pub unix_time: Option<unsafe extern "C" fn(user: *mut c_void) -> u64>,
}

/// The files that are written. One upload at most exists for a name, and at most one connection sends it.
/// Before `commit` has returned OK, the file that had the name is untouched; after it, contents and name survive a power cut.
#[cfg(feature = "write")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Writer {
    /// Begins an upload, or continues the one with the same name, size and digest that was kept; fills `*begun`. PENDING where
    /// another connection has this upload and may be dead, IN_USE where that one is alive or sends other contents. Before it
    /// answers STORED or COMPARE, what is there has to be durable.
    pub begin:
        Option<unsafe extern "C" fn(user: *mut c_void, put: *const Put, begun: *mut Begun, now_ms: u64) -> StatusValue>,
    /// Stores some of the `len` bytes at `offset` of the file, and sets `*taken` to how many; 0 means none yet. They come in
    /// order. IN_USE where another connection has taken over the upload.
    pub write: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            upload: *mut c_void,
            offset: u64,
            bytes: *const u8,
            len: usize,
            taken: *mut usize,
            now_ms: u64,
        ) -> StatusValue,
    >,
    /// Reads what was stored, as `read` of coracle_store does.
    pub read_back: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            upload: *mut c_void,
            offset: u64,
            buf: *mut u8,
            len: usize,
            taken: *mut usize,
            now_ms: u64,
        ) -> StatusValue,
    >,
    /// Gives the complete and verified upload its name, durably, and fills `*info`. Called again while it returns PENDING. After
    /// OK no function is called for the upload any more.
    pub commit: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            upload: *mut c_void,
            put: *const Put,
            info: *mut FileInfo,
            now_ms: u64,
        ) -> StatusValue,
    >,
    /// Keeps an unfinished upload for a later connection; no function is called for it any more.
    pub keep: Option<unsafe extern "C" fn(user: *mut c_void, upload: *mut c_void)>,
    /// Drops an upload and its bytes; no function is called for it any more.
    pub discard: Option<unsafe extern "C" fn(user: *mut c_void, upload: *mut c_void)>,
    /// Deletes a file, an unfinished upload or an empty directory, durably. `version` is the one that a file must have, or NULL for
    /// any. NULL in place of this callback: nothing is deleted.
    pub remove: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            name: *const c_char,
            kind: DeleteKind,
            version: *const c_char,
        ) -> StatusValue,
    >,
    /// Whether all of a file has to be read back from the medium before `commit`, as flash chips need it. Otherwise bytes are
    /// hashed as they are passed to `write`.
    pub reads_back: bool,
}

/// The structures of C.
///
/// One exists only where C has promised to keep them, and that their callbacks do what the header says, which makes the calls
/// sound. A callback that C has taken away since fails.
#[derive(Clone, Copy)]
pub(crate) struct Callbacks {
    store: &'static Store,
    #[cfg(feature = "write")]
    writer: Option<&'static Writer>,
}

/// What a callback has opened, to be passed to others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handle(*mut c_void);

const FAILED: StatusValue = StatusValue(Status::Io as u8);
#[cfg(feature = "write")]
const UNSUPPORTED: StatusValue = StatusValue(Status::Unsupported as u8);

impl Callbacks {
    /// `None` where a callback is missing.
    ///
    /// # Safety
    ///
    /// `store` keeps what its words say.
    pub(super) unsafe fn new(store: &'static Store) -> Option<Self> {
        let files = store.open.is_some() && store.stat.is_some() && store.read.is_some() && store.close.is_some();
        let listings = store.list.is_some() && store.next.is_some() && store.end_list.is_some();
        (files && listings).then_some(Self {
            store,
            #[cfg(feature = "write")]
            writer: None,
        })
    }

    /// These with those of `writer`; `None` where one is missing.
    ///
    /// # Safety
    ///
    /// `writer` keeps what its words say.
    #[cfg(feature = "write")]
    pub(super) unsafe fn with_writer(self, writer: &'static Writer) -> Option<Self> {
        let bytes = writer.begin.is_some() && writer.write.is_some() && writer.read_back.is_some();
        let ends = writer.commit.is_some() && writer.keep.is_some() && writer.discard.is_some();
        (bytes && ends).then_some(Self { writer: Some(writer), ..self })
    }

    pub(crate) fn open(&self, name: FileName<'_>) -> (StatusValue, Handle) {
        let (name, mut file) = (CName::new(name.as_str()), core::ptr::null_mut());
        // SAFETY: as the type says.
        let status =
            self.store.open.map_or(FAILED, |open| unsafe { open(self.store.user, name.as_ptr(), &raw mut file) });
        (status, Handle(file))
    }

    pub(crate) fn stat(&self, file: Handle, info: &mut FileInfo) -> StatusValue {
        // SAFETY: as the type says.
        self.store.stat.map_or(FAILED, |stat| unsafe { stat(self.store.user, file.0, info) })
    }

    pub(crate) fn read(&self, file: Handle, offset: u64, buf: &mut [u8]) -> (StatusValue, usize) {
        let Some(read) = self.store.read else { return (FAILED, 0) };
        let (mut taken, user) = (0, self.store.user);
        // SAFETY: as the type says.
        let status = unsafe { read(user, file.0, offset, buf.as_mut_ptr(), buf.len(), &raw mut taken) };
        (status, taken)
    }

    pub(crate) fn close(&self, file: Handle) {
        if let Some(close) = self.store.close {
            // SAFETY: as the type says.
            unsafe { close(self.store.user, file.0) }
        }
    }

    pub(crate) fn list(&self, path: Option<FileName<'_>>) -> (StatusValue, Handle) {
        let (name, mut listing) = (path.map(|path| CName::new(path.as_str())), core::ptr::null_mut());
        let name = name.as_ref().map_or(core::ptr::null(), CText::as_ptr);
        // SAFETY: as the type says.
        let status = self.store.list.map_or(FAILED, |list| unsafe { list(self.store.user, name, &raw mut listing) });
        (status, Handle(listing))
    }

    /// The next entry, and its name up to the first 0.
    pub(crate) fn next<'a>(&self, listing: &'a mut Handle, entry: &mut Entry) -> (StatusValue, Option<&'a CStr>) {
        // SAFETY: as the type says.
        let status = self.store.next.map_or(FAILED, |next| unsafe { next(self.store.user, listing.0, entry) });
        if entry.name.is_null() || status != StatusValue(Status::Ok as u8) {
            return (status, None);
        }
        // SAFETY: not NULL, so text that ends with 0 and stays until the next call of a callback, which takes `listing` again.
        (status, Some(unsafe { CStr::from_ptr(entry.name) }))
    }

    pub(crate) fn end_list(&self, listing: Handle) {
        if let Some(end_list) = self.store.end_list {
            // SAFETY: as the type says.
            unsafe { end_list(self.store.user, listing.0) }
        }
    }

    pub(crate) fn known_digest(&self, file: Handle, kind: DigestKind) -> Option<[u8; DIGEST_LEN]> {
        let mut digest = [0; DIGEST_LEN];
        let known_digest = self.store.known_digest?;
        // SAFETY: as the type says.
        unsafe { known_digest(self.store.user, file.0, kind, digest.as_mut_ptr()) }.then_some(digest)
    }

    pub(crate) fn unix_time(&self) -> Option<u64> {
        // SAFETY: as the type says.
        crate::types::known(unsafe { (self.store.unix_time?)(self.store.user) })
    }
}

#[cfg(feature = "write")]
impl Callbacks {
    pub(crate) fn begin(&self, put: &Put, begun: &mut Begun, now_ms: u64) -> StatusValue {
        let Some(begin) = self.writer.and_then(|writer| writer.begin) else { return UNSUPPORTED };
        // SAFETY: as the type says.
        unsafe { begin(self.store.user, put, begun, now_ms) }
    }

    pub(crate) fn write(&self, upload: Handle, offset: u64, bytes: &[u8], now_ms: u64) -> (StatusValue, usize) {
        let Some(write) = self.writer.and_then(|writer| writer.write) else { return (UNSUPPORTED, 0) };
        let (mut taken, user) = (0, self.store.user);
        // SAFETY: as the type says.
        let status = unsafe { write(user, upload.0, offset, bytes.as_ptr(), bytes.len(), &raw mut taken, now_ms) };
        (status, taken)
    }

    pub(crate) fn read_back(&self, upload: Handle, offset: u64, buf: &mut [u8], now_ms: u64) -> (StatusValue, usize) {
        let Some(read_back) = self.writer.and_then(|writer| writer.read_back) else { return (UNSUPPORTED, 0) };
        let (mut taken, user) = (0, self.store.user);
        // SAFETY: as the type says.
        let status = unsafe { read_back(user, upload.0, offset, buf.as_mut_ptr(), buf.len(), &raw mut taken, now_ms) };
        (status, taken)
    }

    pub(crate) fn commit(&self, upload: Handle, put: &Put, info: &mut FileInfo, now_ms: u64) -> StatusValue {
        let Some(commit) = self.writer.and_then(|writer| writer.commit) else { return UNSUPPORTED };
        // SAFETY: as the type says.
        unsafe { commit(self.store.user, upload.0, put, info, now_ms) }
    }

    pub(crate) fn keep(&self, upload: Handle) {
        if let Some(keep) = self.writer.and_then(|writer| writer.keep) {
            // SAFETY: as the type says.
            unsafe { keep(self.store.user, upload.0) }
        }
    }

    pub(crate) fn discard(&self, upload: Handle) {
        if let Some(discard) = self.writer.and_then(|writer| writer.discard) {
            // SAFETY: as the type says.
            unsafe { discard(self.store.user, upload.0) }
        }
    }

    pub(crate) fn reads_back(&self) -> bool {
        self.writer.is_none_or(|writer| writer.reads_back)
    }

    pub(crate) fn remove(&self, delete: &Delete<'_>) -> StatusValue {
        let Some(remove) = self.writer.and_then(|writer| writer.remove) else { return UNSUPPORTED };
        let (kind, version) = match delete {
            Delete::File { version, .. } => (DeleteKind::File, *version),
            Delete::Partial { .. } => (DeleteKind::Partial, None),
            Delete::Directory { .. } => (DeleteKind::Directory, None),
            // What a newer core may delete.
            _ => return UNSUPPORTED,
        };
        let (name, version) = (CName::new(delete.name().as_str()), version.map(CVersion::new));
        let version = version.as_ref().map_or(core::ptr::null(), CText::as_ptr);
        // SAFETY: as the type says.
        unsafe { remove(self.store.user, name.as_ptr(), kind, version) }
    }
}

impl Handle {
    /// What a callback has put in `begin`.
    #[cfg(feature = "write")]
    pub(crate) const fn of(begun: &Begun) -> Self {
        Self(begun.handle)
    }
}
