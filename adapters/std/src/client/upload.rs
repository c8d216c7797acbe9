//! Sends a file, and the other requests that write.

use std::fs::File;

use coracle_core::blocking::{ClientError, NextPut};
use coracle_core::{
    ClientRequest, Code, Digest, DigestKind, FileName, Put, Replace, Space, Stored, Version, WriteRequest,
};

use super::backoff::Backoff;
use super::error::Error;
use super::outgoing::{Body, Outgoing};
use super::progress::{Progress, ProgressEvent};
use super::reading::READ_LEN;
use super::requester::Requester;

/// How a file is sent.
///
/// ```
/// use coracle::client::{PutOptions, PutReplace};
///
/// let options = PutOptions::new().with_replace(PutReplace::Anything).with_parents(true);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct PutOptions {
    replace: PutReplace,
    parents: bool,
    keeps_time: bool,
    deferred: bool,
}

/// What a file that is sent may replace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PutReplace {
    /// Nothing.
    #[default]
    Nothing,
    /// Whatever has the name, if anything.
    Anything,
    /// A file in this version alone.
    Version(Version),
}

/// What was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutSummary {
    /// The size of the file in bytes.
    pub size: u64,
    /// How many of these the server had already.
    pub resumed: u64,
    /// The digest by which the server verified it.
    pub digest: Digest,
    /// The version that the file has at the server now; `None` where that was [deferred](PutOptions::with_deferred).
    pub version: Option<Version>,
    /// Whether the very file was there already, and nothing was sent.
    pub was_there: bool,
}

impl PutOptions {
    /// Nothing is replaced, no directory is made, and the file keeps its time.
    pub const fn new() -> Self {
        Self { replace: PutReplace::Nothing, parents: false, keeps_time: true, deferred: false }
    }

    /// Sets what may be replaced.
    pub fn with_replace(self, replace: PutReplace) -> Self {
        Self { replace, ..self }
    }

    /// Sets whether missing directories are made at the server.
    pub fn with_parents(self, parents: bool) -> Self {
        Self { parents, ..self }
    }

    /// Sets whether the server gives the file the time of the last modification that it has here.
    pub fn with_time(self, keeps_time: bool) -> Self {
        Self { keeps_time, ..self }
    }

    /// Sets whether [`Client::put_all`](super::Client::put_all) lets the server store small files many at a time, which takes less
    /// time than one by one. A file counts as done no sooner for that. What version it has then is not known.
    pub fn with_deferred(self, deferred: bool) -> Self {
        Self { deferred, ..self }
    }
}

impl Default for PutOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Sends `file` as `name`.
pub(super) fn put(
    requester: &mut Requester,
    name: FileName<'_>,
    file: &File,
    options: &PutOptions,
    progress: &mut dyn Progress,
) -> Result<PutSummary, Error> {
    let kind = digest_kind(requester)?;
    let mut buf = vec![0; READ_LEN];
    let file = Outgoing::hash(file.try_clone().map_err(Error::Read)?, kind, &mut buf, 0)?;
    let put = request(name, &file, options).with_deferred(false);
    send(requester, &put, &file, progress, &mut buf, &mut Ahead::default())
}

/// What is sent ahead of its turn.
#[derive(Default)]
pub(super) struct Ahead<'p> {
    /// The request was sent behind the body before.
    pub was_sent: bool,
    /// What is put next.
    pub next: Option<&'p Put<'p>>,
}

/// The request to store `file` as `name`.
pub(super) fn request<'a>(name: FileName<'a>, file: &Outgoing, options: &'a PutOptions) -> Put<'a> {
    let put = Put::new(name, file.status.size, file.digest).with_parents(options.parents);
    let put = put.with_replace(match &options.replace {
        PutReplace::Nothing => Replace::Nothing,
        PutReplace::Anything => Replace::Anything,
        PutReplace::Version(version) => Replace::Version(version.as_str()),
    });
    let modified = u64::try_from(file.status.modified_ns.div_euclid(1_000_000_000)).ok();
    put.with_modified(modified.filter(|_| options.keeps_time)).with_deferred(options.deferred)
}

