//! Reads requests: from one JSON object to a checked request.

use core::ops::Range;

#[cfg(feature = "write")]
use crate::types::digest::Digest;
use crate::types::digest::DigestKind;
use crate::types::file_name::{FileName, NameError};
use crate::types::version::Version;
use crate::wire::code::Code;
use crate::wire::escape::{BadEscape, unescape_in_place, unescape_to_front};
use crate::wire::members::{Member, find};
use crate::wire::message::Message;
use crate::wire::names::{Names, names};
use crate::wire::request_kinds::RequestKind;
#[cfg(feature = "write")]
use crate::wire::request_kinds::RequestKinds;
#[cfg(feature = "write")]
use crate::wire::write_members::WriteMembers;

/// A checked request. The decoded file name is at the front of the buffer that contained the request.
#[derive(Clone, Debug)]
#[cfg_attr(any(feature = "write", feature = "classic"), repr(C))]
pub(crate) struct ParsedRequest {
    pub kind: RequestKind,
    pub digest: Option<DigestKind>,
    /// Whether the request names a version.
    pub is_versioned: bool,
    /// Whether offsets count from the beginning of a log that may have dropped its head.
    #[cfg(feature = "absolute")]
    pub is_absolute: bool,
    #[cfg(feature = "write")]
    pub write: WriteMembers,
    /// Length of the decoded name in bytes; 0 for none (`hello`, the root's listing).
    pub name_len: usize,
    /// Length of that version; more than `version` has room for where no file can have it.
    pub version_len: usize,
    pub offset: u64,
    /// [`u64::MAX`] where none was requested: to the end of the file.
    pub length: u64,
    pub digest_from: u64,
    /// How long to wait at the end of the file, in milliseconds.
    #[cfg(feature = "wait")]
    pub wait_ms: u32,
    pub version: [u8; Version::MAX_LEN],
    #[cfg(feature = "classic")]
    pub is_classic: bool,
    /// The digest of a `put`.
    #[cfg(feature = "write")]
    pub put_digest: Digest,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub code: Code,
    pub message: Message,
    /// Index in [`NAMES`] of the member at fault; out of range if the message names none.
    member: u8,
}

impl Refusal {
    /// A name that breaks a rule.
    #[cfg(feature = "write")]
    pub(super) const fn bad_name(message: Message) -> Self {
        Self { code: Code::BadName, message, member: u8::MAX }
    }

    const UNKNOWN_TYPE: Self = Self { code: Code::UnknownType, message: Message::Type, member: u8::MAX };
    pub(super) const UNSUPPORTED_DIGEST: Self =
        Self { code: Code::Unsupported, message: Message::Digest, member: u8::MAX };

    pub(super) fn member(index: usize) -> Self {
        Self { code: Code::BadRequest, message: Message::Member, member: u8::try_from(index).unwrap_or(u8::MAX) }
    }

    /// The name of the member at fault; empty if the message names none.
    pub(crate) fn name(self) -> &'static [u8] {
        NAMES.get(self.member.into())
    }
}

impl ParsedRequest {
    pub(crate) const fn new() -> Self {
        Self {
            kind: RequestKind::Hello,
            name_len: 0,
            offset: 0,
            length: u64::MAX,
            digest_from: 0,
            digest: None,
            #[cfg(feature = "wait")]
            wait_ms: 0,
            #[cfg(feature = "absolute")]
            is_absolute: false,
            is_versioned: false,
            version_len: 0,
            version: [0; Version::MAX_LEN],
            #[cfg(feature = "classic")]
            is_classic: false,
            #[cfg(feature = "write")]
            write: WriteMembers::new(),
            #[cfg(feature = "write")]
            put_digest: Digest::Crc32(0),
        }
    }

    /// Forgets the earlier request, except for the bytes of what this one has none of: its version and its digest.
    #[cfg(feature = "write")]
    fn clear(&mut self) {
        self.kind = RequestKind::Hello;
        self.name_len = 0;
        self.offset = 0;
        self.length = u64::MAX;
        self.digest_from = 0;
        self.digest = None;
        #[cfg(feature = "wait")]
        {
            self.wait_ms = 0;
        }
        #[cfg(feature = "absolute")]
        {
            self.is_absolute = false;
        }
        self.is_versioned = false;
        self.version_len = 0;
        #[cfg(feature = "classic")]
        {
            self.is_classic = false;
        }
        self.write = WriteMembers::new();
    }

