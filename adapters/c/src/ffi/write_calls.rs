//! The calls of a writer's callbacks.

#[cfg(feature = "manage")]
use core::ffi::CStr;

#[cfg(feature = "manage")]
use coracle_core::ActionWords;
use coracle_core::Delete;

use super::callbacks::{Callbacks, Handle, Table, Writer};
#[cfg(feature = "manage")]
use crate::client_types::Client;
#[cfg(feature = "manage")]
use crate::text::CAction;
use crate::text::{CName, CText, CVersion};
use crate::types::{FileInfo, Status, StatusValue};
#[cfg(feature = "manage")]
use crate::write_types::Space;
use crate::write_types::{Begun, DeleteKind, Put};

const UNSUPPORTED: StatusValue = StatusValue(Status::Unsupported as u8);

impl Table {
    /// Adds those of `writer`; returns whether none is missing.
    ///
    /// # Safety
    ///
    /// `writer` keeps what its words say.
    pub(super) unsafe fn set_writer(&mut self, writer: &'static Writer) -> bool {
        let bytes = writer.begin.is_some() && writer.write.is_some() && writer.read_back.is_some();
        let ends = writer.commit.is_some() && writer.keep.is_some() && writer.discard.is_some();
        let actions = writer.actions.is_null() || writer.perform.is_some();
        let is_whole = bytes && ends && actions;
        if is_whole {
            self.writer = Some(writer);
        }
        is_whole
    }
}

/// The actions of `writer`; `None` where they are no such words.
///
/// # Safety
///
/// `writer` keeps what its words say.
#[cfg(feature = "manage")]
pub(super) unsafe fn actions_of(writer: &'static Writer) -> Option<ActionWords<'static>> {
    if writer.actions.is_null() {
        return Some(ActionWords::NONE);
    }
    // SAFETY: not NULL, so text that ends with 0 and stays, by the caller's promise.
    ActionWords::new(unsafe { CStr::from_ptr(writer.actions) }.to_str().ok()?).ok()
}

impl Callbacks {
    pub(crate) fn begin(&self, put: &Put, begun: &mut Begun, now_ms: u64) -> StatusValue {
        let Some(begin) = self.writer().and_then(|writer| writer.begin) else { return UNSUPPORTED };
        // SAFETY: as the table says.
        unsafe { begin(self.0.user(), put, begun, now_ms) }
    }

    pub(crate) fn write(&self, upload: Handle, offset: u64, bytes: &[u8], now_ms: u64) -> (StatusValue, usize) {
        let Some(write) = self.writer().and_then(|writer| writer.write) else { return (UNSUPPORTED, 0) };
        let (mut taken, user) = (0, self.0.user());
        // SAFETY: as the table says.
        let status = unsafe { write(user, upload.0, offset, bytes.as_ptr(), bytes.len(), &raw mut taken, now_ms) };
        (status, taken)
    }

    pub(crate) fn read_back(&self, upload: Handle, offset: u64, buf: &mut [u8], now_ms: u64) -> (StatusValue, usize) {
        let Some(read_back) = self.writer().and_then(|writer| writer.read_back) else { return (UNSUPPORTED, 0) };
        let (mut taken, user) = (0, self.0.user());
        // SAFETY: as the table says.
        let status = unsafe { read_back(user, upload.0, offset, buf.as_mut_ptr(), buf.len(), &raw mut taken, now_ms) };
        (status, taken)
    }

    pub(crate) fn commit(&self, upload: Handle, put: &Put, info: &mut FileInfo, now_ms: u64) -> StatusValue {
        let Some(commit) = self.writer().and_then(|writer| writer.commit) else { return UNSUPPORTED };
        // SAFETY: as the table says.
        unsafe { commit(self.0.user(), upload.0, put, info, now_ms) }
    }

    pub(crate) fn keep(&self, upload: Handle) {
        if let Some(keep) = self.writer().and_then(|writer| writer.keep) {
            // SAFETY: as the table says.
            unsafe { keep(self.0.user(), upload.0) }
        }
    }

    pub(crate) fn discard(&self, upload: Handle) {
        if let Some(discard) = self.writer().and_then(|writer| writer.discard) {
            // SAFETY: as the table says.
            unsafe { discard(self.0.user(), upload.0) }
        }
    }

    pub(crate) fn reads_back(&self) -> bool {
        self.writer().is_none_or(|writer| writer.reads_back)
    }

    pub(crate) fn remove(&self, delete: &Delete<'_>) -> StatusValue {
        let Some(remove) = self.writer().and_then(|writer| writer.remove) else { return UNSUPPORTED };
        let (kind, version) = match delete {
            Delete::File { version, .. } => (DeleteKind::File, *version),
            Delete::Partial { .. } => (DeleteKind::Partial, None),
            Delete::Directory { .. } => (DeleteKind::Directory, None),
            // What a newer core may delete.
            _ => return UNSUPPORTED,
        };
        let (name, version) = (CName::new(delete.name().as_str()), version.map(CVersion::new));
        let version = version.as_ref().map_or(core::ptr::null(), CText::as_ptr);
        // SAFETY: as the table says.
        unsafe { remove(self.0.user(), name.as_ptr(), kind, version) }
    }

    #[cfg(feature = "manage")]
    pub(crate) fn rename(&self, name: &str, to: &str, version: Option<&str>) -> StatusValue {
        let Some(rename) = self.writer().and_then(|writer| writer.rename) else { return UNSUPPORTED };
        let (name, to, version) = (CName::new(name), CName::new(to), version.map(CVersion::new));
        let version = version.as_ref().map_or(core::ptr::null(), CText::as_ptr);
        // SAFETY: as the table says.
        unsafe { rename(self.0.user(), name.as_ptr(), to.as_ptr(), version) }
    }

    #[cfg(feature = "manage")]
    pub(crate) fn make_dir(&self, path: &str) -> StatusValue {
        let Some(make_dir) = self.writer().and_then(|writer| writer.make_dir) else { return UNSUPPORTED };
        let path = CName::new(path);
        // SAFETY: as the table says.
        unsafe { make_dir(self.0.user(), path.as_ptr()) }
    }

    #[cfg(feature = "manage")]
    pub(crate) fn space(&self, room: &mut Space) -> StatusValue {
        let Some(space) = self.writer().and_then(|writer| writer.space) else { return UNSUPPORTED };
        // SAFETY: as the table says.
        unsafe { space(self.0.user(), room) }
    }

    #[cfg(feature = "manage")]
    pub(crate) fn perform(&self, client: &Client, action: &str) -> StatusValue {
        let Some(perform) = self.writer().and_then(|writer| writer.perform) else { return UNSUPPORTED };
        let action = CAction::new(action);
        // SAFETY: as the table says.
        unsafe { perform(self.0.user(), client, action.as_ptr()) }
    }

    fn writer(&self) -> Option<&'static Writer> {
        self.0.writer
    }
}

impl Handle {
    /// What a callback has put in `begin`.
    pub(crate) const fn of(begun: &Begun) -> Self {
        Self(begun.handle)
    }
}