/// Sends `file` by the request `put`, and the request of `ahead` behind it. Afterwards `ahead.was_sent` is that one's.
pub(super) fn send(
    requester: &mut Requester,
    put: &Put<'_>,
    file: &Outgoing,
    progress: &mut dyn Progress,
    buf: &mut [u8],
    ahead: &mut Ahead<'_>,
) -> Result<PutSummary, Error> {
    let (size, digest) = (put.size, put.digest);
    let mut body = Body::new(file, progress);
    let mut backoff = Backoff::new(requester.policy);
    let (mut was_cut, mut was_corrupt) = (false, false);
    loop {
        let before = body.position;
        let mut next = NextPut::new(ahead.next);
        let outcome = requester.attempt(|connection| {
            if std::mem::take(&mut ahead.was_sent) {
                let request = ClientRequest::Write(WriteRequest::Put(*put));
                connection.start_sent(request).map_err(ClientError::Start)?;
            } else {
                connection.start_put(put)?;
            }
            connection.finish_put(&mut body, buf, &mut next)
        });
        ahead.was_sent = next.is_sent() && requester.has_connection();
        let failed = match outcome {
            Ok(Stored { version, was_there, .. }) => {
                let resumed = if was_there { size } else { body.first.unwrap_or(0) };
                return Ok(PutSummary { size, resumed, digest, version, was_there });
            }
            Err(failed) => failed,
        };
        match failed.error {
            // The server has dropped it, so that it is sent anew by the next call.
            Error::Refused { code: Some(Code::Corrupt), .. } if !file.is_unchanged() => {
                return Err(Error::SourceChanged);
            }
            // What it had kept may have been damaged by a power cut, and is dropped now.
            Error::Refused { code: Some(Code::Corrupt), .. } if !was_corrupt => {
                was_corrupt = true;
                body.first = None;
                if std::mem::take(&mut ahead.was_sent) {
                    requester.drop_connection();
                }
                continue;
            }
            // What came over a connection of ours that broke may still be on its way to the server's disk.
            _ if was_cut && body.position == before && is_in_use(&failed.error) => {}
            _ if failed.is_final || !failed.error.is_temporary() => return Err(failed.error),
            _ => was_cut = true,
        }
        if std::mem::take(&mut ahead.was_sent) {
            // Its answer would come first.
            requester.drop_connection();
        }
        let progressed = body.position > before;
        let Some(pause) = backoff.next_pause(&failed, progressed) else { return Err(failed.error) };
        if !pause.is_zero() {
            body.progress.event(&ProgressEvent::Retry { error: &failed.error, pause });
        }
        requester.pause(pause);
    }
}

fn is_in_use(error: &Error) -> bool {
    matches!(error, Error::Refused { code: Some(Code::InUse), .. })
}

/// Makes a request that is answered by an `end` alone. One that found its work done by an earlier attempt, whose answer was lost,
/// has succeeded.
pub(super) fn write(requester: &mut Requester, request: &WriteRequest<'_>) -> Result<(), Error> {
    let mut is_repeated = false;
    requester.retry(|requester| {
        match requester.attempt(|connection| connection.write(request)) {
            Err(failed) if is_repeated && is_done_already(request, &failed.error) => Ok(()),
            outcome => {
                // What failed to connect was not asked.
                is_repeated |= matches!(&outcome, Err(failed) if matches!(failed.error, Error::Connection { .. }));
                outcome
            }
        }
    })
}

/// Asks how much room there is.
pub(super) fn space(requester: &mut Requester) -> Result<Space, Error> {
    requester.retry(|requester| requester.attempt(|connection| connection.space()))
}

fn is_done_already(request: &WriteRequest<'_>, error: &Error) -> bool {
    let is_not_found = matches!(error, Error::Refused { code: Some(Code::NotFound), .. });
    is_not_found && matches!(request, WriteRequest::Delete(_) | WriteRequest::Rename(_))
}

/// The best digest that the server computes.
pub(super) fn digest_kind(requester: &mut Requester) -> Result<DigestKind, Error> {
    if let Some(kind) = requester.put_digest {
        return Ok(kind);
    }
    let has_sha256 =
        requester.retry(|requester| requester.attempt(|connection| connection.hello(|hello| hello.digests.sha256)))?;
    let kind = if has_sha256 { DigestKind::Sha256 } else { DigestKind::Crc32 };
    requester.put_digest = Some(kind);
    Ok(kind)
}
