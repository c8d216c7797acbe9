//! Reads the responses to requests that write.

use super::response_reader::{bytes, digest, number, optional, read_version, text};
use crate::client::Violation;
use crate::store::Space;
use crate::types::digest::{Digest, DigestKind};
use crate::types::version::Version;
use crate::wire::escape::unescape_eq;
use crate::wire::members::find;
use crate::wire::names::names;

/// A `ready` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadyResponse {
    pub size: u64,
    pub offset: u64,
    pub length: u64,
}

/// Reads a `ready` line about the file `name`.
pub(crate) fn ready(line: &[u8], name: &str) -> Result<ReadyResponse, Violation> {
    let [file_name, size, offset, length, chunk_size] =
        find(line, names!(["fileName", "fileSize", "offset", "length", "chunkSize"]));
    let file_name = text(&file_name)?;
    let size = number(&size, line)?;
    let offset = number(&offset, line)?;
    let length = number(&length, line)?;
    if number(&chunk_size, line)? == 0 {
        return Err(Violation::Limit);
    }
    if !unescape_eq(bytes(line, file_name), name) {
        return Err(Violation::Name);
    }
    Ok(ReadyResponse { size, offset, length })
}

/// Reads the `end` line of a `put` of the file `name`, with a digest of the kind `kind`. One that is durable later has no version.
pub(crate) fn stored(line: &[u8], name: &str, kind: DigestKind) -> Result<(Option<Version>, Digest), Violation> {
    let [file_name, version] = find(line, names!(["fileName", "version"]));
    let file_name = text(&file_name)?;
    let version = optional(&version, text(&version))?;
    if !unescape_eq(bytes(line, file_name), name) {
        return Err(Violation::Name);
    }
    let version = version.map(|version| read_version(bytes(line, version))).transpose()?;
    Ok((version, digest(line, kind)?.ok_or(Violation::Digest)?))
}

/// Reads a `space` line.
pub(crate) fn space(line: &[u8]) -> Result<Space, Violation> {
    let [total, free, max_file] = find(line, names!(["total", "free", "maxFile"]));
    let total = optional(&total, number(&total, line))?;
    let free = optional(&free, number(&free, line))?;
    let max_file = optional(&max_file, number(&max_file, line))?;
    Ok(Space::new().with_total(total).with_free(free).with_max_file(max_file))
}
