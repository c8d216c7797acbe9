//! Reads responses: from one JSON object to checked values. `client/answer.rs` checks them against the request.

use core::ops::Range;

use crate::client::{Digests, Features, Hello, Listing, Refusal, Violation};
use crate::store::{Entry, EntryKind};
use crate::types::digest::{Digest, DigestKind};
use crate::types::file_name::FileName;
use crate::types::version::Version;
use crate::wire::code::Code;
use crate::wire::escape::{BadEscape, unescape, unescape_eq, unescape_in_place};
#[cfg(any(feature = "wait", feature = "absolute"))]
use crate::wire::follow_response;
use crate::wire::members::{Member, find};
use crate::wire::names::{Names, names};
#[cfg(feature = "write")]
use crate::wire::write_extras;

/// The minimum of a server's `maxRequest`.
const MAX_REQUEST_LEAST: u64 = 512;

/// The members of a `hello` line.
const HELLO: Names<11> = names!([
    "server",
    "name",
    "protocol",
    "maxRequest",
    "chunkSize",
    "idle_ms",
    "request_ms",
    "stall_ms",
    "time",
    "features",
    "digests",
]);
/// The members of a `file` line that do not depend on the digest.
const FILE: Names<10> = names!([
    "fileName",
    "version",
    "digest",
    "fileSize",
    "offset",
    "length",
    "chunkSize",
    "readCnt",
    "lastSize",
    "modified",
]);

/// The `type` of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseKind {
    Hello,
    Entry,
    File,
    End,
    Error,
    #[cfg(feature = "write")]
    Ready,
    #[cfg(feature = "write")]
    Space,
}

/// A `file` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileResponse {
    pub size: u64,
    pub offset: u64,
    pub length: u64,
    pub chunk_size: u64,
    pub version: Version,
    pub modified: Option<u64>,
}

/// An `error` line, decoded in its buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ErrorResponse {
    pub code: Option<Code>,
    word: Range<usize>,
    message: Range<usize>,
    retry_ms: Option<u32>,
    #[cfg(feature = "write")]
    limit: Option<u64>,
    #[cfg(feature = "absolute")]
    first: Option<u64>,
}

impl ErrorResponse {
    /// Its contents; `line` is the line that it was read from.
    pub(crate) fn refusal<'a>(&self, line: &'a [u8]) -> Refusal<'a> {
        Refusal {
            code: self.code,
            word: utf8(line, self.word.clone()),
            text: utf8(line, self.message.clone()),
            retry_ms: self.retry_ms,
            #[cfg(feature = "write")]
            limit: self.limit,
            #[cfg(feature = "absolute")]
            first: self.first,
        }
    }
}

/// The `type` of `line`, which is a whole JSON object as [`Scanner::scan_into`](crate::Scanner) wrote it, like the lines of
/// the functions below.
pub(crate) fn kind(line: &[u8]) -> Result<ResponseKind, Violation> {
    let [word] = find(line, names!(["type"]));
    let word = bytes(line, text(&word)?);
    let kinds = [
        ("hello", ResponseKind::Hello),
        ("entry", ResponseKind::Entry),
        ("file", ResponseKind::File),
        ("end", ResponseKind::End),
        ("error", ResponseKind::Error),
        #[cfg(feature = "write")]
        ("ready", ResponseKind::Ready),
        #[cfg(feature = "write")]
        ("space", ResponseKind::Space),
    ];
    kinds.into_iter().find(|(name, _)| unescape_eq(word, name)).map(|(_, kind)| kind).ok_or(Violation::Type)
}

