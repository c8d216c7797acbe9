//! Writes a client's requests that write.

use serde::Serialize;

use super::json;
use crate::client::WriteRequest;
use crate::store::{Delete, Put, Replace};
use crate::types::digest::DigestKind;

/// Writes `request` as compact JSON, and returns its length; `None` where `buf` is too short.
pub(crate) fn write(request: &WriteRequest<'_>, buf: &mut [u8]) -> Option<usize> {
    let line = match request {
        WriteRequest::Put(put) => return write_put(put, buf),
        WriteRequest::Delete(Delete::Directory { path }) => Line { path: Some(path.as_str()), ..Line::new("delete") },
        WriteRequest::Delete(Delete::Partial { name }) => {
            Line { file_name: Some(name.as_str()), partial: true, ..Line::new("delete") }
        }
        WriteRequest::Delete(Delete::File { name, version }) => {
            Line { file_name: Some(name.as_str()), version: *version, ..Line::new("delete") }
        }
        WriteRequest::Rename(rename) => Line {
            file_name: Some(rename.name.as_str()),
            to: Some(rename.to.as_str()),
            version: rename.version,
            ..Line::new("rename")
        },
        WriteRequest::MakeDir { path } => Line { path: Some(path.as_str()), ..Line::new("makeDir") },
        WriteRequest::Space => Line::new("space"),
        #[cfg(feature = "sync")]
        WriteRequest::Sync => Line::new("sync"),
        WriteRequest::Do { action } => Line { action: Some(action), ..Line::new("do") },
    };
    json::write(&line, buf)
}

fn write_put(put: &Put<'_>, buf: &mut [u8]) -> Option<usize> {
    let hex = put.digest.to_hex();
    let digest = Some(hex.as_str());
    let is_crc32 = put.digest.kind() == DigestKind::Crc32;
    let line = PutLine {
        kind: "put",
        file_name: put.name.as_str(),
        file_size: put.size,
        crc32: digest.filter(|_| is_crc32),
        sha256: digest.filter(|_| !is_crc32),
        version: match put.replace {
            Replace::Nothing => None,
            Replace::Anything => Some("*"),
            Replace::Version(version) => Some(version),
        },
        parents: put.parents,
        modified: put.modified,
        #[cfg(feature = "sync")]
        deferred: put.deferred,
    };
    json::write(&line, buf)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PutLine<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    file_name: &'a str,
    file_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    crc32: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    parents: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<u64>,
    #[cfg(feature = "sync")]
    #[serde(skip_serializing_if = "is_false")]
    deferred: bool,
}

/// Every other request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    partial: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a str>,
}

impl Line<'_> {
    const fn new(kind: &'static str) -> Self {
        Self { kind, file_name: None, path: None, to: None, version: None, partial: false, action: None }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::String;

    use super::{Delete, Put, Replace, WriteRequest, write};
    use crate::{Digest, FileName, Rename};

    fn written(request: &WriteRequest<'_>) -> String {
        let mut buf = [0; 1_024];
        let len = write(request, &mut buf).expect("it fits");
        String::from_utf8(buf[..len].to_vec()).expect("UTF-8")
    }

    #[test]
    fn writes_what_is_asked_and_no_defaults() {
        let (name, to) = (FileName::from_static("d/a \"b\""), FileName::from_static("c"));
        let put = Put::new(name, 10, Digest::Crc32(0xa6));
        let sha256 = Put::new(name, u64::MAX, Digest::Sha256([0xab; 32]));
        let (start, end) =
            (r#"{"type":"put","fileName":"d/a \"b\"","fileSize":10,"crc32":"000000a6""#, "ab".repeat(32));
        for (request, line) in [
            (WriteRequest::Put(put), std::format!("{start}}}")),
            (
                WriteRequest::Put(put.with_replace(Replace::Anything).with_parents(true).with_modified(Some(7))),
                std::format!(r#"{start},"version":"*","parents":true,"modified":7}}"#),
            ),
            (WriteRequest::Put(put.with_replace(Replace::Version("v1"))), std::format!(r#"{start},"version":"v1"}}"#)),
            (
                WriteRequest::Put(sha256),
                std::format!(
                    r#"{{"type":"put","fileName":"d/a \"b\"","fileSize":18446744073709551615,"sha256":"{end}"}}"#
                ),
            ),
            (
                WriteRequest::Delete(Delete::File { name: to, version: None }),
                r#"{"type":"delete","fileName":"c"}"#.into(),
            ),
            (
                WriteRequest::Delete(Delete::File { name: to, version: Some("v1") }),
                r#"{"type":"delete","fileName":"c","version":"v1"}"#.into(),
            ),
            (
                WriteRequest::Delete(Delete::Partial { name: to }),
                r#"{"type":"delete","fileName":"c","partial":true}"#.into(),
            ),
            (WriteRequest::Delete(Delete::Directory { path: to }), r#"{"type":"delete","path":"c"}"#.into()),
            (
                WriteRequest::Rename(Rename::new(name, to).with_version(Some("v1"))),
                r#"{"type":"rename","fileName":"d/a \"b\"","to":"c","version":"v1"}"#.into(),
            ),
            (WriteRequest::MakeDir { path: to }, r#"{"type":"makeDir","path":"c"}"#.into()),
            (WriteRequest::Space, r#"{"type":"space"}"#.into()),
            #[cfg(feature = "sync")]
            (WriteRequest::Put(put.with_deferred(true)), std::format!(r#"{start},"deferred":true}}"#)),
            #[cfg(feature = "sync")]
            (WriteRequest::Sync, r#"{"type":"sync"}"#.into()),
            (WriteRequest::Do { action: "confirm" }, r#"{"type":"do","action":"confirm"}"#.into()),
        ] {
            assert_eq!(written(&request), line);
        }
    }

    /// The longest ones fit what every server accepts that has them.
    #[test]
    fn the_longest_requests_fit() {
        let (name, version) = ("x".repeat(255), "v".repeat(64));
        let name = FileName::new(&name).expect("good");
        let put = Put::new(name, u64::MAX, Digest::Sha256([0; 32]));
        let put = put.with_replace(Replace::Version(&version)).with_parents(true).with_modified(Some(u64::MAX));
        #[cfg(feature = "sync")]
        let put = put.with_deferred(true);
        assert!(written(&WriteRequest::Put(put)).len() <= 640);
        assert!(written(&WriteRequest::Rename(Rename::new(name, name).with_version(Some(&version)))).len() <= 768);
    }
}
