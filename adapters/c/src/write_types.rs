//! What C sees of writing.

use core::ffi::{c_char, c_void};

use crate::types::{DIGEST_LEN, DigestKind, FileInfo, UNKNOWN};

/// What a file that is put may replace.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// Nothing: the name must be free.
    Nothing = 0,
    /// Whatever has the name, if anything.
    Anything = 1,
    /// Only a file in the version that is given.
    Version = 2,
}

/// A file that a client sends. Name, size and digest are the identity of an upload: after a broken connection the same three
/// continue it. Pointers are valid during the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Put {
    /// The name that the file gets, which ends with 0.
    pub name: *const c_char,
    /// Its length in bytes. Any number: nothing may be reserved by it before it was compared with what there is.
    pub size: u64,
    /// When its contents last changed, as in coracle_file_info.
    pub modified: u64,
    /// `replace` is VERSION: that version, which ends with 0. Empty where it is none that a file could have.
    pub version: *const c_char,
    /// When this connection first asked. Later than the last byte of another connection with the same upload: that one was
    /// silent meanwhile.
    pub asked_ms: u64,
    /// The digest of all its bytes.
    pub digest: [u8; DIGEST_LEN],
    /// Which digest.
    pub digest_kind: DigestKind,
    /// What may be replaced: checked by `begin`, so that nothing is sent in vain, and again by `commit`.
    pub replace: Replace,
    /// Whether missing directories are made.
    pub parents: bool,
    /// Whether `begin` may answer STORED or COMPARE.
    pub may_compare: bool,
}

/// What a file that is put meets in the store.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BegunKind {
    /// The bytes from `have` on are wanted, by `handle`.
    Upload = 0,
    /// The very file is there already: `info`.
    Stored = 1,
    /// A file of the same size is there, open as `handle`: its bytes are to be compared.
    Compare = 2,
}

/// How an upload begins. A callback finds it as UPLOAD from byte 0 on.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    /// One of coracle_begun_kind.
    pub kind: BegunKindValue,
    /// UPLOAD: the upload; COMPARE: an open file.
    pub handle: *mut c_void,
    /// UPLOAD: how many bytes are stored from earlier connections, at most the size.
    pub have: u64,
    /// STORED: what is there.
    pub info: FileInfo,
    /// With CORACLE_STATUS_TOO_LARGE the largest size that is accepted, with CORACLE_STATUS_NO_SPACE how many bytes are free;
    /// CORACLE_UNKNOWN: not known.
    pub limit: u64,
}

/// What a client deletes.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteKind {
    /// A file, and an unfinished upload to its name.
    File = 0,
    /// The unfinished upload to a name, alone.
    Partial = 1,
    /// An empty directory.
    Directory = 2,
}

/// The room of a store, in bytes. A callback finds each as CORACLE_UNKNOWN.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Space {
    /// Used and free together.
    pub total: u64,
    /// Left for new files.
    pub free: u64,
    /// The largest file that is accepted.
    pub max_file: u64,
}

/// The number that C stored in the place of a [`BegunKind`].
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BegunKindValue(pub u8);

impl Begun {
    /// What a callback finds.
    pub(crate) const NOTHING: Self = Self {
        kind: BegunKindValue(BegunKind::Upload as u8),
        handle: core::ptr::null_mut(),
        have: 0,
        info: FileInfo::EMPTY,
        limit: UNKNOWN,
    };
}
