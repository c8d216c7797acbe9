//! Fetches a file to a file.

use std::time::Duration;

use coracle_core::exec::Sink;
use coracle_core::{Code, Digest, DigestKind, End, FileName, GetRequest, Header, Verified, Version};

use super::address::Address;
use super::attempt::FailedAttempt;
use super::backoff::{Backoff, RetryPolicy, change_pause};
use super::error::Error;
use super::options::{GetOptions, GetSummary, range_end};
use super::progress::{Progress, ProgressEvent};
use super::requester::Requester;
use crate::local::{DownloadTarget, ExistingPart, FinishedPart, LocalError, Origin, Part, Proof, Replace, Stored};

/// How many times a file that changes during the fetch is fetched again.
const MAX_CHANGES: u32 = 3;

/// The largest file that is fetched as one of a batch, in bytes: what a kill costs at most is fetched again.
const BATCH_FILE_MAX: u64 = 1 << 20;

/// A file that was received and verified, and does not have its name yet. When dropped, it stays an unfinished download.
#[derive(Debug)]
#[must_use = "it gets its name when it is committed"]
pub struct Download {
    part: Part,
    proof: Proof,
    modified: Option<u64>,
    replace: Replace,
    is_durable: bool,
    summary: GetSummary,
}

impl Download {
    /// Makes it durable, unless the options say otherwise, and gives it its name.
    ///
    /// # Errors
    ///
    /// Those of the file system; see [`Part::promote`].
    pub fn commit(self) -> Result<GetSummary, LocalError> {
        Ok(self.store()?.0)
    }

    /// Like [`commit`](Self::commit), and says what was stored.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub fn store(self) -> Result<(GetSummary, Stored), LocalError> {
        let Self { part, proof, modified, replace, is_durable, summary } = self;
        let stored = if is_durable {
            part.promote(proof, modified, replace)?
        } else {
            part.finish(proof, modified, replace, false)?.take_name()?
        };
        Ok((summary, stored))
    }

    /// Whether it lies in the directory of the options, with the other files of a batch.
    #[must_use]
    pub fn is_of_batch(&self) -> bool {
        self.part.is_of_batch()
    }

    /// Closes it, to be made durable and named with the other files of a batch, by a
    /// [`BatchCommitter`](crate::local::BatchCommitter).
    ///
    /// # Errors
    ///
    /// Those of the file system; see [`Part::finish`].
    pub fn finish(self) -> Result<(FinishedPart, GetSummary), LocalError> {
        let Self { part, proof, modified, replace, summary, .. } = self;
        Ok((part.finish(proof, modified, replace, false)?, summary))
    }

    /// What [`commit`](Self::commit) will return.
    #[must_use]
    pub const fn summary(&self) -> GetSummary {
        self.summary
    }

    /// What was fetched: the name at the server, its size and its version.
    #[must_use]
    pub fn origin(&self) -> Option<&Origin> {
        self.part.origin()
    }

    /// The server's time of the last modification, in seconds since 1970.
    #[must_use]
    pub const fn modified(&self) -> Option<u64> {
        self.modified
    }
}

pub(super) fn download(
    requester: &mut Requester,
    name: FileName<'_>,
    target: &DownloadTarget,
    options: &GetOptions,
    progress: &mut dyn Progress,
) -> Result<Download, Error> {
    Fetch::new(&requester.address, name, target.clone(), options.clone(), progress)?.run(requester)
}

/// What the part of this download notes as its name. A file never has that of a range, for it contains `//`.
fn noted_name(name: FileName<'_>, options: &GetOptions) -> String {
    if options.is_range() { format!("{name}//{}", options.offset) } else { name.as_str().to_owned() }
}

/// A fetch under way: the sink of its bodies, and what its attempts have come to.
pub(super) struct Fetch<P> {
    /// What the current attempt asks for.
    asked: Asked,
    noted_name: String,
    /// The server, as the user wrote it.
    peer: String,
    target: DownloadTarget,
    options: GetOptions,
    progress: P,
    part: Option<Part>,
    modified: Option<u64>,
    /// Bytes that were received by an earlier run.
    resumed: u64,
    backoff: Option<Backoff>,
    changes: u32,
    had_mismatch: bool,
}

/// The request of an attempt.
#[derive(Clone)]
struct Asked {
    name: String,
    /// How many bytes are here already.
    len: u64,
    offset: u64,
    length: Option<u64>,
    version: Option<Version>,
    digest: Option<DigestKind>,
    digest_from: Option<u64>,
}

/// What follows an attempt that did not fail for good.
pub(super) enum Next {
    /// The file is whole.
    Done(Proof, GetSummary),
    /// Another attempt, after a pause.
    Again(Duration),
}

