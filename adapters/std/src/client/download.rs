//! Fetches a file to a file.

use std::thread::sleep;

use coracle_core::exec::Sink;
use coracle_core::{Code, Digest, End, FileName, GetRequest, Header, Verified};

use super::backoff::{Backoff, change_pause};
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
    target.check_target(options.replace)?;
    let mut part = match target.find_part()? {
        ExistingPart::None => None,
        ExistingPart::Part(part) => Some(*part),
        ExistingPart::SetAside(paths) => {
            paths.iter().for_each(|path| progress.event(&ProgressEvent::SetAside(path)));
            None
        }
    };
    let peer = requester.address.to_string();
    let noted_name = noted_name(name, options);
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
    let mut fetch = Fetch { name, noted_name, peer, target, options, progress, part, modified: None, resumed };
    let outcome = fetch.run(requester);
    match (outcome, fetch.part) {
        (Ok((proof, summary)), Some(part)) => Ok(Download {
            part,
            proof,
            modified: fetch.modified,
            replace: options.replace,
            is_durable: options.is_durable,
            summary,
        }),
        (Ok(_), None) => Err(LocalError::Replaced(target.part_path()).into()),
        (Err(error), part) => {
            part.map_or(Ok(()), Part::suspend)?;
            Err(error)
        }
    }
}

/// What the part of this download notes as its name. A file never has that of a range, for it contains `//`.
fn noted_name(name: FileName<'_>, options: &GetOptions) -> String {
    if options.is_range() { format!("{name}//{}", options.offset) } else { name.as_str().to_owned() }
}

/// A fetch under way: the sink of its bodies.
struct Fetch<'a> {
    name: FileName<'a>,
    noted_name: String,
    peer: String,
    target: &'a DownloadTarget,
    options: &'a GetOptions,
    progress: &'a mut dyn Progress,
    part: Option<Part>,
    modified: Option<u64>,
    /// Bytes that were received by an earlier run.
    resumed: u64,
}

impl Fetch<'_> {
    fn run(&mut self, requester: &mut Requester) -> Result<(Proof, GetSummary), Error> {
        let mut backoff = Backoff::new(requester.retries);
        let mut changes = 0;
        let mut had_mismatch = false;
        loop {
            let origin = self.part.as_ref().and_then(Part::origin).filter(|_| self.len() > 0).cloned();
            let len = origin.as_ref().map_or(0, |_| self.len());
            let offset = self.options.offset.saturating_add(len);
            let version = origin.as_ref().map(|origin| &origin.version);
            let digest_from = self.options.digest.map(|_| self.options.offset);
            let get = GetRequest::new(self.name)
                .with_offset(offset)
                .with_length(self.options.rest(len))
                .with_version(version)
                .with_digest(self.options.digest)
                .with_digest_from(digest_from);
            let outcome = requester.attempt_get(&get, self);
            let progressed = self.part.as_ref().is_some_and(|part| part.origin().is_some() && part.size() > len);
            let failed = match outcome {
                Ok(End::Verified(verified)) => return Ok(self.done(self.proof(verified), false)),
                Ok(End::Unchecked) if self.options.digest.is_none() => {
                    return Ok(self.done(Proof::Unchecked, false));
                }
                Ok(End::Changed { snapshot: Some(verified) }) if self.options.snapshot => {
                    return Ok(self.done(self.proof(verified), true));
                }
                Ok(_) => {
                    self.start_over(&mut changes)?;
                    sleep(change_pause(changes));
                    continue;
                }
                Err(failed) => failed,
            };
            match failed.error {
                // The version to resume is gone, or the file is shorter than the offset.
                Error::Refused { code: Some(Code::Changed | Code::BadRange), .. } if len > 0 => {
                    self.start_over(&mut changes)?;
                }
                Error::DigestMismatch => {
                    self.part.take().map_or(Ok(()), Part::discard)?;
                    if had_mismatch {
                        return Err(Error::DigestMismatch);
                    }
                    had_mismatch = true;
                    self.resumed = 0;
                    self.progress.event(&ProgressEvent::DigestMismatch);
                }
                error if error.is_temporary() => {
                    if failed.was_reused && !progressed {
                        continue;
                    }
                    let Some(pause) = backoff.next_pause(progressed) else { return Err(error) };
                    self.progress.event(&ProgressEvent::Retry { error: &error, pause });
                    sleep(pause);
                }
                error => return Err(error),
            }
        }
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

    fn start_over(&mut self, changes: &mut u32) -> Result<(), Error> {
        if *changes == MAX_CHANGES {
            return Err(Error::Changed);
        }
        *changes += 1;
        self.resumed = 0;
        if let Some(part) = &mut self.part {
            part.forget_origin();
        }
        self.progress.event(&ProgressEvent::Changed);
        Ok(())
    }

    fn done(&self, proof: Proof, is_snapshot: bool) -> (Proof, GetSummary) {
        let digest: Option<Digest> = match &proof {
            Proof::Verified(verified) | Proof::Range { verified, .. } => Some(*verified.digest()),
            Proof::Unchecked => None,
        };
        (proof, GetSummary { size: self.len(), resumed: self.resumed, digest, is_snapshot })
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

impl Sink for Fetch<'_> {
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
