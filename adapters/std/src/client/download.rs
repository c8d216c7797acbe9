//! Fetches a file to a file.

use std::thread::sleep;
use std::time::Duration;

use coracle_core::exec::Sink;
use coracle_core::{Code, Digest, DigestKind, End, FileName, GetRequest, Header, Version};

use super::address::Address;
use super::backoff::{Backoff, change_pause};
use super::error::Error;
use super::options::{GetOptions, GetSummary};
use super::progress::{Progress, ProgressEvent};
use super::requester::{FailedAttempt, Requester};
use crate::local::{DownloadTarget, ExistingPart, LocalError, Origin, Part, Proof};

/// How many times a file that changes during the fetch is fetched again.
const MAX_CHANGES: u32 = 3;

/// A file that was received and verified, and does not have its name yet. When dropped, it stays an unfinished download.
#[derive(Debug)]
#[must_use = "it gets its name when it is committed"]
pub struct Download {
    part: Part,
    proof: Proof,
    modified: Option<u64>,
    force: bool,
    summary: GetSummary,
}

impl Download {
    /// Makes it durable, and gives it its name.
    ///
    /// # Errors
    ///
    /// Those of the file system; see [`Part::promote`].
    pub fn commit(self) -> Result<GetSummary, LocalError> {
        self.part.promote(self.proof, self.modified, self.force)?;
        Ok(self.summary)
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

/// A fetch under way: the sink of its bodies, and what its attempts have come to.
pub(super) struct Fetch<P> {
    /// What the current attempt asks for.
    asked: Asked,
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
    offset: u64,
    version: Option<Version>,
    digest: Option<DigestKind>,
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
        target.check_target(options.force)?;
        let mut part = match target.find_part()? {
            ExistingPart::None => None,
            ExistingPart::Part(part) => Some(*part),
            ExistingPart::SetAside(paths) => {
                paths.iter().for_each(|path| progress.event(&ProgressEvent::SetAside(path)));
                None
            }
        };
        let peer = address.to_string();
        if let Some(part) = &mut part {
            let is_resumable = part.origin().is_some_and(|origin| {
                // Without a digest, a file of that name at another server could not be told from this one.
                origin.name == name.as_str() && (options.digest.is_some() || origin.peer == peer)
            });
            if !options.resume || !is_resumable {
                part.forget_origin();
            }
        }
        let resumed = part.as_ref().and_then(|part| part.origin().map(|_| part.size())).unwrap_or(0);
        let mut fetch = Self {
            asked: Asked { name: name.as_str().to_owned(), offset: 0, version: None, digest: options.digest },
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

    /// Whether the current attempt begins by hashing what is there.
    pub fn reads_back(&self) -> bool {
        self.asked.offset > 0 && self.asked.digest.is_some()
    }

    /// Makes attempts until the file is whole, or one of them fails for good.
    pub fn run(mut self, requester: &mut Requester) -> Result<Download, Error> {
        loop {
            let asked = self.asked.clone();
            let outcome = requester.attempt_get(&asked.request(), &mut self);
            match self.judge(outcome, requester.retries) {
                Ok(Next::Done(proof, summary)) => return self.finish(proof, summary),
                Ok(Next::Again(pause)) => sleep(pause),
                Err(error) => return Err(self.fail(error)),
            }
        }
    }

    /// Says what follows the attempt with this outcome.
    pub fn judge(&mut self, outcome: Result<End, FailedAttempt>, retries: u32) -> Result<Next, Error> {
        let offset = self.asked.offset;
        let progressed = self.part.as_ref().is_some_and(|part| part.origin().is_some() && part.size() > offset);
        let pause = match outcome {
            Ok(End::Verified(verified)) => return Ok(self.done(Proof::Verified(verified), false)),
            Ok(End::Unchecked) if self.options.digest.is_none() => return Ok(self.done(Proof::Unchecked, false)),
            Ok(End::Changed { snapshot: Some(verified) }) if self.options.snapshot => {
                return Ok(self.done(Proof::Verified(verified), true));
            }
            Ok(_) => {
                self.start_over()?;
                change_pause(self.changes)
            }
            Err(failed) => match failed.error {
                // The version to resume is gone, or the file is shorter than the offset.
                Error::Refused { code: Some(Code::Changed | Code::BadRange), .. } if offset > 0 => {
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
                error if failed.is_final || !error.is_temporary() => return Err(error),
                _ if failed.was_reused && !progressed => Duration::ZERO,
                error => {
                    let backoff = self.backoff.get_or_insert_with(|| Backoff::new(retries));
                    let Some(pause) = backoff.next_pause(progressed) else { return Err(error) };
                    self.progress.event(&ProgressEvent::Retry { error: &error, pause });
                    pause
                }
            },
        };
        self.plan();
        Ok(Next::Again(pause))
    }

    /// The download of a file that is whole.
    pub fn finish(self, proof: Proof, summary: GetSummary) -> Result<Download, Error> {
        match self.part {
            Some(part) => Ok(Download { part, proof, modified: self.modified, force: self.options.force, summary }),
            None => Err(LocalError::Replaced(self.target.part_path()).into()),
        }
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
        self.asked.offset = if version.is_some() { self.len() } else { 0 };
        self.asked.version = version;
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
            Proof::Verified(verified) => Some(*verified.digest()),
            Proof::Unchecked => None,
        };
        Next::Done(proof, GetSummary { size: self.len(), resumed: self.resumed, digest, is_snapshot })
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
            .with_version(self.version.as_ref())
            .with_digest(self.digest)
            .with_digest_from(self.digest.map(|_| 0))
    }
}

impl<P: Progress> Sink for Fetch<P> {
    type Error = Error;

    fn begin(&mut self, header: &Header) -> Result<(), Error> {
        if let Some(limit) = self.options.max_size.filter(|limit| header.size > *limit) {
            return Err(Error::TooLarge { size: header.size, limit });
        }
        // A body from the first byte on takes the place of what the part holds.
        let freed = if header.offset == 0 { self.len() } else { 0 };
        self.target.directory().check_free(header.length.saturating_sub(freed))?;
        self.modified = header.modified;
        let origin = Origin {
            name: self.asked.name.clone(),
            peer: self.peer.clone(),
            size: header.size,
            version: header.version.clone(),
        };
        match &mut self.part {
            None => self.part = Some(self.target.create_part(origin)?),
            Some(part) if header.offset == 0 => part.restart(origin)?,
            Some(part) if part.origin() != Some(&origin) => part.set_origin(origin)?,
            Some(_) => {}
        }
        self.progress.started(header.size, header.offset);
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let part = self.part.as_mut().ok_or_else(|| LocalError::Replaced(self.target.part_path()))?;
        debug_assert_eq!(offset, part.size(), "bodies come in order");
        part.append(bytes)?;
        self.progress.advanced(part.size());
        Ok(())
    }

    fn read_back(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        match &self.part {
            Some(part) => match part.read_at(buf, offset)? {
                0 => Err(LocalError::Replaced(self.target.part_path()).into()),
                len => Ok(len),
            },
            None => Err(LocalError::Replaced(self.target.part_path()).into()),
        }
    }
}