impl<P: Progress> Fetch<P> {
    /// Checks the target, and finds what is there of an earlier run.
    pub fn new(
        address: &Address,
        name: FileName<'_>,
        target: DownloadTarget,
        options: GetOptions,
        mut progress: P,
    ) -> Result<Self, Error> {
        target.check_target(options.replace)?;
        let mut part = match target.find_part()? {
            ExistingPart::None => None,
            ExistingPart::Part(part) => Some(*part),
            ExistingPart::SetAside(paths) => {
                paths.iter().for_each(|path| progress.event(&ProgressEvent::SetAside(path)));
                None
            }
        };
        let peer = address.to_string();
        let noted_name = noted_name(name, &options);
        if let Some(part) = &mut part {
            let is_within = options.length.is_none_or(|length| part.size() <= length);
            let is_resumable = part.origin().is_some_and(|origin| {
                // Without a digest, a file of that name at another server could not be told from this one.
                origin.name == noted_name && is_within && (options.digest.is_some() || origin.peer == peer)
            });
            if !options.resume || !is_resumable {
                part.forget_origin();
            }
        }
        let resumed = part.as_ref().and_then(|part| part.origin().map(|_| part.size())).unwrap_or(0);
        let mut fetch = Self {
            asked: Asked {
                name: name.as_str().to_owned(),
                len: 0,
                offset: 0,
                length: None,
                version: None,
                digest: options.digest,
                digest_from: options.digest.map(|_| options.offset),
            },
            noted_name,
            peer,
            target,
            options,
            progress,
            part,
            modified: None,
            resumed,
            backoff: None,
            changes: 0,
            had_mismatch: false,
        };
        fetch.plan();
        Ok(fetch)
    }

    /// The request of the current attempt.
    pub fn request(&self) -> GetRequest<'_> {
        self.asked.request()
    }

    /// Whether the current attempt begins by hashing what is here.
    pub fn reads_back(&self) -> bool {
        self.asked.len > 0 && self.asked.digest.is_some()
    }

    /// Makes attempts until the file is whole, or one of them fails for good.
    pub fn run(mut self, requester: &mut Requester) -> Result<Download, Error> {
        loop {
            let asked = self.asked.clone();
            let outcome = requester.attempt_get(&asked.request(), &mut self);
            match self.judge(outcome, requester.policy) {
                Ok(Next::Done(proof, summary)) => return self.finish(proof, summary),
                Ok(Next::Again(pause)) => requester.pause(pause),
                Err(error) => return Err(self.fail(error)),
            }
        }
    }

    /// Says what follows the attempt with this outcome.
    pub fn judge(&mut self, outcome: Result<End, FailedAttempt>, policy: RetryPolicy) -> Result<Next, Error> {
        let len = self.asked.len;
        let progressed = self.part.as_ref().is_some_and(|part| part.origin().is_some() && part.size() > len);
        let failed = match outcome {
            Ok(End::Verified(verified)) => return Ok(self.done(self.proof(verified), false)),
            Ok(End::Unchecked) if self.options.digest.is_none() => return Ok(self.done(Proof::Unchecked, false)),
            Ok(End::Changed { snapshot: Some(verified) }) if self.options.snapshot => {
                return Ok(self.done(self.proof(verified), true));
            }
            Ok(_) => {
                self.start_over()?;
                self.plan();
                return Ok(Next::Again(change_pause(self.changes)));
            }
            Err(failed) => failed,
        };
        let pause = match failed.error {
            // The version to resume is gone, or the file is shorter than the offset.
            Error::Refused { code: Some(Code::Changed | Code::BadRange), .. } if len > 0 => {
                self.start_over()?;
                Duration::ZERO
            }
            Error::DigestMismatch => {
                self.part.take().map_or(Ok(()), Part::discard)?;
                if self.had_mismatch {
                    return Err(Error::DigestMismatch);
                }
                self.had_mismatch = true;
                self.resumed = 0;
                self.progress.event(&ProgressEvent::DigestMismatch);
                Duration::ZERO
            }
            _ if failed.error.is_temporary() => {
                let backoff = self.backoff.get_or_insert_with(|| Backoff::new(policy));
                let Some(pause) = backoff.next_pause(&failed, progressed) else { return Err(failed.error) };
                if !pause.is_zero() {
                    self.progress.event(&ProgressEvent::Retry { error: &failed.error, pause });
                }
                pause
            }
            _ => return Err(failed.error),
        };
        self.plan();
        Ok(Next::Again(pause))
    }

    /// The download of a file that is whole.
    pub fn finish(self, proof: Proof, summary: GetSummary) -> Result<Download, Error> {
        let Self { target, options, part, modified, .. } = self;
        let part = part.ok_or_else(|| LocalError::Replaced(target.part_path()))?;
        Ok(Download { part, proof, modified, replace: options.replace, is_durable: options.is_durable, summary })
    }

    /// Keeps what was received for a later run. Returns the error to report.
    pub fn fail(self, error: Error) -> Error {
        match self.part.map_or(Ok(()), Part::suspend) {
            Ok(()) => error,
            Err(local) => local.into(),
        }
    }

    /// Sets what the next attempt asks for.
    fn plan(&mut self) {
        let origin = self.part.as_ref().and_then(Part::origin).filter(|_| self.len() > 0);
        let version = origin.map(|origin| origin.version.clone());
        let len = if version.is_some() { self.len() } else { 0 };
        self.asked.len = len;
        self.asked.offset = self.options.offset.saturating_add(len);
        self.asked.length = self.options.rest(len);
        self.asked.version = version;
    }

    fn create_part(&self, origin: Origin) -> Result<Part, LocalError> {
        if let Some(staging) = self.options.staging.as_ref().filter(|_| origin.size <= BATCH_FILE_MAX) {
            let replaces = self.options.replace != Replace::Nothing;
            if let Some(part) = self.target.create_part_of_batch(staging, origin.clone(), replaces)? {
                return Ok(part);
            }
        }
        self.target.create_part(origin)
    }

    fn start_over(&mut self) -> Result<(), Error> {
        if self.changes == MAX_CHANGES {
            return Err(Error::Changed);
        }
        self.changes += 1;
        self.resumed = 0;
        if let Some(part) = &mut self.part {
            part.forget_origin();
        }
        self.progress.event(&ProgressEvent::Changed);
        Ok(())
    }

    fn done(&self, proof: Proof, is_snapshot: bool) -> Next {
        let digest: Option<Digest> = match &proof {
            Proof::Verified(verified) | Proof::Range { verified, .. } => Some(*verified.digest()),
            Proof::Unchecked => None,
        };
        Next::Done(proof, GetSummary { size: self.len(), resumed: self.resumed, digest, is_snapshot })
    }

    fn proof(&self, verified: Verified) -> Proof {
        match self.options.is_range() {
            true => Proof::Range { verified, from: self.options.offset },
            false => Proof::Verified(verified),
        }
    }

    fn len(&self) -> u64 {
        self.part.as_ref().map_or(0, Part::size)
    }
}