/// Reads a `hello` line, and decodes its texts in place.
pub(crate) fn hello(line: &mut [u8]) -> Result<Hello<'_>, Violation> {
    let [server, name, protocol, max_request, chunk_size, idle_ms, request_ms, stall_ms, time, features, digests] =
        find(line, HELLO);
    let (server, name) = (text(&server)?, optional(&name, text(&name))?);
    let protocol = number(&protocol, line)?;
    let max_request = number(&max_request, line)?;
    let chunk_size = number(&chunk_size, line)?;
    let idle_ms = number(&idle_ms, line)?;
    let request_ms = number(&request_ms, line)?;
    let stall_ms = number(&stall_ms, line)?;
    let time = optional(&time, number(&time, line))?;
    let features = features.words(line, &["list", "stat", "get"]).ok_or(Violation::Member)?;
    let digests = digests.words(line, &["crc32", "sha256"]).ok_or(Violation::Member)?;
    #[cfg(feature = "write")]
    let (writing, actions) = write_extras::features(line)?;
    #[cfg(any(feature = "wait", feature = "absolute"))]
    let following = follow_response::features(line)?;
    if max_request < MAX_REQUEST_LEAST || chunk_size == 0 {
        return Err(Violation::Limit);
    }
    let server = decode(line, server)?;
    let name = decode(line, name.unwrap_or_default())?;
    Ok(Hello {
        protocol,
        server: utf8(line, server),
        name: utf8(line, name),
        max_request,
        chunk_size,
        idle_ms,
        request_ms,
        stall_ms,
        time,
        features: Features {
            list: features & 1 != 0,
            stat: features & 2 != 0,
            get: features & 4 != 0,
            #[cfg(feature = "wait")]
            wait: following & 1 != 0,
            #[cfg(feature = "absolute")]
            absolute: following & 2 != 0,
            #[cfg(feature = "write")]
            put: writing & 1 != 0,
            #[cfg(feature = "write")]
            delete: writing & 2 != 0,
            #[cfg(feature = "write")]
            rename: writing & 4 != 0,
            #[cfg(feature = "write")]
            make_dir: writing & 8 != 0,
            #[cfg(feature = "write")]
            space: writing & 16 != 0,
            #[cfg(feature = "write")]
            actions: writing & 32 != 0,
        },
        digests: Digests { crc32: digests & 1 != 0, sha256: digests & 2 != 0 },
        #[cfg(feature = "write")]
        actions: crate::client::Actions { list: bytes(line, actions) },
    })
}

/// Reads an `entry` line, and decodes its name in place.
pub(crate) fn entry(line: &mut [u8]) -> Result<Entry<'_>, Violation> {
    let [name, size, modified, directory, link] =
        find(line, names!(["fileName", "fileSize", "modified", "directory", "link"]));
    let name = text(&name)?;
    let size = optional(&size, number(&size, line))?;
    let modified = optional(&modified, number(&modified, line))?;
    let is_directory = optional(&directory, flag(&directory, line))?;
    let is_link = optional(&link, flag(&link, line))?;
    let kind = match (is_directory, size) {
        (Some(true), _) => EntryKind::Directory { link: is_link == Some(true) },
        (_, Some(size)) => EntryKind::File { size, modified },
        (_, None) => return Err(Violation::Member),
    };
    let name = decode(line, name)?;
    let name = FileName::new(utf8(line, name)).map_err(|_| Violation::EntryName)?;
    Ok(Entry::new(name, kind))
}

/// Reads the `end` line of a listing.
pub(crate) fn listing_end(line: &[u8]) -> Result<Listing, Violation> {
    let [count, skipped, unnameable, hidden] = find(line, names!(["count", "skipped", "unnameable", "hidden"]));
    let skipped = optional(&skipped, number(&skipped, line))?.unwrap_or(0);
    let unnameable = optional(&unnameable, number(&unnameable, line))?;
    let hidden = optional(&hidden, number(&hidden, line))?;
    if unnameable.is_some_and(|unnameable| unnameable > skipped) {
        return Err(Violation::Count);
    }
    let listing = Listing::new(number(&count, line)?, skipped);
    Ok(listing.with_unnameable(unnameable).with_hidden(hidden.unwrap_or(0)))
}