    /// Reads the request that is the first `len` bytes of `buf`: one JSON object, as [`Scanner::scan_into`](crate::Scanner)
    /// wrote it.
    ///
    /// # Errors
    ///
    /// The first error, in the protocol's order of checks. What was read before it stays.
    pub(crate) fn read(
        &mut self,
        buf: &mut [u8],
        len: usize,
        #[cfg(feature = "classic")] allows_classic: bool,
        #[cfg(feature = "absolute")] allows_absolute: bool,
        #[cfg(feature = "write")] offered: RequestKinds,
    ) -> Result<(), Refusal> {
        // In place where there is more to clear.
        #[cfg(feature = "write")]
        self.clear();
        #[cfg(not(feature = "write"))]
        {
            *self = Self::new();
        }
        let object = buf.get_mut(..len).unwrap_or_default();
        let members = find(object, NAMES);
        let mut members = RequestMembers { members: &members, object, fault: NO_FAULT };
        self.read_type(
            &mut members,
            #[cfg(feature = "classic")]
            allows_classic,
            #[cfg(feature = "write")]
            offered,
        )?;
        if self.kind == RequestKind::Get {
            self.read_range(&mut members);
        }
        if self.kind.has_version() {
            self.read_version(&mut members);
        }
        #[cfg(not(feature = "write"))]
        let is_supported = self.read_digest(&mut members);
        #[cfg(feature = "write")]
        let is_supported = match self.kind {
            RequestKind::Put => self.read_put(&mut members),
            RequestKind::Delete => {
                self.read_delete(&mut members);
                true
            }
            _ => self.read_digest(&mut members),
        };
        #[cfg(feature = "absolute")]
        let is_supported = (!allows_absolute || self.read_absolute(&mut members)) && is_supported;
        #[cfg(feature = "manage")]
        let to = self.read_to(&mut members);
        let name = match self.kind {
            RequestKind::Hello => return Ok(()),
            #[cfg(feature = "classic")]
            RequestKind::List if self.is_classic => return Ok(()),
            RequestKind::List => PATH,
            #[cfg(feature = "write")]
            RequestKind::Delete if self.write.is_directory => PATH,
            #[cfg(feature = "manage")]
            kind if kind.managed_member().is_some() => kind.managed_member().unwrap_or(FILE_NAME),
            _ => FILE_NAME,
        };
        let text = members.text(name);
        #[cfg(not(feature = "write"))]
        let is_required = name == FILE_NAME;
        #[cfg(feature = "write")]
        let is_required = self.kind != RequestKind::List;
        if text.is_none() && is_required {
            members.set_fault(name);
        }
        let fault = members.fault;
        if fault < NO_FAULT {
            return Err(Refusal::member(fault));
        }
        #[cfg(feature = "manage")]
        if self.kind == RequestKind::Rename || name > FILE_NAME {
            return self.decode_managed(buf, name, text.unwrap_or_default(), to);
        }
        self.name_len = unescape_to_front(buf, text.unwrap_or_default()).map_err(|BadEscape| Refusal::member(name))?;
        if !is_supported {
            return Err(Refusal::UNSUPPORTED_DIGEST);
        }
        if let (true, Err(error)) = (name == FILE_NAME || self.name_len > 0, decoded_name(buf, self.name_len)) {
            // The classic response to a select does not repeat an invalid name.
            #[cfg(feature = "classic")]
            if self.is_classic {
                self.name_len = 0;
                return Ok(());
            }
            return Err(Refusal { code: Code::BadName, message: error.message(), member: u8::MAX });
        }
        #[cfg(feature = "write")]
        if offered != RequestKinds::READING {
            Self::check_reserved(buf, self.name_len)?;
        }
        Ok(())
    }

    /// Reads which exchange it begins.
    fn read_type(
        &mut self,
        members: &mut RequestMembers<'_>,
        #[cfg(feature = "classic")] allows_classic: bool,
        #[cfg(feature = "write")] offered: RequestKinds,
    ) -> Result<(), Refusal> {
        let member = &members.members[TYPE];
        if let Some(text) = member.text() {
            let word = unescape_in_place(members.object, text).unwrap_or_default();
            for kind in RequestKind::ALL {
                #[cfg(feature = "write")]
                if !offered.has(*kind) {
                    continue;
                }
                if word == kind.as_str().as_bytes() {
                    self.kind = *kind;
                    return Ok(());
                }
            }
            return Err(Refusal::UNKNOWN_TYPE);
        }
        match member.number(members.object) {
            #[cfg(feature = "classic")]
            Some(1) if allows_classic => {
                (self.kind, self.is_classic) = (RequestKind::List, true);
                Ok(())
            }
            #[cfg(feature = "classic")]
            Some(2) if allows_classic => {
                (self.kind, self.is_classic) = (RequestKind::Select, true);
                Ok(())
            }
            Some(_) => Err(Refusal::UNKNOWN_TYPE),
            None => Err(Refusal::member(TYPE)),
        }
    }

    /// Reads what a `get` asks for of the file.
    fn read_range(&mut self, members: &mut RequestMembers<'_>) {
        self.offset = members.number(OFFSET, 0);
        self.length = members.number(LENGTH, u64::MAX);
        self.digest_from = members.number(DIGEST_FROM, self.offset);
        self.digest = Some(DigestKind::Crc32);
        #[cfg(feature = "wait")]
        self.read_wait(members);
    }

    /// Reads the version that the file has to have.
    fn read_version(&mut self, members: &mut RequestMembers<'_>) {
        if let Some(version) = members.decode(VERSION) {
            self.is_versioned = true;
            self.version_len = version.len();
            if let Some(place) = self.version.get_mut(..version.len()) {
                place.copy_from_slice(version);
            }
        }
    }