impl Asked {
    fn request(&self) -> GetRequest<'_> {
        let name = FileName::new(&self.name).unwrap_or_else(|_| unreachable!("it was made of one"));
        GetRequest::new(name)
            .with_offset(self.offset)
            .with_length(self.length)
            .with_version(self.version.as_ref())
            .with_digest(self.digest)
            .with_digest_from(self.digest_from)
    }
}

impl<P: Progress> Sink for Fetch<P> {
    type Error = Error;

    fn begin(&mut self, header: &Header) -> Result<(), Error> {
        if let Some(limit) = self.options.max_size.filter(|limit| header.size > *limit) {
            return Err(Error::TooLarge { size: header.size, limit });
        }
        let position = header.offset.saturating_sub(self.options.offset);
        let size = range_end(header).saturating_sub(self.options.offset);
        // A body from the first byte on takes the place of what the part holds.
        let freed = if position == 0 { self.len() } else { 0 };
        self.target.directory().check_free(header.length.saturating_sub(freed))?;
        self.modified = header.modified;
        let origin =
            Origin { name: self.noted_name.clone(), peer: self.peer.clone(), size, version: header.version.clone() };
        match &mut self.part {
            None => self.part = Some(self.create_part(origin)?),
            Some(part) if position == 0 => part.restart(origin)?,
            Some(part) if part.origin() != Some(&origin) => part.set_origin(origin)?,
            Some(_) => {}
        }
        self.progress.started(size, position);
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let part = self.part.as_mut().ok_or_else(|| LocalError::Replaced(self.target.part_path()))?;
        debug_assert_eq!(offset, self.options.offset + part.size(), "bodies come in order");
        part.append(bytes)?;
        self.progress.advanced(part.size());
        Ok(())
    }

    fn read_back(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        match &self.part {
            Some(part) => match part.read_at(buf, offset.saturating_sub(self.options.offset))? {
                0 => Err(LocalError::Replaced(self.target.part_path()).into()),
                len => Ok(len),
            },
            None => Err(LocalError::Replaced(self.target.part_path()).into()),
        }
    }
}
