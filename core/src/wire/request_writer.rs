//! Writes a client's requests.

use serde::Serialize;

use super::json;
use crate::client::ClientRequest;
use crate::types::digest::DigestKind;
use crate::types::file_name::FileName;
use crate::types::version::Version;

/// Writes `request` as compact JSON, without members that have their default, and returns its length; `None` where `buf` is
/// too short.
pub(crate) fn write(request: &ClientRequest<'_>, buf: &mut [u8]) -> Option<usize> {
    match request {
        ClientRequest::Hello => json::write(&HelloLine { kind: "hello" }, buf),
        ClientRequest::List { path } => json::write(&ListLine { kind: "list", path: path.map(FileName::as_str) }, buf),
        ClientRequest::Stat { name, digest } => {
            let digest = digest.map(DigestKind::as_str);
            let file_name = name.as_str();
            json::write(
                &StatLine {
                    kind: "stat",
                    file_name,
                    digest,
                    #[cfg(feature = "absolute")]
                    absolute: false,
                },
                buf,
            )
        }
        #[cfg(feature = "absolute")]
        ClientRequest::StatAbsolute { name } => {
            json::write(&StatLine { kind: "stat", file_name: name.as_str(), digest: None, absolute: true }, buf)
        }
        ClientRequest::Get(get) => json::write(
            &GetLine {
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
                #[cfg(feature = "wait")]
                wait_ms: Some(get.wait_ms).filter(|wait_ms| *wait_ms != 0),
                #[cfg(feature = "absolute")]
                absolute: get.absolute,
            },
            buf,
        ),
        #[cfg(feature = "write")]
        ClientRequest::Write(request) => super::write_writer::write(request, buf),
    }
}

#[derive(Serialize)]
struct HelloLine {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct ListLine<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatLine<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    file_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'static str>,
    #[cfg(feature = "absolute")]
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    absolute: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GetLine<'a> {
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
    #[cfg(feature = "wait")]
    #[serde(rename = "wait_ms", skip_serializing_if = "Option::is_none")]
    wait_ms: Option<u64>,
    #[cfg(feature = "absolute")]
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    absolute: bool,
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::String;

    use proptest::prelude::*;

    use super::{ClientRequest, write};
    use crate::GetRequest;
    use crate::{DigestKind, FileName, Version};

    fn written(ask: &ClientRequest<'_>) -> String {
        let mut buf = [0; 1_024];
        let len = write(ask, &mut buf).expect("it fits");
        String::from_utf8(buf[..len].to_vec()).expect("UTF-8")
    }

    #[test]
    fn writes_what_is_asked_and_no_defaults() {
        let name = FileName::from_static("d/a \"b\".log");
        let version = Version::new("v\"7\\").expect("a version");
        let get = GetRequest::new(name);
        for (ask, line) in [
            (ClientRequest::Hello, r#"{"type":"hello"}"#),
            (ClientRequest::List { path: None }, r#"{"type":"list"}"#),
            (ClientRequest::List { path: Some(FileName::from_static("d")) }, r#"{"type":"list","path":"d"}"#),
            (ClientRequest::Stat { name, digest: None }, r#"{"type":"stat","fileName":"d/a \"b\".log"}"#),
            (
                ClientRequest::Stat { name, digest: Some(DigestKind::Crc32) },
                r#"{"type":"stat","fileName":"d/a \"b\".log","digest":"crc32"}"#,
            ),
            (ClientRequest::Get(get), r#"{"type":"get","fileName":"d/a \"b\".log"}"#),
            (
                ClientRequest::Get(get.with_offset(7).with_digest_from(Some(7))),
                r#"{"type":"get","fileName":"d/a \"b\".log","offset":7}"#,
            ),
            (
                ClientRequest::Get(get.with_offset(7).with_digest(None).with_digest_from(Some(0))),
                r#"{"type":"get","fileName":"d/a \"b\".log","offset":7,"digest":"none"}"#,
            ),
            (
                ClientRequest::Get(
                    get.with_offset(u64::MAX)
                        .with_length(Some(0))
                        .with_version(Some(&version))
                        .with_digest(Some(DigestKind::Sha256))
                        .with_digest_from(Some(0)),
                ),
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
        assert_eq!(write(&ClientRequest::Hello, &mut buf), None);
        assert_eq!(write(&ClientRequest::Hello, &mut [0; 16]), Some(16));
    }

    /// The longest request and a newline fit in the shortest buffer of a session.
    #[test]
    fn the_longest_request_fits() {
        let name = "\"".repeat(255);
        let version = Version::new(&"\\".repeat(64)).expect("a version");
        let get = GetRequest::new(FileName::new(&name).expect("a name"))
            .with_offset(u64::MAX)
            .with_length(Some(u64::MAX))
            .with_version(Some(&version))
            .with_digest(Some(DigestKind::Sha256))
            .with_digest_from(Some(u64::MAX - 1));
        assert!(written(&ClientRequest::Get(get)).len() < 1_023);
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
            let get = GetRequest::new(name).with_offset(offset).with_length(length).with_version(version.as_ref()).with_digest(None);
            let value: serde_json::Value = serde_json::from_str(&written(&ClientRequest::Get(get))).expect("JSON");
            prop_assert_eq!(value["type"].as_str(), Some("get"));
            prop_assert_eq!(value["fileName"].as_str(), Some(text.as_str()));
            prop_assert_eq!(value["offset"].as_u64().unwrap_or(0), offset);
            prop_assert_eq!(value["length"].as_u64(), length);
            prop_assert_eq!(value["version"].as_str(), version.as_ref().map(Version::as_str));
        }
    }
}
