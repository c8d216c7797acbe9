//! Fetches one file of `coracle get`.

use std::io::{ErrorKind, Read};

use coracle::client::{Client, Error, GetSummary};
use coracle::local::{DownloadTarget, Escaped, LocalError, escape_path, name_restriction};
use coracle_core::{Digest, DigestKind, FileName, Hasher, Violation};

use super::task::{Context, FileTask, TaskOutcome};

/// Fetches `task`. With `-r` the download is left to the caller to commit, and a file that is equal already is not fetched.
pub fn fetch(context: &Context<'_>, client: &mut Client, task: &FileTask) -> Result<TaskOutcome, Error> {
    let name = parse_name(&task.name)?;
    if let (None, Some(why)) = (&task.leaf, name_restriction(name.last())) {
        return Err(LocalError::Name { name: name.as_str().to_owned(), why }.into());
    }
    let leaf = task.leaf.as_deref().unwrap_or(name.last().as_ref());
    let target = &DownloadTarget::new(task.directory.clone(), leaf);
    if context.recursive && is_unchanged(client, name, target, task.size, context.options.digest())? {
        return Ok(TaskOutcome::Unchanged);
    }
    let mut bar = context.display.bar(name.as_str());
    let download = client.download(name, target, &context.options, &mut bar)?;
    drop(bar);
    if context.recursive {
        return Ok(TaskOutcome::Downloaded(Box::new(download)));
    }
    let summary = download.commit()?;
    context.display.println(&describe(name, target, &summary));
    Ok(TaskOutcome::Fetched(summary))
}

/// Parses a name that is a listed name, or a path made of such: one that is none is the server's mistake.
pub fn parse_name(path: &str) -> Result<FileName<'_>, Error> {
    FileName::new(path).map_err(|_| Error::Violation(Violation::EntryName))
}

/// Whether the file at `target` has the size and the digest of the server's.
fn is_unchanged(
    client: &mut Client,
    name: FileName<'_>,
    target: &DownloadTarget,
    size: Option<u64>,
    digest: Option<DigestKind>,
) -> Result<bool, Error> {
    let Some(status) = target.status()? else { return Ok(false) };
    if size.is_some_and(|size| size != status.size) {
        return Ok(false);
    }
    let kind = digest.unwrap_or(DigestKind::Crc32);
    let header = client.stat(name, Some(kind))?;
    if header.size != status.size || header.digest.is_none() || header.digest != digest_of(target, kind)? {
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

fn describe(name: FileName<'_>, target: &DownloadTarget, summary: &GetSummary) -> String {
    let verified = match summary.digest {
        Some(digest) => format!("{} {digest}", digest.kind()),
        None => "not verified".to_owned(),
    };
    let resumed = if summary.resumed > 0 { format!(", resumed at {}", summary.resumed) } else { String::new() };
    let snapshot = if summary.is_snapshot { ", a snapshot: it changed meanwhile" } else { "" };
    let path = escape_path(&target.path());
    format!("{} -> {path}: {} bytes, {verified}{resumed}{snapshot}", Escaped(name.as_str()), summary.size)
}
