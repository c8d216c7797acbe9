//! Which files of `-r` are here already, by what is here, by what was listed, and by the index of what was fetched.

use coracle::client::Error;
use coracle::local::{DownloadTarget, Fetched, FileStatus, LocalError, Replace, Stamp};
use coracle_core::Header;

/// Nanoseconds in a second.
const SECOND: i64 = 1_000_000_000;

/// What is to be done for a file, by what was listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: it is here.
    Skip,
    /// Ask for its version and digest, and judge by the answer.
    Ask,
    /// Fetch it.
    Fetch(Replace),
}

/// What is to be done for a file, by what the server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing: it is here, and was this one when that was found out.
    Equal(Stamp),
    /// Fetch it.
    Fetch(Replace),
}

/// What a listing said of a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listed {
    /// Its size in bytes, where it was listed.
    pub size: Option<u64>,
    /// The server's time of its last modification, where it was listed.
    pub modified: Option<u64>,
}

/// How it is decided.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Whether files are compared by their digests, whatever their times say.
    pub checksum: bool,
    /// Whether any file may be replaced.
    pub force: bool,
    /// A file that was last modified at this time or before would have got another time by another modification; `None` where
    /// the server has no clock.
    pub settled: Option<u64>,
}

impl Rules {
    /// What is to be done by what was listed.
    pub fn decide(&self, file: &Listed, target: &DownloadTarget, fetched: Option<&Fetched>) -> Result<Decision, Error> {
        let Some(status) = target.status()? else { return Ok(Decision::Fetch(self.replace_none())) };
        if file.size.is_some_and(|size| size != status.size) {
            return Ok(Decision::Fetch(self.replace(target, &status, fetched)?));
        }
        if !self.checksum && self.is_current(file, &status, fetched) {
            return Ok(Decision::Skip);
        }
        Ok(Decision::Ask)
    }

    /// What is to be done by the server's answer.
    pub fn judge(
        &self,
        target: &DownloadTarget,
        fetched: Option<&Fetched>,
        header: &Header,
    ) -> Result<Judgement, Error> {
        let Some(status) = target.status()? else { return Ok(Judgement::Fetch(self.replace_none())) };
        let is_version = !self.checksum && fetched.is_some_and(|fetched| is_version(fetched, &status, header));
        if header.size == status.size && (is_version || self.has_digest(target, &status, fetched, header)?) {
            return Ok(Judgement::Equal(status.stamp()));
        }
        Ok(Judgement::Fetch(self.replace(target, &status, fetched)?))
    }

    /// Whether the sizes and times say that the file is the listed one.
    fn is_current(&self, file: &Listed, status: &FileStatus, fetched: Option<&Fetched>) -> bool {
        let Some(modified) = file.modified else { return false };
        if self.settled.is_none_or(|settled| modified > settled) {
            return false;
        }
        match fetched.filter(|fetched| fetched.modified == Some(modified)) {
            // It may have been modified again within the second in which it was fetched.
            Some(fetched) if !fetched.is_settled => false,
            // Not every file system can hold every time.
            Some(fetched) if fetched.stamp == status.stamp() => true,
            _ => i64::try_from(modified).is_ok_and(|modified| status.modified_ns.div_euclid(SECOND) == modified),
        }
    }

    /// Whether the contents have the digest of `header`.
    fn has_digest(
        &self,
        target: &DownloadTarget,
        status: &FileStatus,
        fetched: Option<&Fetched>,
        header: &Header,
    ) -> Result<bool, LocalError> {
        let Some(digest) = header.digest else { return Ok(false) };
        let is_noted = |fetched: &&Fetched| !self.checksum && fetched.stamp == status.stamp();
        match fetched.filter(is_noted).and_then(|fetched| fetched.digest).filter(|noted| noted.kind() == digest.kind())
        {
            Some(noted) => Ok(noted == digest),
            None => Ok(target.digest(digest.kind())? == Some(digest)),
        }
    }

    /// What may be replaced, where there is a file in the way.
    fn replace(
        &self,
        target: &DownloadTarget,
        status: &FileStatus,
        fetched: Option<&Fetched>,
    ) -> Result<Replace, Error> {
        match fetched {
            _ if self.force => Ok(Replace::Anything),
            None => Err(LocalError::Exists(target.path()).into()),
            Some(fetched) if fetched.is_still(target, status)? => Ok(Replace::Unchanged(status.stamp())),
            Some(_) => Err(LocalError::ChangedHere(target.path()).into()),
        }
    }

    /// What may be replaced, where nothing is in the way yet.
    pub fn replace_none(&self) -> Replace {
        if self.force { Replace::Anything } else { Replace::Nothing }
    }
}

/// Whether the file is the version of `header`, and unchanged since it was fetched.
fn is_version(fetched: &Fetched, status: &FileStatus, header: &Header) -> bool {
    fetched.origin.version == header.version && fetched.stamp == status.stamp()
}