    /// Reads the kind of digest, and returns whether this build supports it.
    fn read_digest(&mut self, members: &mut RequestMembers<'_>) -> bool {
        let has_digest = matches!(self.kind, RequestKind::Get | RequestKind::Stat);
        let Some(word) = has_digest.then(|| members.decode(DIGEST)).flatten() else { return true };
        for kind in DigestKind::SUPPORTED {
            if word == kind.as_str().as_bytes() {
                self.digest = Some(*kind);
                return true;
            }
        }
        self.digest = None;
        word == b"none"
    }
}

/// The name that [`ParsedRequest::read`] has checked and left at the front of `buf`; `None` where there was none.
#[cfg_attr(feature = "wait", inline(never))]
pub(crate) fn known_name(buf: &[u8], name_len: usize) -> Option<FileName<'_>> {
    let name = text(buf, name_len);
    (!name.is_empty()).then(|| FileName::known(name))
}

/// Checks the name at the front of `buf`.
pub(super) fn decoded_name(buf: &[u8], name_len: usize) -> Result<FileName<'_>, NameError> {
    let name = text(buf, name_len);
    FileName::new(name)
}

pub(crate) fn text(buf: &[u8], len: usize) -> &str {
    buf.get(..len).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or_default()
}

/// How many members are read here, by `write_request` and by `manage_request`.
pub(super) const BEFORE_WAIT: usize = if cfg!(feature = "sync") {
    17
} else if cfg!(feature = "manage") {
    16
} else if cfg!(feature = "write") {
    14
} else {
    8
};

/// The names of the members of requests, and the index of each.
pub(super) const NAMES: Names<NO_FAULT> = names!([
    "type",
    "path",
    "fileName",
    "version",
    "digest",
    "offset",
    "length",
    "digestFrom",
    #[cfg(feature = "write")]
    "fileSize",
    #[cfg(feature = "write")]
    "crc32",
    #[cfg(feature = "write")]
    "sha256",
    #[cfg(feature = "write")]
    "parents",
    #[cfg(feature = "write")]
    "modified",
    #[cfg(feature = "write")]
    "partial",
    #[cfg(feature = "manage")]
    "to",
    #[cfg(feature = "manage")]
    "action",
    #[cfg(feature = "sync")]
    "deferred",
    #[cfg(feature = "wait")]
    "wait_ms",
    #[cfg(feature = "absolute")]
    "absolute",
]);
const TYPE: usize = 0;
pub(super) const PATH: usize = 1;
pub(super) const FILE_NAME: usize = 2;
const VERSION: usize = 3;
const DIGEST: usize = 4;
const OFFSET: usize = 5;
const LENGTH: usize = 6;
const DIGEST_FROM: usize = 7;

/// [`RequestMembers::fault`] of a good request.
pub(super) const NO_FAULT: usize = BEFORE_WAIT + cfg!(feature = "wait") as usize + cfg!(feature = "absolute") as usize;

/// The members of a request.
pub(super) struct RequestMembers<'b> {
    object: &'b mut [u8],
    members: &'b [Member; NO_FAULT],
    /// Index of the first one that is duplicated or of a wrong type.
    pub(super) fault: usize,
}

impl RequestMembers<'_> {
    /// The value of a number; `default` if it is missing or at fault.
    pub(super) fn number(&mut self, index: usize, default: u64) -> u64 {
        let Some(member) = self.members.get(index).filter(|member| !member.is_missing()) else { return default };
        let number = member.number(self.object);
        if number.is_none() {
            self.set_fault(index);
        }
        number.unwrap_or(default)
    }

    /// The range of a string, still escaped; `None` if it is missing or at fault.
    pub(super) fn text(&mut self, index: usize) -> Option<Range<usize>> {
        let member = self.members.get(index).filter(|member| !member.is_missing())?;
        let text = member.text();
        if text.is_none() {
            self.set_fault(index);
        }
        text
    }

    /// The value of a string, decoded in place; `None` if it is missing or at fault.
    pub(super) fn decode(&mut self, index: usize) -> Option<&[u8]> {
        let text = self.text(index)?;
        let decoded = unescape_in_place(self.object, text).ok();
        if decoded.is_none() {
            self.fault = self.fault.min(index);
        }
        decoded
    }

    /// The value of a boolean; false if it is missing or at fault.
    #[cfg(any(feature = "write", feature = "absolute"))]
    #[cfg_attr(feature = "write", inline(never))]
    pub(super) fn flag(&mut self, index: usize) -> bool {
        let Some(member) = self.members.get(index) else { return false };
        let flag = member.flag(self.object);
        if flag.is_none() && !member.is_missing() {
            self.set_fault(index);
        }
        flag.unwrap_or(false)
    }

    /// Whether the member is there, of whatever type.
    #[cfg(feature = "write")]
    pub(super) fn has(&self, index: usize) -> bool {
        self.members.get(index).is_some_and(|member| !member.is_missing())
    }

    pub(super) fn set_fault(&mut self, index: usize) {
        self.fault = self.fault.min(index);
    }
}
