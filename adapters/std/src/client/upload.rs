//! Sends a file, and the other requests that write.

use std::fs::File;
use std::io;
use std::thread::sleep;

use coracle_core::exec::Source;
use coracle_core::{Code, Digest, DigestKind, FileName, Hasher, Put, Replace, Space, Stored, Version, WriteRequest};

use super::backoff::Backoff;
use super::error::Error;
use super::progress::{Progress, ProgressEvent};
use super::requester::Requester;
use crate::local::{FileHandle, FileStatus};

/// How many times a file is hashed again that changes meanwhile.
const MAX_CHANGES: u32 = 3;
/// Bytes that are read of the file at a time.
const READ_LEN: usize = 256 * 1024;

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
    /// The version that the file has at the server now.
    pub version: Version,
    /// Whether the very file was there already, and nothing was sent.
    pub was_there: bool,
}

impl PutOptions {
    /// Nothing is replaced, no directory is made, and the file keeps its time.
    pub const fn new() -> Self {
        Self { replace: PutReplace::Nothing, parents: false, keeps_time: true }
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
    let (digest, status) = hash(file, kind)?;
    let mut put = Put::new(name, status.size, digest).with_parents(options.parents);
    put = put.with_replace(match &options.replace {
        PutReplace::Nothing => Replace::Nothing,
        PutReplace::Anything => Replace::Anything,
        PutReplace::Version(version) => Replace::Version(version.as_str()),
    });
    if options.keeps_time {
        put = put.with_modified(u64::try_from(status.modified_ns / 1_000_000_000).ok());
    }
    let mut body = Body { file, status, progress, first: None, position: 0 };
    let mut buf = vec![0; READ_LEN];
    let mut backoff = Backoff::new(requester.policy);
    loop {
        let before = body.position;
        let failed = match requester.attempt(|connection| connection.put(&put, &mut body, &mut buf)) {
            Ok(Stored { version, was_there, .. }) => {
                let resumed = if was_there { status.size } else { body.first.unwrap_or(0) };
                return Ok(PutSummary { size: status.size, resumed, digest, version, was_there });
            }
            Err(failed) => failed,
        };
        match failed.error {
            // The server has dropped it, so that it is sent anew by the next call.
            Error::Refused { code: Some(Code::Corrupt), .. } if !body.is_unchanged() => {
                return Err(Error::SourceChanged);
            }
            _ if failed.is_final || !failed.error.is_temporary() => return Err(failed.error),
            _ => {
                let progressed = body.position > before;
                let Some(pause) = backoff.next_pause(&failed, progressed) else { return Err(failed.error) };
                if !pause.is_zero() {
                    body.progress.event(&ProgressEvent::Retry { error: &failed.error, pause });
                }
                sleep(pause);
            }
        }
    }
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
fn digest_kind(requester: &mut Requester) -> Result<DigestKind, Error> {
    let has_sha256 =
        requester.retry(|requester| requester.attempt(|connection| connection.hello(|hello| hello.digests.sha256)))?;
    Ok(if has_sha256 { DigestKind::Sha256 } else { DigestKind::Crc32 })
}

/// Hashes all of `file` while it does not change.
fn hash(file: &File, kind: DigestKind) -> Result<(Digest, FileStatus), Error> {
    let mut buf = vec![0; READ_LEN];
    for _ in 0..MAX_CHANGES {
        let before = status(file)?;
        let mut hasher = Hasher::new(kind).expect("this crate turns on every digest of the core");
        let mut offset = 0;
        loop {
            match read_at(file, &mut buf, offset)? {
                0 => break,
                len => {
                    hasher.update(&buf[..len]);
                    offset += len as u64;
                }
            }
        }
        if status(file)? == before && offset == before.size {
            return Ok((hasher.finish(), before));
        }
    }
    Err(Error::SourceChanged)
}

/// The file as a source of a body.
struct Body<'a> {
    file: &'a File,
    status: FileStatus,
    progress: &'a mut dyn Progress,
    /// Where the first body began.
    first: Option<u64>,
    /// Where the last piece that was read ends.
    position: u64,
}

impl Body<'_> {
    fn is_unchanged(&self) -> bool {
        status(self.file).is_ok_and(|status| status == self.status)
    }
}

impl Source for Body<'_> {
    type Error = Error;

    fn begin(&mut self, offset: u64) -> Result<(), Error> {
        self.first.get_or_insert(offset);
        self.position = offset;
        self.progress.started(self.status.size, offset);
        Ok(())
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        self.progress.advanced(offset);
        let len = read_at(self.file, buf, offset)?;
        self.position = offset + len as u64;
        // Looked at before the last byte leaves, so that no other contents are stored.
        let is_last = len == 0 || self.position >= self.status.size;
        if is_last && !self.is_unchanged() { Err(Error::SourceChanged) } else { Ok(len) }
    }
}

fn status(file: &File) -> Result<FileStatus, Error> {
    FileHandle::status(file).map_err(Error::Read)
}

fn read_at(file: &File, buf: &mut [u8], offset: u64) -> Result<usize, Error> {
    loop {
        match FileHandle::read_at(file, buf, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read.map_err(Error::Read),
        }
    }
}
