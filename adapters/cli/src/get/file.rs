//! A file of `coracle get`: what is asked about it, and whether that is necessary.

use std::io::{ErrorKind, Read};

use coracle::client::{Download, Error, GetSummary, PipelineRequest};
use coracle::local::{DownloadTarget, Escaped, LocalError, escape_path, name_restriction};
use coracle_core::{Digest, DigestKind, FileName, Hasher, Header, Violation};

use super::task::{Context, FileTask, Task, TaskOutcome};
use crate::progress::FileBar;

/// What is asked about a file.
pub enum FileStep {
    /// When it was modified, where that decides whether it is meant and no listing has told it.
    Time { target: DownloadTarget },
    /// The digest, to compare it with that of the file of the same size that is here.
    Digest { target: DownloadTarget, size: u64, kind: DigestKind },
    /// The file itself.
    Contents { target: DownloadTarget },
}

impl FileStep {
    /// What is asked first about `task`.
    pub fn first(context: &Context<'_>, task: &FileTask) -> Result<Self, Error> {
        let name = parse_name(&task.name)?;
        if let (None, Some(why)) = (&task.leaf, name_restriction(name.last())) {
            return Err(LocalError::Name { name: name.as_str().to_owned(), why }.into());
        }
        let leaf = task.leaf.as_deref().unwrap_or(name.last().as_ref());
        let target = DownloadTarget::new(task.directory.clone(), leaf);
        if context.newer.is_some() && task.size.is_none() {
            return Ok(Self::Time { target });
        }
        Self::of_meant(context, task, target)
    }

    /// What is asked about a file that is meant.
    pub fn of_meant(context: &Context<'_>, task: &FileTask, target: DownloadTarget) -> Result<Self, Error> {
        let status = if context.recursive { target.status()? } else { None };
        Ok(match status {
            Some(status) if task.size.is_none_or(|size| size == status.size) => {
                let kind = context.options.digest().unwrap_or(DigestKind::Crc32);
                Self::Digest { target, size: status.size, kind }
            }
            _ => Self::Contents { target },
        })
    }

    /// The request for it.
    pub fn request(&self, context: &Context<'_>, task: &FileTask) -> Result<PipelineRequest<FileBar>, Error> {
        let name = parse_name(&task.name)?;
        Ok(match self {
            Self::Time { .. } => PipelineRequest::stat(name, None),
            Self::Digest { kind, .. } => PipelineRequest::stat(name, Some(*kind)),
            Self::Contents { target } => {
                let bar = context.display.bar(name.as_str());
                PipelineRequest::get(name, target.clone(), context.options.clone(), bar).with_size(task.size)
            }
        })
    }
}

/// Parses a name that is a listed name, or a path made of such: one that is none is the server's mistake.
pub fn parse_name(path: &str) -> Result<FileName<'_>, Error> {
    FileName::new(path).map_err(|_| Error::Violation(Violation::EntryName))
}

/// Whether the file at `target`, of `size` bytes, is the one that `header` describes.
pub fn is_equal(target: &DownloadTarget, size: u64, kind: DigestKind, header: &Header) -> Result<bool, Error> {
    if header.size != size || header.digest.is_none() || header.digest != digest_of(target, kind)? {
        return Ok(false);
    }
    // A run that ended between the rename and the removal of the sidecar left it behind: finding it removes it.
    target.find_part()?;
    Ok(true)
}

fn digest_of(target: &DownloadTarget, kind: DigestKind) -> Result<Option<Digest>, Error> {
    let (Some(mut file), Some(mut hasher)) = (target.open_target()?, Hasher::new(kind)) else { return Ok(None) };
    let mut buf = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buf) {
            Ok(0) => return Ok(Some(hasher.finish())),
            Ok(len) => hasher.update(&buf[..len]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(LocalError::Io { doing: "read", path: target.path(), error }.into()),
        }
    }
}

/// A file that was received, to be made durable.
pub type Uncommitted = (Task, Download);

/// Gives a file its name.
pub fn commit(download: Download) -> Result<TaskOutcome, Error> {
    Ok(TaskOutcome::Fetched(download.commit()?))
}

/// The line that tells of a file that was fetched.
pub fn describe(name: &str, target: &DownloadTarget, summary: &GetSummary) -> String {
    let verified = match summary.digest {
        Some(digest) => format!("{} {digest}", digest.kind()),
        None => "not verified".to_owned(),
    };
    let resumed = if summary.resumed > 0 { format!(", resumed at {}", summary.resumed) } else { String::new() };
    let snapshot = if summary.is_snapshot { ", a snapshot: it changed meanwhile" } else { "" };
    let path = escape_path(&target.path());
    format!("{} -> {path}: {} bytes, {verified}{resumed}{snapshot}", Escaped(name), summary.size)
}
