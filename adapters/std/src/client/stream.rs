//! Fetches a file to a writer.

use std::io::Write;

use coracle_core::exec::Sink;
use coracle_core::{Code, Digest, End, FileName, GetRequest, Hasher, Header, Verified, Version};

use super::backoff::Backoff;
use super::error::Error;
use super::options::{GetOptions, GetSummary, range_end};
use super::progress::{Progress, ProgressEvent};
use super::requester::Requester;

pub(super) fn get(
    requester: &mut Requester,
    name: FileName<'_>,
    out: &mut dyn Write,
    options: &GetOptions,
    progress: &mut dyn Progress,
) -> Result<GetSummary, Error> {
    let hasher = match options.digest {
        Some(kind) => {
            Some(Hasher::new(kind).ok_or(Error::InvalidRequest(coracle_core::StartError::DigestUnsupported))?)
        }
        None => None,
    };
    let mut stream = Stream { out, options, progress, hasher, version: None, written: 0 };
    let mut backoff = Backoff::new(requester.policy);
    loop {
        let offset = options.offset.saturating_add(stream.written);
        let version = stream.version.clone();
        let get = GetRequest::new(name)
            .with_offset(offset)
            .with_length(options.rest(stream.written))
            .with_version(version.as_ref())
            .with_digest(options.digest)
            .with_digest_from(None);
        let failed = match requester.attempt_get(&get, &mut stream) {
            Ok(End::Verified(verified)) if stream.is_all(&verified) => {
                return stream.done(Some(*verified.digest()), false);
            }
            Ok(End::Verified(_)) => break,
            Ok(End::Unchecked) if options.digest.is_none() => return stream.done(None, false),
            Ok(End::Changed { snapshot: Some(verified) }) if options.snapshot && stream.is_all(&verified) => {
                return stream.done(Some(*verified.digest()), true);
            }
            Ok(_) => return Err(Error::Changed),
            Err(failed) => failed,
        };
        let progressed = options.offset.saturating_add(stream.written) > offset;
        match failed.error {
            Error::Refused { code: Some(Code::Changed | Code::BadRange), .. } if stream.written > 0 => {
                return Err(Error::Changed);
            }
            // What came before a break would be covered by no digest: there is none of a range to ask for.
            _ if options.is_range() && options.digest.is_some() && stream.written > 0 => return Err(failed.error),
            _ if failed.error.is_temporary() => {
                let Some(pause) = backoff.next_pause(&failed, progressed) else { return Err(failed.error) };
                if !pause.is_zero() {
                    stream.progress.event(&ProgressEvent::Retry { error: &failed.error, pause });
                }
                requester.pause(pause);
            }
            _ => return Err(failed.error),
        }
    }
    // It came in several attempts, of which only the last one had a digest. So ask for that of the whole file.
    let header = requester.retry(|requester| requester.attempt(|connection| connection.stat(name, options.digest)))?;
    if Some(&header.version) != stream.version.as_ref() || header.size != stream.written {
        return Err(Error::Changed);
    }
    let computed = stream.hasher.take().map(Hasher::finish);
    if computed.is_none() || computed != header.digest {
        return Err(Error::DigestMismatch);
    }
    stream.done(computed, false)
}

struct Stream<'a> {
    out: &'a mut dyn Write,
    options: &'a GetOptions,
    progress: &'a mut dyn Progress,
    hasher: Option<Hasher>,
    version: Option<Version>,
    written: u64,
}

impl Stream<'_> {
    /// Whether all that was asked for is covered.
    fn is_all(&self, verified: &Verified) -> bool {
        if self.options.is_range() { verified.from() == self.options.offset } else { verified.is_whole() }
    }

    fn done(self, digest: Option<Digest>, is_snapshot: bool) -> Result<GetSummary, Error> {
        self.out.flush().map_err(Error::Write)?;
        Ok(GetSummary { size: self.written, resumed: 0, digest, is_snapshot })
    }
}

impl Sink for Stream<'_> {
    type Error = Error;

    fn begin(&mut self, header: &Header) -> Result<(), Error> {
        if let Some(limit) = self.options.max_size.filter(|limit| header.size > *limit) {
            return Err(Error::TooLarge { size: header.size, limit });
        }
        self.version = Some(header.version.clone());
        let start = self.options.offset;
        self.progress.started(range_end(header).saturating_sub(start), header.offset.saturating_sub(start));
        Ok(())
    }

    fn write(&mut self, _offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.out.write_all(bytes).map_err(Error::Write)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.written += bytes.len() as u64;
        self.progress.advanced(self.written);
        Ok(())
    }
}