/// Reads a `file` line about the file `name`, with a digest of the kind `digest`.
pub(crate) fn file(line: &[u8], name: &str, digest: Option<DigestKind>) -> Result<FileResponse, Violation> {
    let [file_name, version, word, size, offset, length, chunk_size, read_count, last_size, modified] =
        find(line, FILE);
    let (file_name, version, word) = (text(&file_name)?, text(&version)?, optional(&word, text(&word))?);
    let size = number(&size, line)?;
    let offset = number(&offset, line)?;
    let length = number(&length, line)?;
    let chunk_size = number(&chunk_size, line)?;
    let read_count = number(&read_count, line)?;
    let last_size = number(&last_size, line)?;
    let modified = optional(&modified, number(&modified, line))?;
    let is_same = unescape_eq(bytes(line, file_name), name);
    if !is_same {
        return Err(Violation::Name);
    }
    let is_kind = match (digest, word) {
        (kind, Some(word)) => unescape_eq(bytes(line, word), kind.map_or("none", DigestKind::as_str)),
        (kind, None) => kind.is_none(),
    };
    if !is_kind {
        return Err(Violation::DigestKind);
    }
    if !chunks_add_up(length, chunk_size, read_count, last_size) {
        return Err(Violation::Chunks);
    }
    let version = read_version(bytes(line, version))?;
    Ok(FileResponse { size, offset, length, chunk_size, version, modified })
}

/// The version of the file that has the name now, of a `file` line; `None` where it does not tell.
#[cfg(feature = "replaced")]
pub(crate) fn next(line: &[u8]) -> Result<Option<Version>, Violation> {
    let [next] = find(line, names!(["next"]));
    optional(&next, text(&next))?.map(|next| read_version(bytes(line, next))).transpose()
}

/// Reads the digest of the kind `kind` from a `file`, `end` or `error` line; `None` where there is no such member.
pub(crate) fn digest(line: &[u8], kind: DigestKind) -> Result<Option<Digest>, Violation> {
    // The member of the other kind is ignored.
    let [crc32, sha256] = find(line, names!(["crc32", "sha256"]));
    let digits = match kind {
        DigestKind::Crc32 => crc32,
        DigestKind::Sha256 => sha256,
    };
    let digits = optional(&digits, text(&digits))?;
    digits.map(|digits| Digest::from_hex(kind, utf8(line, digits)).ok_or(Violation::Digest)).transpose()
}

/// Reads an `error` line, and decodes its texts in place.
pub(crate) fn refusal(line: &mut [u8]) -> Result<ErrorResponse, Violation> {
    let [word, message, retry_ms] = find(line, names!(["code", "message", "retry_ms"]));
    let told_ms = optional(&retry_ms, number(&retry_ms, line));
    let (word, message) = (text(&word)?, optional(&message, text(&message))?);
    #[cfg(feature = "write")]
    let limit = write_extras::limit(line);
    #[cfg(feature = "absolute")]
    let first = follow_response::first(line);
    let word = decode(line, word)?;
    let message = decode(line, message.unwrap_or_default())?;
    let code = Code::from_word(utf8(line, word.clone()));
    // In the other errors it is a member that this version does not know.
    let retry_ms = match code {
        Some(Code::Busy | Code::ShuttingDown) => told_ms?.map(clamp_retry_ms),
        _ => None,
    };
    Ok(ErrorResponse {
        code,
        word,
        message,
        retry_ms,
        #[cfg(feature = "write")]
        limit: limit.filter(|_| matches!(code, Some(Code::TooLarge | Code::NoSpace))),
        #[cfg(feature = "absolute")]
        first: if code == Some(Code::BadRange) { first? } else { None },
    })
}

fn clamp_retry_ms(told: u64) -> u32 {
    u32::try_from(told).unwrap_or(Refusal::RETRY_MS_MAX).clamp(1, Refusal::RETRY_MS_MAX)
}

