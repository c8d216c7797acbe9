//! An open object.

use std::fmt;
use std::io::Read;
use std::ops::Range;
use std::time::UNIX_EPOCH;

use coracle_core::{DigestKind, FileInfo, Hasher, Version};
use ureq::http::{HeaderMap, Response};
use ureq::{Body, BodyReader};

use super::error::S3Error;
use super::request::{Repetition, S3Client, S3Request};
use crate::transport::KernelFile;

/// What the first request for the bytes of an object asks for at most. Each further one asks for twice as much, so that a
/// part of an object costs little more than itself, and a whole one few requests.
const FIRST_LEN: u64 = 1 << 20;
const MAX_LEN: u64 = 64 << 20;

/// An open object of an [`S3Store`](super::S3Store). All its bytes are those of the state that it had when it was opened: what
/// replaces it ends the reading.
pub struct S3File {
    key: String,
    /// As the service writes it, quotes included.
    etag: String,
    info: FileInfo,
    body: Option<OpenBody>,
    next_len: u64,
}

/// An answer that is being read.
struct OpenBody {
    reader: BodyReader<'static>,
    /// What is not read of it yet, in the object.
    rest: Range<u64>,
}

impl S3File {
    /// Opens the object `key`.
    pub(super) fn open(client: &S3Client, key: String) -> Result<Self, S3Error> {
        let answer = client.run(&S3Request::Head { key: &key })?;
        let headers = answer.headers();
        let size = text(headers, "content-length").and_then(|text| text.parse().ok());
        let size = size.ok_or(S3Error::Protocol("the object has no length"))?;
        let etag = text(headers, "etag").ok_or(S3Error::Protocol("the object has no ETag"))?.to_owned();
        let modified = text(headers, "last-modified").and_then(|text| httpdate::parse_http_date(text).ok());
        let modified = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map(|time| time.as_secs());
        let version = version(&etag).ok_or(S3Error::Protocol("the object has an empty ETag"))?;
        let info = FileInfo::new(size, version).with_modified(modified);
        Ok(Self { key, etag, info, body: None, next_len: FIRST_LEN })
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) const fn info(&self) -> &FileInfo {
        &self.info
    }

    /// Reads from `offset` on into `buf`; what follows what was read last comes out of the same answer.
    pub(super) fn read(&mut self, client: &S3Client, offset: u64, buf: &mut [u8]) -> Result<usize, S3Error> {
        if offset >= self.info.size || buf.is_empty() {
            return Ok(0);
        }
        let mut repetition = Repetition::new();
        loop {
            let body = match self.body.take().filter(|body| body.rest.start == offset && !body.rest.is_empty()) {
                Some(body) => body,
                None => self.request(client, offset)?,
            };
            match body.read(buf) {
                Ok((len, rest)) => {
                    self.body = Some(rest);
                    return Ok(len);
                }
                Err(error) if !repetition.pause() => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Asks for the bytes from `offset` on.
    fn request(&mut self, client: &S3Client, offset: u64) -> Result<OpenBody, S3Error> {
        let end = self.info.size.min(offset.saturating_add(self.next_len));
        let range = offset..end;
        let request = S3Request::Get { key: &self.key, etag: &self.etag, range: range.clone() };
        let answer = client.run(&request)?;
        self.check(&answer, &range)?;
        self.next_len = self.next_len.saturating_mul(2).min(MAX_LEN);
        Ok(OpenBody { reader: answer.into_body().into_reader(), rest: range })
    }

    /// Checks that the answer has the bytes that were asked for.
    fn check(&self, answer: &Response<Body>, range: &Range<u64>) -> Result<(), S3Error> {
        let headers = answer.headers();
        if text(headers, "etag") != Some(&self.etag) {
            return Err(S3Error::Refused { status: 412, code: None, region: None });
        }
        let wanted = format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), self.info.size);
        let is_whole = *range == (0..self.info.size) && answer.status().as_u16() == 200;
        if !is_whole && text(headers, "content-range") != Some(&wanted) {
            return Err(S3Error::Protocol("it has other bytes than those that were asked for"));
        }
        Ok(())
    }
}

impl OpenBody {
    /// Reads into `buf`, and returns the number of bytes and what is left.
    fn read(mut self, buf: &mut [u8]) -> Result<(usize, Self), S3Error> {
        let left = usize::try_from(self.rest.end.saturating_sub(self.rest.start)).unwrap_or(usize::MAX);
        let room = buf.len().min(left);
        let read = self.reader.read(buf.get_mut(..room).unwrap_or_default());
        let unavailable = |why: &str| S3Error::Unavailable(format!("the object store cut off an object: {why}"));
        let len = read.map_err(|error| unavailable(&error.to_string()))?;
        if len == 0 {
            return Err(unavailable("it ended too early"));
        }
        self.rest.start = self.rest.start.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        if self.rest.is_empty() {
            // Lets the connection serve the next request.
            let _ = self.reader.read(&mut [0]);
        }
        Ok((len, self))
    }
}

impl KernelFile for S3File {}

impl fmt::Debug for S3File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3File").field("key", &self.key).field("info", &self.info).finish_non_exhaustive()
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// The version of an object: its ETag, or where that is no version, a hash of it.
fn version(etag: &str) -> Option<Version> {
    let tag = etag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(etag);
    if tag.is_empty() {
        return None;
    }
    if let Ok(version) = Version::new(tag) {
        return Some(version);
    }
    let mut hasher = Hasher::new(DigestKind::Sha256)?;
    hasher.update(tag.as_bytes());
    Version::new(hasher.finish().to_hex().as_str()).ok()
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_etags() {
        for (etag, wanted) in [
            ("\"70ee1738b6b21e2c8a43f3a5ab0eee71\"", "70ee1738b6b21e2c8a43f3a5ab0eee71"),
            ("\"70ee1738b6b21e2c8a43f3a5ab0eee71-12\"", "70ee1738b6b21e2c8a43f3a5ab0eee71-12"),
            ("plain", "plain"),
            ("W/\"weak\"", "W/\"weak\""),
            ("\"a b\"", "c8687a08aa5d6ed2044328fa6a697ab8e96dc34291e8c2034ae8c38e6fcc6d65"),
        ] {
            assert_eq!(version(etag).expect(etag).as_str(), wanted);
        }
        assert_eq!(version("\"\""), None);
        assert_eq!(version(&format!("\"{}\"", "x".repeat(65))).expect("a hash").as_str().len(), 64);
    }
}
