//! What a client asks, and how it is written.

use serde::Serialize;

use crate::types::digest::DigestKind;
use crate::types::name::{FileName, Version};
use crate::wire::json;

/// A request, as its client means it. Lent for the call that starts it: the session keeps what it needs for its checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask<'a> {
    /// What the server is, and what its limits are.
    Hello,
    /// The files and directories in one directory.
    List {
        /// The directory; `None` is the served directory itself.
        path: Option<FileName<'a>>,
    },
    /// What a file is, without its contents.
    Stat {
        /// The file.
        name: FileName<'a>,
        /// Which digest of the whole file to tell.
        digest: Option<DigestKind>,
    },
    /// A file's contents, or a part of them.
    Get(Get<'a>),
}

/// A request for a file's bytes.
///
/// ```
/// use coracle_core::{FileName, Get};
///
/// // The first 100 bytes, covered by a CRC-32:
/// let head = Get { length: Some(100), ..Get::new(FileName::from_static("boot.log")) };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Get<'a> {
    /// The file.
    pub name: FileName<'a>,
    /// The first byte that is wanted; at most the file's size.
    pub offset: u64,
    /// How many bytes are wanted, cut at the file's end; `None`: all.
    pub length: Option<u64>,
    /// The version that the file must still have; `None`: any.
    pub version: Option<&'a Version>,
    /// Which digest covers the bytes; `None`: none, and nothing is verified.
    pub digest: Option<DigestKind>,
    /// The first byte that the digest covers; `None`: `offset`. At most `offset`: the bytes between are what an
    /// earlier try has brought, and have to be shown to the session once more.
    pub digest_from: Option<u64>,
}

impl<'a> Get<'a> {
    /// All of the file `name`, in any version, covered by a CRC-32.
    #[must_use]
    pub const fn new(name: FileName<'a>) -> Self {
        Self { name, offset: 0, length: None, version: None, digest: Some(DigestKind::Crc32), digest_from: None }
    }
}

impl Ask<'_> {
    /// Writes the request as compact JSON, members left out where they have their default, and returns its length;
    /// `None` where `buf` is too short.
    pub(crate) fn write(&self, buf: &mut [u8]) -> Option<usize> {
        match self {
            Self::Hello => write(&HelloRequest { kind: "hello" }, buf),
            Self::List { path } => write(&ListRequest { kind: "list", path: path.map(FileName::as_str) }, buf),
            Self::Stat { name, digest } => {
                let digest = digest.map(DigestKind::as_str);
                write(&StatRequest { kind: "stat", file_name: name.as_str(), digest }, buf)
            }
            Self::Get(get) => write(
                &GetRequest {
                    kind: "get",
                    file_name: get.name.as_str(),
                    offset: Some(get.offset).filter(|offset| *offset != 0),
                    length: get.length,
                    version: get.version.map(Version::as_str),
                    digest: match get.digest {
                        Some(DigestKind::Crc32) => None,
                        Some(other) => Some(other.as_str()),
                        None => Some("none"),
                    },
                    digest_from: get.digest_from.filter(|from| *from != get.offset && get.digest.is_some()),
                },
                buf,
            ),
        }
    }
}

#[derive(Serialize)]
struct HelloRequest {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct ListRequest<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatRequest<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    file_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GetRequest<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    file_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest_from: Option<u64>,
}

fn write(request: &impl Serialize, buf: &mut [u8]) -> Option<usize> {
    json::write(request, buf)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::String;

    use proptest::prelude::*;

    use super::{Ask, Get};
    use crate::{DigestKind, FileName, Version};

    fn written(ask: &Ask<'_>) -> String {
        let mut buf = [0; 1_024];
        let len = ask.write(&mut buf).expect("it fits");
        String::from_utf8(buf[..len].to_vec()).expect("UTF-8")
    }

    #[test]
    fn writes_what_is_asked_and_no_defaults() {
        let name = FileName::from_static("d/a \"b\".log");
        let version = Version::new("v\"7\\").expect("a version");
        let get = Get::new(name);
        for (ask, line) in [
            (Ask::Hello, r#"{"type":"hello"}"#),
            (Ask::List { path: None }, r#"{"type":"list"}"#),
            (Ask::List { path: Some(FileName::from_static("d")) }, r#"{"type":"list","path":"d"}"#),
            (Ask::Stat { name, digest: None }, r#"{"type":"stat","fileName":"d/a \"b\".log"}"#),
            (
                Ask::Stat { name, digest: Some(DigestKind::Crc32) },
                r#"{"type":"stat","fileName":"d/a \"b\".log","digest":"crc32"}"#,
            ),
            (Ask::Get(get), r#"{"type":"get","fileName":"d/a \"b\".log"}"#),
            (
                Ask::Get(Get { offset: 7, digest_from: Some(7), ..get }),
                r#"{"type":"get","fileName":"d/a \"b\".log","offset":7}"#,
            ),
            (
                Ask::Get(Get { offset: 7, digest: None, digest_from: Some(0), ..get }),
                r#"{"type":"get","fileName":"d/a \"b\".log","offset":7,"digest":"none"}"#,
            ),
            (
                Ask::Get(Get {
                    offset: u64::MAX,
                    length: Some(0),
                    version: Some(&version),
                    digest: Some(DigestKind::Sha256),
                    digest_from: Some(0),
                    ..get
                }),
                concat!(
                    r#"{"type":"get","fileName":"d/a \"b\".log","offset":18446744073709551615,"length":0,"#,
                    r#""version":"v\"7\\","digest":"sha256","digestFrom":0}"#
                ),
            ),
        ] {
            assert_eq!(written(&ask), line);
        }
    }

    #[test]
    fn says_when_it_does_not_fit() {
        let mut buf = [0; 15];
        assert_eq!(Ask::Hello.write(&mut buf), None);
        assert_eq!(Ask::Hello.write(&mut [0; 16]), Some(16));
    }

    /// The longest request of all fits the shortest buffer that a session takes, with a newline behind it.
    #[test]
    fn the_longest_request_fits() {
        let name = "\"".repeat(255);
        let version = Version::new(&"\\".repeat(64)).expect("a version");
        let get = Get {
            offset: u64::MAX,
            length: Some(u64::MAX),
            version: Some(&version),
            digest: Some(DigestKind::Sha256),
            digest_from: Some(u64::MAX - 1),
            ..Get::new(FileName::new(&name).expect("a name"))
        };
        assert!(written(&Ask::Get(get)).len() < 1_023);
    }

    proptest! {
        #[test]
        fn another_parser_reads_the_same(
            text in "\\PC{1,60}",
            offset: u64,
            length: Option<u64>,
            version in proptest::option::of("[!-~]{1,64}"),
        ) {
            let Ok(name) = FileName::new(&text) else { return Ok(()) };
            let version = version.map(|text| Version::new(&text).expect("a version"));
            let get = Get { offset, length, version: version.as_ref(), digest: None, ..Get::new(name) };
            let value: serde_json::Value = serde_json::from_str(&written(&Ask::Get(get))).expect("JSON");
            prop_assert_eq!(value["type"].as_str(), Some("get"));
            prop_assert_eq!(value["fileName"].as_str(), Some(text.as_str()));
            prop_assert_eq!(value["offset"].as_u64().unwrap_or(0), offset);
            prop_assert_eq!(value["length"].as_u64(), length);
            prop_assert_eq!(value["version"].as_str(), version.as_ref().map(Version::as_str));
        }
    }
}