/// Whether a body of `length` bytes is `count` chunks of `size` bytes, the last one of `last` bytes. Multiplies, since
/// small processors divide 64 bits slowly.
fn chunks_add_up(length: u64, size: u64, count: u64, last: u64) -> bool {
    match count.checked_sub(1) {
        None => size > 0 && last == 0 && length == 0,
        Some(full) => {
            let total = full.checked_mul(size).and_then(|bytes| bytes.checked_add(last));
            last > 0 && last <= size && total == Some(length)
        }
    }
}

pub(super) fn read_version(raw: &[u8]) -> Result<Version, Violation> {
    let mut text = [0; Version::MAX_LEN];
    let len = unescape(raw, &mut text).map_err(|BadEscape| Violation::Surrogate)?;
    // A version that is too long is empty here, which is invalid as well.
    Version::new(utf8(&text, 0..len)).map_err(|_| Violation::Version)
}

/// The range of the text of `member`, with escapes.
pub(super) fn text(member: &Member) -> Result<Range<usize>, Violation> {
    member.text().ok_or(Violation::Member)
}

pub(super) fn number(member: &Member, line: &[u8]) -> Result<u64, Violation> {
    member.number(line).ok_or(Violation::Member)
}

fn flag(member: &Member, line: &[u8]) -> Result<bool, Violation> {
    member.flag(line).ok_or(Violation::Member)
}

/// The value of an optional member.
pub(super) fn optional<T>(member: &Member, value: Result<T, Violation>) -> Result<Option<T>, Violation> {
    if member.is_missing() { Ok(None) } else { value.map(Some) }
}

/// Decodes the text at `place` in place, and returns the range of the decoded text.
fn decode(line: &mut [u8], place: Range<usize>) -> Result<Range<usize>, Violation> {
    let start = place.start;
    let len = unescape_in_place(line, place).map_err(|BadEscape| Violation::Surrogate)?.len();
    Ok(start..start.saturating_add(len))
}

fn utf8(line: &[u8], place: Range<usize>) -> &str {
    core::str::from_utf8(bytes(line, place)).unwrap_or_default()
}

