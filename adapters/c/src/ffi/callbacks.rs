//! The structures of callbacks, and their calls.

use core::ffi::{CStr, c_char, c_void};

use coracle_core::FileName;

#[cfg(any(feature = "write", feature = "rights"))]
use crate::client_types::Client;
use crate::text::{CName, CText};
use crate::types::{DIGEST_LEN, DigestKind, Entry, FileInfo, Status, StatusValue};
#[cfg(feature = "write")]
use crate::write_types::{Begun, DeleteKind, Put, Space};

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
    /// Whether no component of `name` that exists is a link, the last one included. Asked for clients whose right is limited to a
    /// directory, which a link could lead out of. NULL: there are no links, or none is followed. Takes CORACLE_RIGHTS.
    pub is_linkless: Option<unsafe extern "C" fn(user: *mut c_void, name: *const c_char) -> bool>,
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
    /// Gives the file `name` the name `to`, durably and atomically; `version` as in `remove`. EXISTS where `to` is taken. NULL in
    /// place of this callback: nothing is renamed. Takes CORACLE_MANAGE, as all that follow.
    pub rename: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            name: *const c_char,
            to: *const c_char,
            version: *const c_char,
        ) -> StatusValue,
    >,
    /// Makes the directory `path`, durably; OK where it is one already, EXISTS where it is something else. NULL: none is made.
    pub make_dir: Option<unsafe extern "C" fn(user: *mut c_void, path: *const c_char) -> StatusValue>,
    /// Fills `*space` with how much room there is. NULL: clients are not told.
    pub space: Option<unsafe extern "C" fn(user: *mut c_void, space: *mut Space) -> StatusValue>,
    /// What clients may ask for by `do`: at most 8 words of 1 to 32 characters of `a-z0-9-`, with one space between two, which end with 0
    /// and stay. NULL: nothing.
    pub actions: *const c_char,
    /// Does `action`, one of `actions`. One after which no answer could be sent, such as a restart, is only noted here, and done when
    /// the client's connection has closed.
    pub perform:
        Option<unsafe extern "C" fn(user: *mut c_void, client: *const Client, action: *const c_char) -> StatusValue>,
}

/// The keys of a server whose clients come encrypted.
#[cfg(feature = "channel")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// Stores the server's secret key, CORACLE_KEY_LEN unpredictable bytes that stay the same for as long as the device lives, in `key`;
    /// or returns false. Called by coracle_server_set_keys.
    pub secret: Option<unsafe extern "C" fn(user: *mut c_void, key: *mut u8) -> bool>,
    /// Stores the pre-shared key number `index`, from 0 on, CORACLE_KEY_LEN bytes, in `key`; or returns false where there is none. At most
    /// 4 are asked for, at each handshake, which fails where there are none. NULL: clients need no pre-shared key.
    pub psk: Option<unsafe extern "C" fn(user: *mut c_void, index: usize, key: *mut u8) -> bool>,
    /// Stores CORACLE_KEY_LEN bytes that nobody can predict in `bytes`, others at each call; or returns false, and the handshake fails.
    /// A repetition lets who has recorded two connections read them.
    pub entropy: Option<unsafe extern "C" fn(user: *mut c_void, bytes: *mut u8) -> bool>,
    /// Whether clients without encryption are served, too. Otherwise they are told to encrypt.
    pub serves_plain: bool,
}

/// The structures of C that a server was given.
///
/// One exists only where C has promised to keep them, and that their callbacks do what the header says, which makes the calls
/// sound. A callback that C has taken away since fails.
pub(crate) struct Table {
    store: &'static Store,
    #[cfg(feature = "write")]
    pub(super) writer: Option<&'static Writer>,
    #[cfg(feature = "rights")]
    rights: Option<RightsOf>,
    #[cfg(feature = "channel")]
    pub(super) keys: Option<&'static Keys>,
}

/// What says the rights of a client: `of` of coracle_server_set_rights.
#[cfg(feature = "rights")]
pub(crate) type RightsOf = unsafe extern "C" fn(user: *mut c_void, client: *const Client) -> *const c_char;

/// The callbacks of a server.
#[derive(Clone, Copy)]
pub(crate) struct Callbacks(pub(super) &'static Table);

/// What a callback has opened, to be passed to others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handle(pub(super) *mut c_void);

const FAILED: StatusValue = StatusValue(Status::Io as u8);

impl Table {
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
            #[cfg(feature = "rights")]
            rights: None,
            #[cfg(feature = "channel")]
            keys: None,
        })
    }

    /// Sets what says the rights of clients.
    ///
    /// # Safety
    ///
    /// `of` keeps what coracle_server_set_rights says.
    #[cfg(feature = "rights")]
    pub(super) unsafe fn set_rights(&mut self, of: RightsOf) {
        self.rights = Some(of);
    }

    #[cfg(any(feature = "write", feature = "channel"))]
    pub(super) const fn user(&self) -> *mut c_void {
        self.store.user
    }
}

