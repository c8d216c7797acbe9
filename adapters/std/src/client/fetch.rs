//! A file of the server's to a file of ours: resumed, verified, and only then under its name.

use std::thread::sleep;

use coracle_core::exec::Sink;
use coracle_core::{Code, Digest, End, FileName, GetRequest, Header};

use super::retry::{Tries, pause_for_change};
use super::{Client, Error, Fetched, Note, Options, Progress};
use crate::local::{DownloadTarget, ExistingPart, LocalError, Origin, Part, Proof};

/// A file that changes while it is fetched is fetched again this often.
const CHANGES: u32 = 3;

/// A file that has come whole and verified, and does not have its name yet. Dropped, it is left as an unfinished download.
#[derive(Debug)]
#[must_use = "it has no name before it is committed"]
pub struct Download {
    part: Part,
    proof: Proof,
    modified: Option<u64>,
    force: bool,
    fetched: Fetched,
}

impl Download {
    /// Makes it durable and gives it its name.
    ///
    /// # Errors
    ///
    /// The file system's; see [`Part::promote`].
    pub fn commit(self) -> Result<Fetched, LocalError> {
        self.part.promote(self.proof, self.modified, self.force)?;
        Ok(self.fetched)
    }
}

pub(super) fn download(
    client: &mut Client,
    name: FileName<'_>,
    place: &DownloadTarget,
    options: &Options,
    progress: &mut dyn Progress,
) -> Result<Download, Error> {
    place.check_target(options.force)?;
    let mut part = match place.find_part()? {
        ExistingPart::None => None,
        ExistingPart::Part(part) => Some(*part),
        ExistingPart::SetAside(paths) => {
            paths.iter().for_each(|path| progress.note(&Note::SetAside(path)));
            None
        }
    };
    let peer = client.address().to_string();
    if let Some(part) = &mut part {
        let goes_on = part.origin().is_some_and(|origin| {
            // Without a digest nothing would tell that another server's file of that name has another beginning.
            origin.name == name.as_str() && (options.digest.is_some() || origin.peer == peer)
        });
        if !options.resume || !goes_on {
            part.forget_origin();
        }
    }
    let resumed = part.as_ref().and_then(|part| part.origin().map(|_| part.size())).unwrap_or(0);
    let mut fetch = Fetch { name, peer, place, options, progress, part, modified: None, resumed };
    let outcome = fetch.run(client);
    match (outcome, fetch.part) {
        (Ok((proof, fetched)), Some(part)) => {
            Ok(Download { part, proof, modified: fetch.modified, force: options.force, fetched })
        }
        (Ok(_), None) => Err(LocalError::Replaced(place.part_path()).into()),
        (Err(error), part) => {
            part.map_or(Ok(()), Part::suspend)?;
            Err(error)
        }
    }
}

struct Fetch<'a> {
    name: FileName<'a>,
    peer: String,
    place: &'a DownloadTarget,
    options: &'a Options,
    progress: &'a mut dyn Progress,
    part: Option<Part>,
    modified: Option<u64>,
    /// Bytes that an earlier run had brought.
    resumed: u64,
}

impl Fetch<'_> {
    fn run(&mut self, client: &mut Client) -> Result<(Proof, Fetched), Error> {
        let mut tries = Tries::new(client.retries);
        let mut changes = 0;
        let mut was_wrong = false;
        loop {
            let origin = self.part.as_ref().and_then(Part::origin).filter(|_| self.len() > 0).cloned();
            let offset = origin.as_ref().map_or(0, |_| self.len());
            let version = origin.as_ref().map(|origin| &origin.version);
            let digest_from = self.options.digest.map(|_| 0);
            let get =
                GetRequest { offset, version, digest: self.options.digest, digest_from, ..GetRequest::new(self.name) };
            let outcome = client.get_once(&get, self);
            let progressed = self.part.as_ref().is_some_and(|part| part.origin().is_some() && part.size() > offset);
            let failed = match outcome {
                Ok(End::Verified(verified)) => return Ok(self.done(Proof::Verified(verified), false)),
                Ok(End::Unchecked) if self.options.digest.is_none() => {
                    return Ok(self.done(Proof::Unchecked, false));
                }
                Ok(End::Changed { snapshot: Some(verified) }) if self.options.snapshot => {
                    return Ok(self.done(Proof::Verified(verified), true));
                }
                Ok(_) => {
                    self.start_over(&mut changes)?;
                    sleep(pause_for_change(changes));
                    continue;
                }
                Err(failed) => failed,
            };
            match failed.error {
                // Asked for a version that is no more, or for a place behind the end.
                Error::Refused { code: Some(Code::Changed | Code::BadRange), .. } if offset > 0 => {
                    self.start_over(&mut changes)?;
                }
                Error::Digest => {
                    self.part.take().map_or(Ok(()), Part::discard)?;
                    if was_wrong {
                        return Err(Error::Digest);
                    }
                    was_wrong = true;
                    self.resumed = 0;
                    self.progress.note(&Note::WrongDigest);
                }
                error if error.is_temporary() => {
                    if failed.was_kept && !progressed {
                        continue;
                    }
                    let Some(pause) = tries.failed(progressed) else { return Err(error) };
                    self.progress.note(&Note::Retry { error: &error, pause });
                    sleep(pause);
                }
                error => return Err(error),
            }
        }
    }

    fn start_over(&mut self, changes: &mut u32) -> Result<(), Error> {
        if *changes == CHANGES {
            return Err(Error::Changed);
        }
        *changes += 1;
        self.resumed = 0;
        if let Some(part) = &mut self.part {
            part.forget_origin();
        }
        self.progress.note(&Note::Changed);
        Ok(())
    }

    fn done(&self, proof: Proof, is_snapshot: bool) -> (Proof, Fetched) {
        let digest: Option<Digest> = match &proof {
            Proof::Verified(verified) => Some(*verified.digest()),
            Proof::Unchecked => None,
        };
        (proof, Fetched { size: self.len(), resumed: self.resumed, digest, is_snapshot })
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
        self.place.directory().check_free(header.length)?;
        self.modified = header.modified;
        let origin = Origin {
            name: self.name.as_str().to_owned(),
            peer: self.peer.clone(),
            size: header.size,
            version: header.version.clone(),
        };
        match &mut self.part {
            None => self.part = Some(self.place.create_part(origin)?),
            Some(part) if header.offset == 0 => part.restart(origin)?,
            Some(part) if part.origin() != Some(&origin) => part.set_origin(origin)?,
            Some(_) => {}
        }
        self.progress.begin(header.size, header.offset);
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let part = self.part.as_mut().ok_or_else(|| LocalError::Replaced(self.place.part_path()))?;
        debug_assert_eq!(offset, part.size(), "bodies come in order");
        part.append(bytes)?;
        self.progress.reached(part.size());
        Ok(())
    }

    fn read_back(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        match &self.part {
            Some(part) => match part.read_at(buf, offset)? {
                0 => Err(LocalError::Replaced(self.place.part_path()).into()),
                len => Ok(len),
            },
            None => Err(LocalError::Replaced(self.place.part_path()).into()),
        }
    }
}