pub(super) fn bytes(line: &[u8], place: Range<usize>) -> &[u8] {
    line.get(place).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::format;
    use std::string::{String, ToString};
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::{chunks_add_up, entry, hello, refusal};
    use crate::client::Digests;
    use crate::{DigestKind, EntryKind, Scanner};

    /// `line` as a session has it in its buffer.
    fn scanned(line: &str) -> Vec<u8> {
        let mut buf = vec![0; line.len()];
        Scanner::new().scan_into(line.as_bytes(), &mut buf).expect("JSON");
        buf
    }

    /// `text` as a JSON string: as another writer does it, or with every character escaped.
    fn written(text: &str, is_escaped: bool) -> String {
        if !is_escaped {
            return serde_json::to_string(text).expect("JSON");
        }
        let mut units = [0; 2];
        let escapes = text.chars().flat_map(|character| {
            let units = character.encode_utf16(&mut units);
            units.iter().map(|unit| format!("\\u{unit:04X}")).collect::<Vec<_>>()
        });
        format!("\"{}\"", escapes.collect::<String>())
    }

    proptest! {
        #[test]
        fn texts_are_decoded_in_either_order(first in ".{0,40}", second in ".{0,40}", how: [bool; 3]) {
            let [is_swapped, is_first_escaped, is_second_escaped] = how;
            let first_member = written(&first, is_first_escaped);
            let second_member = written(&second, is_second_escaped);
            let both = |first_name: &str, second_name: &str| {
                let members = [format!("\"{first_name}\":{first_member}"), format!("\"{second_name}\":{second_member}")];
                if is_swapped { format!("{},{}", members[1], members[0]) } else { members.join(",") }
            };

            let mut line = format!("{{\"type\":\"error\",{}}}", both("code", "message")).into_bytes();
            let answer = refusal(&mut line).expect("read");
            let said = answer.refusal(&line);
            prop_assert_eq!((said.word, said.text), (first.as_str(), second.as_str()));

            let numbers = r#""protocol":1,"maxRequest":512,"chunkSize":1,"idle_ms":0,"request_ms":0,"stall_ms":0"#;
            let rest = format!(r#"{numbers},"features":["list"],"digests":["sha256"]"#);
            let line = format!("{{{rest},{}}}", both("server", "name"));
            let mut line = scanned(&line);
            let read = hello(&mut line).expect("read");
            prop_assert_eq!((read.server, read.name), (first.as_str(), second.as_str()));
        }

        /// What another writer says of an entry is what is read, whatever is the order and the spelling.
        #[test]
        fn entries_are_read_as_they_were_written(text in "\\PC{1,40}", size: u64, modified: Option<u64>, is_escaped: bool) {
            let Ok(name) = crate::FileName::new(&text) else { return Ok(()) };
            let mut line = serde_json::json!({ "type": "entry", "fileSize": size });
            if let Some(modified) = modified {
                line["modified"] = modified.into();
            }
            let line = line.to_string().replacen('{', &format!("{{\"fileName\":{},", written(&text, is_escaped)), 1);
            let mut line = line.into_bytes();
            let read = entry(&mut line).expect("read");
            prop_assert_eq!((read.name, read.kind), (name, EntryKind::File { size, modified }));
        }

        #[test]
        fn chunks_add_up_as_division_says(length in 0_u64..5_000, size in 1_u64..600) {
            let (count, last) = if length == 0 { (0, 0) } else { (length.div_ceil(size), (length - 1) % size + 1) };
            prop_assert!(chunks_add_up(length, size, count, last));
        }
    }

    /// A body is cut into chunks in one way, and into chunks of no byte in none.
    #[test]
    fn nothing_else_adds_up() {
        let cut = |length: u64, size: u64| {
            let body: std::vec::Vec<u64> = (0..length).collect();
            let chunks = body.chunks(usize::try_from(size).expect("short"));
            (chunks.len() as u64, chunks.last().map_or(0, |last| last.len() as u64))
        };
        for length in 0..8 {
            for (count, last) in (0..9).flat_map(|count| (0..9).map(move |last| (count, last))) {
                assert!(!chunks_add_up(length, 0, count, last), "{length} {count} {last}");
                for size in 1..9 {
                    let is_right = (count, last) == cut(length, size);
                    assert_eq!(chunks_add_up(length, size, count, last), is_right, "{length} {size} {count} {last}");
                }
            }
        }
        // Nor where the product has more than 64 bits.
        assert!(chunks_add_up(u64::MAX, 1 << 63, 2, (1 << 63) - 1));
        assert!(!chunks_add_up(1, 1 << 63, 3, 1));
        assert!(!chunks_add_up(0, u64::MAX, 2, 1));
    }

    /// Each word alone is what it says, in whatever order the words come.
    #[test]
    fn a_hello_has_the_words_that_it_names() {
        let told = |features: &str, digests: &str| {
            let numbers = r#""protocol":1,"maxRequest":512,"chunkSize":1,"idle_ms":0,"request_ms":0,"stall_ms":0"#;
            let line = format!(r#"{{"server":"",{numbers},"features":[{features}],"digests":[{digests}]}}"#);
            let mut line = scanned(&line);
            let hello = hello(&mut line).expect("read");
            (
                [hello.features.list, hello.features.stat, hello.features.get],
                [hello.digests.crc32, hello.digests.sha256],
            )
        };
        assert_eq!(told("", ""), ([false; 3], [false; 2]));
        assert_eq!(told(r#""list""#, r#""crc32""#), ([true, false, false], [true, false]));
        assert_eq!(told(r#""stat""#, r#""sha256""#), ([false, true, false], [false, true]));
        assert_eq!(told(r#""get","x""#, r#""x""#), ([false, false, true], [false; 2]));
        assert_eq!(told(r#""get","stat","list""#, r#""sha256","crc32""#), ([true; 3], [true; 2]));
    }

    #[test]
    fn words_of_a_hello() {
        let digests = Digests { crc32: true, sha256: false };
        assert!(digests.has(DigestKind::Crc32) && !digests.has(DigestKind::Sha256));
    }
}