impl Callbacks {
    pub(crate) const fn of(table: &'static Table) -> Self {
        Self(table)
    }

    pub(crate) fn open(&self, name: FileName<'_>) -> (StatusValue, Handle) {
        let (name, mut file) = (CName::new(name.as_str()), core::ptr::null_mut());
        // SAFETY: as the table says.
        let status =
            self.0.store.open.map_or(FAILED, |open| unsafe { open(self.0.store.user, name.as_ptr(), &raw mut file) });
        (status, Handle(file))
    }

    pub(crate) fn stat(&self, file: Handle, info: &mut FileInfo) -> StatusValue {
        // SAFETY: as the table says.
        self.0.store.stat.map_or(FAILED, |stat| unsafe { stat(self.0.store.user, file.0, info) })
    }

    pub(crate) fn read(&self, file: Handle, offset: u64, buf: &mut [u8]) -> (StatusValue, usize) {
        let Some(read) = self.0.store.read else { return (FAILED, 0) };
        let (mut taken, user) = (0, self.0.store.user);
        // SAFETY: as the table says.
        let status = unsafe { read(user, file.0, offset, buf.as_mut_ptr(), buf.len(), &raw mut taken) };
        (status, taken)
    }

    pub(crate) fn close(&self, file: Handle) {
        if let Some(close) = self.0.store.close {
            // SAFETY: as the table says.
            unsafe { close(self.0.store.user, file.0) }
        }
    }

    pub(crate) fn list(&self, path: Option<FileName<'_>>) -> (StatusValue, Handle) {
        let (name, mut listing) = (path.map(|path| CName::new(path.as_str())), core::ptr::null_mut());
        let name = name.as_ref().map_or(core::ptr::null(), CText::as_ptr);
        // SAFETY: as the table says.
        let status =
            self.0.store.list.map_or(FAILED, |list| unsafe { list(self.0.store.user, name, &raw mut listing) });
        (status, Handle(listing))
    }

    /// The next entry, and its name up to the first 0.
    pub(crate) fn next<'a>(&self, listing: &'a mut Handle, entry: &mut Entry) -> (StatusValue, Option<&'a CStr>) {
        // SAFETY: as the table says.
        let status = self.0.store.next.map_or(FAILED, |next| unsafe { next(self.0.store.user, listing.0, entry) });
        if entry.name.is_null() || status != StatusValue(Status::Ok as u8) {
            return (status, None);
        }
        // SAFETY: not NULL, so text that ends with 0 and stays until the next call of a callback, which takes `listing` again.
        (status, Some(unsafe { CStr::from_ptr(entry.name) }))
    }

    pub(crate) fn end_list(&self, listing: Handle) {
        if let Some(end_list) = self.0.store.end_list {
            // SAFETY: as the table says.
            unsafe { end_list(self.0.store.user, listing.0) }
        }
    }

    pub(crate) fn known_digest(&self, file: Handle, kind: DigestKind) -> Option<[u8; DIGEST_LEN]> {
        let mut digest = [0; DIGEST_LEN];
        let known_digest = self.0.store.known_digest?;
        // SAFETY: as the table says.
        unsafe { known_digest(self.0.store.user, file.0, kind, digest.as_mut_ptr()) }.then_some(digest)
    }

    pub(crate) fn unix_time(&self) -> Option<u64> {
        // SAFETY: as the table says.
        crate::types::known(unsafe { (self.0.store.unix_time?)(self.0.store.user) })
    }

    /// Whether no component of `name` is a link.
    #[cfg(feature = "rights")]
    pub(crate) fn is_linkless(&self, name: FileName<'_>) -> bool {
        let Some(is_linkless) = self.0.store.is_linkless else { return true };
        let name = CName::new(name.as_str());
        // SAFETY: as the table says.
        unsafe { is_linkless(self.0.store.user, name.as_ptr()) }
    }

    /// The rights of `client`, in words; `None` where it is not known.
    #[cfg(feature = "rights")]
    pub(crate) fn rights<'a>(&self, client: &'a Client) -> Option<&'a CStr> {
        let of = self.0.rights?;
        // SAFETY: as the table says.
        let words = unsafe { of(self.0.store.user, client) };
        // SAFETY: NULL, or text that ends with 0 and stays until the next call of a callback, of which there is none for this client.
        (!words.is_null()).then(|| unsafe { CStr::from_ptr(words) })
    }
}
