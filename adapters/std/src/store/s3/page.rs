//! One page of a list of objects.

use std::time::UNIX_EPOCH;

use percent_encoding::percent_decode_str;
use rusty_s3::actions::list_objects_v2::ListObjectsV2Response;

use super::error::S3Error;
use super::request::{Repetition, S3Client, S3Request, describe};

/// As many keys as a page has, of 1 KiB at most, three times as long where each byte is escaped, and what stands around them.
const MAX_PAGE_LEN: u64 = 1000 * 4096;

/// A part of a list.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub entries: Vec<PageEntry>,
    /// Where the next page begins; `None` for the last one.
    pub token: Option<String>,
}

/// An object, or what is a directory to those who see a path in a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PageEntry {
    /// That of an object, or what several begin with, `/` included.
    pub key: String,
    /// `None` for a directory.
    pub object: Option<ListedObject>,
}

/// What a list says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListedObject {
    pub size: u64,
    /// In seconds since 1970-01-01 00:00 UTC.
    pub modified: Option<u64>,
}

impl Page {
    /// Asks for a page; again, where the connection breaks within the answer.
    pub(super) fn fetch(client: &S3Client, request: &S3Request<'_>) -> Result<Self, S3Error> {
        let mut repetition = Repetition::new();
        loop {
            let mut answer = client.run(request)?;
            let error = match answer.body_mut().with_config().limit(MAX_PAGE_LEN).read_to_string() {
                Ok(text) => return Self::parse(&text),
                Err(ureq::Error::BodyExceedsLimit(_)) => return Err(S3Error::Protocol("the list is too long")),
                Err(error) => describe(&error),
            };
            if !repetition.pause() {
                return Err(error);
            }
        }
    }

    fn parse(text: &str) -> Result<Self, S3Error> {
        let list: ListObjectsV2Response =
            instant_xml::from_str(text).map_err(|_| S3Error::Protocol("the list is not valid"))?;
        let is_encoded = list.encoding_type.as_deref() == Some("url");
        let decode = |key: String| if is_encoded { decode(&key) } else { Some(key) };
        let objects = list.contents.into_iter().map(|object| {
            let modified = humantime::parse_rfc3339(&object.last_modified).ok();
            let modified = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map(|time| time.as_secs());
            (object.key, Some(ListedObject { size: object.size, modified }))
        });
        let directories = list.common_prefixes.into_iter().map(|directory| (directory.prefix, None));
        let entries = objects.chain(directories).map(|(key, object)| decode(key).map(|key| PageEntry { key, object }));
        let entries = entries.collect::<Option<_>>().ok_or(S3Error::Protocol("a key in the list is not UTF-8"))?;
        Ok(Self { entries, token: list.next_continuation_token.filter(|token| !token.is_empty()) })
    }
}

/// A key as S3 writes it in lists: a space is a `+` at AWS, and `%20` elsewhere.
fn decode(key: &str) -> Option<String> {
    let key = key.replace('+', " ");
    percent_decode_str(&key).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::{ListedObject, Page, PageEntry, S3Error};

    const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>images</Name><Prefix>a/</Prefix>"#;

    #[test]
    fn reads_objects_and_directories() {
        let text = format!(
            "{HEAD}<NextContinuationToken>1/k+x=</NextContinuationToken><KeyCount>3</KeyCount><MaxKeys>1000</MaxKeys>\
             <Delimiter>/</Delimiter><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>\
             <Contents><Key>a/b+c%2Bd%C3%A9.bin</Key><LastModified>2026-11-29T14:00:00.500Z</LastModified>\
             <ETag>&quot;70ee1738b6b21e2c8a43f3a5ab0eee71&quot;</ETag><Size>11</Size><StorageClass>STANDARD</StorageClass></Contents>\
             <Contents><Key>a/%20</Key><LastModified>then</LastModified><ETag>&quot;x&quot;</ETag><Size>0</Size></Contents>\
             <CommonPrefixes><Prefix>a/sub%2F</Prefix></CommonPrefixes></ListBucketResult>"
        );
        let page = Page::parse(&text).expect("a list");
        assert_eq!(page.token.as_deref(), Some("1/k+x="));
        let object = |key: &str, size, modified| PageEntry {
            key: key.to_owned(),
            object: Some(ListedObject { size, modified }),
        };
        let directory = PageEntry { key: "a/sub/".to_owned(), object: None };
        assert_eq!(page.entries, [object("a/b c+dé.bin", 11, Some(1_795_960_800)), object("a/ ", 0, None), directory]);
    }

    #[test]
    fn keys_that_are_not_encoded_stay_as_they_are() {
        let text = format!("{HEAD}<CommonPrefixes><Prefix>a+%41/</Prefix></CommonPrefixes></ListBucketResult>");
        let page = Page::parse(&text).expect("a list");
        assert_eq!((page.entries[0].key.as_str(), page.token), ("a+%41/", None));
    }

    #[test]
    fn what_is_no_list_is_told() {
        let url = "<EncodingType>url</EncodingType>";
        for (text, what) in [
            ("<html></html>".to_owned(), "the list is not valid"),
            (format!("{HEAD}<Contents><Key>a</Key></Contents></ListBucketResult>"), "the list is not valid"),
            (
                format!("{HEAD}{url}<CommonPrefixes><Prefix>%ff/</Prefix></CommonPrefixes></ListBucketResult>"),
                "a key in the list is not UTF-8",
            ),
        ] {
            assert_eq!(Page::parse(&text).expect_err(&text), S3Error::Protocol(what));
        }
    }
}
