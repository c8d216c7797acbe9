//! Reads the requests that write: `put`, `delete`, `rename`, `makeDir`, `space`, `do` and `sync`.

use super::request_kinds::RequestKind;
use super::request_reader::{FILE_NAME, PATH, ParsedRequest, Refusal, RequestMembers};
use crate::types::digest::DigestKind;
use crate::types::file_name::FileName;
use crate::wire::message::Message;

/// How the names of unfinished uploads begin.
const RESERVED: &[u8; 9] = b".coracle-";

impl RequestKind {
    /// Whether it is read here.
    pub(crate) const fn writes(self) -> bool {
        match self {
            Self::Put | Self::Delete => true,
            #[cfg(feature = "manage")]
            Self::Rename | Self::MakeDir | Self::Space | Self::Do => true,
            #[cfg(feature = "sync")]
            Self::Sync => true,
            _ => false,
        }
    }
}

const FILE_SIZE: usize = 8;
const CRC32: usize = 9;
const SHA256: usize = 10;
const PARENTS: usize = 11;
const MODIFIED: usize = 12;
const PARTIAL: usize = 13;
#[cfg(feature = "sync")]
const DEFERRED: usize = 16;

impl ParsedRequest {
    /// Reads what a `delete` says of its file. Exactly one of a path and a name may be there.
    pub(super) fn read_delete(&mut self, members: &mut RequestMembers<'_>) {
        self.write.partial = members.flag(PARTIAL);
        self.write.is_directory = members.has(PATH);
        if self.write.is_directory && members.has(FILE_NAME) {
            members.set_fault(FILE_NAME);
        }
    }

    /// Reads what a `put` says of its file, and returns whether this build can compute its digest.
    pub(super) fn read_put(&mut self, members: &mut RequestMembers<'_>) -> bool {
        self.write.parents = members.flag(PARENTS);
        #[cfg(feature = "sync")]
        {
            self.write.deferred = members.flag(DEFERRED);
        }
        self.write.is_dated = members.has(MODIFIED);
        self.digest_from = members.number(MODIFIED, 0);
        self.length = members.number(FILE_SIZE, 0);
        if !members.has(FILE_SIZE) {
            members.set_fault(FILE_SIZE);
        }
        let (index, kind) = if members.has(CRC32) { (CRC32, DigestKind::Crc32) } else { (SHA256, DigestKind::Sha256) };
        self.digest = Some(kind);
        let is_read = match members.decode(index) {
            Some(digits) if kind.is_supported() => self.put_digest.read(kind, digits).is_some(),
            // Whatever it is, it cannot be computed.
            digits => digits.is_some(),
        };
        if !is_read {
            members.set_fault(index);
        }
        if index == CRC32 && members.has(SHA256) {
            members.set_fault(SHA256);
        }
        kind.is_supported()
    }

    /// Refuses the names that uploads have before they are complete.
    pub(super) fn check_reserved(buf: &[u8], len: usize) -> Result<(), Refusal> {
        if is_reserved(buf.get(..len).unwrap_or_default()) {
            return Err(Refusal::bad_name(Message::NameReserved));
        }
        Ok(())
    }
}

impl FileName<'_> {
    /// Whether a component begins with `.coracle-`: the names that unfinished uploads have in a directory, and that no client
    /// can ask for.
    #[must_use]
    pub fn is_reserved(self) -> bool {
        is_reserved(self.as_str().as_bytes())
    }
}

fn is_reserved(name: &[u8]) -> bool {
    let (mut rest, mut before) = (name, b'/');
    while before != b'/' || !rest.starts_with(RESERVED) {
        let Some((byte, tail)) = rest.split_first() else { return false };
        (rest, before) = (tail, *byte);
    }
    true
}
